//! Why a request was not answered by a server.
//!
//! The kinds are those of RFC 9209 §2.3 as far as it has them; the kind is the `Proxy-Status` error token, decides the
//! status, and is what logs and counters say.

use http::StatusCode;
use weir_shared::{model::RetryOn, state::ServerFault};

/// Why the proxy answers a request itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProxyError {
    /// No route takes the request.
    #[error("no route takes this request")]
    NoRoute,
    /// The path can be read in several ways that lead to different routes.
    #[error(
        "the path can be read in more than one way: leave out //, . and .. segments, ; and encoded slashes"
    )]
    AmbiguousPath,
    /// The whole request took longer than its route allows.
    #[error("the request took longer than is allowed")]
    RouteTimeout,
    /// No route leads to an upstream.
    #[error("no upstream is configured")]
    NoUpstream,
    /// The upstream has no server that may be picked.
    #[error("no server is eligible")]
    NoEligibleServer,
    /// All servers, or the upstream as a whole, have as many requests under way as they may have.
    #[error("as many requests are under way as the limits allow")]
    LimitReached,
    /// No room within the time a request may wait for it.
    #[error("no server had room for the request in time")]
    QueueTimeout,
    /// Most requests to the upstream fail.
    #[error("most requests to this service fail, so that none are made for a moment")]
    CircuitOpen,
    /// Requests come faster than a rate allows.
    #[error("more requests than the rate allows")]
    RateLimited,
    /// The server's name could not be resolved.
    #[error("the server's name could not be resolved")]
    DnsError,
    /// The server refused the connection.
    #[error("the server refused the connection")]
    ConnectionRefused,
    /// No connection in time.
    #[error("the connection to the server timed out")]
    ConnectionTimeout,
    /// The connection failed otherwise.
    #[error("the server could not be connected to")]
    ConnectionFailed,
    /// The server's certificate was not accepted.
    #[error("the server's certificate was not accepted: {0}")]
    TlsCertificate(&'static str),
    /// The server ended the TLS handshake.
    #[error("the server ended the TLS handshake: {0}")]
    TlsAlert(&'static str),
    /// No TLS handshake with the server is possible.
    #[error("the server does not speak TLS, or none that is spoken here")]
    TlsProtocol,
    /// Weir itself is out of files, memory or local ports.
    #[error("the load balancer is out of resources")]
    Exhausted,
    /// The server does not speak HTTP/2.
    #[error("the server does not speak HTTP/2")]
    NotHttp2,
    /// The server told that it has not begun with the request, and will not.
    #[error("the server refused the request before it began with it")]
    StreamRefused,
    /// The connection ended before the first byte of a response.
    #[error("the server closed the connection before responding")]
    ConnectionTerminated,
    /// No response by the end of the server's drain.
    #[error("the server was taken out of use before it responded")]
    ServerDrained,
    /// No response in time.
    #[error("the server did not respond in time")]
    ResponseTimeout,
    /// The call has taken as long as its client allowed.
    #[error("the call's deadline has passed")]
    DeadlineExceeded,
    /// The response is not HTTP, or is framed in a way that could be read differently.
    #[error("the server's response is malformed")]
    ResponseMalformed,
    /// The response's header section is too large.
    #[error("the server's response has too large a header section")]
    ResponseHeaderTooLarge,
    /// The server switched to a protocol that it was not asked for, or without the signs of it.
    #[error("the server switched to a protocol that it was not asked for")]
    UpgradeUnexpected,
    /// The server did not switch protocols, and its answer would be taken for an open stream.
    #[error("the server did not switch protocols")]
    UpgradeRefused,
    /// A stream was to be opened for a protocol that the upstream does not allow.
    #[error("this protocol is not available here")]
    UpgradeNotAllowed,
    /// The request breaks HTTP.
    #[error("{0}")]
    BadRequest(&'static str),
    /// What is asked for is not what the connection was secured for.
    #[error("this connection is for another host or scheme")]
    Misdirected,
    /// A transfer coding other than chunked.
    #[error("the transfer coding is not supported")]
    UnknownTransferCoding,
    /// A method a gateway does not serve.
    #[error("the method is not supported here")]
    MethodNotAllowed,
    /// An expectation other than 100-continue.
    #[error("the expectation is not supported")]
    ExpectationFailed,
    /// The target is longer than the limit.
    #[error("the request target is too long")]
    UriTooLong,
    /// The header section is larger than the limit.
    #[error("the header section is too large")]
    HeaderTooLarge,
    /// The body is larger than the limit.
    #[error("the body is too large")]
    BodyTooLarge,
    /// The client was too slow with its body.
    #[error("the request body did not arrive in time")]
    ClientTimeout,
    /// The client broke off its body.
    #[error("the request body ended early")]
    ClientAborted,
}

impl ProxyError {
    /// The status it is answered with.
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::NoUpstream
            | Self::NoEligibleServer
            | Self::LimitReached
            | Self::QueueTimeout
            | Self::CircuitOpen
            | Self::StreamRefused
            | Self::Exhausted => StatusCode::SERVICE_UNAVAILABLE,
            Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::DnsError
            | Self::ConnectionRefused
            | Self::ConnectionFailed
            | Self::NotHttp2
            | Self::TlsCertificate(_)
            | Self::TlsAlert(_)
            | Self::TlsProtocol
            | Self::ConnectionTerminated
            | Self::ServerDrained
            | Self::ResponseMalformed
            | Self::ResponseHeaderTooLarge
            | Self::UpgradeUnexpected
            | Self::UpgradeRefused => StatusCode::BAD_GATEWAY,
            Self::ConnectionTimeout | Self::ResponseTimeout | Self::RouteTimeout | Self::DeadlineExceeded => {
                StatusCode::GATEWAY_TIMEOUT
            }
            Self::BadRequest(_) | Self::AmbiguousPath | Self::ClientAborted => StatusCode::BAD_REQUEST,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            // RFC 8441 has no status for it; RFC 9220 §3 has this one.
            Self::UnknownTransferCoding | Self::UpgradeNotAllowed => StatusCode::NOT_IMPLEMENTED,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::ExpectationFailed => StatusCode::EXPECTATION_FAILED,
            Self::UriTooLong => StatusCode::URI_TOO_LONG,
            Self::HeaderTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::ClientTimeout => StatusCode::REQUEST_TIMEOUT,
        }
    }

    /// The error type of RFC 9209 §2.3.
    pub(crate) fn token(self) -> &'static str {
        match self {
            Self::NoRoute => "destination_not_found",
            Self::NoUpstream | Self::NoEligibleServer | Self::CircuitOpen => "destination_unavailable",
            Self::RateLimited => "http_request_denied",
            Self::LimitReached | Self::QueueTimeout => "connection_limit_reached",
            Self::Exhausted => "proxy_internal_error",
            Self::DnsError => "dns_error",
            Self::ConnectionRefused => "connection_refused",
            Self::ConnectionTimeout => "connection_timeout",
            Self::TlsCertificate(_) => "tls_certificate_error",
            Self::TlsAlert(_) => "tls_alert_received",
            Self::TlsProtocol => "tls_protocol_error",
            Self::ConnectionFailed
            | Self::ConnectionTerminated
            | Self::StreamRefused
            | Self::ServerDrained => "connection_terminated",
            Self::ResponseTimeout | Self::RouteTimeout | Self::DeadlineExceeded => "http_response_timeout",
            Self::ResponseMalformed | Self::NotHttp2 => "http_protocol_error",
            Self::ResponseHeaderTooLarge => "http_response_header_section_size",
            Self::UpgradeUnexpected | Self::UpgradeRefused | Self::UpgradeNotAllowed => "http_upgrade_failed",
            Self::BadRequest(_)
            | Self::Misdirected
            | Self::AmbiguousPath
            | Self::UnknownTransferCoding
            | Self::MethodNotAllowed
            | Self::ExpectationFailed
            | Self::UriTooLong
            | Self::HeaderTooLarge
            | Self::BodyTooLarge
            | Self::ClientTimeout
            | Self::ClientAborted => "http_request_error",
        }
    }

    /// What else there is to say to operators, RFC 9209 §2.1.5: text without quotes.
    pub(crate) fn details(self) -> Option<&'static str> {
        match self {
            Self::TlsCertificate(what) | Self::TlsAlert(what) => Some(what),
            _ => None,
        }
    }

    /// Whether part of the request may still be on its way, so that the connection cannot be used for another one.
    pub(crate) fn leaves_request_unread(self) -> bool {
        // These say nothing against the request: what is left of its body is told apart where it is known to be there.
        let is_well_formed = matches!(self, Self::RateLimited | Self::NoRoute | Self::AmbiguousPath);
        (self.status().is_client_error() && !is_well_formed) || self == Self::UnknownTransferCoding
    }

    /// The last part of the problem type, and the word for logs.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::NoRoute => "no-route",
            Self::AmbiguousPath => "ambiguous-path",
            Self::RouteTimeout => "route-timeout",
            Self::NoUpstream => "no-upstream",
            Self::NoEligibleServer => "no-eligible-server",
            Self::LimitReached => "limit-reached",
            Self::QueueTimeout => "queue-timeout",
            Self::CircuitOpen => "circuit-open",
            Self::RateLimited => "rate-limited",
            Self::Exhausted => "exhausted",
            Self::DnsError => "dns-error",
            Self::ConnectionRefused => "connection-refused",
            Self::ConnectionTimeout => "connection-timeout",
            Self::ConnectionFailed => "connection-failed",
            Self::NotHttp2 => "not-http2",
            Self::StreamRefused => "stream-refused",
            Self::DeadlineExceeded => "deadline-exceeded",
            Self::TlsCertificate(_) => "tls-certificate-error",
            Self::TlsAlert(_) => "tls-alert-received",
            Self::TlsProtocol => "tls-protocol-error",
            Self::ConnectionTerminated => "connection-terminated",
            Self::ServerDrained => "server-drained",
            Self::ResponseTimeout => "response-timeout",
            Self::ResponseMalformed => "response-malformed",
            Self::ResponseHeaderTooLarge => "response-header-too-large",
            Self::UpgradeUnexpected => "upgrade-unexpected",
            Self::UpgradeRefused => "upgrade-refused",
            Self::UpgradeNotAllowed => "upgrade-not-allowed",
            Self::BadRequest(_) => "bad-request",
            Self::Misdirected => "misdirected-request",
            Self::UnknownTransferCoding => "unknown-transfer-coding",
            Self::MethodNotAllowed => "method-not-allowed",
            Self::ExpectationFailed => "expectation-failed",
            Self::UriTooLong => "uri-too-long",
            Self::HeaderTooLarge => "header-too-large",
            Self::BodyTooLarge => "body-too-large",
            Self::ClientTimeout => "client-timeout",
            Self::ClientAborted => "client-aborted",
        }
    }

    /// The condition under which another server may be tried; `None` = never.
    pub(crate) fn retry_on(self) -> Option<RetryOn> {
        match self {
            Self::DnsError
            | Self::ConnectionRefused
            | Self::ConnectionTimeout
            | Self::ConnectionFailed
            | Self::TlsCertificate(_)
            | Self::TlsAlert(_)
            | Self::TlsProtocol
            | Self::NotHttp2
            | Self::StreamRefused => Some(RetryOn::ConnectError),
            // What cannot be read as a response is none. Nothing of it has reached the client.
            Self::ConnectionTerminated
            | Self::ServerDrained
            | Self::ResponseMalformed
            | Self::ResponseHeaderTooLarge => Some(RetryOn::ResetBeforeResponse),
            Self::ResponseTimeout => Some(RetryOn::Timeout),
            Self::NoRoute
            | Self::AmbiguousPath
            | Self::RouteTimeout
            | Self::NoUpstream
            | Self::NoEligibleServer
            | Self::LimitReached
            | Self::QueueTimeout
            | Self::CircuitOpen
            | Self::RateLimited
            | Self::Exhausted
            | Self::UpgradeUnexpected
            | Self::DeadlineExceeded
            | Self::UpgradeRefused
            | Self::UpgradeNotAllowed
            | Self::BadRequest(_)
            | Self::Misdirected
            | Self::UnknownTransferCoding
            | Self::MethodNotAllowed
            | Self::ExpectationFailed
            | Self::UriTooLong
            | Self::HeaderTooLarge
            | Self::BodyTooLarge
            | Self::ClientTimeout
            | Self::ClientAborted => None,
        }
    }

    /// What it says against the server; `None` when it is no fault of the server.
    pub(crate) fn server_fault(self) -> Option<ServerFault> {
        match self {
            Self::DnsError
            | Self::ConnectionRefused
            | Self::ConnectionTimeout
            | Self::ConnectionFailed
            | Self::TlsCertificate(_)
            | Self::TlsAlert(_)
            | Self::TlsProtocol
            | Self::ConnectionTerminated => Some(ServerFault::Connection),
            Self::ResponseTimeout => Some(ServerFault::Timeout),
            Self::ResponseMalformed
            | Self::ResponseHeaderTooLarge
            | Self::UpgradeUnexpected
            | Self::NotHttp2 => Some(ServerFault::Malformed),
            Self::NoRoute
            | Self::AmbiguousPath
            | Self::RouteTimeout
            | Self::NoUpstream
            | Self::NoEligibleServer
            | Self::LimitReached
            | Self::QueueTimeout
            | Self::CircuitOpen
            | Self::RateLimited
            | Self::Exhausted
            | Self::StreamRefused
            | Self::DeadlineExceeded
            | Self::UpgradeRefused
            | Self::UpgradeNotAllowed
            | Self::ServerDrained
            | Self::BadRequest(_)
            | Self::Misdirected
            | Self::UnknownTransferCoding
            | Self::MethodNotAllowed
            | Self::ExpectationFailed
            | Self::UriTooLong
            | Self::HeaderTooLarge
            | Self::BodyTooLarge
            | Self::ClientTimeout
            | Self::ClientAborted => None,
        }
    }
}
