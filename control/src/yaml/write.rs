//! Writes values as YAML in block style.

use serde_json::Value;

use super::scalar::resolve;

/// Words that older readers take for truth values (YAML 1.1).
const OLD_WORDS: [&str; 8] = ["y", "n", "yes", "no", "on", "off", "true", "false"];

/// `value` as one document.
#[must_use]
pub fn text(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Array(items) if !items.is_empty() => sequence(items, 0, &mut out),
        Value::Object(fields) if !fields.is_empty() => mapping(fields, 0, &mut out),
        _ => {
            scalar(value, &mut out);
            out.push('\n');
        }
    }
    out
}

fn sequence(items: &[Value], indent: usize, out: &mut String) {
    for item in items {
        pad(indent, out);
        out.push('-');
        match item {
            // The first line of a collection continues that of its dash.
            Value::Object(fields) if !fields.is_empty() => {
                nested(indent, out, |out| mapping(fields, indent + 2, out))
            }
            Value::Array(items) if !items.is_empty() => {
                nested(indent, out, |out| sequence(items, indent + 2, out))
            }
            _ => inline(item, out),
        }
    }
}

/// Writes a collection with `write`, and takes the indentation off its first line.
fn nested(indent: usize, out: &mut String, write: impl FnOnce(&mut String)) {
    let start = out.len();
    write(out);
    // A dash and a blank stand where the line would be indented.
    out.replace_range(start..start + indent + 1, "");
}

fn mapping(fields: &serde_json::Map<String, Value>, indent: usize, out: &mut String) {
    for (key, value) in fields {
        pad(indent, out);
        string(key, out);
        out.push(':');
        match value {
            Value::Object(fields) if !fields.is_empty() => {
                out.push('\n');
                mapping(fields, indent + 2, out);
            }
            Value::Array(items) if !items.is_empty() => {
                out.push('\n');
                sequence(items, indent + 2, out);
            }
            _ => inline(value, out),
        }
    }
}

fn inline(value: &Value, out: &mut String) {
    out.push(' ');
    scalar(value, out);
    out.push('\n');
}

fn pad(indent: usize, out: &mut String) {
    out.extend(std::iter::repeat_n(' ', indent));
}

/// A scalar, or a collection without items.
fn scalar(value: &Value, out: &mut String) {
    match value {
        Value::String(text) => string(text, out),
        // The rest is written as in JSON.
        _ => out.push_str(&value.to_string()),
    }
}

/// A text, in quotes unless every reader takes it for one without. What JSON quotes YAML reads alike (§1.3).
fn string(text: &str, out: &mut String) {
    if is_plain(text) {
        out.push_str(text);
    } else {
        out.push_str(&Value::from(text).to_string());
    }
}

fn is_plain(text: &str) -> bool {
    let may_begin = |first: char| first.is_ascii_alphanumeric() || matches!(first, '/' | '_');
    let may_follow = |one: char| one.is_ascii_alphanumeric() || matches!(one, '/' | '_' | '-' | '.' | ':');
    let is_number_to_some =
        || text.bytes().all(|byte| !byte.is_ascii_alphabetic() || matches!(byte, b'e' | b'E'));
    text.starts_with(may_begin)
        && text.chars().all(may_follow)
        && !text.ends_with(':')
        && resolve(text).is_string()
        && !OLD_WORDS.iter().any(|word| word.eq_ignore_ascii_case(text))
        && !(text.starts_with(|first: char| first.is_ascii_digit())
            && (is_number_to_some() || text.starts_with('0')))
}
