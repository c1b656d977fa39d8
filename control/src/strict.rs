//! Reads what operators submit, finding every fault: unknown fields with the nearest known name, and values of a wrong
//! type, each with a pointer.
//!
//! The model itself reads leniently, because the store may hold what a newer release wrote.

use std::borrow::Cow;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use serde_path_to_error::Segment;
use weir_shared::error::{FieldError, FieldErrorCode, Pointer};

/// Most faults of one kind reported for one document; a document with more is not mended one by one.
pub const MAX_ERRORS: usize = 32;

/// Longest part of a submitted text that an answer repeats, in characters.
const MAX_ECHO: usize = 64;

/// Longest explanation taken over from a reader, which may repeat the value it could not read.
const MAX_DETAIL: usize = 512;

/// Longest name compared with the known ones: comparing takes the square of its length.
const MAX_COMPARED_BYTES: usize = 64;

/// Documents heavier than this, in bytes of text and then some for each value, are read again only once after a fault.
const MAX_REREAD: usize = 256 * 1024;

/// Words newcomers use for what an upstream calls servers.
const WORDS_FOR_SERVERS: [&str; 8] =
    ["address", "addresses", "url", "urls", "host", "backends", "targets", "endpoints"];

/// Reads `value`, found at `at`. Adds every fault to `errors`; answers `None` when no `T` could be made.
pub fn read<T: DeserializeOwned + Serialize + Default>(
    mut value: Value,
    at: &Pointer,
    errors: &mut Vec<FieldError>,
) -> Option<T> {
    let known = errors.len();
    let most = if weighs_less(&value, &mut MAX_REREAD.clone()) { MAX_ERRORS } else { 2 };
    refuse_lists::<T>(&mut value, at, errors);
    let mut faults = 0;
    loop {
        let mut unknown = Vec::new();
        match attempt::<T>(&value, &mut unknown) {
            Ok(parsed) if errors.len() == known => {
                name_unknown(&parsed, &unknown, at, errors);
                return Some(parsed);
            }
            Ok(_) => return None,
            Err(error) => {
                let path: Vec<Step> = error.path().iter().map(Step::from).collect();
                errors.push(type_error(&pointer(at, &path), error.inner(), lookup(&value, &path)));
                // Without the faulty field the rest can be read, and its faults found.
                faults += 1;
                if faults >= most || !remove(&mut value, &path) {
                    return None;
                }
            }
        }
    }
}

