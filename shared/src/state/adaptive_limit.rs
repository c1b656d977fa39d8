//! A limit of requests under way that follows how fast a server answers.
//!
//! Answers are averaged over a window and the limit takes one step for each: up by what the server may queue while answers
//! are as fast as usual, down in proportion when they are slower. Answers only add to sums; the first one after a window's
//! end does the arithmetic.
//!
//! What lasts becomes usual: under an overload of many minutes the limit creeps up again, which `max` and `max_requests`
//! bound.
//!
//! Source: Gradient2 of Netflix's concurrency-limits, with its constants.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::time::Moment;

/// Answers a window needs.
const ENOUGH: u32 = 10;
/// Steps whose plain average the usual latency begins as.
const WARM_UP: u32 = 10;

/// How a limit follows.
#[derive(Clone, Copy, Debug)]
pub struct AdaptivePolicy {
    /// Of a server nobody has heard from.
    pub initial: u32,
    /// Lowest.
    pub min: u32,
    /// Highest.
    pub max: u32,
    /// How far one step goes.
    pub smoothing: f64,
    /// How many times slower than usual is as usual.
    pub tolerance: f64,
    /// Requests that may wait inside the server.
    pub queue: u32,
    /// Time of a step.
    pub window: Duration,
    /// Steps over which the usual latency is averaged.
    pub long_windows: u32,
}

/// The limit of one server.
#[derive(Debug, Default)]
pub struct AdaptiveLimit {
    /// 0 = none found yet.
    limit: AtomicU32,
    answers: AtomicU32,
    /// Most requests under way that an answer has met, itself included.
    most: AtomicU32,
    sum_micros: AtomicU64,
    /// When the window ends, in microseconds; 0 = none has begun.
    ends: AtomicU64,
    gradient: Mutex<Gradient>,
}

impl AdaptiveLimit {
    /// The limit now.
    #[must_use]
    pub fn limit(&self, policy: AdaptivePolicy) -> u32 {
        match self.limit.load(Ordering::Relaxed) {
            0 => policy.initial.clamp(policy.min, policy.max),
            limit => limit.clamp(policy.min, policy.max),
        }
    }

    /// Takes in an answer that took `sample`, and had `in_flight` requests under way beside it when it was asked for.
    pub fn record(&self, sample: Duration, in_flight: u32, policy: AdaptivePolicy, now: Moment) {
        self.sum_micros.fetch_add(u64::try_from(sample.as_micros()).unwrap_or(0), Ordering::Relaxed);
        self.most.fetch_max(in_flight.saturating_add(1), Ordering::Relaxed);
        let answers = self.answers.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let ends = self.ends.load(Ordering::Relaxed);
        if ends == 0 {
            self.ends.store(now.plus(policy.window).0, Ordering::Relaxed);
        } else if now.0 >= ends && answers >= ENOUGH {
            // Whoever is second leaves it to the first.
            if let Ok(mut gradient) = self.gradient.try_lock() {
                self.step(&mut gradient, policy, now);
            }
        }
    }

    fn step(&self, gradient: &mut Gradient, policy: AdaptivePolicy, now: Moment) {
        // Answers between these lines count a little in the next window: an average does not notice.
        let answers = self.answers.swap(0, Ordering::Relaxed);
        let sum = self.sum_micros.swap(0, Ordering::Relaxed);
        let most = self.most.swap(0, Ordering::Relaxed);
        self.ends.store(now.plus(policy.window).0, Ordering::Relaxed);
        if answers == 0 {
            return;
        }
        #[expect(clippy::cast_precision_loss, reason = "an average of latencies")]
        let short = sum as f64 / f64::from(answers);
        self.limit.store(gradient.step(short, most, policy), Ordering::Relaxed);
    }
}

/// The arithmetic.
#[derive(Debug, Default)]
struct Gradient {
    /// The limit with its fraction; 0 = none yet.
    limit: f64,
    /// The usual latency in microseconds.
    long: f64,
    steps: u32,
}

