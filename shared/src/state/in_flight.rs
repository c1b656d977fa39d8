//! How many requests a server is working on: from the pick until the response body ends.

use std::sync::atomic::{AtomicU32, Ordering};

/// Requests under way at one server, over all workers.
#[derive(Debug, Default)]
pub struct InFlight(AtomicU32);

impl InFlight {
    /// Counts one request more, and answers how many there were. Whoever calls this calls [`Self::end`] exactly once, from
    /// a `Drop`.
    pub fn start(&self) -> u32 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }

    /// Counts one request more if there are fewer than `limit`, and answers how many there were. Exact, whoever else counts at
    /// the same time. To be ended as [`Self::start`] is.
    pub fn start_within(&self, limit: u32) -> Option<u32> {
        let one_more = |count: u32| (count < limit).then(|| count.saturating_add(1));
        self.0.fetch_update(Ordering::AcqRel, Ordering::Relaxed, one_more).ok()
    }

    /// Counts one request less.
    pub fn end(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// Requests under way now.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}
