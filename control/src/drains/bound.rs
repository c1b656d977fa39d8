//! Clients bound to a server that is being drained: they alone still send it requests.
//!
//! What binds them is a cookie of theirs, of which Weir keeps no list, so that nobody knows how many there are. Whether any
//! of them are left shows in what they do: how many requests have come, and when the last one did.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use serde::Serialize;
use utoipa::ToSchema;
use weir_shared::time::Timestamp;

/// No request has come.
const NEVER: i64 = i64::MIN;

/// What was seen of them since the drain began, or since the process did if that was later.
#[derive(Debug)]
pub struct Bound {
    requests: AtomicU64,
    last_at: AtomicI64,
}

/// What was seen of clients that are bound to a server by a cookie, since its drain began, or since the process did if
/// that was later. How many such clients there are is not known: they hold the cookies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = BoundClients)]
pub struct BoundClients {
    /// Requests they have sent.
    pub requests: u64,
    /// When the last of these came, to a twentieth of a second; null: there was none.
    pub last_at: Option<Timestamp>,
}

impl Default for Bound {
    fn default() -> Self {
        Self { requests: AtomicU64::new(0), last_at: AtomicI64::new(NEVER) }
    }
}

impl Bound {
    /// Notes that `requests` have come by `now`.
    pub(super) fn note(&self, requests: u64, now: Timestamp) {
        if requests > 0 {
            self.last_at.store(now.0, Ordering::Relaxed);
            self.requests.fetch_add(requests, Ordering::Release);
        }
    }

    /// What was seen.
    #[must_use]
    pub fn seen(&self) -> BoundClients {
        // In this order: whoever sees requests sees when they came.
        let requests = self.requests.load(Ordering::Acquire);
        let last_at = self.last_at.load(Ordering::Relaxed);
        BoundClients { requests, last_at: (last_at != NEVER).then_some(Timestamp(last_at)) }
    }
}
