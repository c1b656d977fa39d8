//! Everything observed of one route.

use super::{Counter, PerWorker};

/// What is observed of one route, from its creation until its removal, over any number of tables.
#[derive(Debug)]
pub struct RouteState {
    /// Numbers, by worker.
    pub counters: PerWorker<RouteCounters>,
}

impl RouteState {
    /// State of a route just created, for `workers` workers.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Self { counters: PerWorker::new(workers) }
    }
}

/// What one worker counted at one route.
#[derive(Debug, Default)]
pub struct RouteCounters {
    /// Responses by class, 1xx to 5xx, whoever made them.
    pub responses: [Counter; 5],
}

impl RouteCounters {
    /// Counts a response with `status`.
    pub fn count_response(&self, status: u16) {
        if let Some(class) = self.responses.get(usize::from(status / 100).wrapping_sub(1)) {
            class.add(1);
        }
    }

    /// The responses of all `workers`, by class.
    #[must_use]
    pub fn sum(workers: &PerWorker<Self>) -> [u64; 5] {
        let mut totals = [0_u64; 5];
        for worker in workers.iter() {
            for (total, class) in totals.iter_mut().zip(&worker.responses) {
                *total = total.wrapping_add(class.value());
            }
        }
        totals
    }
}
