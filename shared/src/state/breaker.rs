//! A circuit breaker: closed while requests succeed, open while they are refused at once, half open while some are let
//! through to see.
//!
//! The outcome of each request counts in a window of ten parts, which forgets one part at a time. An outcome that is
//! reported late counts for the phase its request was let through in, or not at all.
//! Hot path: only where the operator turned it on. A closed one costs an atomic load before a request and a lock after it.

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
    is_trial: bool,
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
    /// Trials under way, and those that succeeded.
    trials: u32,
    succeeded: u32,
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
            return Ok(Pass { turn: self.turns.load(Ordering::Acquire), is_trial: false, turned: None });
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
        let turned = (turn != before).then_some(inner.state);
        let refusal = match inner.state {
            BreakerState::Closed => return Ok(Pass { turn, is_trial: false, turned }),
            BreakerState::HalfOpen if inner.trials + inner.succeeded < policy.trial_requests => {
                inner.trials += 1;
                return Ok(Pass { turn, is_trial: true, turned });
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
        let turned = if pass.is_trial {
            inner.trials = inner.trials.saturating_sub(1);
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

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: BreakerPolicy = BreakerPolicy {
        error_percent: 50,
        min_requests: 10,
        window: Duration::from_secs(10),
        open_time: Duration::from_secs(5),
        trial_requests: 2,
    };

    struct Subject {
        breaker: Breaker,
        now: Now,
    }

    impl Subject {
        fn new() -> Self {
            let now = Now { moment: Moment(1_000_000_000), wall: Timestamp(1000) };
            Self { breaker: Breaker::default(), now }
        }

        fn wait(&mut self, time: Duration) {
            self.now.moment = self.now.moment.plus(time);
            self.now.wall = self.now.wall.plus(time);
        }

        fn admit(&self) -> Result<Pass, Duration> {
            self.breaker.admit(POLICY, self.now)
        }

        fn report(&self, pass: Pass, outcome: Outcome) -> Option<BreakerState> {
            self.breaker.report(pass, outcome, POLICY, self.now)
        }

        /// Requests with these outcomes; the turn that the last of them made.
        fn run(&self, count: usize, outcome: Outcome) -> Option<BreakerState> {
            (0..count).map(|_| self.report(self.admit().unwrap(), outcome)).last().unwrap()
        }

        fn state(&self) -> BreakerState {
            self.breaker.state().0
        }
    }

    #[test]
    fn it_opens_at_the_share_of_failures_and_not_before_there_are_enough_requests() {
        let subject = Subject::new();
        assert_eq!(subject.run(9, Outcome::Failure), None, "too few");
        assert_eq!(subject.run(1, Outcome::Failure), Some(BreakerState::Open));
        assert_eq!(subject.admit(), Err(Duration::from_secs(5)));
        assert_eq!((subject.breaker.opened(), subject.breaker.refused()), (1, 1));
        let subject = Subject::new();
        assert_eq!(subject.run(11, Outcome::Success), None);
        assert_eq!(subject.run(10, Outcome::Failure), None, "10 of 21");
        assert_eq!(subject.run(1, Outcome::Failure), Some(BreakerState::Open), "11 of 22");
    }

    #[test]
    fn what_is_long_ago_does_not_count() {
        let mut subject = Subject::new();
        subject.run(9, Outcome::Failure);
        subject.wait(Duration::from_secs(10));
        assert_eq!(subject.run(9, Outcome::Failure), None);
        subject.wait(Duration::from_secs(8));
        assert_eq!(subject.run(1, Outcome::Failure), Some(BreakerState::Open));
    }

    #[test]
    fn trials_decide_and_one_failure_is_enough() {
        let mut subject = Subject::new();
        subject.run(10, Outcome::Failure);
        subject.wait(Duration::from_secs(5));
        let (first, second) = (subject.admit().unwrap(), subject.admit().unwrap());
        assert_eq!(subject.state(), BreakerState::HalfOpen);
        assert!(subject.admit().is_err(), "no more than the trials");
        assert_eq!(subject.report(first, Outcome::Success), None);
        assert!(subject.admit().is_err(), "the other is under way");
        assert_eq!(subject.report(second, Outcome::Failure), Some(BreakerState::Open));
        assert_eq!(subject.admit(), Err(Duration::from_secs(5)));
        subject.wait(Duration::from_secs(5));
        assert_eq!(subject.run(2, Outcome::Success), Some(BreakerState::Closed));
        assert_eq!(subject.run(9, Outcome::Failure), None, "counts anew");
        assert_eq!((subject.breaker.opened(), subject.state()), (2, BreakerState::Closed));
    }

    #[test]
    fn a_trial_that_says_nothing_makes_room_for_another() {
        let mut subject = Subject::new();
        subject.run(10, Outcome::Failure);
        subject.wait(Duration::from_secs(5));
        let trials = [subject.admit().unwrap(), subject.admit().unwrap()];
        assert_eq!(subject.report(trials[0], Outcome::Unknown), None);
        assert!(subject.admit().is_ok() && subject.admit().is_err());
    }

    #[test]
    fn fewer_trials_may_be_asked_for_meanwhile() {
        let mut subject = Subject::new();
        subject.run(10, Outcome::Failure);
        subject.wait(Duration::from_secs(5));
        assert_eq!(subject.run(1, Outcome::Success), None);
        let fewer = BreakerPolicy { trial_requests: 1, ..POLICY };
        assert!(subject.breaker.admit(fewer, subject.now).is_ok());
        assert_eq!(subject.state(), BreakerState::Closed);
    }

    #[test]
    fn late_news_from_before_a_turn_changes_nothing() {
        let mut subject = Subject::new();
        let early: Vec<Pass> = (0..20).map(|_| subject.admit().unwrap()).collect();
        subject.run(10, Outcome::Failure);
        assert!(early.iter().all(|pass| subject.report(*pass, Outcome::Success).is_none()));
        subject.wait(Duration::from_secs(5));
        let late_trial = subject.admit().unwrap();
        assert!(early.iter().all(|pass| subject.report(*pass, Outcome::Failure).is_none()));
        assert_eq!(subject.report(subject.admit().unwrap(), Outcome::Failure), Some(BreakerState::Open));
        assert_eq!(subject.report(late_trial, Outcome::Success), None);
        assert_eq!(subject.state(), BreakerState::Open);
    }

    #[test]
    fn it_reads_as_a_word() {
        for state in [BreakerState::Closed, BreakerState::Open, BreakerState::HalfOpen] {
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
    }
}
