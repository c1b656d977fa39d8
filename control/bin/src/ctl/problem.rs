//! A problem document (RFC 9457) as lines for a person.
//!
//! What is not a problem document is shown all the same: something between here and the API may have answered.

use std::fmt;

use serde_json::Value;

use super::text::printable;

/// Longest part of an answer that is not understood, when it is shown.
const MAX_EXCERPT: usize = 200;

/// Why the API did not do what it was asked.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    status: u16,
    document: Value,
    /// What was answered in place of a problem document.
    excerpt: String,
}

impl Problem {
    /// Reads the answer with this status and body.
    pub(super) fn of(status: u16, body: &[u8]) -> Self {
        let document: Value = serde_json::from_slice(body).unwrap_or_default();
        let text = String::from_utf8_lossy(body);
        let excerpt = text.trim().chars().take(MAX_EXCERPT).collect();
        Self { status, document, excerpt }
    }

    /// The status it came with.
    pub(super) fn status(&self) -> u16 {
        self.status
    }

    /// Its stable word, if it has one.
    pub(super) fn code(&self) -> &str {
        self.member("code")
    }

    /// The entity tag of what is there, if it names one.
    pub(super) fn current_etag(&self) -> Option<&str> {
        Some(self.member("current_etag")).filter(|tag| !tag.is_empty())
    }

    fn member(&self, name: &str) -> &str {
        self.document.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// What a user of this program, who does not see the request, can do about it.
    fn advice(&self) -> Option<String> {
        let member = |name| Some(self.member(name)).filter(|text| !text.is_empty());
        match (self.status, self.code()) {
            (401, _) => {
                let advice = "set WEIR_TOKEN or give --token-file; on the same machine --admin unix:PATH needs no token";
                Some(advice.to_owned())
            }
            (_, "last_token") => Some("--open revokes it all the same".to_owned()),
            (_, "in_use") => Some("--cascade unbinds it from its routes as well".to_owned()),
            (_, "large_change") => {
                let revision = self.document.get("revision").and_then(Value::as_u64)?;
                Some(format!("if that is meant, repeat it with --confirm {revision}"))
            }
            (412, _) => member("current_etag").map(|tag| format!("the present state is {tag}")),
            (_, "exists") => member("existing").map(|path| format!("it is at {path}")),
            _ => None,
        }
    }
}

impl fmt::Display for Problem {
    /// The first line says what went wrong, the others where.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = match (self.member("detail"), self.member("title")) {
            ("", "") if self.excerpt.is_empty() => "no explanation was given",
            ("", "") => &self.excerpt,
            ("", title) => title,
            (detail, _) => detail,
        };
        write!(f, "{}", printable(said))?;
        match self.code() {
            "" => write!(f, " (status {})", self.status)?,
            code => write!(f, " ({} {})", self.status, printable(code))?,
        }
        for fault in self.document.get("errors").and_then(Value::as_array).into_iter().flatten() {
            let text = |name: &str| fault.get(name).and_then(Value::as_str);
            let place = ["pointer", "parameter", "header"].into_iter().find_map(text).unwrap_or("?");
            write!(f, "\n  {}: {}", printable(place), printable(text("detail").unwrap_or("invalid")))?;
            if let Some(allowed) = text("allowed") {
                write!(f, " (allowed: {})", printable(allowed))?;
            }
        }
        if let Some(advice) = self.advice() {
            write!(f, "\n  {}", printable(&advice))?;
        }
        match self.member("request_id") {
            id if !id.is_empty() && self.status >= 500 => write!(f, "\n  request {}", printable(id)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(status: u16, document: &Value) -> String {
        Problem::of(status, document.to_string().as_bytes()).to_string()
    }

    #[test]
    fn every_fault_is_a_line_with_its_place() {
        let document = json!({
            "title": "Invalid configuration", "code": "validation", "detail": "2 fields are invalid.",
            "errors": [
                {"pointer": "#/servers/0/address", "code": "invalid_address", "detail": "missing port"},
                {"parameter": "limit", "code": "out_of_range", "detail": "is too large", "allowed": "1..1000"},
            ],
        });
        assert_eq!(
            shown(422, &document),
            "2 fields are invalid. (422 validation)\n  #/servers/0/address: missing port\n  \
             limit: is too large (allowed: 1..1000)"
        );
    }

    #[test]
    fn advice_names_the_flag() {
        let large = json!({"detail": "All upstreams would go.", "code": "large_change", "revision": 7});
        assert!(shown(409, &large).ends_with("repeat it with --confirm 7"), "{}", shown(409, &large));
        assert!(shown(401, &json!({"detail": "no"})).contains("WEIR_TOKEN"));
    }

    #[test]
    fn whatever_answered_is_shown() {
        assert_eq!(
            Problem::of(502, b"<h1>Bad gateway</h1>\n").to_string(),
            "<h1>Bad gateway</h1> (status 502)"
        );
        assert_eq!(Problem::of(500, b"").to_string(), "no explanation was given (status 500)");
    }

    /// A server's words end up on a terminal, which obeys some of them.
    #[test]
    fn no_terminal_is_steered() {
        let text = shown(422, &json!({"detail": "\u{1b}[2Jgone\n\u{9b}31m"}));
        assert!(!text.contains(['\u{1b}', '\u{9b}', '\n']), "{text:?}");
    }
}
