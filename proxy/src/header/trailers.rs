//! Fields after the content (RFC 9110 §6.5).

use http::{HeaderMap, HeaderName, header};

use super::forwarded;
use crate::forward::write_field;

/// Whether the sender of `headers` takes trailers: `TE: trailers` (RFC 9110 §10.1.4).
pub(crate) fn accepts_trailers(headers: &HeaderMap) -> bool {
    headers.get_all(header::TE).iter().any(|line| {
        line.as_bytes()
            .split(|byte| *byte == b',')
            .any(|option| option.trim_ascii().eq_ignore_ascii_case(b"trailers"))
    })
}

/// Whether a field must not be a trailer: it frames, routes or authenticates a message, which a reader has done by then
/// (RFC 9110 §6.5.1).
pub(crate) fn is_forbidden_trailer(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "authorization"
            | "cache-control"
            | "connection"
            | "content-encoding"
            | "content-length"
            | "content-range"
            | "content-type"
            | "expect"
            | "forwarded"
            | "host"
            | "keep-alive"
            | "max-forwards"
            | "proxy-authorization"
            | "proxy-connection"
            | "set-cookie"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "via"
            | "x-forwarded-for"
            | "x-forwarded-host"
            | "x-forwarded-proto"
    )
}

/// Appends a request's trailers, each with its line end.
pub(crate) fn write_trailers(out: &mut Vec<u8>, trailers: &HeaderMap) {
    for (name, value) in trailers {
        if !is_forbidden_trailer(name) && !forwarded::is_ours(name) {
            write_field(out, name.as_str().as_bytes(), value.as_bytes());
        }
    }
}

/// A request's trailers as they go on over HTTP/2.
pub(crate) fn request_trailers(trailers: HeaderMap) -> HeaderMap {
    kept(trailers, |name| !is_forbidden_trailer(name) && !forwarded::is_ours(name))
}

/// A response's trailers as they go on to the client.
pub(crate) fn response_trailers(trailers: HeaderMap) -> HeaderMap {
    kept(trailers, |name| !is_forbidden_trailer(name))
}

fn kept(trailers: HeaderMap, keep: impl Fn(&HeaderName) -> bool) -> HeaderMap {
    if trailers.keys().all(&keep) {
        return trailers;
    }
    let fields = trailers.iter().filter(|(name, _)| keep(name));
    fields.map(|(name, value)| (name.clone(), value.clone())).collect()
}
