//! Everything observed of one upstream.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use super::{Breaker, Counter, HedgeState, InFlight, PerWorker, Queue, RetryBudget, UpstreamCounters};
use crate::time::{Moment, Timestamp};

/// What is observed of one upstream, from its creation until its removal, over any number of tables.
#[derive(Debug)]
pub struct UpstreamState {
    /// Numbers, by worker.
    pub counters: PerWorker<UpstreamCounters>,
    /// Retries still allowed, by worker.
    pub retry_budgets: PerWorker<RetryBudget>,
    /// When a second server is asked, by worker.
    pub hedging: PerWorker<HedgeState>,
    /// Positions in the round-robin schedule, by worker.
    pub cursors: PerWorker<Counter>,
    /// Requests under way, by worker; kept only where loads are bounded.
    pub in_flight: PerWorker<Counter>,
    /// Requests under way, over all workers; kept only where something is limited.
    pub limited: InFlight,
    /// Requests that wait for room.
    pub queue: Queue,
    /// Whether requests are refused because most fail, where the upstream asks for it.
    pub breaker: Breaker,
    /// Since when the numbers count.
    pub counters_since: Timestamp,
    generation: AtomicU64,
    appearance: AtomicU64,
    /// When servers were last compared with each other, in microseconds; 0 = never.
    compared: AtomicU64,
    /// Whether any of its servers was doubted since this was last asked.
    is_doubted: AtomicBool,
    /// Held while one server is weighed against the others and ejected; never for a request that succeeds.
    ejecting: Mutex<()>,
}

impl UpstreamState {
    /// State of an upstream just created at `now`, for `workers` workers.
    #[must_use]
    pub fn new(workers: usize, now: Timestamp) -> Self {
        Self {
            counters: PerWorker::new(workers),
            retry_budgets: PerWorker::new(workers),
            hedging: PerWorker::new(workers),
            cursors: PerWorker::new(workers),
            in_flight: PerWorker::new(workers),
            limited: InFlight::default(),
            queue: Queue::default(),
            breaker: Breaker::default(),
            counters_since: now,
            generation: AtomicU64::new(0),
            appearance: AtomicU64::new(0),
            compared: AtomicU64::new(0),
            is_doubted: AtomicBool::new(false),
            ejecting: Mutex::new(()),
        }
    }

    /// Notes that some server's eligibility may have changed. Call it after the change itself: whoever sees the new
    /// generation then sees the change.
    pub fn eligibility_changed(&self) {
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Notes that what is shown of some server may have changed, though not its eligibility.
    pub fn appearance_changed(&self) {
        self.appearance.fetch_add(1, Ordering::Release);
    }

    /// Number of the last change of what is shown but not of eligibility.
    #[must_use]
    pub fn appearance(&self) -> u64 {
        self.appearance.load(Ordering::Acquire)
    }

    /// Number of the last change that shows in the state of a server, but for what time alone changes.
    #[must_use]
    pub fn shown(&self) -> u64 {
        self.generation().wrapping_add(self.appearance())
    }

    /// Notes that one of its servers is doubted. Call it after that was noted at the server.
    pub fn doubt(&self) {
        self.is_doubted.store(true, Ordering::Release);
    }

    /// Whether there was a doubt since this was last asked.
    pub fn take_doubt(&self) -> bool {
        // Mostly there was none, and reading leaves the line to others.
        self.is_doubted.load(Ordering::Relaxed) && self.is_doubted.swap(false, Ordering::AcqRel)
    }

    /// When servers were last compared with each other.
    pub(crate) fn compared_at(&self) -> Option<Moment> {
        Some(Moment(self.compared.load(Ordering::Relaxed))).filter(|at| *at != Moment(0))
    }

    /// Notes that servers are compared with each other `now`.
    pub(crate) fn compared(&self, now: Moment) {
        self.compared.store(now.0.max(1), Ordering::Relaxed);
    }

    /// Until dropped, nobody else decides about an ejection.
    pub(crate) fn ejecting(&self) -> MutexGuard<'_, ()> {
        self.ejecting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Number of the last change of eligibility.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }
}
