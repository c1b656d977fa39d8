//! What active checks say of a server: a state machine fed with outcomes, one writer (the checker).
//!
//! A new server needs one pass; after that `healthy_threshold` passes or `unhealthy_threshold` failures in a row turn
//! the verdict. A checker that is late freezes the verdict: that is our fault, never the server's.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicU8, Ordering},
};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{CheckOutcome, CheckRecord, History, recent_checks::RecentChecks};
use crate::time::{Now, Timestamp};

/// State of a server as a dashboard shows it (AWS ELBv2's words).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HealthState {
    /// Not checked yet.
    #[default]
    Initial,
    /// In use.
    Healthy,
    /// Failing checks or real requests.
    Unhealthy,
    /// No new requests by the operator's wish.
    Draining,
    /// Out of use: maintenance, weight 0.
    Unused,
    /// Cannot be told; the last verdict stays in force.
    Unavailable,
}

impl HealthState {
    /// The state as a word, as in JSON and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Initial => "initial",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
            Self::Draining => "draining",
            Self::Unused => "unused",
            Self::Unavailable => "unavailable",
        }
    }
}

/// Why a server is in its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Added, first check not done.
    FirstCheckPending,
    /// Checks are turned off; assumed healthy.
    ChecksDisabled,
    /// The connection was refused.
    ConnectRefused,
    /// No connection in time.
    ConnectTimeout,
    /// The connection failed otherwise.
    ConnectError,
    /// No TLS handshake: the server's certificate was not accepted, most likely.
    TlsError,
    /// The name could not be resolved.
    DnsError,
    /// No answer in time.
    ResponseTimeout,
    /// The connection ended before the answer was complete.
    Reset,
    /// The answer was not HTTP.
    MalformedResponse,
    /// The answer's status is not an expected one.
    StatusMismatch,
    /// The answer's body does not hold the expected text.
    BodyMismatch,
    /// The server, or the service asked for, says that it is not serving.
    GrpcNotServing,
    /// The server does not know the service asked for.
    GrpcServiceUnknown,
    /// The server has no gRPC health service.
    GrpcUnimplemented,
    /// The call ended with another `grpc-status` than 0.
    GrpcStatus,
    /// Ejected: too many real requests failed; `passive.detector` says what found it, and the detail by which figures.
    Ejected,
    /// The operator drains it.
    AdminDrain,
    /// It is drained in order to be removed.
    Removing,
    /// The operator has it in maintenance.
    AdminMaint,
    /// Its weight is 0.
    WeightZero,
    /// The check could not be made in time.
    CheckerLate,
    /// Known from before a restart or from a check of another kind, not checked again yet.
    RecheckPending,
}

/// How many outcomes in a row turn a verdict.
#[derive(Clone, Copy, Debug)]
pub struct HealthThresholds {
    /// Passes that make an unhealthy server healthy.
    pub healthy: u32,
    /// Failures that make a healthy server unhealthy.
    pub unhealthy: u32,
}

/// A change of verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// Before.
    pub from: HealthState,
    /// After.
    pub to: HealthState,
    /// Why, when not healthy.
    pub reason: Option<Reason>,
    /// When.
    pub at: Timestamp,
}

/// Whether the first check since the checks were changed is still to come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Recheck {
    /// It was made, or there is none.
    #[default]
    Done,
    /// It is.
    Pending,
}

/// Everything known from active checks of one server.
#[derive(Clone, Debug, Default)]
pub struct HealthRecord {
    /// `Initial`, `Healthy` or `Unhealthy`.
    pub verdict: HealthState,
    /// Whether the checker is late, so that the verdict is old.
    pub late: bool,
    /// Whether the verdict is from before the checks were changed.
    pub recheck: Recheck,
    /// Why the verdict is what it is.
    pub reason: Option<Reason>,
    /// The same for a person.
    pub detail: String,
    /// When the verdict was reached.
    pub since: Timestamp,
    /// Passes in a row, up to now.
    pub consecutive_ok: u32,
    /// Failures in a row, up to now.
    pub consecutive_failed: u32,
    /// Checks made.
    pub total: u64,
    /// Checks failed.
    pub failed: u64,
    /// The last outcomes.
    pub history: History,
    /// The last check.
    pub last: Option<CheckRecord>,
    /// When the next check is due.
    pub next_at: Option<Timestamp>,
    /// The last change of verdict.
    pub last_change: Option<Transition>,
}

/// The verdict in an atomic for the pick, the rest behind a lock for the checker and the API.
#[derive(Debug)]
pub struct Health {
    healthy: AtomicU8,
    /// Held for the few assignments of one outcome, or for one copy; never on the request path.
    record: Mutex<HealthRecord>,
    recent: RecentChecks,
    /// Whether a request found no connection since this was last asked.
    is_doubted: AtomicBool,
}

impl Health {
    /// A server just added at `now`, not checked yet.
    #[must_use]
    pub fn new(now: Now) -> Self {
        let record = HealthRecord {
            reason: Some(Reason::FirstCheckPending),
            since: now.wall,
            ..HealthRecord::default()
        };
        Self {
            healthy: AtomicU8::new(0),
            record: Mutex::new(record),
            recent: RecentChecks::default(),
            is_doubted: AtomicBool::new(false),
        }
    }

