//! Reads YAML into values, without recursion and within bounds.

use std::{borrow::Cow, collections::HashMap};

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Tag};
use serde_json::{Map, Value};

use super::scalar::resolve;
use crate::strict;

/// Deepest nesting of sequences and mappings, as for JSON.
const MAX_DEPTH: usize = 32;

/// Most that anchors keep and aliases copy, in bytes of text and some for each value: enough to share settings among
/// upstreams, and far from what would fill the memory.
const MAX_COPIED: usize = 8 * 1024 * 1024;

/// Why a text is not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail} at line {line} column {column}")]
pub struct YamlError {
    detail: String,
    line: usize,
    column: usize,
}

impl YamlError {
    fn new(detail: impl Into<String>, at: Marker) -> Self {
        Self { detail: detail.into(), line: at.line(), column: at.col() + 1 }
    }
}

/// Reads the one document in `text`. An empty one is null.
///
/// # Errors
/// What is wrong, with line and column.
pub fn parse(text: &[u8]) -> Result<Value, YamlError> {
    let text = std::str::from_utf8(text).map_err(|error| {
        let line = text.iter().take(error.valid_up_to()).filter(|byte| **byte == b'\n').count() + 1;
        YamlError { detail: "not UTF-8".to_owned(), line, column: 1 }
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| YamlError::new(error.info(), *error.marker()))?;
        reader.take(event, span.start)?;
    }
    Ok(reader.whole.unwrap_or_default())
}

#[derive(Default)]
struct Reader {
    whole: Option<Value>,
    open: Vec<Open>,
    anchors: HashMap<usize, Value>,
    copied: usize,
}

/// A collection that has not ended yet.
struct Open {
    anchor: usize,
    items: Items,
}

enum Items {
    Sequence(Vec<Value>),
    Mapping {
        fields: Map<String, Value>,
        /// The key whose value comes next.
        key: Option<String>,
    },
}

impl Reader {
    fn take(&mut self, event: Event<'_>, at: Marker) -> Result<(), YamlError> {
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) if self.whole.is_some() => {
                Err(YamlError::new("a second document: there must be one", at))
            }
            Event::DocumentStart(_) => Ok(()),
            Event::Alias(anchor) => {
                let value = self.anchors.get(&anchor).cloned();
                let value = value.ok_or_else(|| YamlError::new("an alias of what it is part of", at))?;
                self.charge(&value, at)?;
                self.put(value, at)
            }
            Event::Scalar(text, style, anchor, tag) => {
                if self.wants_key() {
                    return self.key(text, anchor, at);
                }
                let value = scalar(text, style, tag.as_deref(), at)?;
                self.finish(value, anchor, at)
            }
            Event::SequenceStart(anchor, tag) => {
                self.open(anchor, tag.as_deref(), Items::Sequence(Vec::new()), at)
            }
            Event::MappingStart(anchor, tag) => {
                self.open(anchor, tag.as_deref(), Items::Mapping { fields: Map::new(), key: None }, at)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(Open { anchor, items }) = self.open.pop() else { return Ok(()) };
                let value = match items {
                    Items::Sequence(items) => Value::Array(items),
                    Items::Mapping { fields, key: _ } => Value::Object(fields),
                };
                self.finish(value, anchor, at)
            }
        }
    }

    fn open(&mut self, anchor: usize, tag: Option<&Tag>, items: Items, at: Marker) -> Result<(), YamlError> {
        refuse_tag(tag, at)?;
        if self.wants_key() {
            return Err(YamlError::new("a key must be a text", at));
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(YamlError::new(format!("nested deeper than {MAX_DEPTH}"), at));
        }
        self.open.push(Open { anchor, items });
        Ok(())
    }

    /// Whether a key comes next.
    fn wants_key(&self) -> bool {
        matches!(self.open.last(), Some(Open { items: Items::Mapping { key: None, .. }, .. }))
    }

    fn key(&mut self, text: Cow<'_, str>, anchor: usize, at: Marker) -> Result<(), YamlError> {
        if anchor != 0 {
            return Err(YamlError::new("a key has no anchor", at));
        }
        if let Some(Open { items: Items::Mapping { fields, key }, .. }) = self.open.last_mut() {
            if fields.contains_key(text.as_ref()) {
                let detail = format!("the field \"{}\" is given twice", strict::echo(&text));
                return Err(YamlError::new(detail, at));
            }
            *key = Some(text.into_owned());
        }
        Ok(())
    }

    /// Takes a value that is whole, and keeps it if it may be named again.
    fn finish(&mut self, value: Value, anchor: usize, at: Marker) -> Result<(), YamlError> {
        if anchor != 0 {
            self.charge(&value, at)?;
            self.anchors.insert(anchor, value.clone());
        }
        self.put(value, at)
    }

    fn put(&mut self, value: Value, at: Marker) -> Result<(), YamlError> {
        match self.open.last_mut().map(|open| &mut open.items) {
            None => self.whole = Some(value),
            Some(Items::Sequence(items)) => items.push(value),
            Some(Items::Mapping { fields, key }) => {
                let key = key.take().ok_or_else(|| YamlError::new("a key must be a text", at))?;
                fields.insert(key, value);
            }
        }
        Ok(())
    }

    fn charge(&mut self, value: &Value, at: Marker) -> Result<(), YamlError> {
        self.copied += weight(value);
        if self.copied <= MAX_COPIED {
            return Ok(());
        }
        Err(YamlError::new("anchors and aliases make too much of the document", at))
    }
}

/// Bytes of text, and some for each value.
fn weight(value: &Value) -> usize {
    32 + match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(weight).sum(),
        Value::Object(fields) => fields.iter().map(|(key, value)| 32 + key.len() + weight(value)).sum(),
    }
}

fn scalar(text: Cow<'_, str>, style: ScalarStyle, tag: Option<&Tag>, at: Marker) -> Result<Value, YamlError> {
    let is_text = tag.is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "str");
    if is_text {
        return Ok(Value::String(text.into_owned()));
    }
    refuse_tag(tag, at)?;
    Ok(match style {
        ScalarStyle::Plain => resolve(&text),
        ScalarStyle::SingleQuoted
        | ScalarStyle::DoubleQuoted
        | ScalarStyle::Literal
        | ScalarStyle::Folded => Value::String(text.into_owned()),
    })
}

fn refuse_tag(tag: Option<&Tag>, at: Marker) -> Result<(), YamlError> {
    match tag {
        Some(tag) => Err(YamlError::new(
            format!("the tag {}{} is not read", tag.handle, strict::echo(&tag.suffix)),
            at,
        )),
        None => Ok(()),
    }
}
