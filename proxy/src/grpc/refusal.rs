//! What a call is answered that no server answers: a status of gRPC in place of a problem, "trailers-only".

use std::fmt::Write;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, header};

use super::Status;
use crate::{body::ResponseBody, error::ProxyError};

/// The answer for `error`. Its status is the one a client would take the HTTP status for, but for deadlines, which gRPC has
/// a status of its own for.
pub(crate) fn refusal(error: ProxyError, request_id: &str) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::full(Bytes::new()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    tell(headers, status(error), &error.to_string());
    if let Ok(value) = HeaderValue::try_from(format!("weir; error={}", error.token())) {
        headers.insert("proxy-status", value);
    }
    if let Ok(value) = HeaderValue::try_from(request_id) {
        headers.insert("x-request-id", value);
    }
    response
}

/// The trailers of a call that ends with `error` while it is answered.
pub(crate) fn trailers(error: ProxyError) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    tell(&mut trailers, status(error), &error.to_string());
    trailers
}

fn status(error: ProxyError) -> Status {
    match error {
        ProxyError::DeadlineExceeded => Status::DEADLINE_EXCEEDED,
        ProxyError::ClientAborted => Status::CANCELLED,
        other => Status::from_http(other.status()),
    }
}

fn tell(headers: &mut HeaderMap, status: Status, message: &str) {
    headers.insert("grpc-status", HeaderValue::from(status.code()));
    if let Ok(value) = HeaderValue::try_from(encoded(message)) {
        headers.insert("grpc-message", value);
    }
}

/// Percent-encoded: everything but visible ASCII and spaces, and `%`.
fn encoded(message: &str) -> String {
    let mut text = String::with_capacity(message.len());
    for byte in message.bytes() {
        if matches!(byte, b' '..=b'~') && byte != b'%' {
            text.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_a_head_and_nothing_else() {
        let response = refusal(ProxyError::NoEligibleServer, "id");
        assert_eq!(response.status(), 200);
        let field = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        assert_eq!(field("grpc-status"), Some("14"));
        assert_eq!(field("grpc-message"), Some("no server is eligible"));
        assert_eq!(field("proxy-status"), Some("weir; error=destination_unavailable"));
        assert!(http_body::Body::is_end_stream(response.body()));
        let trailers = trailers(ProxyError::DeadlineExceeded);
        assert_eq!(trailers.get("grpc-status").map(HeaderValue::as_bytes), Some(&b"4"[..]));
    }

    #[test]
    fn messages_are_encoded() {
        assert_eq!(encoded("50 % of ä\n"), "50 %25 of %C3%A4%0A");
    }
}
