//! Whether a request says one thing only: its target, its host, its length (RFC 9112 §3 and §6).
//!
//! Whoever has parsed the message has refused bad lengths, and whatever leaves its end open. Here is what is left to say.

use http::{HeaderMap, HeaderValue, Method, Version, header, request::Parts};
use http_body::Body;
use hyper::ext::Protocol;
use weir_shared::model::Listener;

use super::{
    ConnectionOptions, accepts_trailers,
    survey::{Lines, Survey},
};
use crate::{connection::ClientBody, error::ProxyError, forward::Framing};

/// Whether the client waits for a 100 before it sends its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expectation {
    None,
    Continue,
}

/// What a request was found to say.
pub(crate) struct Checked {
    /// The authority asked for; none only from HTTP/1.0.
    pub(crate) host: Option<HeaderValue>,
    pub(crate) framing: Framing,
    pub(crate) expectation: Expectation,
    /// What the `Connection` lines say.
    pub(crate) options: ConnectionOptions,
    /// Whether the client takes trailers.
    pub(crate) takes_trailers: bool,
}

/// Checks a request against RFC 9112 and the limits of the listener.
pub(crate) fn check(head: &Parts, body: &ClientBody, limits: &Listener) -> Result<Checked, ProxyError> {
    let survey = Survey::of(&head.headers);
    check_method(head)?;
    if head.version == Version::HTTP_2 && head.headers.values().any(|value| is_padded(value.as_bytes())) {
        return Err(ProxyError::BadRequest("a field's value begins or ends with a space"));
    }
    check_size(head, survey.size, limits)?;
    let host = host(head, survey.host)?;
    let framing = framing(&survey, body)?;
    if let Framing::Length(length) = framing
        && limits.max_body_bytes != 0
        && length > limits.max_body_bytes
    {
        return Err(ProxyError::BodyTooLarge);
    }
    Ok(Checked {
        host,
        framing,
        expectation: expectation(head, survey.expect)?,
        options: if survey.connection.is_some() {
            ConnectionOptions::of(&head.headers)
        } else {
            ConnectionOptions::default()
        },
        takes_trailers: survey.te.is_some() && accepts_trailers(&head.headers),
    })
}

/// Whether a value begins or ends with what HTTP/1 leaves out of values. Over HTTP/2 that is malformed (RFC 9113 §8.2.1):
/// a route would compare another value than the server reads.
pub(super) fn is_padded(value: &[u8]) -> bool {
    let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    is_space(value.first()) || is_space(value.last())
}

fn check_method(head: &Parts) -> Result<(), ProxyError> {
    // CONNECT asks for a tunnel, which a gateway is not, unless it names a protocol (RFC 8441): then it asks for an upgrade.
    // TRACE would show fields added behind the client's back.
    let is_tunnel = head.method == Method::CONNECT && head.extensions.get::<Protocol>().is_none();
    if is_tunnel || head.method == Method::TRACE {
        return Err(ProxyError::MethodNotAllowed);
    }
    Ok(())
}

/// How many more hops an OPTIONS request may take, if it says (RFC 9110 §7.6.2). With none left, Weir itself answers.
pub(crate) fn hops_left(method: &Method, headers: &HeaderMap) -> Option<u64> {
    if *method != Method::OPTIONS {
        return None;
    }
    headers.get(header::MAX_FORWARDS)?.to_str().ok()?.parse().ok()
}

fn check_size(head: &Parts, size: usize, limits: &Listener) -> Result<(), ProxyError> {
    let limit = |limit: u32| usize::try_from(limit).unwrap_or(usize::MAX);
    let target = head.uri.path_and_query().map_or(1, |target| target.as_str().len());
    if target > limit(limits.max_uri_bytes) {
        return Err(ProxyError::UriTooLong);
    }
    if head.headers.len() > limit(limits.max_headers) || size > limit(limits.max_header_bytes) {
        return Err(ProxyError::HeaderTooLarge);
    }
    Ok(())
}

/// RFC 9112 §3.2, RFC 9113 §8.3.1: exactly one authority, by `Host` or in the target, and the target's wins.
fn host(head: &Parts, lines: Lines<'_>) -> Result<Option<HeaderValue>, ProxyError> {
    let line = match lines {
        Lines::None => None,
        Lines::One(line) => Some(line),
        Lines::Several => return Err(ProxyError::BadRequest("more than one Host field")),
    };
    if let Some(line) = line {
        check_authority(line.as_bytes())?;
    }
    let target = target_authority(head)?;
    match (target, line, head.version) {
        (Some(target), Some(line), Version::HTTP_2)
            if !target.as_bytes().eq_ignore_ascii_case(line.as_bytes()) =>
        {
            Err(ProxyError::BadRequest(":authority and Host differ"))
        }
        (_, None, Version::HTTP_11) => Err(ProxyError::BadRequest("the Host field is missing")),
        (None, None, Version::HTTP_10) => Ok(None),
        (None, None, _) => Err(ProxyError::BadRequest("the authority is missing")),
        (Some(target), ..) => Ok(Some(target)),
        (None, Some(line), _) => Ok(Some(line.clone())),
    }
}

