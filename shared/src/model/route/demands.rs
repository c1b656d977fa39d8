//! Whether what a route demands of a request beside host and path can be met: a route that is never taken protects nothing.

use super::{
    FieldMatch, FieldMatchType,
    check::{MAX_VALUE_BYTES, push_value, regex},
};
use crate::{
    error::{FieldError, FieldErrorCode, Pointer},
    model::limits::field_name,
};

/// Methods that are most likely meant by another spelling.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// Checks a method.
pub(super) fn method(text: &str, at: &Pointer, errors: &mut Vec<FieldError>) {
    let upper = text.to_ascii_uppercase();
    if METHODS.contains(&upper.as_str()) && upper != text {
        let detail = format!("case counts in methods: did you mean \"{upper}\"?");
        push_value(at, FieldErrorCode::InvalidValue, detail, text, errors);
    } else if text.len() > 32 || http::Method::from_bytes(text.as_bytes()).is_err() {
        push_value(at, FieldErrorCode::InvalidValue, "not a method, as \"GET\"", text, errors);
    } else if matches!(text, "CONNECT" | "TRACE") {
        let detail = "no route is asked for such requests: a CONNECT that opens a WebSocket counts as \"GET\" (RFC 8441)";
        push_value(at, FieldErrorCode::InvalidValue, detail, text, errors);
    }
}

/// Checks what is demanded of a header field.
pub(super) fn header(field: &FieldMatch, at: &Pointer, errors: &mut Vec<FieldError>) {
    if field.name.eq_ignore_ascii_case("host") {
        let detail = "the host asked for is matched by `hosts`, whichever field it comes in";
        errors.push(at.at("name").error(FieldErrorCode::InvalidValue, detail));
    } else {
        field_name(&field.name, &at.at("name"), errors);
    }
    if is_no_value(field) {
        let detail =
            "no field has such a value: there are no control characters in one, and no spaces around it";
        push_value(&at.at("value"), FieldErrorCode::InvalidValue, detail, &field.value, errors);
    }
    field_value(field, at, errors);
}

/// Whether no line of a header field can have the value demanded, or begin with it.
fn is_no_value(field: &FieldMatch) -> bool {
    let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let value = field.value.as_bytes();
    let is_padded =
        is_space(value.first()) || (field.kind == FieldMatchType::Exact && is_space(value.last()));
    matches!(field.kind, FieldMatchType::Exact | FieldMatchType::Prefix)
        && (is_padded || http::HeaderValue::from_bytes(value).is_err())
}

/// Checks what is demanded of a parameter.
pub(super) fn parameter(field: &FieldMatch, at: &Pointer, errors: &mut Vec<FieldError>) {
    if field.name.is_empty() || field.name.len() > 255 {
        errors.push(at.at("name").error(FieldErrorCode::OutOfRange, "a parameter's name has 1 to 255 bytes"));
    }
    field_value(field, at, errors);
}

fn field_value(field: &FieldMatch, at: &Pointer, errors: &mut Vec<FieldError>) {
    let at = at.at("value");
    match field.kind {
        FieldMatchType::Present if !field.value.is_empty() => {
            errors.push(at.error(FieldErrorCode::InvalidValue, "`present` takes any value: leave this out"));
        }
        FieldMatchType::Prefix if field.value.is_empty() => {
            errors
                .push(at.error(FieldErrorCode::Required, "say what the value begins with, or use `present`"));
        }
        FieldMatchType::Regex => regex(&field.value, &at, errors),
        FieldMatchType::Exact | FieldMatchType::Prefix if field.value.len() > MAX_VALUE_BYTES => {
            errors.push(at.error(FieldErrorCode::OutOfRange, "at most 1024 bytes"));
        }
        FieldMatchType::Exact | FieldMatchType::Present | FieldMatchType::Prefix => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_request_has_is_refused() {
        let faults = |kind, value: &str| {
            let mut errors = Vec::new();
            let field = FieldMatch { name: "x-role".to_owned(), kind, value: value.to_owned() };
            header(&field, &Pointer::root(), &mut errors);
            errors.len()
        };
        use FieldMatchType::{Exact, Prefix};
        for (kind, value, expected) in [
            (Exact, " admin", 1),
            (Exact, "admin\t", 1),
            (Exact, "a\r\nb", 1),
            (Exact, "a b", 0),
            (Exact, "", 0),
            (Exact, "\u{e4}", 0),
            (Prefix, " a", 1),
            (Prefix, "Bearer ", 0),
        ] {
            assert_eq!(faults(kind, value), expected, "{kind:?} {value:?}");
        }
        for (text, expected) in [("CONNECT", 1), ("TRACE", 1), ("get", 1), ("OPTIONS", 0), ("PURGE", 0)] {
            let mut errors = Vec::new();
            method(text, &Pointer::root(), &mut errors);
            assert_eq!(errors.len(), expected, "{text}");
        }
    }
}
