//! A server as the request path sees it.

use std::sync::Arc;

use http::HeaderValue;

use crate::{
    id::ServerId,
    model::{AdminState, ServerRecord, address::Address},
    state::ServerState,
};

/// One server of a compiled upstream. What a pick reads comes first, on one cache line.
#[derive(Debug)]
#[repr(C)]
pub struct Server {
    /// What is observed of it.
    pub state: Arc<ServerState>,
    /// Requests under way at once; `u32::MAX` = any number.
    pub max_requests: u32,
    /// Share of requests; 0 = none.
    pub weight: u16,
    /// Level of priority, 0 first.
    pub priority: u8,
    /// What the operator wants.
    pub admin_state: AdminState,
    /// Name in its upstream.
    pub id: ServerId,
    /// Where it is.
    pub address: Address,
    /// The address as a `Host` field, for requests that came without one (HTTP/1.0).
    pub authority: HeaderValue,
    /// What it was compiled from.
    pub record: Arc<ServerRecord>,
}

impl Server {
    /// Whether the operator lets it have new requests at all.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.admin_state == AdminState::Ready && self.weight > 0
    }
}
