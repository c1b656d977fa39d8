//! When one worker asks a second server, and how often it still may.
//!
//! The time after which it does follows the upstream's own answers: the percentile of those since the last look, at most
//! once a second, so that the price of looking does not depend on the number of requests. Source of the idea: Dean and
//! Barroso, "The Tail at Scale" (CACM 56, 2013); of the budget: Finagle's `BackupRequestFilter`.
//! Hot path: written by one worker alone; a lock that nobody else takes, once a second.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{Histogram, HistogramCounts};
use crate::time::Moment;

/// Time between two looks at the answers.
const LOOK: Duration = Duration::from_secs(1);
/// Answers needed for a percentile; with fewer the last one holds.
const FEWEST: u64 = 100;
/// Least time before a second server is asked: below it the first is not slow but the timer coarse.
const LEAST: Duration = Duration::from_millis(1);
/// One request, in hundredths, so that one request can deposit a percentage.
const REQUEST: u64 = 100;
/// Most allowance kept: what a moment of trouble may cost at once.
const CAPACITY: u64 = 100 * REQUEST;

/// What one worker needs for hedging at one upstream. Starts with nothing allowed.
#[derive(Debug, Default)]
pub struct HedgeState {
    tokens: AtomicU64,
    /// In microseconds; 0 = not known yet.
    delay: AtomicU64,
    next_look: AtomicU64,
    seen: Mutex<HistogramCounts>,
}

impl HedgeState {
    /// Adds one request's share of `percent`.
    pub fn deposit(&self, percent: u8) {
        let tokens = self.tokens.load(Ordering::Relaxed) + u64::from(percent);
        self.tokens.store(tokens.min(CAPACITY), Ordering::Relaxed);
    }

    /// Takes one request out, if there is one.
    pub fn withdraw(&self) -> bool {
        let left = self.tokens.load(Ordering::Relaxed).checked_sub(REQUEST);
        if let Some(left) = left {
            self.tokens.store(left, Ordering::Relaxed);
        }
        left.is_some()
    }

    /// The time that `percentile` of the worker's recent `answers` took at most; `None` before there are enough.
    pub fn delay(&self, answers: &Histogram, percentile: f64, now: Moment) -> Option<Duration> {
        if now.0 >= self.next_look.load(Ordering::Relaxed) {
            self.next_look.store(now.plus(LOOK).0, Ordering::Relaxed);
            let mut all = HistogramCounts::default();
            all.add(answers);
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            let recent = all.since(&seen);
            if recent.count() >= FEWEST {
                let delay = recent.quantile_between(percentile / 100.0);
                let delay = delay.map_or(LEAST, |delay| delay.max(LEAST));
                self.delay.store(u64::try_from(delay.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
                *seen = all;
            }
        }
        match self.delay.load(Ordering::Relaxed) {
            0 => None,
            micros => Some(Duration::from_micros(micros)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::from_elapsed(Duration::from_secs(seconds))
    }

    #[test]
    fn the_budget_is_a_share_of_requests_and_not_a_reserve() {
        let state = HedgeState::default();
        assert!(!state.withdraw(), "nothing comes from nothing");
        let mut allowed = 0;
        for _ in 0..1000 {
            state.deposit(5);
            allowed += u32::from(state.withdraw());
        }
        assert_eq!(allowed, 50);
        for _ in 0..1_000_000 {
            state.deposit(5);
        }
        assert_eq!((0..1000).filter(|_| state.withdraw()).count(), 100);
    }

    #[test]
    fn the_delay_follows_recent_answers() {
        let (state, answers) = (HedgeState::default(), Histogram::default());
        let record = |count: u32, millis| {
            (0..count).for_each(|_| answers.record(Duration::from_millis(millis)));
        };
        record(50, 10);
        assert_eq!(state.delay(&answers, 95.0, at(1)), None, "too few to tell");
        record(140, 10);
        record(10, 100);
        assert_eq!(state.delay(&answers, 95.0, at(1)), None, "no second look within a second");
        let delay = state.delay(&answers, 95.0, at(2)).unwrap();
        assert!(delay > Duration::from_millis(9) && delay < Duration::from_millis(13), "{delay:?}");
        record(200, 100);
        let delay = state.delay(&answers, 95.0, at(3)).unwrap();
        assert!(delay > Duration::from_millis(90) && delay < Duration::from_millis(130), "{delay:?}");
        assert_eq!(state.delay(&answers, 95.0, at(9)), Some(delay), "silence is no news");
    }
}
