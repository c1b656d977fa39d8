//! How many requests a server is working on: from the pick until the response body ends.

use std::sync::atomic::{AtomicU32, Ordering};

/// Requests under way at one server, over all workers. On a cache line of its own, because every pick reads it.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct InFlight(AtomicU32);

impl InFlight {
    /// Counts one request more, and answers how many there were. Whoever calls this calls [`Self::end`] exactly once, from
    /// a `Drop`.
    pub fn start(&self) -> u32 {
        self.0.fetch_add(1, Ordering::Relaxed)
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
