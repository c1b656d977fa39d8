//! The last few checks of a server, in full.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{CheckRecord, Reason};
use crate::time::Timestamp;

/// Checks kept in full: enough to see a server fail and come back. 24 bytes each.
const KEPT: usize = 8;

/// A check as it is kept, small: there may be a hundred thousand servers.
#[derive(Clone, Copy, Debug)]
struct Small {
    at: Timestamp,
    micros: u32,
    status: Option<u16>,
    failure: Option<Reason>,
}

impl From<Small> for CheckRecord {
    fn from(small: Small) -> Self {
        Self {
            at: small.at,
            ok: small.failure.is_none(),
            failure: small.failure,
            status: small.status,
            duration: Duration::from_micros(small.micros.into()),
        }
    }
}

/// The last checks of one server, in full.
#[derive(Debug, Default)]
pub(super) struct RecentChecks {
    /// Held to add one or to copy all; never on the request path.
    checks: Mutex<VecDeque<Small>>,
}

impl RecentChecks {
    /// Keeps `record`, and forgets the oldest if there are too many.
    pub(super) fn push(&self, record: CheckRecord) {
        let mut checks = self.lock();
        if checks.len() >= KEPT {
            checks.pop_front();
        }
        let micros = u32::try_from(record.duration.as_micros()).unwrap_or(u32::MAX);
        checks.push_back(Small { at: record.at, micros, status: record.status, failure: record.failure });
    }

    /// The checks kept, newest first.
    pub(super) fn list(&self) -> Vec<CheckRecord> {
        self.lock().iter().rev().copied().map(CheckRecord::from).collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Small>> {
        self.checks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
