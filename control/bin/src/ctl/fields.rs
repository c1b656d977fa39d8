//! `name=value` on the command line as members of a document.

use serde_json::{Map, Value};

use super::error::CtlError;

/// The document that `fields` describe. Dots in a name lead into objects; a value is JSON if it can be, else a text.
///
/// # Errors
/// When one of them has no name or no value, or two contradict each other.
pub(super) fn document(fields: &[String]) -> Result<Map<String, Value>, CtlError> {
    let mut document = Map::new();
    for field in fields {
        let wrong = |why: &str| CtlError::Usage(format!("{field:?} {why}"));
        let (path, text) =
            field.split_once('=').ok_or_else(|| wrong("is not a field: expected NAME=VALUE"))?;
        let value = serde_json::from_str(text).unwrap_or_else(|_| Value::from(text));
        if path.split('.').any(str::is_empty) {
            return Err(wrong("has no name"));
        }
        if !insert(&mut document, path, value) {
            return Err(wrong("contradicts another field"));
        }
    }
    Ok(document)
}

/// Puts `value` at `path`; `false` when something else is there.
fn insert(document: &mut Map<String, Value>, path: &str, value: Value) -> bool {
    match path.split_once('.') {
        None => document.insert(path.to_owned(), value).is_none(),
        Some((step, rest)) => {
            let inner = document.entry(step).or_insert_with(|| Value::Object(Map::new()));
            inner.as_object_mut().is_some_and(|inner| insert(inner, rest, value))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(fields: &[&str]) -> Result<Value, String> {
        let fields: Vec<String> = fields.iter().map(|field| (*field).to_owned()).collect();
        document(&fields).map(Value::Object).map_err(|error| error.to_string())
    }

    #[test]
    fn values_are_json_or_text() {
        assert_eq!(
            read(&[
                "weight=5",
                "admin_state=maint",
                "zone=\"7\"",
                "labels.team=shop",
                "labels.x=a=b",
                "tls=null"
            ]),
            Ok(
                json!({"weight": 5, "admin_state": "maint", "zone": "7", "labels": {"team": "shop", "x": "a=b"}, "tls": null})
            )
        );
        assert_eq!(read(&["servers=[\"a:1\"]"]), Ok(json!({"servers": ["a:1"]})));
    }

    #[test]
    fn a_field_is_named_once() {
        for fields in [&["weight"][..], &["=5"], &["a..b=1"], &["a=1", "a=2"], &["a=1", "a.b=2"]] {
            assert!(read(fields).is_err(), "{fields:?}");
        }
    }
}
