//! `Prefer`: how much of an answer the caller wants, and how long it would wait for the change to be in force.
//!
//! A preference that is unknown or malformed is left alone, as RFC 7240 §2 asks; what was honoured is said in
//! `Preference-Applied`.

use http::{HeaderMap, HeaderName};

/// What a caller prefers.
pub(super) const PREFER: HeaderName = HeaderName::from_static("prefer");
/// What of it was honoured.
pub(super) const APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// How much of the changed resource an answer shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Returning {
    /// Nothing: the header fields say what came of it.
    Minimal,
    /// All of it.
    Representation,
}

/// What the caller of a change prefers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Preferences {
    /// `return`; everything is shown when it is not said.
    pub returning: Option<Returning>,
    /// `wait`, in seconds. A change is in force here before it is answered, so that nothing is left to wait for.
    pub wait: Option<u32>,
}

impl Preferences {
    /// The preferences in `headers`. Of one that is given twice, the first counts.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut found = Self::default();
        let lines = headers.get_all(PREFER);
        let each = lines.iter().filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(','));
        for preference in each {
            // What follows a semicolon are parameters, of which none is known.
            let preference = preference.split(';').next().unwrap_or_default();
            let Some((name, value)) = preference.split_once('=') else { continue };
            let value = unquoted(value.trim());
            match name.trim().to_ascii_lowercase().as_str() {
                "return" if found.returning.is_none() => found.returning = returning(value),
                "wait" if found.wait.is_none() => found.wait = value.parse().ok(),
                _ => {}
            }
        }
        found
    }

    /// Whether as little as can be is to be shown.
    pub(super) fn is_minimal(self) -> bool {
        self.returning == Some(Returning::Minimal)
    }

    /// The text of `Preference-Applied` when the answer showed as much as `shown`; `None` when nothing was preferred.
    pub(super) fn applied(self, shown: Returning) -> Option<String> {
        let returned = (self.returning == Some(shown)).then(|| match shown {
            Returning::Minimal => "return=minimal".to_owned(),
            Returning::Representation => "return=representation".to_owned(),
        });
        let waited = self.wait.map(|seconds| format!("wait={seconds}"));
        let applied: Vec<String> = returned.into_iter().chain(waited).collect();
        (!applied.is_empty()).then(|| applied.join(", "))
    }
}

fn returning(value: &str) -> Option<Returning> {
    match value.to_ascii_lowercase().as_str() {
        "minimal" => Some(Returning::Minimal),
        "representation" => Some(Returning::Representation),
        _ => None,
    }
}

fn unquoted(value: &str) -> &str {
    value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn preferences(lines: &[&str]) -> Preferences {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(PREFER, line.parse().unwrap());
        }
        Preferences::of(&headers)
    }

    #[test]
    fn the_first_of_each_counts_and_the_unknown_is_left_alone() {
        for (lines, returning, wait) in [
            (&["return=minimal"][..], Some(Returning::Minimal), None),
            (&["RETURN = Minimal; x=1, wait=5"], Some(Returning::Minimal), Some(5)),
            (&["return=representation", "return=minimal"], Some(Returning::Representation), None),
            (&["respond-async, wait=\"10\"", "handling=lenient"], None, Some(10)),
            (&["return=everything, wait=-1"], None, None),
            (&["x=\"a, return=minimal\""], None, None),
            (&[""], None, None),
        ] {
            assert_eq!(preferences(lines), Preferences { returning, wait }, "{lines:?}");
        }
    }

    #[test]
    fn only_what_was_honoured_is_said() {
        let both = preferences(&["return=minimal, wait=3"]);
        assert_eq!(both.applied(Returning::Minimal).as_deref(), Some("return=minimal, wait=3"));
        assert_eq!(both.applied(Returning::Representation).as_deref(), Some("wait=3"));
        assert_eq!(preferences(&[]).applied(Returning::Representation), None);
    }
}
