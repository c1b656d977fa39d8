//! A circuit breaker: closed while requests succeed, open while they are refused at once, half open while some are let
//! through to see.
//!
//! The outcome of each request counts in a window of ten parts, which forgets one part at a time. An outcome that is
//! reported late counts for the phase its request was let through in, or not at all.
//! Hot path: only where the operator turned it on. A closed one costs an atomic load before a request and a lock after it.

#[cfg(test)]
mod tests;

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use serde::Serialize;
use utoipa::ToSchema;

use crate::time::{Moment, Now, Timestamp};

/// Parts of the window.
const PARTS: usize = 10;

/// When a breaker opens and closes.
#[derive(Clone, Copy, Debug)]
pub struct BreakerPolicy {
    /// Share of failed requests that opens it.
    pub error_percent: u8,
    /// Requests before the share means anything.
    pub min_requests: u32,
    /// How far back requests count.
    pub window: Duration,
    /// How long it stays open.
    pub open_time: Duration,
    /// Requests let through to try.
    pub trial_requests: u32,
}

/// What a breaker does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// Requests go through.
    #[default]
    Closed,
    /// Requests are refused.
    Open,
    /// Some requests go through to try, the others are refused.
    HalfOpen,
}

impl Pass {
    /// What the breaker has become with this request, if it has turned.
    #[must_use]
    pub fn turned(self) -> Option<BreakerState> {
        self.turned
    }
}

impl BreakerState {
    /// The state as a word, as in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// A request that was let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass {
    /// How often the breaker had turned by then.
    turn: u64,
    /// In which round of trials it is one, if it is.
    round: Option<u64>,
    /// What it has become with this request.
    turned: Option<BreakerState>,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With a response that is no error.
    Success,
    /// Without a response, or with an error.
    Failure,
    /// In a way that says nothing: the client left, or it was never sent.
    Unknown,
}

#[derive(Clone, Copy, Debug, Default)]
struct Part {
    number: u64,
    requests: u32,
    failures: u32,
}

#[derive(Debug, Default)]
struct Inner {
    state: BreakerState,
    turn: u64,
    since: Timestamp,
    /// When an open one turns half open.
    until: Moment,
    parts: [Part; PARTS],
    /// Trials of this round under way, and those of any that succeeded.
    trials: u32,
    succeeded: u32,
    round: u64,
    /// When the last one was let through.
    tried: Moment,
}

/// The breaker of one upstream.
#[derive(Debug, Default)]
pub struct Breaker {
    /// Whether it is not closed, or its number of turns has changed: then the lock is asked.
    is_shut: AtomicBool,
    /// How often it has turned, for passes that need no lock.
    turns: AtomicU64,
    opened: AtomicU64,
    refused: AtomicU64,
    inner: Mutex<Inner>,
}

impl Breaker {
    /// Lets a request through at `now`.
    ///
    /// # Errors
    /// It is refused: when to come again.
    pub fn admit(&self, policy: BreakerPolicy, now: Now) -> Result<Pass, Duration> {
        if !self.is_shut.load(Ordering::Acquire) {
            return Ok(Pass { turn: self.turns.load(Ordering::Acquire), round: None, turned: None });
        }
        let mut inner = self.lock();
        let before = inner.turn;
        if inner.state == BreakerState::Open && now.moment >= inner.until {
            self.turn(&mut inner, BreakerState::HalfOpen, now);
        }
        if inner.state == BreakerState::HalfOpen && inner.succeeded >= policy.trial_requests {
            // Fewer are asked for than when the last one was reported.
            self.turn(&mut inner, BreakerState::Closed, now);
        }
        let turn = inner.turn;
        let state = inner.state;
        let turned = (turn != before).then_some(state);
        let refusal = match state {
            BreakerState::Closed => return Ok(Pass { turn, round: None, turned }),
            BreakerState::HalfOpen if inner.may_try(policy, now.moment) => {
                inner.trials += 1;
                inner.tried = now.moment;
                return Ok(Pass { turn, round: Some(inner.round), turned });
            }
            BreakerState::HalfOpen => Duration::from_secs(1),
            BreakerState::Open => inner.until.since(now.moment),
        };
        drop(inner);
        self.refused.fetch_add(1, Ordering::Relaxed);
        Err(refusal)
    }

