//! Places for client connections, as many as the limit allows over all workers together: of the process, and of each
//! listener.
//!
//! Numbers that every worker writes, which is why nothing else does: they are touched when a connection opens and when it
//! closes, never by a request.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

/// How many connections there may be at once, and how many there are.
#[derive(Debug)]
pub(crate) struct Places {
    /// 0 for any number.
    limit: AtomicU32,
    taken: AtomicU32,
}

impl Places {
    /// As many places as `limit` says; 0 for any number.
    pub(crate) fn new(limit: u32) -> Arc<Self> {
        Arc::new(Self { limit: AtomicU32::new(limit), taken: AtomicU32::new(0) })
    }

    /// A place, unless all are taken.
    pub(crate) fn take(self: &Arc<Self>) -> Option<Place> {
        let limit = self.limit.load(Ordering::Relaxed);
        let one_more = |taken: u32| (limit == 0 || taken < limit).then(|| taken.saturating_add(1));
        let taken = self.taken.fetch_update(Ordering::AcqRel, Ordering::Relaxed, one_more);
        taken.is_ok().then(|| Place(Arc::clone(self)))
    }

    /// Allows another number; 0 for any. What is taken stays taken.
    pub(crate) fn set_limit(&self, limit: u32) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// A place even when all are taken: for connections that only wait to be told that the process ends.
    pub(crate) fn take_beyond_limit(self: &Arc<Self>) -> Place {
        self.taken.fetch_add(1, Ordering::AcqRel);
        Place(Arc::clone(self))
    }
}

/// One connection's place, given back when dropped.
#[derive(Debug)]
pub(crate) struct Place(Arc<Places>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Barrier, thread};

    use super::*;

    #[test]
    fn a_place_is_free_again_when_dropped() {
        let places = Places::new(2);
        let (first, second) = (places.take(), places.take());
        assert!(first.is_some() && second.is_some() && places.take().is_none());
        let beyond = places.take_beyond_limit();
        drop(first);
        assert!(places.take().is_none(), "one too many is still there");
        drop(beyond);
        assert!(places.take().is_some());
    }

    #[test]
    fn another_limit_holds_for_the_next() {
        let places = Places::new(1);
        let first = places.take();
        places.set_limit(2);
        let second = places.take();
        assert!(second.is_some());
        places.set_limit(1);
        drop(second);
        assert!(places.take().is_none());
        drop(first);
        assert!(places.take().is_some());
    }

    #[test]
    fn no_limit_is_no_limit() {
        let places = Places::new(0);
        let taken: Vec<_> = (0..1000).map(|_| places.take()).collect();
        assert!(taken.iter().all(Option::is_some));
    }

    #[test]
    fn workers_that_ask_at_once_get_no_more_than_there_are() {
        const WORKERS: usize = 4;
        const EACH: usize = 200;
        let places = Places::new(500);
        let start = Barrier::new(WORKERS);
        let taken = thread::scope(|scope| {
            let work = || {
                start.wait();
                (0..EACH).filter_map(|_| places.take()).collect::<Vec<_>>()
            };
            let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(work)).collect();
            workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect::<Vec<_>>()
        });
        assert_eq!(taken.len(), 500);
    }
}
