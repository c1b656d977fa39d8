//! Allowances of requests: how often each key may ask, and what it has left.
//!
//! A token bucket kept as one number, the time at which it will be full again (the generic cell rate algorithm of ATM
//! traffic control, ITU-T I.371): nothing has to be refilled, and a key that has not asked for a while is a number in the
//! past, as good as none. Exact over all workers: a key's number changes under the lock of its shard.
//! Bounded: a shard that is full forgets buckets that are full again, which loses nothing, and then the fullest ones, whose
//! keys have used the least.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::time::Moment;

/// Locks, so that workers seldom wait for each other.
const SHARDS: usize = 64;

/// How often one key may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Time in which one request is earned, in nanoseconds.
    interval: u64,
    /// Requests that may come at once.
    burst: u64,
}

impl Rate {
    /// `requests` in each `per`, and `burst` at once.
    #[must_use]
    pub fn new(requests: u32, per: Duration, burst: u32) -> Self {
        let per = u64::try_from(per.as_nanos()).unwrap_or(u64::MAX);
        Self { interval: (per / u64::from(requests.max(1))).max(1), burst: u64::from(burst.max(1)) }
    }

    /// What is left at `now` of a bucket that is full at `full`, both in nanoseconds.
    fn left(self, full: u64, now: u64) -> Left {
        let used = full.saturating_sub(now);
        Left {
            requests: self.burst.saturating_sub(used.div_ceil(self.interval)),
            full_in: Duration::from_nanos(used),
        }
    }

    /// Takes one request at `now` out of a bucket that is full at `full`, both in nanoseconds. Answers when it is full then;
    /// or, if it has none, in how long it has one.
    fn take(self, full: u64, now: u64) -> Result<u64, u64> {
        let next = full.max(now).saturating_add(self.interval);
        let latest = now.saturating_add(self.interval.saturating_mul(self.burst));
        if next > latest { Err(next - latest) } else { Ok(next) }
    }
}

/// What a key has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// Requests that may come at once.
    pub requests: u64,
    /// In how long there will be as many as there can be, if none comes.
    pub full_in: Duration,
}

/// The keys are hashes already.
#[derive(Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}

/// When each key's bucket is full again, in nanoseconds.
type Shard = HashMap<u64, u64, BuildHasherDefault<Hashed>>;

/// What each key has left.
#[derive(Debug)]
pub struct Allowances {
    shards: Box<[Mutex<Shard>]>,
    refused: AtomicU64,
    forgotten: AtomicU64,
}

impl Default for Allowances {
    fn default() -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { shards, refused: AtomicU64::new(0), forgotten: AtomicU64::new(0) }
    }
}

impl Allowances {
    /// Takes one request of `key` at `now`; at most about `max_keys` keys are remembered. Answers what is left.
    ///
    /// # Errors
    /// There is none left: in how long there is one.
    pub fn take(&self, key: u64, rate: Rate, max_keys: usize, now: Moment) -> Result<Left, Duration> {
        let now = nanos(now);
        let mut shard = self.shard(key);
        if let Some(full) = shard.get_mut(&key) {
            return match rate.take(*full, now) {
                Ok(next) => {
                    *full = next;
                    Ok(rate.left(next, now))
                }
                Err(wait) => {
                    drop(shard);
                    self.refused.fetch_add(1, Ordering::Relaxed);
                    Err(Duration::from_nanos(wait))
                }
            };
        }
        let room = max_keys.div_ceil(SHARDS).max(1);
        if shard.len() >= room {
            // An eighth at once: to look at all of them for each new key would take the longer the more there are.
            let forgotten = forget(&mut shard, (room - room / 8).min(room - 1), now);
            self.forgotten.fetch_add(forgotten, Ordering::Relaxed);
        }
        let next = now.saturating_add(rate.interval);
        shard.insert(key, next);
        Ok(rate.left(next, now))
    }

    /// Gives one request of `key` back, which was not let through for another reason.
    pub fn give_back(&self, key: u64, rate: Rate) {
        if let Some(full) = self.shard(key).get_mut(&key) {
            *full = full.saturating_sub(rate.interval);
        }
    }

    /// Requests refused.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Keys forgotten before their buckets were full again, for want of room.
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        self.forgotten.load(Ordering::Relaxed)
    }

    /// Keys remembered, some of them perhaps with full buckets.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    fn shard(&self, key: u64) -> MutexGuard<'_, Shard> {
        // Bits from the middle: the map uses those at both ends.
        let index = usize::try_from(key >> 32).unwrap_or(0) % self.shards.len();
        #[expect(clippy::indexing_slicing, reason = "the remainder is below the length")]
        lock(&self.shards[index])
    }
}

