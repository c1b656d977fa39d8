//! How many retries are allowed: a share of recent requests, and always a few.
//!
//! A fixed number of retries per request multiplies load exactly when servers are failing; a budget bounds the extra
//! load instead (Finagle's `RetryBudget`; Gateway API GEP-3388: 20 %, at least 10 a second).
//! Hot path: written by one worker alone, no lock.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::time::Moment;

/// Retries a second that are always allowed, per worker.
const MIN_RETRIES_PER_SECOND: u64 = 10;
/// Unused time is kept this long, so that the minimum is a rate and not a reserve for a storm.
const WINDOW: Duration = Duration::from_secs(1);
/// One retry, in hundredths, so that one request can deposit a percentage.
const RETRY: u64 = 100;
/// Most allowance kept: 20 % of 20 000 requests.
const CAPACITY: u64 = 4000 * RETRY;

/// A token bucket filled by requests and by time. Starts with the minimum for one window.
#[derive(Debug)]
pub struct RetryBudget {
    tokens: AtomicU64,
    filled_at_micros: AtomicU64,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self {
            tokens: AtomicU64::new(MIN_RETRIES_PER_SECOND * WINDOW.as_secs() * RETRY),
            filled_at_micros: AtomicU64::new(0),
        }
    }
}

impl RetryBudget {
    /// Adds one request's share of `percent`.
    pub fn deposit(&self, percent: u8) {
        let tokens = self.tokens.load(Ordering::Relaxed) + u64::from(percent);
        self.tokens.store(tokens.min(CAPACITY), Ordering::Relaxed);
    }

    /// Takes one retry out at `now`, if there is one.
    pub fn withdraw(&self, now: Moment) -> bool {
        let filled_at = Moment(self.filled_at_micros.load(Ordering::Relaxed));
        let elapsed = now.since(filled_at).min(WINDOW);
        let gained =
            u64::try_from(elapsed.as_micros()).unwrap_or(0) * MIN_RETRIES_PER_SECOND * RETRY / 1_000_000;
        let mut tokens = self.tokens.load(Ordering::Relaxed);
        if gained > 0 {
            // Time alone never fills beyond its own share; only requests add more.
            let share = MIN_RETRIES_PER_SECOND * WINDOW.as_secs() * RETRY;
            tokens = tokens.max(share.min(tokens + gained));
            self.filled_at_micros.store(now.0, Ordering::Relaxed);
        }
        let allowed = tokens >= RETRY;
        self.tokens.store(if allowed { tokens - RETRY } else { tokens }, Ordering::Relaxed);
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(budget: &RetryBudget, now: Moment) -> u32 {
        std::iter::repeat_with(|| budget.withdraw(now)).take_while(|allowed| *allowed).fold(0, |n, _| n + 1)
    }

    #[test]
    fn ten_a_second_are_always_allowed_and_a_fifth_of_requests_on_top() {
        let budget = RetryBudget::default();
        assert_eq!(drain(&budget, Moment(0)), 10);
        assert_eq!(drain(&budget, Moment(1_000_000)), 10);
        for _ in 0..1000 {
            budget.deposit(20);
        }
        assert_eq!(drain(&budget, Moment(1_000_000)), 200);
        assert_eq!(drain(&budget, Moment(3_600_000_000)), 10, "unused time is kept for one window only");
    }

    #[test]
    fn a_budget_of_nothing_still_allows_the_minimum() {
        let budget = RetryBudget::default();
        drain(&budget, Moment(0));
        budget.deposit(0);
        assert!(!budget.withdraw(Moment(0)));
        assert!(budget.withdraw(Moment(100_000)));
    }
}
