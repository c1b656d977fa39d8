//! Text in Prometheus' exposition format: every family announced once, its samples together.
//!
//! Source: Prometheus, "Exposition formats", text-based format 0.0.4.

use std::fmt::{Display, Write as _};

/// What the samples of a family are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A number that only grows.
    Counter,
    /// A number that goes up and down.
    Gauge,
    /// Counts by upper edge.
    Histogram,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// Collects families of samples.
#[derive(Debug, Default)]
pub(super) struct Writer {
    text: String,
}

impl Writer {
    /// Announces the family `name`. Its samples follow; each name is announced once.
    pub(super) fn family<'a>(&'a mut self, name: &'a str, kind: Kind, help: &str) -> Family<'a> {
        // Writing to a string cannot fail, here and below.
        let _ = writeln!(self.text, "# HELP {name} {}", help.replace('\\', "\\\\").replace('\n', "\\n"));
        let _ = writeln!(self.text, "# TYPE {name} {}", kind.as_str());
        Family { text: &mut self.text, name }
    }

    /// Adds the family `name` with one sample without labels.
    pub(super) fn single(&mut self, name: &str, kind: Kind, help: &str, value: impl Display) {
        self.family(name, kind, help).sample(&[], value);
    }

    /// Everything written.
    pub(super) fn finish(self) -> String {
        self.text
    }
}

/// The samples of one family.
#[derive(Debug)]
pub(super) struct Family<'a> {
    text: &'a mut String,
    name: &'a str,
}

impl Family<'_> {
    /// Adds a sample.
    pub(super) fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        self.suffixed("", labels, value);
    }

    /// Adds a sample whose name is the family's with `suffix`, as a histogram has them.
    pub(super) fn suffixed(&mut self, suffix: &str, labels: &[(&str, &str)], value: impl Display) {
        self.text.push_str(self.name);
        self.text.push_str(suffix);
        let mut separator = '{';
        for (label, text) in labels {
            self.text.push(separator);
            self.text.push_str(label);
            self.text.push_str("=\"");
            escape(text, self.text);
            self.text.push('"');
            separator = ',';
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }
}

fn escape(value: &str, text: &mut String) {
    for letter in value.chars() {
        match letter {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_announced_and_values_escaped() {
        let mut writer = Writer::default();
        let mut family = writer.family("weir_test", Kind::Gauge, "A \\ and\na line.");
        family.sample(&[], 1);
        family.sample(&[("a", "x\"y\\z\n"), ("b", "")], 0.5);
        let lines = [
            "# HELP weir_test A \\\\ and\\na line.",
            "# TYPE weir_test gauge",
            "weir_test 1",
            "weir_test{a=\"x\\\"y\\\\z\\n\",b=\"\"} 0.5",
            "",
        ];
        assert_eq!(writer.finish(), lines.join("\n"));
    }
}