/// Whether `value` weighs less than `budget`, which is used up.
fn weighs_less(value: &Value, budget: &mut usize) -> bool {
    /// About what a value costs to read apart from its text.
    const VALUE: usize = 8;
    let text = match value {
        Value::String(text) => text.len(),
        Value::Object(fields) => fields.keys().map(String::len).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => 0,
    };
    let Some(rest) = budget.checked_sub(VALUE + text) else { return false };
    *budget = rest;
    match value {
        Value::Array(items) => items.iter().all(|item| weighs_less(item, budget)),
        Value::Object(fields) => fields.values().all(|field| weighs_less(field, budget)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

/// Takes lists out of places for objects: serde would read them as the fields in order, which nobody means.
fn refuse_lists<T: Serialize + Default>(value: &mut Value, at: &Pointer, errors: &mut Vec<FieldError>) {
    let Some(fields) = value.as_object_mut() else { return };
    let defaults = serde_json::to_value(T::default()).unwrap_or(Value::Null);
    fields.retain(|name, value| {
        let is_misplaced = value.is_array() && defaults.get(name).is_some_and(Value::is_object);
        if is_misplaced {
            errors.push(
                at.at(name).error(FieldErrorCode::InvalidType, "invalid type: an array, expected an object"),
            );
        }
        !is_misplaced
    });
}

/// One step down in a document.
#[derive(Clone, Debug)]
enum Step {
    Key(String),
    Index(usize),
}

impl From<&Segment> for Step {
    fn from(segment: &Segment) -> Self {
        match segment {
            Segment::Seq { index } => Self::Index(*index),
            Segment::Map { key } => Self::Key(key.clone()),
            Segment::Enum { variant } => Self::Key(variant.clone()),
            Segment::Unknown => Self::Key("?".to_owned()),
        }
    }
}

fn attempt<T: DeserializeOwned>(
    value: &Value,
    unknown: &mut Vec<Vec<Step>>,
) -> Result<T, serde_path_to_error::Error<serde_json::Error>> {
    let mut note = |path: serde_ignored::Path<'_>| {
        if unknown.len() < MAX_ERRORS {
            unknown.push(steps(&path));
        }
    };
    serde_path_to_error::deserialize(serde_ignored::Deserializer::new(value, &mut note))
}

fn steps(path: &serde_ignored::Path<'_>) -> Vec<Step> {
    use serde_ignored::Path;
    let (parent, step) = match path {
        Path::Root => return Vec::new(),
        Path::Seq { parent, index } => (parent, Some(Step::Index(*index))),
        Path::Map { parent, key } => (parent, Some(Step::Key(key.clone()))),
        Path::Some { parent } | Path::NewtypeStruct { parent } | Path::NewtypeVariant { parent } => {
            (parent, None)
        }
    };
    let mut steps = steps(parent);
    steps.extend(step);
    steps
}

fn pointer(at: &Pointer, path: &[Step]) -> Pointer {
    path.iter().fold(at.clone(), |at, step| match step {
        Step::Key(key) => at.at(echo(key)),
        Step::Index(index) => at.at(index),
    })
}

fn lookup<'a>(value: &'a Value, path: &[Step]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, step| match step {
        Step::Key(key) => value.get(key),
        Step::Index(index) => value.get(index),
    })
}

/// Removes the field at `path`; answers whether it was one. An item of an array is left, for its neighbours' places.
fn remove(value: &mut Value, path: &[Step]) -> bool {
    let Some((Step::Key(last), parents)) = path.split_last() else { return false };
    let parent = parents.iter().try_fold(value, |value, step| match step {
        Step::Key(key) => value.get_mut(key),
        Step::Index(index) => value.get_mut(index),
    });
    parent.and_then(Value::as_object_mut).and_then(|fields| fields.remove(last)).is_some()
}

fn type_error(at: &Pointer, error: &serde_json::Error, value: Option<&Value>) -> FieldError {
    let detail = error.to_string();
    let code = if detail.starts_with("invalid value: integer") {
        FieldErrorCode::OutOfRange
    } else if detail.starts_with("invalid type") || detail.starts_with("unknown variant") {
        FieldErrorCode::InvalidType
    } else {
        FieldErrorCode::InvalidValue
    };
    // Only what is short is repeated: the value may be a whole document.
    let value = value.filter(|value| match value {
        Value::String(text) => text.len() <= 256,
        Value::Array(_) | Value::Object(_) => false,
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
    });
    let value = value.cloned();
    // The one field whose range is that of its type: for the others, what the type holds is more than is allowed.
    if code == FieldErrorCode::OutOfRange
        && at.as_str().ends_with("/weight")
        && !at.as_str().contains("/action/")
    {
        let error = at.error(code, format!("must be 0 to {}", u16::MAX));
        return FieldError { value, allowed: Some(format!("0..{}", u16::MAX)), ..error };
    }
    FieldError { value, ..at.error(code, shorten(in_plain_words(detail))) }
}

