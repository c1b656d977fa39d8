//! Reads a body as JSON more strictly than usual: no field twice (which of the two counts is anybody's guess, RFC 8259
//! §4), and nothing nested deeper than any document of ours.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::strict;

/// Deepest nesting of arrays and objects.
const MAX_DEPTH: usize = 32;

/// Reads `text` as one JSON value.
///
/// # Errors
/// What is wrong, with line and column.
pub(crate) fn parse(text: &[u8]) -> Result<Value, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let value = Strict { depth: MAX_DEPTH }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

#[derive(Clone, Copy)]
struct Strict {
    depth: usize,
}

impl Strict {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        let depth = self.depth.checked_sub(1);
        depth
            .map(|depth| Self { depth })
            .ok_or_else(|| E::custom(format_args!("nested deeper than {MAX_DEPTH}")))
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let deeper = self.deeper()?;
        let mut values = Vec::new();
        while let Some(value) = items.next_element_seed(deeper)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let deeper = self.deeper()?;
        let mut values = Map::new();
        while let Some(name) = fields.next_key::<String>()? {
            if values.contains_key(&name) {
                return Err(A::Error::custom(format_args!(
                    "the field \"{}\" is given twice",
                    strict::echo(&name)
                )));
            }
            let value = fields.next_value_seed(deeper)?;
            values.insert(name, value);
        }
        Ok(Value::Object(values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_read_as_usual() {
        let text = br#" {"a":[1,-2,3.5,"x\u00e9",true,null,{}],"b":18446744073709551615} "#;
        assert_eq!(parse(text).unwrap(), serde_json::from_slice::<Value>(text).unwrap());
    }

    #[test]
    fn what_is_ambiguous_or_broken_is_refused_with_its_place() {
        let deep = "[".repeat(33);
        for (text, detail) in [
            ("{\"a\":1,\n\"a\":2}", "given twice at line 2 column"),
            (deep.as_str(), "nested deeper than 32"),
            ("{\"a\":1} x", "trailing characters at line 1"),
            ("{\"a\":}", "expected value at line 1 column 6"),
            ("", "EOF"),
            ("\u{feff}{}", "expected value"),
        ] {
            let error = parse(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(detail), "{text}: {error}");
        }
        assert!(parse(b"{\"a\":\"\xff\"}").is_err(), "not UTF-8");
    }
}

#[cfg(test)]
mod properties {
    use proptest::{collection::vec, prelude::*, sample::select};

    use super::*;
    use crate::arbitrary;

    const PIECES: &[&str] = &[
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"a\"",
        "\"b\"",
        "\"\\u0061\"",
        "\"",
        "\\",
        "1",
        "-0",
        "1e999",
        "0.1",
        "1e-7",
        "null",
        "true",
        " ",
        "\n",
        "\u{0}",
        "\"\\ud800\"",
        "{\"a\":",
        "[[[[[[[[[[[[[[[[",
        "]]]]]]]]]]]]]]]]",
    ];

    fn depth(value: &Value) -> usize {
        match value {
            Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
            Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_was_written_is_read_as_it_was(value in arbitrary::json()) {
            for text in [value.to_string(), format!("{value:#}")] {
                prop_assert_eq!(parse(text.as_bytes()).unwrap(), value.clone());
            }
        }

        /// What another reader takes is taken alike, or refused for what that one lets pass.
        #[test]
        fn any_text_is_read_as_by_others_or_refused_for_a_reason(pieces in vec(select(PIECES), 0..24)) {
            let text = pieces.concat();
            match (parse(text.as_bytes()), serde_json::from_str::<Value>(&text)) {
                (Ok(ours), Ok(theirs)) => {
                    prop_assert!(depth(&ours) <= MAX_DEPTH);
                    prop_assert_eq!(ours, theirs);
                }
                (Ok(ours), Err(error)) => prop_assert!(false, "{text}: {ours}, others: {error}"),
                (Err(error), Ok(theirs)) => {
                    let error = error.to_string();
                    let is_deep = depth(&theirs) > MAX_DEPTH && error.contains("nested deeper");
                    prop_assert!(is_deep || error.contains("given twice"), "{text}: {error}");
                }
                (Err(_), Err(_)) => {}
            }
        }

        #[test]
        fn a_field_that_is_there_twice_is_found(value in arbitrary::json(), name in "[a-c]{1,2}") {
            let name = Value::from(name);
            let text = format!("{{\"x\":{value},{name}:1,\"y\":{value},{name}:{value}}}");
            prop_assert!(parse(text.as_bytes()).unwrap_err().to_string().contains("given twice"));
        }
    }
}
