//! In which form a caller wants a document (RFC 9110 §12.5.1).

use http::{HeaderMap, header};

/// Form of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// `application/json`.
    Json,
    /// `application/yaml` (RFC 9512).
    Yaml,
}

/// Names of YAML from before it had one of its own are understood.
const YAML: [&str; 4] = ["application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml"];

impl Format {
    /// The form of the media type `essence`, if it is one of these.
    #[must_use]
    pub(super) fn of(essence: &str) -> Option<Self> {
        match essence {
            "application/json" => Some(Self::Json),
            _ => YAML.contains(&essence).then_some(Self::Yaml),
        }
    }

    /// The form `headers` ask for: YAML when that is wanted more than JSON.
    #[must_use]
    pub(super) fn wanted(headers: &HeaderMap) -> Self {
        let lines = headers.get_all(header::ACCEPT).iter().filter_map(|line| line.to_str().ok());
        let ranges: Vec<(String, f32)> = lines.flat_map(|line| line.split(',')).filter_map(range).collect();
        let quality = |exact: &dyn Fn(&str) -> bool, wide: &[&str]| {
            // The most exact range counts, whatever the others say.
            let of = |counts: &dyn Fn(&str) -> bool| {
                let found = ranges.iter().filter(|(range, _)| counts(range)).map(|(_, quality)| *quality);
                found.max_by(f32::total_cmp)
            };
            let wider = || wide.iter().find_map(|wide| of(&|range| range == *wide));
            of(exact).or_else(wider).unwrap_or(0.0)
        };
        let json = quality(&|range| range == "application/json", &["application/*", "*/*"]);
        let yaml = quality(&|range| YAML.contains(&range), &["application/*", "*/*"]);
        if yaml > json { Self::Yaml } else { Self::Json }
    }
}

/// A media range and how much it is wanted. A quality that is none counts as full.
fn range(text: &str) -> Option<(String, f32)> {
    let mut parts = text.split(';').map(str::trim);
    let range = parts.next().filter(|range| !range.is_empty())?.to_ascii_lowercase();
    let quality = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    Some((range, quality.and_then(|quality| quality.parse().ok()).unwrap_or(1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_is_answered_to_those_who_want_it_more() {
        for (accept, format) in [
            ("", Format::Json),
            ("*/*", Format::Json),
            ("application/json", Format::Json),
            ("application/yaml", Format::Yaml),
            ("text/x-yaml", Format::Yaml),
            ("Application/YAML; q=0.9, */*; q=0.1", Format::Yaml),
            ("application/yaml;q=0.5, application/json;q=0.4", Format::Yaml),
            ("application/yaml;q=0.5, application/json", Format::Json),
            ("application/yaml, application/json", Format::Json),
            ("application/*;q=0.2, application/json;q=0.1", Format::Yaml),
            ("application/yaml;q=0", Format::Json),
            ("text/html, , image/*", Format::Json),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT, accept.parse().unwrap())]);
            assert_eq!(Format::wanted(&headers), format, "{accept}");
        }
    }
}
