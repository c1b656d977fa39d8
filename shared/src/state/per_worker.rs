//! One value per worker thread: written by its worker alone, read by anyone.
//!
//! A counter shared by all workers would bounce its cache line between cores on every request. Values are made when a
//! worker first needs one, so that servers a worker never picks cost it no memory.

use std::sync::{Arc, OnceLock};

/// Number of a worker thread, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerId(pub usize);

/// One `T` per worker.
#[derive(Debug)]
pub struct PerWorker<T> {
    slots: Box<[OnceLock<Arc<T>>]>,
}

impl<T: Default> PerWorker<T> {
    /// Room for `workers` values, none made yet.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Self { slots: (0..workers.max(1)).map(|_| OnceLock::new()).collect() }
    }

    /// The value of `worker`. Numbers past the end share the last value.
    #[must_use]
    pub fn of(&self, worker: WorkerId) -> &T {
        self.shared_of(worker)
    }

    /// The same, for a worker that keeps hold of it.
    ///
    /// # Panics
    /// Never: there is at least one slot.
    #[must_use]
    pub fn shared_of(&self, worker: WorkerId) -> &Arc<T> {
        let index = worker.0.min(self.slots.len() - 1);
        #[expect(clippy::indexing_slicing, reason = "index is below the length, which is at least 1")]
        self.slots[index].get_or_init(Arc::default)
    }

    /// The values made so far.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().filter_map(|slot| slot.get().map(AsRef::as_ref))
    }
}