/// `detail` without the names that Rust has for things.
fn in_plain_words(detail: String) -> String {
    match detail.rsplit_once(", expected ") {
        Some((found, "u8")) => format!("{found}, expected a whole number from 0 to {}", u8::MAX),
        Some((found, "u16")) => format!("{found}, expected a whole number from 0 to {}", u16::MAX),
        Some((found, "u32")) => format!("{found}, expected a whole number from 0 to {}", u32::MAX),
        Some((found, "u64" | "usize")) => format!("{found}, expected a whole number from 0"),
        Some((found, "i8" | "i16" | "i32" | "i64")) => format!("{found}, expected a whole number"),
        Some((found, "f32" | "f64")) => format!("{found}, expected a number"),
        Some(_) | None => detail.replacen("unknown variant", "unknown value", 1),
    }
}

/// Adds an error for each unknown field. The known ones are those the parsed form is written with.
fn name_unknown<T: Serialize>(parsed: &T, unknown: &[Vec<Step>], at: &Pointer, errors: &mut Vec<FieldError>) {
    if unknown.is_empty() {
        return;
    }
    let written = serde_json::to_value(parsed).unwrap_or(Value::Null);
    for path in unknown {
        let Some((Step::Key(name), parent)) = path.split_last() else { continue };
        let known: Vec<&str> = lookup(&written, parent)
            .and_then(Value::as_object)
            .map(|fields| fields.keys().map(String::as_str).collect())
            .unwrap_or_default();
        errors.push(unknown_field(&pointer(at, path), name, &known));
    }
}

/// The error for a field called `name` that is none of `known`.
#[must_use]
pub fn unknown_field(at: &Pointer, name: &str, known: &[&str]) -> FieldError {
    let hint = if known.contains(&"servers") && WORDS_FOR_SERVERS.contains(&name) {
        "; an upstream is a group: write \"servers\": [\"host:port\"]".to_owned()
    } else {
        nearest(name, known).map(|nearest| format!("; did you mean \"{nearest}\"?")).unwrap_or_default()
    };
    let detail = format!("there is no field \"{}\"{hint}", echo(name));
    let error = at.error(FieldErrorCode::UnknownField, detail);
    let allowed = (!known.is_empty()).then(|| known.join(", "));
    FieldError { allowed, ..error }
}

/// `text` as an answer repeats it: cut when it is long.
#[must_use]
pub fn echo(text: &str) -> Cow<'_, str> {
    cut(text, MAX_ECHO)
}

/// `text` without what goes beyond the length of an explanation.
#[must_use]
pub fn shorten(text: String) -> String {
    if text.len() <= MAX_DETAIL { text } else { cut(&text, MAX_DETAIL).into_owned() }
}

fn cut(text: &str, most: usize) -> Cow<'_, str> {
    match text.char_indices().nth(most).and_then(|(end, _)| text.get(..end)) {
        Some(start) => Cow::Owned(format!("{start}…")),
        None => Cow::Borrowed(text),
    }
}

