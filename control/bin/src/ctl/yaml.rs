//! JSON values as YAML, in block style.
//!
//! A text that YAML could read as anything else is written as JSON, which YAML 1.2 contains. Source: YAML 1.2.2 §7.3.

use serde_json::Value;

/// Words that some YAML reader takes for a boolean, null or a number.
const RESERVED: [&str; 12] =
    ["true", "false", "yes", "no", "on", "off", "y", "n", "null", "nan", "inf", "infinity"];

/// `value` as a document, ending in a line break.
pub(super) fn write(value: &Value) -> String {
    let mut text = String::new();
    match value {
        Value::Object(members) if !members.is_empty() => block(&mut text, value, 0),
        Value::Array(items) if !items.is_empty() => block(&mut text, value, 0),
        value => {
            text.push_str(&scalar(value));
            text.push('\n');
        }
    }
    text
}

/// Writes a list or an object that is not empty, each entry on a line of its own.
fn block(text: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                pad(text, indent);
                text.push_str(&word(name));
                text.push(':');
                nested(text, value, indent + 2, indent);
            }
        }
        Value::Array(items) => {
            for item in items {
                pad(text, indent);
                text.push('-');
                nested(text, item, indent + 2, indent + 2);
            }
        }
        _ => {}
    }
}

/// Writes what follows `name:` or `-`: objects begin on the line of the dash, lists under their name at its own depth.
fn nested(text: &mut String, value: &Value, indent: usize, list_indent: usize) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            if text.ends_with('-') {
                let mut inner = String::new();
                block(&mut inner, value, indent);
                text.push(' ');
                text.push_str(inner.trim_start());
            } else {
                text.push('\n');
                block(text, value, indent);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            text.push('\n');
            block(text, value, list_indent);
        }
        value => {
            text.push(' ');
            text.push_str(&scalar(value));
            text.push('\n');
        }
    }
}

fn pad(text: &mut String, indent: usize) {
    text.extend(std::iter::repeat_n(' ', indent));
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => word(text),
        other => other.to_string(),
    }
}

/// A text, plain where that cannot be mistaken.
fn word(text: &str) -> String {
    let is_plain = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '/')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-./".contains(&byte))
        && !RESERVED.contains(&text.to_ascii_lowercase().as_str());
    if is_plain { text.to_owned() } else { Value::from(text).to_string() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn blocks_nest() {
        let value = json!({
            "api_version": "v1", "empty": {}, "none": [],
            "upstreams": [{"id": "web", "servers": ["10.0.0.7:80", {"address": "a:1", "weight": 0}]}],
            "z": null,
        });
        assert_eq!(
            write(&value),
            "api_version: v1\nempty: {}\nnone: []\nupstreams:\n- id: web\n  servers:\n  - \"10.0.0.7:80\"\n  \
             - address: \"a:1\"\n    weight: 0\nz: null\n"
        );
        assert_eq!(write(&json!([[1, 2], [3]])), "-\n  - 1\n  - 2\n-\n  - 3\n");
        assert_eq!(write(&json!("x y")), "\"x y\"\n");
    }

    #[test]
    fn what_could_be_mistaken_is_quoted() {
        for text in ["", "no", "True", "1", "1.5", "5s", "a: b", "#x", "- x", "~", ".inf", "a\nb", " a", "ü"]
        {
            assert!(word(text).starts_with('"'), "{text:?}");
        }
        for text in ["web", "/healthz", "least_request", "eu-1a"] {
            assert_eq!(word(text), text);
        }
    }
}
