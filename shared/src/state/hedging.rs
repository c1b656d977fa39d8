//! When one worker asks a second server, and how often it still may.
//!
//! The time after which it does follows the upstream's own answers: the percentile of those since the last look, at most
//! once a second, so that the price of looking does not depend on the number of requests. A server that is much slower than
//! others is given less time: what it has not answered it will probably not answer soon, and a second server asked early saves
//! more there than anywhere else. What that takes of the budget is left out at the end of the others' time. Source of the
//! idea: Dean and Barroso, "The Tail at Scale" (CACM 56, 2013); of the budget: Finagle's `BackupRequestFilter`.
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

/// A server is slow that takes so many times as long as answers do on average: below, averages differ by chance.
const SLOW: f32 = 1.5;

/// What one worker needs for hedging at one upstream. Starts with nothing allowed.
#[derive(Debug, Default)]
pub struct HedgeState {
    tokens: AtomicU64,
    /// In microseconds; 0 = not known yet.
    delay: AtomicU64,
    /// Mean of the same answers, in microseconds.
    mean: AtomicU64,
    /// Second servers asked early since the last look.
    early: AtomicU64,
    next_look: AtomicU64,
    seen: Mutex<HistogramCounts>,
}

/// How long the first server has for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HedgeTime {
    /// So long.
    pub delay: Duration,
    /// Whether that is less than others have.
    pub is_early: bool,
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

    /// The time that `percentile` of the worker's recent `answers` took at most, or more where no more than `max_percent` less
    /// those asked early may be asked after it; `None` before there are enough.
    pub fn delay(
        &self,
        answers: &Histogram,
        (percentile, max_percent): (f64, u8),
        now: Moment,
    ) -> Option<Duration> {
        if now.0 >= self.next_look.load(Ordering::Relaxed) {
            self.next_look.store(now.plus(LOOK).0, Ordering::Relaxed);
            self.look(answers, (percentile, max_percent));
        }
        match self.delay.load(Ordering::Relaxed) {
            0 => None,
            micros => Some(Duration::from_micros(micros)),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a share of a second's requests")]
    fn look(&self, answers: &Histogram, (percentile, max_percent): (f64, u8)) {
        let mut all = HistogramCounts::default();
        all.add(answers);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = all.since(&seen);
        let count = recent.count();
        if count < FEWEST {
            return;
        }
        let early = 100.0 * self.early.swap(0, Ordering::Relaxed) as f64 / count as f64;
        let within_budget = 100.0 - f64::from(max_percent) + early;
        let delay = recent.quantile_between(percentile.max(within_budget).min(100.0) / 100.0);
        let delay = delay.map_or(LEAST, |delay| delay.max(LEAST));
        self.delay.store(u64::try_from(delay.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.mean.store(recent.sum_micros / count, Ordering::Relaxed);
        *seen = all;
    }

    /// What of `delay` a server has that takes `own` microseconds on average, if that is known: less in proportion if it is
    /// slow.
    #[expect(clippy::cast_precision_loss, reason = "seven digits are plenty for an average")]
    pub fn time(&self, delay: Duration, own: Option<f32>) -> HedgeTime {
        let usual = SLOW * self.mean.load(Ordering::Relaxed) as f32;
        match own {
            Some(own) if own > usual && usual > 0.0 => {
                HedgeTime { delay: delay.mul_f32(usual / own).max(LEAST), is_early: true }
            }
            _ => HedgeTime { delay, is_early: false },
        }
    }

    /// Notes that a second server was asked early.
    pub fn asked_early(&self) {
        self.early.fetch_add(1, Ordering::Relaxed);
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
        assert_eq!(state.delay(&answers, (95.0, 5), at(1)), None, "too few to tell");
        record(140, 10);
        record(10, 100);
        assert_eq!(state.delay(&answers, (95.0, 5), at(1)), None, "no second look within a second");
        let delay = state.delay(&answers, (95.0, 5), at(2)).unwrap();
        assert!(delay > Duration::from_millis(9) && delay < Duration::from_millis(13), "{delay:?}");
        record(200, 100);
        let delay = state.delay(&answers, (95.0, 5), at(3)).unwrap();
        assert!(delay > Duration::from_millis(90) && delay < Duration::from_millis(130), "{delay:?}");
        assert_eq!(state.delay(&answers, (95.0, 5), at(9)), Some(delay), "silence is no news");
    }

    #[test]
    fn slow_servers_have_less_time_and_what_that_takes_is_left_to_them() {
        let (state, answers) = (HedgeState::default(), Histogram::default());
        let record = || (1..=1000).for_each(|millis| answers.record(Duration::from_millis(millis)));
        record();
        let delay = state.delay(&answers, (95.0, 5), at(1)).unwrap();
        // 950 and 500 but for the width of buckets.
        let about = |time: Duration, millis: u64| {
            time.abs_diff(Duration::from_millis(millis)) < Duration::from_millis(millis / 10)
        };
        assert!(about(delay, 950), "{delay:?}");
        let whole = HedgeTime { delay, is_early: false };
        assert_eq!([None, Some(100_000.0), Some(700_000.0)].map(|own| state.time(delay, own)), [whole; 3]);
        let less = state.time(delay, Some(3_000_000.0));
        assert!(less.is_early && about(less.delay, 950 / 4), "{less:?}");
        assert_eq!(state.time(delay, Some(1e12)).delay, LEAST);
        (0..30).for_each(|_| state.asked_early());
        record();
        let later = state.delay(&answers, (95.0, 5), at(2)).unwrap();
        assert!(later > delay, "two in a hundred are left for the others: {later:?}");
        record();
        assert_eq!(state.delay(&answers, (95.0, 5), at(3)), Some(delay), "none was asked early of late");
        record();
        let delay = state.delay(&answers, (50.0, 20), at(4)).unwrap();
        assert!(about(delay, 800), "no sooner than the budget lasts: {delay:?}");
    }
}
