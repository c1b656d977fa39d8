//! Ejection by the outcome of real requests: a server that fails them is taken out for a while, longer each time.
//!
//! Source: Envoy's outlier detection. This is what is kept of one server: its rows of errors, its ejections, and the last
//! reading of its counters for the detectors that go by rates. Hot path: a success reads one line of memory; only a failure
//! writes.

#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{Detector, EjectionPolicy, Evidence, Sample, ServerFault};
use crate::time::{Moment, Now, Timestamp};

/// What is known of a server's ejections.
#[derive(Clone, Copy, Debug, Default)]
pub struct OutlierRecord {
    /// How often it was ejected, less what good behaviour has taken off.
    pub multiplier: u32,
    /// What led to the last ejection.
    pub evidence: Option<Evidence>,
    /// How often it was ejected, by detector in the order of [`Detector::ALL`].
    pub ejections: [u64; Detector::ALL.len()],
    /// When the last ejection began.
    pub since: Timestamp,
    /// When the last ejection was due to end, for forgiving.
    pub due: Moment,
    /// When the current ejection ends; `None` when not ejected.
    pub until: Option<Timestamp>,
    /// Its counters when servers were last compared.
    pub reading: Sample,
    /// What it did between the last two readings.
    pub interval: Option<Sample>,
}

impl OutlierRecord {
    /// What led to the last ejection, for a person; empty when there was none.
    #[must_use]
    pub fn cause(&self) -> String {
        self.evidence.map(|evidence| evidence.to_string()).unwrap_or_default()
    }

    /// How often the server was ejected in all.
    #[must_use]
    pub fn total_ejections(&self) -> u64 {
        self.ejections.iter().sum()
    }
}

/// An ejection, under way or over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ejection {
    /// When it began.
    pub at: Timestamp,
    /// When it was due to end by itself.
    pub due: Timestamp,
    /// When it ended early; `None` when it took its time, or still does.
    pub ended: Option<Timestamp>,
    /// What led to it.
    pub evidence: Evidence,
}

/// How an ejection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EjectionEnd {
    /// Its time is over.
    Due,
    /// The server proved at this time that it works.
    Early(Timestamp),
}

/// Ejections kept: as many as fit a day of the longest ones, or minutes of the shortest.
const KEPT: usize = 8;

/// Errors in a row, by kind.
#[derive(Debug, Default)]
struct Rows {
    any: AtomicU32,
    gateway: AtomicU32,
    local_origin: AtomicU32,
}

impl Rows {
    fn all(&self) -> [&AtomicU32; 3] {
        [&self.any, &self.gateway, &self.local_origin]
    }

    fn reset(&self) {
        for row in self.all() {
            if row.load(Ordering::Relaxed) != 0 {
                row.store(0, Ordering::Relaxed);
            }
        }
    }
}

/// Errors in a row and the ejections they, or rates, led to.
#[derive(Debug, Default)]
pub struct Outlier {
    rows: Rows,
    /// Whether the last ejection ended early and no request has succeeded since.
    unproven: AtomicBool,
    /// End of the ejection in microseconds; 0 = not ejected.
    ejected_until: AtomicU64,
    /// Held for a few assignments when an ejection starts or ends, and when counters are read.
    record: Mutex<OutlierRecord>,
    /// The last ejections. Held as briefly, and only with `record`.
    history: Mutex<VecDeque<Ejection>>,
}

impl Outlier {
    /// Takes in a success. Costs a read unless errors came before.
    pub fn succeeded(&self) {
        self.rows.reset();
        if self.unproven.load(Ordering::Relaxed) {
            self.unproven.store(false, Ordering::Relaxed);
        }
    }

    /// Takes in a failure. Answers the evidence if the server should be ejected now; the caller then decides with
    /// [`Self::eject`], because how many others are ejected already counts too.
    pub fn failed(&self, policy: &EjectionPolicy, fault: ServerFault) -> Option<Evidence> {
        let limits = policy.rows;
        // What says most comes first: a row of lost connections is a row of errors as well.
        let rows = [
            (
                Detector::ConsecutiveLocalOriginFailure,
                &self.rows.local_origin,
                limits.local_origin,
                fault.is_local_origin(),
            ),
            (Detector::ConsecutiveGatewayFailure, &self.rows.gateway, limits.gateway, fault.is_gateway()),
            (Detector::Consecutive5xx, &self.rows.any, limits.any, true),
        ];
        let mut full = None;
        for (detector, row, limit, counts) in rows {
            if !counts {
                row.store(0, Ordering::Relaxed);
                continue;
            }
            let errors = row.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
            // Only every full row asks: where the cap forbids ejecting, the answer costs a look at every server.
            if limit != 0 && errors.is_multiple_of(limit) && full.is_none() {
                full = Some(Evidence::Row { detector, errors, fault });
            }
        }
        full.filter(|_| !self.is_marked())
    }

