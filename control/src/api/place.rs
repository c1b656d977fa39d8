//! Places for large documents: few are in memory at once.

use std::sync::Arc;

use tokio::sync::{Semaphore, SemaphorePermit};

pub(super) const MEBIBYTE: usize = 1024 * 1024;

/// Largest body that is read between other requests, and largest merge patch. Reading this takes some milliseconds.
pub(super) const MAX_SMALL_BYTES: usize = 256 * 1024;

/// Places for bodies that are larger. They are read apart, so that the API answers others meanwhile, and few at once: a
/// document in memory takes many times the room of its text. Who finds none waits with the rest of the body still at the
/// sender.
static LARGE: Semaphore = Semaphore::const_new(2);

/// From this size on a body needs the only place of its kind as well. A whole configuration keeps it until it is answered.
const MAX_LARGE_BYTES: usize = 8 * MEBIBYTE;
static HUGE: Semaphore = Semaphore::const_new(1);

/// For rollbacks, whose body is small and whose document, from the history, is not. Their own, so that none waits for somebody
/// who takes two minutes to send a large body.
static ROLLBACK: Semaphore = Semaphore::const_new(1);

/// Held as long as a large body is in memory, or what was made of it. Found among a request's extensions where the body was
/// read before.
#[derive(Clone, Debug)]
pub(super) struct Place {
    _first: Arc<SemaphorePermit<'static>>,
    huge: Option<Arc<SemaphorePermit<'static>>>,
}

impl Place {
    /// The place of a rollback.
    pub(super) async fn of_rollback() -> Option<Self> {
        Some(Self { _first: take(&ROLLBACK).await?, huge: None })
    }

    /// The place that a body of `length` needs, which has `before`.
    pub(super) async fn of(length: usize, before: Option<Self>) -> Option<Self> {
        let mut place = match before {
            Some(place) => place,
            None if length > MAX_SMALL_BYTES => Self { _first: take(&LARGE).await?, huge: None },
            None => return None,
        };
        if length > MAX_LARGE_BYTES && place.huge.is_none() {
            place.huge = take(&HUGE).await;
        }
        Some(place)
    }
}

async fn take(places: &'static Semaphore) -> Option<Arc<SemaphorePermit<'static>>> {
    // Fails only once the semaphore is closed, which these never are.
    places.acquire().await.ok().map(Arc::new)
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        task::{Context, Waker},
    };

    use super::*;

    #[tokio::test]
    async fn one_huge_body_is_in_memory_at_once() {
        let huge = || Place::of(MAX_LARGE_BYTES + 1, None);
        let first = huge().await.expect("a place");
        let mut second = pin!(huge());
        assert!(second.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        drop(first);
        second.await;
    }

    #[tokio::test]
    async fn one_rollback_is_in_memory_at_once() {
        let first = Place::of_rollback().await.expect("a place");
        let mut second = pin!(Place::of_rollback());
        assert!(second.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        drop(first);
        second.await;
    }
}
