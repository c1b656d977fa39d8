//! How fast a server answers: moving averages that fit atomics.
//!
//! Written once per answer, and only where an algorithm asks for it. Workers write without a lock: of two answers at the
//! same instant one may be left out, which no average notices.
//!
//! Source: Finagle's peak EWMA (an average that jumps up and decays by time), and Wydrowski et al., "Load is not what you
//! should balance: Introducing Prequal" (NSDI 2024): latency is judged among answers that met as many requests in flight.

use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    time::Duration,
};

use crate::time::Moment;

/// Classes of requests in flight: 0, 1, 2, 3, 4–5, 6–7, 8–11, … each twice as wide every second one.
const CLASSES: usize = 16;

/// Latency of one server in microseconds, over all workers. On a cache line of its own: every pick by latency reads it.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Latency {
    /// When it was last written, in microseconds; 0 = never.
    updated: AtomicU64,
    /// Bits of `f32`.
    average: AtomicU32,
    /// Bits of `f32`.
    peak: AtomicU32,
    /// Averages by class of requests in flight, bits of `f32`; 0 = none yet.
    near: [AtomicU32; CLASSES],
}

impl Latency {
    /// Takes in an answer that took `sample` and had met `in_flight` other requests at the server.
    pub fn record(&self, sample: Duration, in_flight: u32, now: Moment, decay: Duration) {
        let sample = micros(sample);
        let updated = self.updated.swap(now.0.max(1), Ordering::Relaxed);
        let class = self.near.get(class(in_flight));
        if updated == 0 {
            self.average.store(sample.to_bits(), Ordering::Relaxed);
            self.peak.store(sample.to_bits(), Ordering::Relaxed);
        } else {
            let kept = kept(Moment(updated), now, decay);
            let blend = |before: f32| before * kept + sample * (1.0 - kept);
            store(&self.average, blend(load(&self.average)));
            let peak = load(&self.peak);
            store(&self.peak, if sample > peak { sample } else { blend(peak) });
        }
        if let Some(class) = class {
            let before = load(class);
            // By answers and not by time: a class that comes up rarely is not forgotten meanwhile.
            store(class, if before == 0.0 { sample } else { before + (sample - before) / 8.0 });
        }
    }

    /// The average of the answers; `None` before the first. Without answers it falls, so that a server once slow is tried
    /// again.
    #[must_use]
    pub fn average(&self, now: Moment, decay: Duration) -> Option<f32> {
        self.decayed(&self.average, now, decay)
    }

    /// The average that slow answers raise at once.
    #[must_use]
    pub fn peak(&self, now: Moment, decay: Duration) -> Option<f32> {
        self.decayed(&self.peak, now, decay)
    }

    /// The average of the answers that met about `in_flight` other requests, or the nearest known below or else above.
    /// It falls without answers as the others do.
    #[must_use]
    pub fn near(&self, in_flight: u32, now: Moment, decay: Duration) -> Option<f32> {
        let class = class(in_flight);
        let known = |class: &&AtomicU32| load(class) > 0.0;
        let below = self.near.iter().take(class + 1).rev().find(known);
        let nearest = below.or_else(|| self.near.iter().skip(class + 1).find(known))?;
        self.decayed(nearest, now, decay)
    }

    fn decayed(&self, value: &AtomicU32, now: Moment, decay: Duration) -> Option<f32> {
        match self.updated.load(Ordering::Relaxed) {
            0 => None,
            updated => Some(load(value) * kept(Moment(updated), now, decay)),
        }
    }
}

/// The share of an average that is left after the time since `updated`.
fn kept(updated: Moment, now: Moment, decay: Duration) -> f32 {
    let elapsed = micros(now.since(updated));
    let x = elapsed / micros(decay).max(1.0);
    // Within a thousandth of 1, where most calls are, the exponential is its tangent.
    if x < 0.03 { 1.0 - x } else { (-x).exp() }
}

fn class(in_flight: u32) -> usize {
    if in_flight < 3 {
        return in_flight as usize;
    }
    let octave = 31 - in_flight.leading_zeros();
    let half = (in_flight >> (octave - 1)) & 1;
    ((2 * octave + half) as usize).min(CLASSES - 1)
}

#[expect(clippy::cast_precision_loss, reason = "seven digits are plenty for an average")]
fn micros(time: Duration) -> f32 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX) as f32
}

fn load(value: &AtomicU32) -> f32 {
    f32::from_bits(value.load(Ordering::Relaxed))
}

fn store(value: &AtomicU32, latency: f32) {
    value.store(latency.to_bits(), Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    const DECAY: Duration = Duration::from_secs(10);

    fn at(seconds: u64) -> Moment {
        Moment::from_elapsed(Duration::from_secs(seconds))
    }

    fn close(value: Option<f32>, expected: f32) {
        let value = value.expect("measured");
        assert!((value - expected).abs() <= expected * 0.001, "{value} for {expected}");
    }

    #[test]
    fn nothing_is_known_before_the_first_answer() {
        let latency = Latency::default();
        assert_eq!(
            (latency.average(at(1), DECAY), latency.peak(at(1), DECAY), latency.near(3, at(1), DECAY)),
            (None, None, None)
        );
    }

    #[test]
    fn averages_follow_time_and_the_peak_follows_the_worst_at_once() {
        let latency = Latency::default();
        latency.record(Duration::from_millis(10), 0, at(1), DECAY);
        latency.record(Duration::from_millis(100), 0, at(11), DECAY);
        let kept = (-1.0_f32).exp();
        close(latency.average(at(11), DECAY), 10_000.0 * kept + 100_000.0 * (1.0 - kept));
        close(latency.peak(at(11), DECAY), 100_000.0);
        latency.record(Duration::from_millis(10), 0, at(21), DECAY);
        close(latency.peak(at(21), DECAY), 100_000.0 * kept + 10_000.0 * (1.0 - kept));
    }

    #[test]
    fn a_server_without_answers_is_forgiven() {
        let latency = Latency::default();
        latency.record(Duration::from_secs(1), 0, at(1), DECAY);
        close(latency.average(at(31), DECAY), 1_000_000.0 * (-3.0_f32).exp());
    }

    #[test]
    fn answers_are_judged_by_what_they_met() {
        let latency = Latency::default();
        latency.record(Duration::from_millis(1), 0, at(1), DECAY);
        latency.record(Duration::from_millis(50), 9, at(1), DECAY);
        close(latency.near(0, at(1), DECAY), 1000.0);
        close(latency.near(5, at(1), DECAY), 1000.0);
        close(latency.near(10, at(1), DECAY), 50_000.0);
        close(latency.near(4_000_000_000, at(1), DECAY), 50_000.0);
        let other = Latency::default();
        other.record(Duration::from_millis(50), 9, at(1), DECAY);
        close(other.near(0, at(1), DECAY), 50_000.0);
    }

    #[test]
    fn classes_widen() {
        let classes: Vec<usize> = [0, 1, 2, 3, 4, 5, 6, 8, 12, 16].into_iter().map(class).collect();
        assert_eq!(classes, [0, 1, 2, 3, 4, 4, 5, 6, 7, 8]);
        assert_eq!(class(u32::MAX), CLASSES - 1);
    }
}
