//! Listeners: what all of them counted, and whose address is not bound.

use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;
use weir_shared::{
    model::ListenerStatus,
    table::{Listener, Table},
    time::Timestamp,
};

/// Listeners that are not bound, shown on a page at most.
const MAX_UNBOUND: usize = 100;

/// What all listeners counted since the process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct ListenerCounts {
    /// Connections open now.
    pub connections_active: u64,
    /// Connections accepted.
    pub connections_accepted: u64,
    /// Requests under way now.
    pub requests_active: u64,
    /// Requests taken in.
    pub requests: u64,
    /// Requests refused because they were malformed or over a limit.
    pub requests_refused: u64,
    /// Connections refused because memory was short.
    pub connections_shed: u64,
    /// Requests refused because memory was short.
    pub requests_shed: u64,
    /// Requests given up because the client was too slow.
    pub client_timeouts: u64,
    /// Requests whose client went away.
    pub client_aborts: u64,
    /// Connections and streams open that were switched to another protocol, such as WebSockets.
    pub tunnels_active: u64,
    /// Connections and streams that were switched to another protocol.
    pub tunnels: u64,
    /// HTTP/2 connections ended because of what the client did in excess.
    pub floods: u64,
}

/// A listener whose address is not bound.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct UnboundListener {
    /// The listener.
    #[schema(example = "internal")]
    pub id: String,
    /// What is to be bound.
    #[schema(example = "10.0.0.1:8081")]
    pub address: String,
    /// Why it is not; null before it was tried.
    #[schema(nullable)]
    pub error: Option<String>,
    /// Since when.
    pub since: Timestamp,
}

/// Listeners that are not bound.
pub(super) fn unbound(table: &Table) -> Vec<UnboundListener> {
    let status = |listener: &Arc<Listener>| (Arc::clone(listener), listener.state.status());
    let unbound = table.listeners().map(status).filter(|(_, status)| !status.bound);
    let shown = |(listener, status): (Arc<Listener>, ListenerStatus)| UnboundListener {
        id: listener.id.to_string(),
        address: listener.spec.address.clone(),
        error: status.error,
        since: status.since,
    };
    unbound.take(MAX_UNBOUND).map(shown).collect()
}
