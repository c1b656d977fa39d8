//! Ejection by the outcome of real requests: errors in a row take a server out for a while, longer each time.
//!
//! Source: Envoy's consecutive-error outlier detection. Hot path: a success reads one atomic; only a failure writes.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::time::{Moment, Now, Timestamp};

/// When and for how long a server is ejected.
#[derive(Clone, Copy, Debug)]
pub struct EjectionPolicy {
    /// Errors in a row that eject; 0 = never.
    pub consecutive_errors: u32,
    /// First length.
    pub base: Duration,
    /// Longest.
    pub max: Duration,
}

/// What a server failed at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServerFault {
    /// Being connected to, or keeping a connection: something a mere connection can disprove.
    Connection,
    /// Answering well or in time.
    #[default]
    Response,
}

/// What is known of a server's ejections.
#[derive(Clone, Copy, Debug, Default)]
pub struct OutlierRecord {
    /// How often it was ejected, less what good behaviour has taken off.
    pub multiplier: u32,
    /// What the error was that led to the last ejection.
    pub fault: ServerFault,
    /// How often it was ejected in all.
    pub ejections: u64,
    /// When the last ejection began.
    pub since: Timestamp,
    /// When the last ejection was due to end, for forgiving.
    pub due: Moment,
    /// When the current ejection ends; `None` when not ejected.
    pub until: Option<Timestamp>,
}

/// An ejection, under way or over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ejection {
    /// When it began.
    pub at: Timestamp,
    /// When it was due to end by itself.
    pub due: Timestamp,
    /// When it ended early; `None` when it took its time, or still does.
    pub ended: Option<Timestamp>,
    /// What the last of the errors was.
    pub fault: ServerFault,
    /// How many errors in a row led to it.
    pub errors: u32,
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

/// Errors in a row and the ejection they led to.
#[derive(Debug, Default)]
pub struct Outlier {
    consecutive_errors: AtomicU32,
    /// End of the ejection in microseconds; 0 = not ejected.
    ejected_until: AtomicU64,
    /// Held for a few assignments when an ejection starts or ends.
    record: Mutex<OutlierRecord>,
    /// The last ejections. Held as briefly, and only with `record`.
    history: Mutex<VecDeque<Ejection>>,
}

impl Outlier {
    /// Takes in a success. Costs a read unless errors came before.
    pub fn succeeded(&self) {
        if self.consecutive_errors.load(Ordering::Relaxed) != 0 {
            self.consecutive_errors.store(0, Ordering::Relaxed);
        }
    }

    /// Takes in a failure. Answers whether the server should be ejected now; the caller then decides with
    /// [`Self::eject`], because how many others are ejected already counts too.
    pub fn failed(&self, policy: EjectionPolicy) -> bool {
        let errors = self.consecutive_errors.fetch_add(1, Ordering::Relaxed) + 1;
        // Only every full row asks: where the cap forbids ejecting, the answer costs a look at every server.
        policy.consecutive_errors != 0
            && errors.is_multiple_of(policy.consecutive_errors)
            && !self.is_marked()
    }

    /// Ejects the server for `fault` from `now` on. Answers for how long.
    pub fn eject(&self, policy: EjectionPolicy, fault: ServerFault, now: Now) -> Duration {
        let mut record = self.lock();
        record.fault = fault;
        // Every base time of good behaviour since the last ejection takes one step off (Envoy does so by interval).
        let forgiven = now.moment.since(record.due).as_micros() / policy.base.as_micros().max(1);
        record.multiplier = record.multiplier.saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX));
        let length = policy.base.saturating_mul(1 << record.multiplier.min(20)).min(policy.max);
        record.multiplier = record.multiplier.saturating_add(1);
        record.due = now.moment.plus(length);
        record.ejections += 1;
        record.since = now.wall;
        record.until = Some(now.wall.plus(length));
        let mut history = self.history();
        if history.len() >= KEPT {
            history.pop_front();
        }
        let errors = self.consecutive_errors();
        history.push_back(Ejection { at: now.wall, due: now.wall.plus(length), ended: None, fault, errors });
        drop(history);
        self.ejected_until.store(now.moment.plus(length).0.max(1), Ordering::Release);
        self.consecutive_errors.store(0, Ordering::Relaxed);
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
        }
        record.until = None;
        self.consecutive_errors.store(0, Ordering::Relaxed);
        self.ejected_until.swap(0, Ordering::AcqRel) != 0
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

    /// Errors in a row, up to now.
    #[must_use]
    pub fn consecutive_errors(&self) -> u32 {
        self.consecutive_errors.load(Ordering::Relaxed)
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

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: EjectionPolicy = EjectionPolicy {
        consecutive_errors: 3,
        base: Duration::from_secs(30),
        max: Duration::from_secs(100),
    };

    #[test]
    fn only_errors_in_a_row_eject() {
        let outlier = Outlier::default();
        assert!(!outlier.failed(POLICY) && !outlier.failed(POLICY));
        outlier.succeeded();
        assert!(!outlier.failed(POLICY) && !outlier.failed(POLICY));
        assert!(outlier.failed(POLICY));
    }

    #[test]
    fn ejections_double_up_to_the_longest_and_end() {
        let outlier = Outlier::default();
        let mut now = Now::default();
        for seconds in [30, 60, 100, 100] {
            assert_eq!(outlier.eject(POLICY, ServerFault::Response, now), Duration::from_secs(seconds));
            assert!(outlier.is_ejected(now.moment));
            assert!(!outlier.failed(POLICY), "already ejected");
            now.moment = now.moment.plus(Duration::from_secs(seconds));
            assert!(!outlier.is_ejected(now.moment));
            assert!(outlier.uneject(EjectionEnd::Due) && !outlier.uneject(EjectionEnd::Due));
        }
        assert_eq!(outlier.record().ejections, 4);
        now.moment = now.moment.plus(Duration::from_secs(4 * 30));
        assert_eq!(outlier.eject(POLICY, ServerFault::Response, now), Duration::from_secs(30));
    }

    #[test]
    fn the_last_ejections_are_kept_with_their_cause_and_end() {
        let outlier = Outlier::default();
        let mut now = Now { moment: Moment(0), wall: Timestamp(1_000) };
        for _ in 0..POLICY.consecutive_errors {
            outlier.failed(POLICY);
        }
        outlier.eject(POLICY, ServerFault::Connection, now);
        outlier.uneject(EjectionEnd::Early(Timestamp(5_000)));
        now.wall = Timestamp(60_000);
        outlier.eject(POLICY, ServerFault::Response, now);
        let kept = outlier.ejections();
        let first = Ejection {
            at: Timestamp(1_000),
            due: Timestamp(31_000),
            ended: Some(Timestamp(5_000)),
            fault: ServerFault::Connection,
            errors: 3,
        };
        assert_eq!((kept.len(), kept[1]), (2, first));
        assert_eq!(
            (kept[0].at, kept[0].ended, kept[0].fault),
            (Timestamp(60_000), None, ServerFault::Response)
        );
        for _ in 0..2 * KEPT {
            outlier.eject(POLICY, ServerFault::Response, now);
        }
        assert_eq!(outlier.ejections().len(), KEPT, "and no more than a few");
    }
}