    /// Ejects the server by `evidence` from `now` on; `random` decides the jitter. Answers for how long.
    pub fn eject(&self, policy: &EjectionPolicy, evidence: Evidence, now: Now, random: u64) -> Duration {
        let mut record = self.lock();
        // Every base time of good behaviour since the last ejection takes one step off (Envoy does so by interval).
        let forgiven = now.moment.since(record.due).as_micros() / policy.base.as_micros().max(1);
        record.multiplier = record.multiplier.saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX));
        record.multiplier = record.multiplier.saturating_add(1);
        let length = policy.base.saturating_mul(record.multiplier).min(policy.max.max(policy.base));
        let length = length.saturating_add(share(policy.jitter, random));
        record.due = now.moment.plus(length);
        record.evidence = Some(evidence);
        let detector = evidence.detector();
        for (count, counted) in record.ejections.iter_mut().zip(Detector::ALL) {
            *count += u64::from(counted == detector);
        }
        record.since = now.wall;
        record.until = Some(now.wall.plus(length));
        let mut history = self.history();
        if history.len() >= KEPT {
            history.pop_front();
        }
        history.push_back(Ejection { at: now.wall, due: now.wall.plus(length), ended: None, evidence });
        drop(history);
        self.ejected_until.store(now.moment.plus(length).0.max(1), Ordering::Release);
        self.rows.reset();
        length
    }

    /// Ends the ejection, if there is one. Answers whether there was.
    pub fn uneject(&self, end: EjectionEnd) -> bool {
        if !self.is_marked() {
            return false;
        }
        let mut record = self.lock();
        if let (EjectionEnd::Early(at), Some(last)) = (end, self.history().back_mut())
            && record.until.is_some()
        {
            last.ended = Some(at);
            self.unproven.store(true, Ordering::Relaxed);
        }
        record.until = None;
        self.rows.reset();
        self.ejected_until.swap(0, Ordering::AcqRel) != 0
    }

    /// Whether the last ejection ended early, by what a check found, and no request has borne that out.
    #[must_use]
    pub fn is_unproven(&self) -> bool {
        self.unproven.load(Ordering::Relaxed)
    }

    /// Whether the server is ejected at `now`.
    #[must_use]
    pub fn is_ejected(&self, now: Moment) -> bool {
        self.ejected_until.load(Ordering::Acquire) > now.0
    }

    /// When the ejection ends, if one is noted, even when that is past.
    #[must_use]
    pub fn ejected_until(&self) -> Option<Moment> {
        match self.ejected_until.load(Ordering::Acquire) {
            0 => None,
            until => Some(Moment(until)),
        }
    }

    /// Errors in a row, of any kind, up to now.
    #[must_use]
    pub fn consecutive_errors(&self) -> u32 {
        self.rows.any.load(Ordering::Relaxed)
    }

    /// Notes `reading`, the counters as they are now. Answers what they grew by since the last reading.
    pub fn read(&self, reading: Sample) -> Sample {
        let mut record = self.lock();
        let grown = reading.since(record.reading);
        record.reading = reading;
        record.interval = Some(grown);
        grown
    }

    /// Notes `reading` without making anything of what came before it.
    pub fn begin_interval(&self, reading: Sample) {
        let mut record = self.lock();
        record.reading = reading;
        record.interval = None;
    }

    /// A copy of what is known.
    #[must_use]
    pub fn record(&self) -> OutlierRecord {
        *self.lock()
    }

    /// The last ejections, newest first.
    #[must_use]
    pub fn ejections(&self) -> Vec<Ejection> {
        self.history().iter().rev().copied().collect()
    }

    fn history(&self) -> MutexGuard<'_, VecDeque<Ejection>> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_marked(&self) -> bool {
        self.ejected_until.load(Ordering::Acquire) != 0
    }

    fn lock(&self) -> MutexGuard<'_, OutlierRecord> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A random part of `whole`, evenly from nothing to all of it.
fn share(whole: Duration, random: u64) -> Duration {
    let micros = whole.as_micros().saturating_mul(u128::from(random)) >> 64;
    Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
}
