//! Words of the API on a terminal.

use std::{borrow::Cow, fmt::Write as _};

use serde_json::Value;

/// `text` on one line, without anything a terminal would obey: labels and errors of servers are anybody's words.
pub(super) fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\n' | '\t' | '\r' => shown.push(' '),
            letter if letter.is_control() => {
                // Writing to a String does not fail.
                let _ = write!(shown, "\\u{{{:x}}}", u32::from(letter));
            }
            letter => shown.push(letter),
        }
    }
    Cow::Owned(shown)
}

/// A value in a cell: texts as they are, nothing for null, the rest as JSON.
pub(super) fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => printable(text).into_owned(),
        Value::Array(items) if items.iter().all(Value::is_string) => {
            items.iter().map(cell).collect::<Vec<_>>().join(",")
        }
        other => printable(&other.to_string()).into_owned(),
    }
}

/// The member of `value` at `path`, whose steps have dots between them, as a cell; empty when there is none.
pub(super) fn at(value: &Value, path: &str) -> String {
    let found = path.split('.').try_fold(value, |value, step| value.get(step));
    found.map(cell).unwrap_or_default()
}

/// `number` of things that are called `name` when there is one.
pub(super) fn count(number: usize, name: &str) -> String {
    if number == 1 { format!("1 {name}") } else { format!("{number} {name}s") }
}

/// How long `millis` are, in the largest two units.
pub(super) fn span(millis: u64) -> String {
    let seconds = millis / 1000;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) if seconds < 10 => format!("{}.{}s", seconds, millis / 100 % 10),
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, minutes) => format!("{minutes}m{:02}s", seconds % 60),
        (0, hours, minutes) => format!("{hours}h{minutes:02}m"),
        (days, hours, _) => format!("{days}d{hours:02}h"),
    }
}

/// A time of the API, to the second, as a person reads it.
pub(super) fn time(text: &str) -> String {
    match text.split_once('.') {
        Some((second, _)) => format!("{}Z", printable(second)),
        None => printable(text).into_owned(),
    }
}

/// `segment` as part of a path: everything but unreserved characters and the colon is percent-encoded (RFC 3986 §2.1).
pub(super) fn segment(segment: &str) -> String {
    let mut encoded = String::with_capacity(segment.len());
    for byte in segment.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' => {
                encoded.push(char::from(byte));
            }
            byte => {
                // Writing to a String does not fail.
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    // A dot segment would be resolved away before it is sent.
    match encoded.as_str() {
        "." => "%2E".to_owned(),
        ".." => "%2E%2E".to_owned(),
        _ => encoded,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn spans_have_two_units() {
        for (millis, text) in [
            (0, "0.0s"),
            (1_540, "1.5s"),
            (59_999, "59s"),
            (60_000, "1m00s"),
            (3_599_000, "59m59s"),
            (3_660_000, "1h01m"),
            (90_000_000, "1d01h"),
        ] {
            assert_eq!(span(millis), text);
        }
    }

    #[test]
    fn a_segment_is_one_segment() {
        assert_eq!(segment("[::1]:80"), "%5B::1%5D:80");
        assert_eq!(segment("a/../b?c#d"), "a%2F..%2Fb%3Fc%23d");
        assert_eq!(segment(".."), "%2E%2E");
    }

    #[test]
    fn cells_are_short() {
        let value = json!({"a": {"b": ["x", "y"]}, "n": 3, "none": null});
        assert_eq!(at(&value, "a.b"), "x,y");
        assert_eq!(at(&value, "n"), "3");
        assert_eq!(at(&value, "none"), "");
        assert_eq!(at(&value, "a.missing.c"), "");
    }
}