impl Gradient {
    /// One step after a window in which answers took `short` microseconds on average and at most `in_flight` requests were
    /// under way. Answers the limit.
    fn step(&mut self, short: f64, in_flight: u32, policy: AdaptivePolicy) -> u32 {
        let (min, max) = (f64::from(policy.min), f64::from(policy.max.max(policy.min)));
        if self.limit == 0.0 {
            self.limit = f64::from(policy.initial);
        }
        self.limit = self.limit.clamp(min, max);
        let short = short.max(1.0);
        self.usual(short, policy.long_windows);
        if self.long / short > 2.0 {
            // An overload that is over: what was usual in it is not.
            self.long *= 0.95;
        }
        if f64::from(in_flight) >= self.limit / 2.0 {
            let gradient = (policy.tolerance * self.long / short).clamp(0.5, 1.0);
            let found = self.limit * gradient + f64::from(policy.queue);
            self.limit = (self.limit * (1.0 - policy.smoothing) + found * policy.smoothing).clamp(min, max);
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between min and max")]
        let limit = self.limit as u32;
        limit
    }

    /// Takes `short` into the usual latency: a plain average first, then an exponential one.
    fn usual(&mut self, short: f64, windows: u32) {
        self.steps = self.steps.saturating_add(1);
        let share = if self.steps <= WARM_UP {
            1.0 / f64::from(self.steps)
        } else {
            2.0 / (f64::from(windows) + 1.0)
        };
        self.long += (short - self.long) * share;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const POLICY: AdaptivePolicy = AdaptivePolicy {
        initial: 20,
        min: 4,
        max: 200,
        smoothing: 0.2,
        tolerance: 1.5,
        queue: 4,
        window: Duration::from_secs(1),
        long_windows: 600,
    };

    #[test]
    fn one_step_is_as_the_formula_says() {
        let mut gradient = Gradient { limit: 100.0, long: 10_000.0, steps: 1_000_000 };
        // g = clamp(1.5 · 10 / 30, 0.5, 1) = 0.5; 0.8 · 100 + 0.2 · (100 · 0.5 + 4) = 90.8, with the usual latency hardly
        // moved.
        assert_eq!(gradient.step(30_000.0, 100, POLICY), 90);
        assert!((gradient.limit - 90.8).abs() < 0.3, "{}", gradient.limit);
        assert!((gradient.long - 10_066.6).abs() < 0.1, "{}", gradient.long);
        let mut gradient = Gradient { limit: 100.0, long: 10_000.0, steps: 1_000_000 };
        assert_eq!(gradient.step(10_000.0, 49, POLICY), 100, "half of it is not even used");
        assert_eq!(gradient.step(10_000.0, 50, POLICY), 100, "100.8 in whole requests");
        assert!((gradient.limit - 100.8).abs() < 1e-9);
    }

    /// A server that works on so many at once; more wait inside it.
    fn settle(slots: f64, steps: usize) -> Vec<u32> {
        let mut gradient = Gradient::default();
        let mut limit = POLICY.initial;
        (0..steps)
            .map(|_| {
                let load = f64::from(limit);
                limit = gradient.step(10_000.0 * (load / slots).max(1.0), limit, POLICY);
                limit
            })
            .collect()
    }

    #[test]
    fn the_limit_finds_what_a_server_can_do() {
        for slots in [30, 50] {
            let limits = settle(f64::from(slots), 100);
            let last = &limits[50..];
            assert!(last.iter().all(|limit| (slots..=2 * slots).contains(limit)), "{slots}: {last:?}");
        }
        let limits = settle(1000.0, 300);
        assert_eq!(limits.last(), Some(&200), "as many as may be");
    }

    #[test]
    fn a_server_that_turns_slow_is_given_less() {
        let mut gradient = Gradient { limit: 100.0, long: 10_000.0, steps: 1_000_000 };
        let limits: Vec<u32> = (0..20).map(|_| gradient.step(100_000.0, 100, POLICY)).collect();
        assert!(limits.windows(2).all(|pair| pair[1] < pair[0]), "{limits:?}");
        assert!(limits[19] < 30, "{limits:?}");
    }

    #[test]
    fn an_overload_that_is_over_is_forgotten() {
        let mut gradient = Gradient::default();
        (0..20).for_each(|_| {
            gradient.step(100_000.0, 20, POLICY);
        });
        let limits: Vec<u32> = (0..100).map(|_| gradient.step(10_000.0, 200, POLICY)).collect();
        assert!(gradient.long < 25_000.0, "{}", gradient.long);
        assert!(limits.last() > limits.first(), "{limits:?}");
    }

    #[test]
    fn a_step_is_taken_by_the_first_answer_after_a_window_with_enough_of_them() {
        let limit = AdaptiveLimit::default();
        let at = |millis: u64| Moment(1_000_000 + millis * 1000);
        assert_eq!(limit.limit(POLICY), 20);
        for n in 0..9 {
            limit.record(Duration::from_millis(10), 19, POLICY, at(n * 200));
        }
        assert_eq!(limit.limit(POLICY), 20, "too few");
        limit.record(Duration::from_millis(10), 19, POLICY, at(1800));
        assert_eq!(limit.limit(POLICY), 20, "20.8 in whole requests");
        for n in 0..10 {
            limit.record(Duration::from_millis(10), 19, POLICY, at(1900 + n));
        }
        assert_eq!(limit.limit(POLICY), 20, "the window is not over");
        limit.record(Duration::from_millis(10), 19, POLICY, at(2800));
        assert_eq!(limit.limit(POLICY), 21);
        assert_eq!(limit.limit(AdaptivePolicy { max: 10, ..POLICY }), 10, "a lower bound holds at once");
    }

    proptest! {
        #[test]
        fn the_limit_stays_within_its_bounds(
            steps in prop::collection::vec((0.0_f64..1e9, 0_u32..1000), 1..100),
            min in 1_u32..50,
            more in 0_u32..500,
        ) {
            let policy = AdaptivePolicy { min, max: min + more, ..POLICY };
            let mut gradient = Gradient::default();
            for (short, in_flight) in steps {
                let limit = gradient.step(short, in_flight, policy);
                prop_assert!((min..=min + more).contains(&limit), "{limit}");
            }
        }
    }
}
