//! Where clients connect. One listener, set when the process starts and shown read-only.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{time::Timestamp, units::Span};

/// An address clients connect to, with the limits that protect it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Listener {
    /// Unique name.
    pub id: String,
    /// `address:port`.
    pub address: String,
    /// Time a client has to send a request's header section; then 408. Default 10s.
    pub header_timeout: Span,
    /// How long a connection without a request is kept. Default 75s.
    pub idle_timeout: Span,
    /// Largest header section in bytes; more is answered 431. Default 32768.
    pub max_header_bytes: u32,
    /// Most header fields; more is answered 431. Default 100.
    pub max_headers: u32,
    /// Longest request target in bytes; more is answered 414. Default 8192.
    pub max_uri_bytes: u32,
    /// Largest request body in bytes; more is answered 413. 0 = no limit. Default 0.
    pub max_body_bytes: u64,
    /// Most connections at once over all workers; further ones wait in the kernel's queue. 0 = no limit. Default:
    /// half of the files the process may open.
    pub max_connections: u32,
}

impl Default for Listener {
    fn default() -> Self {
        Self {
            id: "default".to_owned(),
            address: "0.0.0.0:8080".to_owned(),
            header_timeout: Span::from_secs(10),
            idle_timeout: Span::from_secs(75),
            max_header_bytes: 32 * 1024,
            max_headers: 100,
            max_uri_bytes: 8 * 1024,
            max_body_bytes: 0,
            max_connections: 0,
        }
    }
}

/// Whether a listener is in service.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ListenerStatus {
    /// Whether the address is bound.
    pub bound: bool,
    /// Why not, when it is not.
    pub error: Option<String>,
    /// Since when.
    pub since: Timestamp,
}