fn target_authority(head: &Parts) -> Result<Option<HeaderValue>, ProxyError> {
    let (method, uri) = (&head.method, &head.uri);
    // RFC 9112 §3.2.4: `*` is for OPTIONS alone. A gateway stands for http and https resources only.
    let is_path = uri.path().starts_with('/') || uri.path() == "*";
    if head.version == Version::HTTP_2 && !is_path {
        // RFC 9113 §8.3.1: over HTTP/2 a target is in parts, and the path one of them, never absent.
        return Err(ProxyError::BadRequest("the request target is not valid"));
    }
    let is_foreign = uri.scheme_str().is_some_and(|scheme| !matches!(scheme, "http" | "https"));
    if (uri.path() == "*" && *method != Method::OPTIONS) || is_foreign {
        return Err(ProxyError::BadRequest("the request target is not valid"));
    }
    let Some(authority) = uri.authority() else {
        return if is_path {
            Ok(None)
        } else {
            Err(ProxyError::BadRequest("the request target is not valid"))
        };
    };
    check_authority(authority.as_str().as_bytes())?;
    if uri.path().is_empty() && uri.scheme().is_none() {
        return Err(ProxyError::BadRequest("the request target is not valid"));
    }
    let value = HeaderValue::from_str(authority.as_str());
    value.map(Some).map_err(|_| ProxyError::BadRequest("the request target is not valid"))
}

/// The bytes that a `uri-host` may have that is no IPv6 address. A table, because it is asked for every byte of every request's.
#[expect(clippy::indexing_slicing, reason = "the compiler does it")]
static IN_HOST: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        table[byte as usize] = byte.is_ascii_alphanumeric();
        byte += 1;
    }
    let marks = b"-._~%!$&'()*+;=";
    let mut mark = 0;
    while mark < marks.len() {
        table[marks[mark] as usize] = true;
        mark += 1;
    }
    table
};

/// `uri-host [ ":" port ]` (RFC 9110 §7.2): no user, no list, no path, and not empty.
fn check_authority(text: &[u8]) -> Result<(), ProxyError> {
    const INVALID: ProxyError = ProxyError::BadRequest("the Host field is not valid");
    let (host, port) = match text {
        [b'[', ..] => {
            let end = memchr::memchr(b']', text).ok_or(INVALID)?;
            let (host, rest) = text.split_at_checked(end + 1).ok_or(INVALID)?;
            let inner = host.get(1..end).and_then(|inner| std::str::from_utf8(inner).ok()).ok_or(INVALID)?;
            inner.parse::<std::net::Ipv6Addr>().map_err(|_| INVALID)?;
            (&b"ipv6"[..], if rest.is_empty() { Some(rest) } else { rest.strip_prefix(b":") })
        }
        _ => match memchr::memchr(b':', text) {
            Some(colon) => (text.get(..colon).unwrap_or_default(), text.get(colon + 1..)),
            None => (text, Some(&b""[..])),
        },
    };
    let is_host = |byte: &u8| IN_HOST.get(usize::from(*byte)).is_some_and(|is_allowed| *is_allowed);
    let is_port = |port: &[u8]| port.len() <= 5 && port.iter().all(u8::is_ascii_digit);
    if host.is_empty() || !host.iter().all(is_host) || !port.is_some_and(is_port) {
        Err(INVALID)
    } else {
        Ok(())
    }
}

fn framing(survey: &Survey<'_>, body: &ClientBody) -> Result<Framing, ProxyError> {
    match survey.transfer_encoding {
        Lines::None => {}
        Lines::One(only) if only.as_bytes().eq_ignore_ascii_case(b"chunked") => return Ok(Framing::Chunked),
        Lines::One(_) | Lines::Several => return Err(ProxyError::UnknownTransferCoding),
    }
    if survey.content_length.is_some() {
        let length = body.size_hint().exact();
        return length
            .map(Framing::Length)
            .ok_or(ProxyError::BadRequest("the Content-Length field is not valid"));
    }
    Ok(if body.is_end_stream() { Framing::None } else { Framing::Chunked })
}

fn expectation(head: &Parts, field: Option<&HeaderValue>) -> Result<Expectation, ProxyError> {
    match field {
        // HTTP/1.0 has no expectations (RFC 9110 §10.1.1).
        Some(_) if head.version == Version::HTTP_10 => Ok(Expectation::None),
        Some(expectation) if expectation.as_bytes().eq_ignore_ascii_case(b"100-continue") => {
            Ok(Expectation::Continue)
        }
        Some(_) => Err(ProxyError::ExpectationFailed),
        None => Ok(Expectation::None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_are_checked_byte_by_byte() {
        for good in ["a", "a.example:80", "127.0.0.1", "[::1]", "[::1]:80", "a:", "xn--a_b"] {
            assert_eq!(check_authority(good.as_bytes()), Ok(()), "{good}");
        }
        for bad in [
            "", ":80", "a b", "a,b", "a/b", "u@a", "a:b", "a:80:90", "[::1", "[x]", "[::1]x", "a:123456",
            "ä", "a\t",
        ] {
            assert!(check_authority(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
