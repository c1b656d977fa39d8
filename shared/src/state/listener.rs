//! Everything observed of all listeners together: connections, and requests that never reached an upstream.

use std::sync::atomic::{AtomicBool, Ordering};

use super::{Counter, PerWorker};

/// What one worker counted at all listeners.
#[derive(Debug, Default)]
pub struct ListenerCounters {
    /// Connections accepted.
    pub connections_accepted: Counter,
    /// Gauge: connections open.
    pub connections_active: Counter,
    /// Connections that could not be accepted (out of files, for one).
    pub accept_errors: Counter,
    /// Connections ended by a fault of Weir itself.
    pub panics: Counter,
    /// Requests taken in, HTTP/1 and HTTP/2.
    pub requests: Counter,
    /// Gauge: requests under way.
    pub requests_active: Counter,
    /// Requests refused because they were malformed or over a limit.
    pub requests_refused: Counter,
    /// Connections refused because memory was short.
    pub connections_shed: Counter,
    /// Requests refused because memory was short.
    pub requests_shed: Counter,
    /// Requests given up because the client was too slow.
    pub client_timeouts: Counter,
    /// Requests whose client went away before the response was complete.
    pub client_aborts: Counter,
    /// Connections and streams that were switched to another protocol.
    pub tunnels: Counter,
    /// Gauge: those of them that are open.
    pub tunnels_active: Counter,
    /// Those of them that were closed because nothing moved for too long.
    pub tunnel_timeouts: Counter,
    /// HTTP/2 connections ended because of what a client did in excess.
    pub floods: Counter,
}

/// What is observed of all listeners, those that were removed included.
#[derive(Debug)]
pub struct ListenerState {
    /// Numbers, by worker.
    pub counters: PerWorker<ListenerCounters>,
    draining: AtomicBool,
}

impl ListenerState {
    /// State of listeners served by `workers` workers.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Self { counters: PerWorker::new(workers), draining: AtomicBool::new(false) }
    }

    /// Notes that the process ends: no more connections are taken, and those there are close after their request.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Whether the process ends.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }
}

/// What all workers counted at all listeners.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListenerTotals {
    /// Connections accepted.
    pub connections_accepted: u64,
    /// Connections open now.
    pub connections_active: u64,
    /// Connections that could not be accepted.
    pub accept_errors: u64,
    /// Connections ended by a fault of Weir itself.
    pub panics: u64,
    /// Requests taken in.
    pub requests: u64,
    /// Requests under way now.
    pub requests_active: u64,
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
    /// Connections and streams that were switched to another protocol.
    pub tunnels: u64,
    /// Those of them that are open.
    pub tunnels_active: u64,
    /// Those of them that were closed because nothing moved for too long.
    pub tunnel_timeouts: u64,
    /// HTTP/2 connections ended because of what a client did in excess.
    pub floods: u64,
}

impl ListenerTotals {
    /// Sums over all workers.
    #[must_use]
    pub fn sum(workers: &PerWorker<ListenerCounters>) -> Self {
        let mut totals = Self::default();
        for worker in workers.iter() {
            totals.connections_accepted += worker.connections_accepted.value();
            totals.connections_active += worker.connections_active.value();
            totals.accept_errors += worker.accept_errors.value();
            totals.panics += worker.panics.value();
            totals.requests += worker.requests.value();
            totals.requests_active += worker.requests_active.value();
            totals.requests_refused += worker.requests_refused.value();
            totals.connections_shed += worker.connections_shed.value();
            totals.requests_shed += worker.requests_shed.value();
            totals.client_timeouts += worker.client_timeouts.value();
            totals.client_aborts += worker.client_aborts.value();
            totals.tunnels += worker.tunnels.value();
            totals.tunnels_active += worker.tunnels_active.value();
            totals.tunnel_timeouts += worker.tunnel_timeouts.value();
            totals.floods += worker.floods.value();
        }
        totals
    }
}
