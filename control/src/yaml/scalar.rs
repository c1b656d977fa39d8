//! What a plain scalar means (YAML 1.2.2 §10.3.2).

use serde_json::{Number, Value};

/// The value of a scalar written without quotes.
pub(super) fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => number(text).map_or_else(|| Value::from(text), Value::Number),
    }
}

/// The number `text` is, if it is one. What JSON cannot hold, like `.inf`, is not.
fn number(text: &str) -> Option<Number> {
    let radix = |digits: &str, radix| {
        // `from_str_radix` would take a sign here.
        let is_bare = digits.bytes().all(|byte| byte.is_ascii_alphanumeric());
        u64::from_str_radix(digits, radix).ok().filter(|_| is_bare).map(Number::from)
    };
    if let Some(digits) = text.strip_prefix("0o") {
        return radix(digits, 8);
    }
    if let Some(digits) = text.strip_prefix("0x") {
        return radix(digits, 16);
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    // Rust would also read `inf`, `nan` and the like.
    if !unsigned.starts_with(|first: char| first.is_ascii_digit() || first == '.')
        || !unsigned
            .bytes()
            .all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'-' | b'+'))
    {
        return None;
    }
    if let Ok(whole) = text.parse::<i64>() {
        return Some(whole.into());
    }
    if let Ok(whole) = text.parse::<u64>() {
        return Some(whole.into());
    }
    text.parse().ok().and_then(Number::from_f64)
}