    /// Takes in how a request ended that was let through with `pass`. Answers the state when that turned the breaker.
    pub fn report(
        &self,
        pass: Pass,
        outcome: Outcome,
        policy: BreakerPolicy,
        now: Now,
    ) -> Option<BreakerState> {
        let mut inner = self.lock();
        if pass.turn != inner.turn {
            return None;
        }
        let turned = if let Some(round) = pass.round {
            if round == inner.round {
                inner.trials = inner.trials.saturating_sub(1);
            }
            match outcome {
                Outcome::Unknown => return None,
                Outcome::Failure => BreakerState::Open,
                Outcome::Success => {
                    inner.succeeded += 1;
                    if inner.succeeded < policy.trial_requests {
                        return None;
                    }
                    BreakerState::Closed
                }
            }
        } else {
            let counts = inner.state == BreakerState::Closed && outcome != Outcome::Unknown;
            if !counts || !inner.count(outcome, policy, now.moment) {
                return None;
            }
            BreakerState::Open
        };
        if turned == BreakerState::Open {
            inner.until = now.moment.plus(policy.open_time);
            self.opened.fetch_add(1, Ordering::Relaxed);
        }
        self.turn(&mut inner, turned, now);
        Some(turned)
    }

    /// What it does, and since when.
    #[must_use]
    pub fn state(&self) -> (BreakerState, Timestamp) {
        let inner = self.lock();
        (inner.state, inner.since)
    }

    /// Whether it is open and its time is over at `now`: the next request is let through to try.
    #[must_use]
    pub fn is_due(&self, now: Moment) -> bool {
        let inner = self.lock();
        inner.state == BreakerState::Open && now >= inner.until
    }

    /// How often it has turned.
    #[must_use]
    pub fn turns(&self) -> u64 {
        self.turns.load(Ordering::Acquire)
    }

    /// How often it has opened.
    #[must_use]
    pub fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// Requests refused.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    fn turn(&self, inner: &mut Inner, state: BreakerState, now: Now) {
        *inner =
            Inner { state, turn: inner.turn + 1, since: now.wall, until: inner.until, ..Inner::default() };
        self.turns.store(inner.turn, Ordering::Release);
        self.is_shut.store(state != BreakerState::Closed, Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Whether one more trial may go. Those that have no verdict after the time that an open breaker stays open are not waited
    /// for any more, though their verdicts count if they come: a client that dawdles, or a server that hangs, would keep all
    /// others out.
    fn may_try(&mut self, policy: BreakerPolicy, now: Moment) -> bool {
        if self.trials + self.succeeded >= policy.trial_requests && now >= self.tried.plus(policy.open_time) {
            self.trials = 0;
            self.round += 1;
        }
        self.trials + self.succeeded < policy.trial_requests
    }

    /// Counts `outcome`, and answers whether it is one failure too many.
    fn count(&mut self, outcome: Outcome, policy: BreakerPolicy, now: Moment) -> bool {
        let length = policy.window.as_micros().max(PARTS as u128) / PARTS as u128;
        let number = u64::try_from(u128::from(now.0) / length).unwrap_or(u64::MAX);
        let place = usize::try_from(number % PARTS as u64).unwrap_or(0);
        if let Some(part) = self.parts.get_mut(place) {
            if part.number != number {
                *part = Part { number, ..Part::default() };
            }
            part.requests = part.requests.saturating_add(1);
            part.failures = part.failures.saturating_add(u32::from(outcome == Outcome::Failure));
        }
        if outcome != Outcome::Failure {
            return false;
        }
        let recent = self.parts.iter().filter(|part| number - part.number.min(number) < PARTS as u64);
        let (requests, failures) = recent.fold((0_u64, 0_u64), |(requests, failures), part| {
            (requests + u64::from(part.requests), failures + u64::from(part.failures))
        });
        requests >= u64::from(policy.min_requests)
            && failures * 100 >= requests * u64::from(policy.error_percent)
    }
}
