//! gRPC over HTTP/2, as far as a proxy has to know it (PROTOCOL-HTTP2.md of gRPC): which requests are calls, how long one
//! may take, how it went, and what a call is answered that no server answers.
//!
//! A call that failed has the HTTP status 200 like one that did not: `grpc-status` says it, in a trailer, or in the head
//! of a response that is nothing else ("trailers-only").

mod refusal;
mod status;
mod timeout;

use std::time::Duration;

use http::{HeaderMap, Method, Response, Version, header};

pub(crate) use self::{
    refusal::{refusal, trailers},
    status::Status,
};

/// What a request says of itself that is a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    /// How long it may take, from when it came.
    pub(crate) timeout: Option<Duration>,
}

impl Call {
    /// Whether a request is a call, and what it says.
    pub(crate) fn of(method: &Method, version: Version, headers: &HeaderMap) -> Option<Self> {
        if version != Version::HTTP_2 || *method != Method::POST {
            return None;
        }
        let kind = headers.get(header::CONTENT_TYPE)?.as_bytes().strip_prefix(b"application/grpc")?;
        // `application/grpc-web` is another protocol.
        matches!(kind.first(), None | Some(b'+' | b';'))
            .then(|| Self { timeout: headers.get("grpc-timeout").and_then(timeout::parse) })
    }
}

/// The status of `response`, or what the status of the call amounts to where that is known with its head.
pub(crate) fn effective_status<B>(response: &Response<B>) -> u16 {
    match response.extensions().get::<Status>() {
        Some(call) => call.as_http(),
        None => response.status().as_u16(),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn calls_are_told_by_their_type() {
        for (kind, is_call) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc; charset=utf-8", true),
            ("application/grpc-web", false),
            ("application/grpcfoo", false),
            ("application/json", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
            assert_eq!(Call::of(&Method::POST, Version::HTTP_2, &headers).is_some(), is_call, "{kind}");
            assert!(Call::of(&Method::GET, Version::HTTP_2, &headers).is_none());
            assert!(Call::of(&Method::POST, Version::HTTP_11, &headers).is_none());
        }
    }
}
