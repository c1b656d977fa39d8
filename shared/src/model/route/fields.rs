//! Header fields that a route may not touch: those that frame a message or end with a connection, and those that Weir writes
//! by itself.

use std::collections::BTreeMap;

use super::HeaderEdits;
use crate::{
    error::{FieldError, FieldErrorCode, Pointer},
    model::limits::field_name,
};

/// Most fields of one kind of edit.
const MAX_EDITS: usize = 16;
/// Longest value, in bytes.
const MAX_VALUE_BYTES: usize = 4096;

/// What the fields are part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Message {
    Request,
    Response,
}

/// Checks edits of a message's fields.
pub(super) fn edits(edits: &HeaderEdits, message: Message, at: &Pointer, errors: &mut Vec<FieldError>) {
    values(&edits.set, message, &at.at("set"), errors);
    values(&edits.add, message, &at.at("add"), errors);
    let at = at.at("remove");
    if edits.remove.len() > MAX_EDITS {
        errors.push(at.error(FieldErrorCode::TooMany, format!("at most {MAX_EDITS} fields")));
        return;
    }
    for (place, name) in edits.remove.iter().enumerate() {
        one_name(name, message, &at.at(place), errors);
    }
}

/// Checks fields and their values.
pub(super) fn values(
    fields: &BTreeMap<String, String>,
    message: Message,
    at: &Pointer,
    errors: &mut Vec<FieldError>,
) {
    if fields.len() > MAX_EDITS {
        errors.push(at.error(FieldErrorCode::TooMany, format!("at most {MAX_EDITS} fields")));
        return;
    }
    let mut seen: Vec<String> = Vec::with_capacity(fields.len());
    for (name, value) in fields {
        let echoed: String = name.chars().take(64).collect();
        let at = at.at(&echoed);
        one_name(name, message, &at, errors);
        let lower = name.to_ascii_lowercase();
        if seen.contains(&lower) {
            let detail = format!("the field \"{echoed}\" is named twice: case does not count");
            errors.push(at.error(FieldErrorCode::Duplicate, detail));
        }
        seen.push(lower);
        if value.len() > MAX_VALUE_BYTES {
            errors.push(at.error(FieldErrorCode::OutOfRange, format!("at most {MAX_VALUE_BYTES} bytes")));
        } else if http::HeaderValue::from_str(value).is_err() || value.trim() != value {
            let detail = "not a valid value: printable characters only, and no space at either end";
            errors.push(at.error(FieldErrorCode::InvalidValue, detail));
        }
    }
}

fn one_name(name: &str, message: Message, at: &Pointer, errors: &mut Vec<FieldError>) {
    let known = errors.len();
    field_name(name, at, errors);
    if errors.len() == known
        && let Some(reason) = reserved(name, message)
    {
        let detail = format!("\"{}\" {reason}", name.to_ascii_lowercase());
        errors.push(at.error(FieldErrorCode::InvalidValue, detail));
    }
}

/// Why a route may not touch the field called `name`.
fn reserved(name: &str, message: Message) -> Option<&'static str> {
    // Servers behind CGI-like interfaces cannot tell `content_length` from `content-length`.
    let name = name.to_ascii_lowercase().replace('_', "-");
    let of_any = match name.as_str() {
        "connection"
        | "keep-alive"
        | "proxy-connection"
        | "te"
        | "upgrade"
        | "http2-settings"
        | "proxy-authenticate"
        | "proxy-authentication-info"
        | "proxy-authorization" => {
            Some("is for one connection only (RFC 9110 section 7.6.1), and Weir's to write")
        }
        "content-length" | "transfer-encoding" | "trailer" => {
            Some("says where a message ends, and is Weir's to write")
        }
        _ => None,
    };
    let of_request = || match name.as_str() {
        "host" => Some("is changed with `rewrite.host`"),
        "expect" | "max-forwards" => Some("is between the client and each hop, and Weir's to write"),
        "via" | "x-request-id" => Some("is written by Weir for every request"),
        "forwarded" | "x-forwarded-for" | "x-forwarded-proto" | "x-forwarded-host" | "x-forwarded-port" => {
            Some("tells servers of the client, and is Weir's to write")
        }
        name if name.starts_with("client-cert")
            || name.starts_with("x-client-cert")
            || name == "x-forwarded-client-cert" =>
        {
            Some("tells servers who the client has proved to be (RFC 9440), and is Weir's to write")
        }
        _ => None,
    };
    of_any.or_else(|| if message == Message::Request { of_request() } else { None })
}