/// The one of `known` most like `name`, if one is much like it.
#[must_use]
pub fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    if name.len() > MAX_COMPARED_BYTES {
        return None;
    }
    known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), *candidate))
        .filter(|(likeness, _)| *likeness >= 0.75)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use weir_shared::model::Upstream;

    use super::*;

    fn faults(value: Value) -> Vec<(String, FieldErrorCode, String)> {
        let mut errors = Vec::new();
        read::<Upstream>(value, &Pointer::root(), &mut errors);
        errors.into_iter().map(|error| (error.pointer, error.code, error.detail)).collect()
    }

    #[test]
    fn every_unknown_field_is_named_with_the_nearest_known_one() {
        let found = faults(json!({
            "algoritm": "random",
            "health_check": {"intervall": "5s"},
            "servers": ["a:1", {"address": "b:1", "wieght": 2}],
        }));
        let expect = [
            ("#/algoritm", "\"algorithm\"?"),
            ("#/health_check/intervall", "\"interval\"?"),
            ("#/servers/1/wieght", "\"weight\"?"),
        ];
        assert_eq!(found.len(), expect.len(), "{found:?}");
        for (at, hint) in expect {
            let one = found.iter().find(|(pointer, _, _)| pointer == at).expect(at);
            assert_eq!(one.1, FieldErrorCode::UnknownField);
            assert!(one.2.contains(hint), "{one:?}");
        }
        let found = faults(json!({"address": "10.0.0.1:80"}));
        assert!(found[0].2.contains("\"servers\": [\"host:port\"]"), "{found:?}");
    }

    #[test]
    fn what_is_repeated_is_short() {
        let long = "x".repeat(1 << 20);
        for value in [
            json!({ &long: 1 }),
            json!({ "labels": { &long: 1 } }),
            json!({ "algorithm": &long }),
            json!({ "connect_timeout": &long }),
            json!({ "servers": [{"address": "a:1", &long: 1}] }),
        ] {
            let found = faults(value);
            assert_eq!(found.len(), 1);
            assert!(found[0].0.len() + found[0].2.len() < 1200, "{} {}", found[0].0.len(), found[0].2.len());
        }
        assert_eq!(echo("häuser"), "häuser");
        assert_eq!(echo(&"ä".repeat(65)), format!("{}…", "ä".repeat(64)));
    }

    #[test]
    fn a_heavy_document_is_read_twice_at_most() {
        let labels = |count: usize| json!({ "labels": (0..count).map(|n| (n.to_string(), json!(1))).collect::<serde_json::Map<_, _>>() });
        assert_eq!(faults(labels(100)).len(), MAX_ERRORS);
        assert_eq!(faults(labels(100_000)).len(), 2);
    }

    #[test]
    fn every_wrong_type_is_found() {
        let found = faults(json!({
            "algorithm": "fastest",
            "connect_timeout": 5,
            "idle_timeout": "5 s",
            "health_check": {"healthy_threshold": 300},
            "outlier_detection": [],
            "servers": [{"address": "a:1", "weight": "3"}],
        }));
        let mut codes: Vec<(&str, FieldErrorCode)> =
            found.iter().map(|(pointer, code, _)| (pointer.as_str(), *code)).collect();
        codes.sort_by_key(|(pointer, _)| *pointer);
        assert_eq!(
            codes,
            [
                ("#/algorithm", FieldErrorCode::InvalidType),
                ("#/connect_timeout", FieldErrorCode::InvalidType),
                ("#/health_check/healthy_threshold", FieldErrorCode::OutOfRange),
                ("#/idle_timeout", FieldErrorCode::InvalidValue),
                ("#/outlier_detection", FieldErrorCode::InvalidType),
                ("#/servers/0/weight", FieldErrorCode::InvalidType),
            ]
        );
    }
}

#[cfg(test)]
mod properties {
    use proptest::{prelude::*, sample::select};
    use weir_shared::model::Upstream;

    use super::*;
    use crate::arbitrary;

    /// Names of fields, right and nearly right.
    fn names() -> BoxedStrategy<String> {
        let names = "id labels servers address weight health_check interval algorithm algoritm retries attempts \
                     outlier_detection connect_timeout hash ~/ x";
        let names: Vec<&str> = names.split(' ').chain([""]).collect();
        select(names).prop_map(str::to_owned).boxed()
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Whatever is submitted is read as serde reads it, or there is a fault; and faults are few and short.
        #[test]
        fn what_is_read_without_a_fault_is_what_was_meant(value in arbitrary::json_of(names())) {
            let mut errors = Vec::new();
            let read = read::<Upstream>(value.clone(), &Pointer::root(), &mut errors);
            prop_assert!(read.is_some() || !errors.is_empty());
            prop_assert!(errors.len() <= 2 * MAX_ERRORS + 8, "{}", errors.len());
            for error in &errors {
                prop_assert!(error.pointer.starts_with('#') && error.detail.len() <= 4 * MAX_DETAIL, "{error:?}");
            }
            if errors.is_empty() {
                prop_assert_eq!(read, serde_json::from_value::<Upstream>(value).ok());
            }
        }
    }
}
