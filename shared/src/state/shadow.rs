//! What a second algorithm would have done, to whose servers nothing is sent.
//!
//! A shadow has requests in flight of its own: one more at the server it picks, one less when the real request ends, wherever
//! that was. So its picks react to its own load. How long a request would have taken is told from real answers, by the same
//! averages for both algorithms: of answers that met about as many requests, slow enough in following that neither
//! algorithm goes by them.
//! Hot path: only where there is a shadow. No lock, no allocation but the first time a server is met.

use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    time::Duration,
};

use super::{
    Counter, Histogram, HistogramCounts, PerWorker,
    latency::{CLASSES, class},
};
use crate::time::{Now, Timestamp};

/// Answers that an average takes account of.
const MEMORY: u32 = 64;
/// Answers from which on an average says something.
const FEWEST: u32 = 8;

/// What one shadow has done since its settings, or those of the algorithm beside it, were last changed.
#[derive(Debug)]
pub struct ShadowState {
    /// Since when the numbers count.
    pub since: Timestamp,
    /// Positions in the round-robin schedule, by worker.
    pub cursors: PerWorker<Counter>,
    /// Numbers, by worker.
    pub counters: PerWorker<ShadowCounters>,
    /// Later for a later shadow.
    era: u64,
}

/// What one worker counted.
#[derive(Debug, Default)]
pub struct ShadowCounters {
    /// Requests that both algorithms picked a server for.
    pub requests: Counter,
    /// Those for which they picked different ones.
    pub elsewhere: Counter,
    /// Requests for which the shadow found no server with room.
    pub unplaced: Counter,
    /// Latency expected of the servers that were picked.
    pub real: Histogram,
    /// Latency expected of those that the shadow picked, of the same requests.
    pub shadow: Histogram,
}

/// What all workers counted.
#[derive(Clone, Debug, Default)]
pub struct ShadowTotals {
    /// Requests that both algorithms picked a server for.
    pub requests: u64,
    /// Those for which they picked different ones.
    pub elsewhere: u64,
    /// Requests for which the shadow found no server with room.
    pub unplaced: u64,
    /// Latency expected of the servers that were picked.
    pub real: HistogramCounts,
    /// Latency expected of those that the shadow picked, of the same requests.
    pub shadow: HistogramCounts,
}

impl ShadowState {
    /// A shadow that begins `now`, for `workers` workers.
    #[must_use]
    pub fn new(workers: usize, now: Now) -> Self {
        Self {
            since: now.wall,
            cursors: PerWorker::new(workers),
            counters: PerWorker::new(workers),
            era: now.moment.0.max(1),
        }
    }

    /// What all workers counted.
    #[must_use]
    pub fn totals(&self) -> ShadowTotals {
        let mut totals = ShadowTotals::default();
        for worker in self.counters.iter() {
            totals.requests += worker.requests.value();
            totals.elsewhere += worker.elsewhere.value();
            totals.unplaced += worker.unplaced.value();
            totals.real.add(&worker.real);
            totals.shadow.add(&worker.shadow);
        }
        totals
    }
}

/// What a shadow makes of one server. On a cache line of its own, as a shadow's picks read and write it.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct ShadowLoad {
    in_flight: AtomicU32,
    /// Of which shadow the picks are.
    era: AtomicU64,
    real: AtomicU64,
    shadow: AtomicU64,
    /// By class of requests in flight: how many answers, and bits of the average in microseconds.
    expected: [AtomicU64; CLASSES],
}

