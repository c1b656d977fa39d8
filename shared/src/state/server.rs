//! Everything observed of one server.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use super::{Health, InFlight, Outlier, PerWorker, ServerCounters};
use crate::time::{Now, Timestamp};

/// What is observed of one server, from its addition until its removal, over any number of tables.
#[derive(Debug)]
pub struct ServerState {
    /// Requests under way.
    pub in_flight: InFlight,
    /// What active checks say.
    pub health: Health,
    /// What real requests say.
    pub outlier: Outlier,
    /// Numbers, by worker.
    pub counters: PerWorker<ServerCounters>,
    /// Since when the numbers count.
    pub counters_since: Timestamp,
    /// When the operator last changed `admin_state` or weight 0 / not 0.
    admin_since: AtomicI64,
    retired: AtomicBool,
}

impl ServerState {
    /// State of a server just added at `now`, for `workers` workers.
    #[must_use]
    pub fn new(workers: usize, now: Now) -> Self {
        Self {
            in_flight: InFlight::default(),
            health: Health::new(now),
            outlier: Outlier::default(),
            counters: PerWorker::new(workers),
            counters_since: now.wall,
            admin_since: AtomicI64::new(now.wall.0),
            retired: AtomicBool::new(false),
        }
    }

    /// Notes that the operator changed what is wanted of the server.
    pub fn admin_changed(&self, at: Timestamp) {
        self.admin_since.store(at.0, Ordering::Relaxed);
    }

    /// When the operator last changed what is wanted of the server.
    #[must_use]
    pub fn admin_since(&self) -> Timestamp {
        Timestamp(self.admin_since.load(Ordering::Relaxed))
    }

    /// Notes that no table has the server any more: its unused connections are closed at the next touch.
    pub fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }

    /// Whether the server was removed.
    #[must_use]
    pub fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }
}
