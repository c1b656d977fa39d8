//! How often somebody may do something: a steady rate with room for bursts, apart for each caller.
//!
//! One point in time per caller (the generic cell rate algorithm, ITU-T I.371): when it would be idle again. A caller who
//! is idle needs no memory, and with too many at once the rest share one place.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use weir_shared::time::Moment;

/// Callers remembered apart. Beyond, they share.
const MAX_CALLERS: usize = 4096;

/// A steady rate and how far it may be run ahead of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How often in a second.
    pub per_second: u32,
    /// How often at once.
    pub burst: u32,
}

/// Keeps callers to a rate.
#[derive(Debug)]
pub struct Limiter {
    interval: Duration,
    ahead: Duration,
    /// When each caller is idle again. Held for a look-up; at the bound, once for a walk over all.
    idle_at: Mutex<HashMap<String, Moment>>,
}

impl Limiter {
    /// Keeps every caller to `rate`.
    #[must_use]
    pub fn new(rate: Rate) -> Self {
        Self::every(Duration::from_secs(1) / rate.per_second.max(1), rate.burst)
    }

    /// Lets every caller pass `burst` times, and then once in `interval`.
    #[must_use]
    pub fn every(interval: Duration, burst: u32) -> Self {
        Self { interval, ahead: interval * burst.max(1), idle_at: Mutex::default() }
    }

    /// Counts one call of `caller`, or answers how long to wait for the next.
    ///
    /// # Errors
    /// When the rate is exceeded; such a call is not counted.
    pub fn take(&self, caller: &str, now: Moment) -> Result<(), Duration> {
        let mut idle_at = self.idle_at.lock().unwrap_or_else(PoisonError::into_inner);
        let caller = if idle_at.contains_key(caller) || idle_at.len() < MAX_CALLERS {
            caller
        } else {
            idle_at.retain(|_, idle| *idle > now);
            if idle_at.len() < MAX_CALLERS { caller } else { "" }
        };
        let idle = idle_at.get(caller).copied().unwrap_or(now).max(now).plus(self.interval);
        match idle.since(now).checked_sub(self.ahead).filter(|wait| !wait.is_zero()) {
            Some(wait) => Err(wait),
            None => {
                idle_at.insert(caller.to_owned(), idle);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::from_elapsed(Duration::from_millis(millis))
    }

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let limiter = Limiter::new(Rate { per_second: 10, burst: 5 });
        let passed = (0..20).filter(|_| limiter.take("a", at(1000)).is_ok()).count();
        assert_eq!(passed, 5);
        assert_eq!(limiter.take("a", at(1000)), Err(Duration::from_millis(100)));
        assert_eq!(limiter.take("b", at(1000)), Ok(()), "others are not kept waiting");
        assert_eq!(limiter.take("a", at(1100)), Ok(()));
        assert!(limiter.take("a", at(1100)).is_err());
        let passed = (0..20).filter(|_| limiter.take("a", at(9000)).is_ok()).count();
        assert_eq!(passed, 5, "idle time is saved up to the burst");
    }

    #[test]
    fn once_in_an_interval_is_once() {
        let limiter = Limiter::every(Duration::from_secs(60), 1);
        let passes = |millis| limiter.take("a", at(millis)).is_ok();
        assert_eq!(
            [0, 1, 59_999, 60_000, 60_001, 500_000].map(passes),
            [true, false, false, true, false, true]
        );
    }

    #[test]
    fn memory_is_bounded_and_idle_callers_make_room() {
        let limiter = Limiter::new(Rate { per_second: 1, burst: 1 });
        for caller in 0..MAX_CALLERS {
            assert!(limiter.take(&caller.to_string(), at(0)).is_ok());
        }
        assert!(
            limiter.take("one more", at(0)).is_ok() && limiter.take("another", at(0)).is_err(),
            "they share"
        );
        assert!(limiter.take("one more", at(5000)).is_ok() && limiter.take("another", at(5000)).is_ok());
        assert!(limiter.idle_at.lock().unwrap().len() <= MAX_CALLERS);
    }
}