impl ShadowLoad {
    /// Counts one request of the shadow's more. Whoever calls this calls [`Self::end`] once.
    pub fn start(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one request of the shadow's less.
    pub fn end(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// Requests under way here, had the shadow's picks been followed.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Counts a request that was sent here beside the shadow of `state`.
    pub fn count_real(&self, state: &ShadowState) {
        if self.is_of(state) {
            self.real.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a request that the shadow of `state` would have sent here.
    pub fn count_shadow(&self, state: &ShadowState) {
        if self.is_of(state) {
            self.shadow.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Requests sent here beside the shadow of `state`, and those it would have sent.
    #[must_use]
    pub fn counts(&self, state: &ShadowState) -> (u64, u64) {
        if self.era.load(Ordering::Acquire) != state.era {
            return (0, 0);
        }
        (self.real.load(Ordering::Relaxed), self.shadow.load(Ordering::Relaxed))
    }

    /// Whether the numbers are those of `state`: begun anew for a later shadow than they were of. What other workers count
    /// at that very moment may be lost.
    fn is_of(&self, state: &ShadowState) -> bool {
        let known = self.era.load(Ordering::Acquire);
        if known < state.era
            && self.era.compare_exchange(known, state.era, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        {
            self.real.store(0, Ordering::Relaxed);
            self.shadow.store(0, Ordering::Relaxed);
        }
        known <= state.era
    }

    /// Takes in an answer, no error, that took `sample` and had met `in_flight` other requests.
    #[expect(clippy::cast_precision_loss, reason = "seven digits are plenty for an average")]
    pub fn answered(&self, sample: Duration, in_flight: u32) {
        let Some(slot) = self.expected.get(class(in_flight)) else { return };
        let sample = u64::try_from(sample.as_micros()).unwrap_or(u64::MAX) as f32;
        let (count, average) = unpack(slot.load(Ordering::Relaxed));
        let share = 1.0 / (count + 1).min(MEMORY) as f32;
        // Of two answers at the same instant one may be left out.
        slot.store(pack((count + 1).min(MEMORY), average + (sample - average) * share), Ordering::Relaxed);
    }

    /// How long an answer takes on average that meets about `in_flight` other requests, as far as such were seen: else as
    /// long as with the nearest number below, or above. `None` before there were some.
    #[must_use]
    pub fn expected(&self, in_flight: u32) -> Option<Duration> {
        let known = |slot: &AtomicU64| {
            let (count, average) = unpack(slot.load(Ordering::Relaxed));
            (count >= FEWEST).then_some(average)
        };
        let class = class(in_flight);
        let below = self.expected.iter().take(class + 1).rev().find_map(known);
        let micros = below.or_else(|| self.expected.iter().skip(class + 1).find_map(known))?;
        Duration::try_from_secs_f32(micros / 1e6).ok()
    }
}

fn pack(count: u32, average: f32) -> u64 {
    u64::from(count) << 32 | u64::from(average.to_bits())
}

#[expect(clippy::cast_possible_truncation, reason = "both halves have 32 bits")]
fn unpack(packed: u64) -> (u32, f32) {
    ((packed >> 32) as u32, f32::from_bits(packed as u32))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Moment;

    fn state(second: u64) -> ShadowState {
        let moment = Moment::from_elapsed(Duration::from_secs(second));
        ShadowState::new(1, Now { moment, ..Now::default() })
    }

    #[test]
    fn picks_are_counted_for_the_latest_shadow_alone() {
        let (first, second) = (state(1), state(2));
        let load = ShadowLoad::default();
        load.count_real(&first);
        load.count_shadow(&first);
        load.count_shadow(&first);
        assert_eq!((load.counts(&first), load.counts(&second)), ((1, 2), (0, 0)));
        load.count_real(&second);
        load.count_shadow(&first);
        assert_eq!((load.counts(&first), load.counts(&second)), ((0, 0), (1, 0)), "a late one of the first");
    }

    #[test]
    fn what_is_in_flight_outlives_a_change_of_shadows() {
        let load = ShadowLoad::default();
        load.start();
        load.count_shadow(&state(1));
        load.start();
        load.count_shadow(&state(2));
        load.end();
        assert_eq!(load.in_flight(), 1);
    }

    #[test]
    fn latency_is_expected_by_what_is_in_flight() {
        let load = ShadowLoad::default();
        let millis = Duration::from_millis;
        (1..FEWEST).for_each(|_| load.answered(millis(10), 0));
        assert_eq!(load.expected(0), None, "too few to say");
        load.answered(millis(10), 0);
        (0..FEWEST).for_each(|n| load.answered(millis(40 + 20 * u64::from(n % 2)), 9));
        let expected = |in_flight| load.expected(in_flight).unwrap().as_millis();
        assert_eq!([0, 5, 8, 100].map(expected), [10, 10, 50, 50]);
        let other = ShadowLoad::default();
        (0..FEWEST).for_each(|_| other.answered(millis(7), 9));
        assert_eq!(other.expected(0), Some(millis(7)), "nothing below is known");
    }

    #[test]
    fn averages_follow_slowly() {
        let load = ShadowLoad::default();
        (0..1000).for_each(|_| load.answered(Duration::from_millis(10), 0));
        load.answered(Duration::from_millis(74), 0);
        assert_eq!(load.expected(0).unwrap().as_millis(), 11, "a sixty-fourth of the difference");
    }
}
