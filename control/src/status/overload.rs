//! What is shown of too much work: requests that wait, circuit breakers, rates.

use serde::Serialize;
use utoipa::ToSchema;
use weir_shared::{state::BreakerState, table::Upstream, time::Timestamp};

/// Requests that found no room, because as many were under way as the limits allow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct QueueView {
    /// Waiting for room now.
    pub waiting: usize,
    /// That have waited, since the upstream's counters count.
    pub queued: u64,
    /// Refused because they had waited for too long.
    pub timeouts: u64,
    /// Refused because there was no room, not even to wait.
    pub refused: u64,
}

/// A circuit breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct CircuitView {
    /// What it does.
    pub state: BreakerState,
    /// Since when; null when it has always been closed.
    pub since: Option<Timestamp>,
    /// How often it has opened.
    pub opened: u64,
    /// Requests it has refused.
    pub refused: u64,
}

/// A rate at which requests may come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct RateView {
    /// Its name.
    #[schema(example = "per-client")]
    pub name: String,
    /// Allowances remembered.
    pub keys: usize,
    /// Requests refused.
    pub refused: u64,
}

/// What waits at `upstream`.
pub(super) fn queue(upstream: &Upstream) -> QueueView {
    let mut view = QueueView { waiting: upstream.state.queue.len(), ..QueueView::default() };
    for worker in upstream.state.counters.iter() {
        view.queued += worker.queued.value();
        view.timeouts += worker.queue_timeouts.value();
        view.refused += worker.limit_reached.value();
    }
    view
}

/// The breaker of `upstream`, if it has one.
pub(super) fn circuit(upstream: &Upstream) -> Option<CircuitView> {
    upstream.breaker?;
    let breaker = &upstream.state.breaker;
    let (state, since) = breaker.state();
    let since = Some(since).filter(|since| *since != Timestamp::default());
    Some(CircuitView { state, since, opened: breaker.opened(), refused: breaker.refused() })
}

/// The rates of `upstream`.
pub(super) fn rates(upstream: &Upstream) -> Vec<RateView> {
    let view = |rate: &weir_shared::table::RateLimiter| RateView {
        name: rate.name.to_string(),
        keys: rate.allowances.keys(),
        refused: rate.allowances.refused(),
    };
    upstream.rate_limits.iter().map(view).collect()
}