/// Leaves at most `most` keys in `shard`. Answers how many were forgotten that had used something.
fn forget(shard: &mut Shard, most: usize, now: u64) -> u64 {
    shard.retain(|_, full| *full > now);
    let surplus = shard.len().saturating_sub(most);
    if surplus == 0 {
        return 0;
    }
    let mut times: Vec<u64> = shard.values().copied().collect();
    let (_, last, _) = times.select_nth_unstable(surplus - 1);
    let last = *last;
    let before = shard.len();
    shard.retain(|_, full| *full > last);
    u64::try_from(before - shard.len()).unwrap_or(u64::MAX)
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

fn nanos(now: Moment) -> u64 {
    now.0.saturating_mul(1000)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use proptest::prelude::*;

    use super::*;

    const MANY: usize = 65_536;

    fn at(millis: u64) -> Moment {
        // The process has run for a while.
        Moment(1_000_000_000 + millis * 1000)
    }

    #[test]
    fn a_burst_and_then_the_rate() {
        let allowances = Allowances::default();
        let rate = Rate::new(10, Duration::from_secs(1), 3);
        let take = |millis| allowances.take(1, rate, MANY, at(millis));
        assert!((0..3).all(|_| take(0).is_ok()));
        assert_eq!(take(0), Err(Duration::from_millis(100)));
        assert_eq!(take(60), Err(Duration::from_millis(40)));
        let left = Left { requests: 0, full_in: Duration::from_millis(300) };
        assert_eq!(take(100), Ok(left));
        assert_eq!(take(100), Err(Duration::from_millis(100)));
        assert!((0..3).all(|_| take(10_000).is_ok()), "what is not used is kept, up to the burst");
        assert!(take(10_000).is_err());
        assert!(allowances.take(2, rate, MANY, at(10_000)).is_ok(), "another key");
        assert_eq!((allowances.refused(), allowances.keys()), (4, 2));
    }

    #[test]
    fn a_full_shard_makes_room_for_many_at_once() {
        let allowances = Allowances::default();
        let rate = Rate::new(1, Duration::from_secs(60), 1);
        let take = |n: u64| allowances.take((n * 64) << 32, rate, 64 * 64, at(n)).unwrap();
        for n in 0..64 {
            take(n);
        }
        assert_eq!((allowances.keys(), allowances.forgotten()), (64, 0));
        take(64);
        assert_eq!((allowances.keys(), allowances.forgotten()), (57, 8), "an eighth, and one more");
    }

    /// Counted by hand: three at once, one earned every 100 ms.
    #[test]
    fn what_is_left_is_told() {
        let allowances = Allowances::default();
        let rate = Rate::new(10, Duration::from_secs(1), 3);
        let left = |millis| {
            let left = allowances.take(1, rate, MANY, at(millis)).unwrap();
            (left.requests, left.full_in.as_millis())
        };
        assert_eq!([left(0), left(0)], [(2, 100), (1, 200)]);
        assert_eq!(left(50), (0, 250), "half of one is none");
        assert_eq!(left(150), (0, 250));
        assert_eq!(left(10_000), (2, 100));
    }

    #[test]
    fn what_was_given_back_can_be_used() {
        let allowances = Allowances::default();
        let rate = Rate::new(1, Duration::from_secs(60), 1);
        assert!(allowances.take(1, rate, MANY, at(0)).is_ok());
        allowances.give_back(1, rate);
        assert!(
            allowances.take(1, rate, MANY, at(1)).is_ok() && allowances.take(1, rate, MANY, at(2)).is_err()
        );
    }

    #[test]
    fn a_change_of_the_rate_keeps_what_was_used() {
        let allowances = Allowances::default();
        let slow = Rate::new(1, Duration::from_secs(10), 2);
        assert!((0..2).all(|_| allowances.take(1, slow, MANY, at(0)).is_ok()));
        let fast = Rate::new(10, Duration::from_secs(1), 2);
        assert!(allowances.take(1, fast, MANY, at(0)).is_err());
        let generous = Rate::new(1, Duration::from_secs(10), 3);
        assert!(allowances.take(1, generous, MANY, at(0)).is_ok());
    }

    #[test]
    fn the_fullest_buckets_are_forgotten_first_and_there_are_never_too_many() {
        let allowances = Allowances::default();
        let rate = Rate::new(1, Duration::from_secs(1), 10);
        // Keys of one shard, which may remember two.
        for _ in 0..10 {
            allowances.take(0, rate, 128, at(0)).unwrap();
        }
        for n in 1..1000 {
            allowances.take(n, rate, 128, at(0)).unwrap();
            assert!(allowances.keys() <= 2, "{}", allowances.keys());
        }
        assert!(
            allowances.take(0, rate, 128, at(0)).is_err(),
            "the one that has used the most is remembered"
        );
        assert!(allowances.forgotten() > 900, "{}", allowances.forgotten());
        // Unused again: forgotten without loss.
        let before = allowances.forgotten();
        allowances.take(5000, rate, 128, at(60_000)).unwrap();
        assert_eq!((allowances.forgotten(), allowances.keys()), (before, 1));
    }

    #[test]
    fn workers_that_ask_at_once_get_no_more_than_there_is() {
        let allowances = Allowances::default();
        let rate = Rate::new(1, Duration::from_secs(3600), 500);
        let got: usize = thread::scope(|scope| {
            let work = || (0..400).filter(|_| allowances.take(7, rate, MANY, at(0)).is_ok()).count();
            let workers: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
            workers.into_iter().map(|worker| worker.join().unwrap()).sum()
        });
        assert_eq!((got, allowances.refused()), (500, 1100));
    }

    proptest! {
        /// Whatever the times of asking, no span of time gets more than its share and a burst; and who is told to wait gets
        /// through after that time.
        #[test]
        fn the_rate_holds_over_any_time(
            requests in 1_u32..1000,
            per_ms in 100_u64..10_000,
            burst in 1_u32..50,
            gaps in prop::collection::vec(0_u64..2000, 1..200),
        ) {
            let allowances = Allowances::default();
            let rate = Rate::new(requests, Duration::from_millis(per_ms), burst);
            let (mut now, mut let_through) = (at(0), 0_u64);
            for gap in gaps {
                now = Moment(now.0 + gap * 100);
                match allowances.take(1, rate, MANY, now) {
                    Ok(_) => let_through += 1,
                    Err(wait) => {
                        let then = Moment(now.0 + u64::try_from(wait.as_nanos().div_ceil(1000)).unwrap());
                        prop_assert!(rate.take(*lock(&allowances.shards[0]).get(&1).unwrap(), nanos(then)).is_ok());
                    }
                }
            }
            let elapsed = nanos(now) - nanos(at(0));
            let most = u64::from(burst) + elapsed / rate.interval;
            prop_assert!(let_through <= most, "{} of at most {}", let_through, most);
        }
    }
}
