//! Everything observed of one listener: whether its address is bound, and what it counted.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Counter, PerWorker, TlsCounters};
use crate::{model::ListenerStatus, time::Timestamp};

/// What one worker counted at one listener.
#[derive(Debug, Default)]
pub struct BindingCounters {
    /// Connections accepted.
    pub connections_accepted: Counter,
    /// Gauge: connections open.
    pub connections_active: Counter,
    /// Connections that could not be accepted (out of files, for one).
    pub accept_errors: Counter,
    /// Connections closed because of their PROXY header, or the lack of one.
    pub proxy_header_errors: Counter,
    /// Requests taken in, HTTP/1 and HTTP/2.
    pub requests: Counter,
    /// Bytes from clients (TCP).
    pub bytes_received: Counter,
    /// Bytes to clients (TCP).
    pub bytes_sent: Counter,
    /// Connections for which no server could be connected to (TCP).
    pub connect_failures: Counter,
    /// What came of TLS handshakes.
    pub tls: TlsCounters,
}

/// What all workers counted at one listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BindingTotals {
    /// Connections accepted.
    pub connections_accepted: u64,
    /// Connections open now.
    pub connections_active: u64,
    /// Connections that could not be accepted.
    pub accept_errors: u64,
    /// Connections closed because of their PROXY header, or the lack of one.
    pub proxy_header_errors: u64,
    /// Requests taken in.
    pub requests: u64,
    /// Bytes from clients (TCP).
    pub bytes_received: u64,
    /// Bytes to clients (TCP).
    pub bytes_sent: u64,
    /// Connections for which no server could be connected to (TCP).
    pub connect_failures: u64,
}

impl BindingTotals {
    /// Sums over all workers.
    #[must_use]
    pub fn sum(workers: &PerWorker<BindingCounters>) -> Self {
        let mut totals = Self::default();
        for worker in workers.iter() {
            totals.connections_accepted += worker.connections_accepted.value();
            totals.connections_active += worker.connections_active.value();
            totals.accept_errors += worker.accept_errors.value();
            totals.proxy_header_errors += worker.proxy_header_errors.value();
            totals.requests += worker.requests.value();
            totals.bytes_received += worker.bytes_received.value();
            totals.bytes_sent += worker.bytes_sent.value();
            totals.connect_failures += worker.connect_failures.value();
        }
        totals
    }
}

/// What is observed of one listener, from its creation until its removal, over any number of tables.
#[derive(Debug)]
pub struct Binding {
    /// Numbers, by worker.
    pub counters: PerWorker<BindingCounters>,
    /// Held to copy or replace it.
    status: Mutex<ListenerStatus>,
}

impl Binding {
    /// State of a listener made at `now`, for `workers` workers: not bound yet.
    #[must_use]
    pub fn new(workers: usize, now: Timestamp) -> Self {
        let status = ListenerStatus { bound: false, address: None, error: None, since: now };
        Self { counters: PerWorker::new(workers), status: Mutex::new(status) }
    }

    /// Whether it is in service.
    #[must_use]
    pub fn status(&self) -> ListenerStatus {
        self.lock().clone()
    }

    /// Notes that it takes connections at `address`.
    pub fn bound(&self, address: String, now: Timestamp) {
        self.note(ListenerStatus { bound: true, address: Some(address), error: None, since: now });
    }

    /// Notes that its address cannot be bound. Where connections were taken before they still are.
    pub fn failed(&self, error: String, now: Timestamp) {
        let address = self.lock().address.clone();
        self.note(ListenerStatus { bound: false, address, error: Some(error), since: now });
    }

    /// Notes `status`; it lasts since it was first noted, whatever the address.
    fn note(&self, mut status: ListenerStatus) {
        let mut noted = self.lock();
        // Until it was tried for the first time, nothing is known.
        let is_known = noted.bound || noted.error.is_some();
        if is_known && noted.bound == status.bound && noted.error == status.error {
            status.since = noted.since;
        }
        *noted = status;
    }

    fn lock(&self) -> MutexGuard<'_, ListenerStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_lasts_since_it_began() {
        let binding = Binding::new(1, Timestamp(1));
        binding.failed("in use".into(), Timestamp(2));
        binding.failed("in use".into(), Timestamp(3));
        let expected =
            ListenerStatus { bound: false, address: None, error: Some("in use".into()), since: Timestamp(2) };
        assert_eq!(binding.status(), expected);
        binding.bound("127.0.0.1:1".into(), Timestamp(4));
        binding.failed("in use".into(), Timestamp(5));
        let status = binding.status();
        assert_eq!((status.address.as_deref(), status.since), (Some("127.0.0.1:1"), Timestamp(5)));
    }
}