    /// Whether checks consider the server healthy.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.healthy.load(Ordering::Acquire) == 1
    }

    /// Notes that a request found no connection, or lost it: reason to check the server soon.
    pub fn doubt(&self) {
        self.is_doubted.store(true, Ordering::Release);
    }

    /// Whether there was a doubt since this was last asked.
    pub fn take_doubt(&self) -> bool {
        self.is_doubted.swap(false, Ordering::AcqRel)
    }

    /// A copy of everything known.
    #[must_use]
    pub fn record(&self) -> HealthRecord {
        self.lock().clone()
    }

    /// Whether the last outcome spoke against the verdict, and more like it would turn it.
    #[must_use]
    pub fn is_turning(&self) -> bool {
        let record = self.lock();
        match record.verdict {
            HealthState::Healthy => record.consecutive_failed > 0,
            HealthState::Unhealthy => record.consecutive_ok > 0,
            _ => false,
        }
    }

    /// The verdict, and whether it is old because the checker is late. Cheaper than [`Self::record`].
    #[must_use]
    pub fn verdict(&self) -> (HealthState, bool) {
        let record = self.lock();
        (record.verdict, record.late)
    }

    /// The last checks, newest first.
    #[must_use]
    pub fn recent_checks(&self) -> Vec<CheckRecord> {
        self.recent.list()
    }

    /// Takes in the outcome of a check that ended at `now`. Answers a change of verdict, if this was one.
    pub fn observe(
        &self,
        outcome: &CheckOutcome,
        thresholds: HealthThresholds,
        now: Now,
    ) -> Option<Transition> {
        let mut record = self.lock();
        let passed = outcome.failure.is_none();
        record.late = false;
        record.recheck = Recheck::Done;
        record.total += 1;
        record.failed += u64::from(!passed);
        record.history.push(outcome);
        let check = CheckRecord {
            at: now.wall,
            ok: passed,
            failure: outcome.failure,
            status: outcome.status,
            duration: outcome.duration,
        };
        record.last = Some(check);
        self.recent.push(check);
        let settled = record.verdict != HealthState::Initial;
        let known = record.verdict;
        if passed {
            record.consecutive_ok = record.consecutive_ok.saturating_add(1);
            record.consecutive_failed = 0;
            let needed =
                if settled && record.reason != Some(Reason::RecheckPending) { thresholds.healthy } else { 1 };
            if known == HealthState::Healthy {
                record.reason = None;
            } else if record.consecutive_ok >= needed {
                return Some(self.turn(&mut record, HealthState::Healthy, None, String::new(), now));
            }
            return None;
        }
        record.consecutive_failed = record.consecutive_failed.saturating_add(1);
        record.consecutive_ok = 0;
        let needed = if settled { thresholds.unhealthy } else { 1 };
        if known == HealthState::Unhealthy {
            record.reason = outcome.failure;
            record.detail.clone_from(&outcome.detail);
        } else if record.consecutive_failed >= needed {
            let detail = outcome.detail.clone();
            return Some(self.turn(&mut record, HealthState::Unhealthy, outcome.failure, detail, now));
        }
        None
    }

    /// Notes when the next check is due.
    pub fn schedule(&self, next_at: Timestamp) {
        self.lock().next_at = Some(next_at);
    }

    /// Notes that the checker could not keep its time. The verdict stays in force. Answers whether that is news.
    pub fn freeze(&self) -> bool {
        !std::mem::replace(&mut self.lock().late, true)
    }

    /// Takes the server as healthy because nothing checks it. Answers whether that changed anything.
    pub fn assume_healthy(&self, now: Now) -> bool {
        let mut record = self.lock();
        if record.verdict == HealthState::Healthy && record.reason == Some(Reason::ChecksDisabled) {
            return false;
        }
        record.next_at = None;
        record.late = false;
        record.recheck = Recheck::Done;
        self.turn(&mut record, HealthState::Healthy, Some(Reason::ChecksDisabled), String::new(), now);
        true
    }

    /// Notes that checks are made in another way from now on. The verdict stays until they say otherwise.
    pub fn recheck(&self) {
        let mut record = self.lock();
        if record.verdict != HealthState::Initial {
            record.recheck = Recheck::Pending;
            if record.reason == Some(Reason::ChecksDisabled) {
                record.reason = None;
            }
        }
    }

    /// Takes over what was known before a restart, until the first check says otherwise.
    pub fn restore_unhealthy(&self, now: Now) {
        let mut record = self.lock();
        if record.verdict == HealthState::Initial {
            self.turn(&mut record, HealthState::Unhealthy, Some(Reason::RecheckPending), String::new(), now);
        }
    }

    fn turn(
        &self,
        record: &mut HealthRecord,
        to: HealthState,
        reason: Option<Reason>,
        detail: String,
        now: Now,
    ) -> Transition {
        let transition = Transition { from: record.verdict, to, reason, at: now.wall };
        record.verdict = to;
        record.reason = reason;
        record.detail = detail;
        record.since = now.wall;
        record.last_change = Some(transition);
        self.healthy.store(u8::from(to == HealthState::Healthy), Ordering::Release);
        transition
    }

    fn lock(&self) -> MutexGuard<'_, HealthRecord> {
        // A panic while assigning plain fields leaves nothing half-done worth refusing service for.
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
