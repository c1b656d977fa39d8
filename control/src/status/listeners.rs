//! Listeners whose address is not bound.

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
