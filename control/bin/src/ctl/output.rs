//! What is written to standard output, and in which form.

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use serde_json::Value;
use weir_control::yaml;

use super::{client::Answer, error::CtlError, table::Paint};

/// Form of the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Aligned columns and sentences.
    #[default]
    Table,
    /// The API's own document.
    Json,
    /// The same as YAML.
    Yaml,
}

/// How much is said about changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loudness {
    /// What was changed.
    Normal,
    /// Nothing; the exit code tells.
    Quiet,
}

/// Where answers go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    /// In which form.
    pub(super) format: Format,
    /// How much of it.
    pub(super) loudness: Loudness,
    /// With colours or without.
    pub(super) paint: Paint,
}

impl Output {
    /// To standard output.
    pub(super) fn new(format: Format, loudness: Loudness) -> Self {
        let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let paint =
            if is_terminal() && !is_set("NO_COLOR") && !is_dumb { Paint::Coloured } else { Paint::Bare };
        Self { format, loudness, paint }
    }

    /// Shows what was asked for.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn show(&self, answer: &Answer, table: impl FnOnce(&Value) -> String) -> Result<(), CtlError> {
        match self.format {
            Format::Table => self.text(&table(&answer.json()?)),
            Format::Json | Format::Yaml => self.document(answer),
        }
    }

    /// Says what a change did, unless nothing is to be said.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn changed(
        &self,
        answer: &Answer,
        text: impl FnOnce(&Value) -> String,
    ) -> Result<(), CtlError> {
        match self.loudness {
            Loudness::Quiet => Ok(()),
            Loudness::Normal if self.format == Format::Table => {
                let document = if answer.body.is_empty() { Value::Null } else { answer.json()? };
                self.text(&text(&document))
            }
            Loudness::Normal if answer.body.is_empty() => Ok(()),
            Loudness::Normal => self.document(answer),
        }
    }

    /// Writes lines as they are.
    ///
    /// # Errors
    /// When they cannot be written.
    #[expect(clippy::unused_self, reason = "the output decides where lines go")]
    pub(super) fn text(&self, text: &str) -> Result<(), CtlError> {
        write(text.as_bytes())
    }

    /// Writes the API's document: as it came, or the same as YAML.
    fn document(&self, answer: &Answer) -> Result<(), CtlError> {
        if self.format == Format::Yaml {
            return self.text(&yaml::text(&answer.json()?));
        }
        write(&answer.body)?;
        if answer.body.ends_with(b"\n") { Ok(()) } else { self.text("\n") }
    }
}

/// Whether a person looks at the output.
pub(super) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

fn write(bytes: &[u8]) -> Result<(), CtlError> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|cause| match cause.kind() {
        io::ErrorKind::BrokenPipe => CtlError::Closed,
        _ => CtlError::Output(cause),
    })
}

/// Says something that is not the answer, on standard error. Nobody may be listening.
pub(super) fn remark(text: &str) {
    let _ = writeln!(io::stderr(), "weir ctl: {text}");
}
