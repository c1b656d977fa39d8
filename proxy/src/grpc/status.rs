//! How a call went: `grpc-status`.

use http::{HeaderMap, StatusCode};
use weir_shared::model::RetryOn;

/// A `grpc-status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Status(u16);

impl Status {
    pub(crate) const CANCELLED: Self = Self(1);
    pub(crate) const UNKNOWN: Self = Self(2);
    pub(crate) const DEADLINE_EXCEEDED: Self = Self(4);
    pub(crate) const PERMISSION_DENIED: Self = Self(7);
    pub(crate) const UNIMPLEMENTED: Self = Self(12);
    pub(crate) const INTERNAL: Self = Self(13);
    pub(crate) const UNAVAILABLE: Self = Self(14);
    pub(crate) const UNAUTHENTICATED: Self = Self(16);

    /// What `headers`, or trailers, say.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        headers.get("grpc-status")?.to_str().ok()?.parse().ok().map(Self)
    }

    /// What a client takes a plain HTTP error for (gRPC's http-grpc-status-mapping.md).
    pub(crate) fn from_http(status: StatusCode) -> Self {
        match status.as_u16() {
            400 => Self::INTERNAL,
            401 => Self::UNAUTHENTICATED,
            403 => Self::PERMISSION_DENIED,
            404 => Self::UNIMPLEMENTED,
            429 | 502..=504 => Self::UNAVAILABLE,
            _ => Self::UNKNOWN,
        }
    }

    /// The HTTP status that says about the same, as Envoy has it: for what counts errors of servers.
    pub(crate) fn as_http(self) -> u16 {
        match self.0 {
            0 => 200,
            1 => 499,
            3 | 9 | 11 => 400,
            4 => 504,
            5 => 404,
            6 | 10 => 409,
            7 => 403,
            8 => 429,
            12 => 501,
            14 => 503,
            16 => 401,
            // UNKNOWN, INTERNAL, DATA_LOSS, and whatever is no status of gRPC.
            _ => 500,
        }
    }

    /// The outcome it stands for, if it is one that can be retried.
    pub(crate) fn retry_on(self) -> Option<RetryOn> {
        match self.0 {
            1 => Some(RetryOn::GrpcCancelled),
            4 => Some(RetryOn::GrpcDeadlineExceeded),
            8 => Some(RetryOn::GrpcResourceExhausted),
            13 => Some(RetryOn::GrpcInternal),
            14 => Some(RetryOn::GrpcUnavailable),
            _ => None,
        }
    }

    /// The number.
    pub(crate) fn code(self) -> u16 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_status_is_a_number() {
        for (text, expected) in
            [("0", Some(0)), ("14", Some(14)), ("99", Some(99)), ("x", None), ("", None), ("-1", None)]
        {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-status", HeaderValue::from_static(text));
            assert_eq!(Status::of(&headers).map(Status::code), expected, "{text:?}");
        }
    }

    #[test]
    fn statuses_stand_for_each_other() {
        assert_eq!(Status::from_http(StatusCode::SERVICE_UNAVAILABLE), Status::UNAVAILABLE);
        assert_eq!(Status::from_http(StatusCode::TOO_MANY_REQUESTS), Status::UNAVAILABLE);
        assert_eq!(Status::from_http(StatusCode::PAYLOAD_TOO_LARGE), Status::UNKNOWN);
        assert_eq!(Status::UNAVAILABLE.as_http(), 503);
        assert_eq!(Status::UNAVAILABLE.retry_on(), Some(RetryOn::GrpcUnavailable));
        assert_eq!(Status::UNKNOWN.retry_on(), None);
    }
}
