//! What is spoken to servers.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::UpstreamTls;

/// A protocol spoken to servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum ServerProtocol {
    /// HTTP/1.1.
    #[default]
    #[serde(rename = "http1")]
    Http1,
    /// HTTP/2: without TLS by prior knowledge (RFC 9113 §3.3), with TLS agreed on by ALPN. Many requests share a connection,
    /// and trailers always arrive.
    #[serde(rename = "http2")]
    Http2,
    /// With TLS whatever a server chooses by ALPN (RFC 7301), each for itself: HTTP/2 is offered first, HTTP/1.1 second. Asked
    /// again when connections have reached `keepalive_time`, and when one cannot be opened. Upgrades go over HTTP/1.1. Without
    /// TLS nothing is agreed on: HTTP/1.1.
    #[serde(rename = "auto")]
    Auto,
}

impl ServerProtocol {
    /// What is spoken over connections that are secured as `tls` says: without TLS there is nobody to agree with.
    #[must_use]
    pub fn over(self, tls: &UpstreamTls) -> Self {
        if self == Self::Auto && !tls.enabled { Self::Http1 } else { self }
    }
}
