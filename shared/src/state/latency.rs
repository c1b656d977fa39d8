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
pub(super) const CLASSES: usize = 16;

/// Answers from which on there is an average. Fewer say more of chance than of the server.
const FEWEST: u32 = 8;
/// Most that one answer counts for, however long the one before is past: as many as it takes to know a server.
const MOST_SHARE: f32 = 1.0 / 8.0;

/// How fast averages forget.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decay {
    /// One over the time after which an answer counts a third (1/e) of what it did; per microsecond.
    rate: f32,
}

impl Decay {
    /// An answer counts a third (1/e) of what it did after `time`.
    #[must_use]
    pub fn after(time: Duration) -> Self {
        Self { rate: 1.0 / micros(time).max(1.0) }
    }
}

/// Latency of one server in microseconds, over all workers. What every pick by latency reads comes first.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Latency {
    /// When it was last written, in microseconds.
    updated: AtomicU64,
    /// When it last answered, or was asked after having had nothing to answer; in microseconds.
    heard: AtomicU64,
    /// Answers taken in, as far as it matters.
    answers: AtomicU32,
    /// Bits of `f32`.
    average: AtomicU32,
    /// Bits of `f32`.
    peak: AtomicU32,
    /// Requests that have had no answer yet, not even the head of one.
    owed: AtomicU32,
    /// Averages by class of requests in flight, bits of `f32`; 0 = none yet.
    near: [AtomicU32; CLASSES],
}

impl Latency {
    /// Notes that a request goes to the server. Whoever calls this calls [`Self::settled`] once, when the answer has begun
    /// or is not waited for any more.
    pub fn asked(&self, now: Moment) {
        if self.owed.fetch_add(1, Ordering::Relaxed) == 0 {
            self.heard.store(now.0, Ordering::Relaxed);
        }
    }

    /// Notes that a request is no longer owed an answer.
    pub fn settled(&self) {
        self.owed.fetch_sub(1, Ordering::Relaxed);
    }

    /// For how many microseconds a server that owes answers has given none. A lower bound of what the next request will
    /// wait, known long before any answer that took so long: this is how a server that hangs is noticed.
    #[must_use]
    pub fn silence(&self, now: Moment) -> f32 {
        if self.owed.load(Ordering::Relaxed) == 0 {
            return 0.0;
        }
        elapsed(now, self.heard.load(Ordering::Relaxed))
    }

    /// Takes in an answer that took `sample` and had met `in_flight` other requests at the server.
    pub fn record(&self, sample: Duration, in_flight: u32, now: Moment, decay: Decay) {
        self.heard.store(now.0, Ordering::Relaxed);
        self.blend(sample, in_flight, now, decay);
    }

    fn blend(&self, sample: Duration, in_flight: u32, now: Moment, decay: Decay) {
        let sample = micros(sample);
        let updated = self.updated.swap(now.0, Ordering::Relaxed);
        let answers = self.answers.load(Ordering::Relaxed);
        if answers < 8 * FEWEST {
            self.answers.store(answers + 1, Ordering::Relaxed);
        }
        // The first ones count alike; later the time between them decides.
        let kept = kept(updated, now, decay);
        let share = (1.0 - kept).min(MOST_SHARE).max(1.0 / share_of(answers));
        store(&self.average, blended(load(&self.average), sample, share, kept));
        let peak = load(&self.peak);
        store(&self.peak, if sample > peak { sample } else { blended(peak, sample, share, kept) });
        self.blend_near(sample, class(in_flight), kept);
    }

    /// The same for the averages by class. Answers count there and not time: a class that comes up rarely is not forgotten
    /// meanwhile.
    fn blend_near(&self, sample: f32, class: usize, kept: f32) {
        let Some(own) = self.near.get(class) else { return };
        let before = load(own);
        if kept < 1.0 - MOST_SHARE {
            // Nothing was heard of the other classes either, and what they have fallen to would be undone by this answer.
            for near in self.near.iter().filter(|near| load(near) > sample) {
                store(near, sample.max(load(near) * kept));
            }
        }
        store(own, if before == 0.0 { sample } else { blended(before, sample, MOST_SHARE, kept) });
    }

    /// Takes in an answer that was an error. It may make the server look slower but never faster: refusing is quick, and a
    /// server that refuses must not draw the requests of all others.
    pub fn record_error(&self, sample: Duration, in_flight: u32, now: Moment, decay: Decay) {
        self.heard.store(now.0, Ordering::Relaxed);
        if let Some(average) = self.any_average() {
            self.blend(sample.max(average), in_flight, now, decay);
        }
    }

    /// Takes in that an answer was not waited for longer than `waited`. It would have taken as long again as answers take on
    /// average: who has waited for a random time is no nearer to its end (where times are exponentially distributed). To take
    /// in less would make a server look the faster the more of its answers are given up.
    pub fn record_given_up(&self, waited: Duration, in_flight: u32, now: Moment, decay: Decay) {
        if let Some(average) = self.any_average() {
            self.blend(waited + average, in_flight, now, decay);
        }
    }

    /// The average of what answers there were.
    fn any_average(&self) -> Option<Duration> {
        let average = (self.answers.load(Ordering::Relaxed) != 0).then(|| load(&self.average))?;
        Duration::try_from_secs_f32(average / 1e6).ok()
    }

    /// The average of the answers; `None` before there are some. Without answers it falls, so that a server once slow is tried
    /// again.
    #[must_use]
    pub fn average(&self, now: Moment, decay: Decay) -> Option<f32> {
        self.decayed(&self.average, now, decay)
    }

    /// The average that slow answers raise at once.
    #[must_use]
    pub fn peak(&self, now: Moment, decay: Decay) -> Option<f32> {
        self.decayed(&self.peak, now, decay)
    }

    /// The average of the answers that met about `in_flight` other requests, or the nearest known below or else above.
    /// It falls without answers as the others do.
    #[must_use]
    pub fn near(&self, in_flight: u32, now: Moment, decay: Decay) -> Option<f32> {
        let class = class(in_flight);
        let known = |class: &&AtomicU32| load(class) > 0.0;
        let below = self.near.iter().take(class + 1).rev().find(known);
        let nearest = below.or_else(|| self.near.iter().skip(class + 1).find(known))?;
        self.decayed(nearest, now, decay)
    }

    fn decayed(&self, value: &AtomicU32, now: Moment, decay: Decay) -> Option<f32> {
        let is_known = self.answers.load(Ordering::Relaxed) >= FEWEST;
        is_known.then(|| load(value) * kept(self.updated.load(Ordering::Relaxed), now, decay))
    }
}

/// The average after an answer of which a share counts, when a share of it is `kept` by the time since the answer before. A slow
/// answer moves the average as it was written, so that a server that is still slow looks so again at once. A fast one moves
/// what the average has fallen to since, which is what let the server have the request: to start anew from what was written
/// would undo the fall, and a server that was slow once would be so for as long as it takes a great many such requests.
fn blended(before: f32, sample: f32, share: f32, kept: f32) -> f32 {
    let left = if sample < before { kept.min(1.0 - share) } else { 1.0 - share };
    (before * left + sample * share).max(sample.min(before))
}

/// The share of an average that is left after the time since `updated`.
fn kept(updated: u64, now: Moment, decay: Decay) -> f32 {
    let x = elapsed(now, updated) * decay.rate;
    // Within a thousandth of 1, where most calls are, the exponential is its tangent.
    if x < 0.03 { 1.0 - x } else { (-x).exp() }
}

/// One more than `answers`.
#[expect(clippy::cast_precision_loss, reason = "a small number")]
fn share_of(answers: u32) -> f32 {
    (answers + 1) as f32
}

/// The class of an answer that met so many requests.
pub(super) fn class(in_flight: u32) -> usize {
    if in_flight < 3 {
        return in_flight as usize;
    }
    let octave = 31 - in_flight.leading_zeros();
    let half = (in_flight >> (octave - 1)) & 1;
    ((2 * octave + half) as usize).min(CLASSES - 1)
}

/// Microseconds from `earlier` to `now`; by numbers alone, because a pick asks it of every server.
#[expect(clippy::cast_precision_loss, reason = "seven digits are plenty for an average")]
fn elapsed(now: Moment, earlier: u64) -> f32 {
    now.0.saturating_sub(earlier) as f32
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

    const DECAY: Decay = Decay { rate: 1e-7 };

    fn at(seconds: u64) -> Moment {
        Moment::from_elapsed(Duration::from_secs(seconds))
    }

    fn close(value: Option<f32>, expected: f32) {
        let value = value.expect("measured");
        assert!((value - expected).abs() <= expected * 0.001, "{value} for {expected}");
    }

    /// A latency that is known: eight answers of so many milliseconds at second 1.
    fn known(millis: u64) -> Latency {
        let latency = Latency::default();
        for _ in 0..FEWEST {
            latency.record(Duration::from_millis(millis), 0, at(1), DECAY);
        }
        latency
    }

    #[test]
    fn nothing_is_known_before_there_are_some_answers() {
        let latency = Latency::default();
        for _ in 1..FEWEST {
            latency.record(Duration::from_millis(10), 0, at(1), DECAY);
        }
        assert_eq!(
            (latency.average(at(1), DECAY), latency.peak(at(1), DECAY), latency.near(3, at(1), DECAY)),
            (None, None, None)
        );
        latency.record(Duration::from_millis(90), 0, at(1), DECAY);
        close(latency.average(at(1), DECAY), 20_000.0);
    }

    #[test]
    fn averages_follow_time_and_the_peak_follows_the_worst_at_once() {
        let latency = known(10);
        (0..100).for_each(|_| latency.record(Duration::from_millis(10), 0, at(1), DECAY));
        latency.record(Duration::from_millis(100), 0, at(2), DECAY);
        let kept = (-0.1_f32).exp();
        close(latency.average(at(2), DECAY), 10_000.0 * kept + 100_000.0 * (1.0 - kept));
        close(latency.peak(at(2), DECAY), 100_000.0);
        latency.record(Duration::from_millis(10), 0, at(3), DECAY);
        close(latency.peak(at(3), DECAY), 100_000.0 * kept + 10_000.0 * (1.0 - kept));
        let before = latency.average(at(3), DECAY).unwrap();
        latency.record(Duration::from_millis(100), 0, at(100), DECAY);
        close(latency.average(at(100), DECAY), before + (100_000.0 - before) / 8.0);
    }

    /// Forty seconds of silence, and answers are fast again: the first of them does not undo what time has forgiven,
    /// for requests that meet others either.
    #[test]
    fn a_fast_answer_after_a_silence_goes_on_from_what_the_average_had_fallen_to() {
        let latency = known(1000);
        (1..8).for_each(|met| latency.record(Duration::from_millis(1000), met, at(1), DECAY));
        latency.record(Duration::from_millis(10), 0, at(41), DECAY);
        let fallen = 1_000_000.0 * (-4.0_f32).exp() + 10_000.0 / 8.0;
        close(latency.average(at(41), DECAY), fallen);
        close(latency.peak(at(41), DECAY), fallen);
        close(latency.near(0, at(41), DECAY), fallen);
        close(latency.near(3, at(41), DECAY), 1_000_000.0 * (-4.0_f32).exp());
        latency.record(Duration::from_millis(10), 0, at(81), DECAY);
        close(latency.average(at(81), DECAY), 10_000.0);
        latency.record(Duration::from_millis(1000), 0, at(121), DECAY);
        close(latency.average(at(121), DECAY), 10_000.0 + 990_000.0 / 8.0);
        let still_slow = known(1000);
        still_slow.record(Duration::from_millis(900), 0, at(41), DECAY);
        close(still_slow.average(at(41), DECAY), 900_000.0);
    }

    #[test]
    fn what_a_class_has_been_forgiven_does_not_come_back_with_the_answer_of_another() {
        for (met, millis) in [(0, 1001), (9, 10)] {
            let latency = known(1000);
            (1..4).for_each(|met| latency.record(Duration::from_millis(2000), met, at(1), DECAY));
            latency.record(Duration::from_millis(millis), met, at(41), DECAY);
            close(
                latency.near(3, at(41), DECAY),
                (2_000_000.0 * (-4.0_f32).exp()).max(micros(Duration::from_millis(millis))),
            );
        }
    }

    #[test]
    fn a_server_without_answers_is_forgiven() {
        close(known(1000).average(at(31), DECAY), 1_000_000.0 * (-3.0_f32).exp());
    }

    #[test]
    fn an_error_never_makes_a_server_look_faster() {
        let latency = Latency::default();
        latency.record_error(Duration::from_micros(100), 0, at(1), DECAY);
        assert_eq!(latency.answers.load(Ordering::Relaxed), 0, "it says nothing of how long work takes");
        let latency = known(10);
        latency.record_error(Duration::from_micros(100), 0, at(6), DECAY);
        close(latency.average(at(6), DECAY), 10_000.0);
        latency.record_error(Duration::from_millis(100), 0, at(16), DECAY);
        assert!(latency.average(at(16), DECAY).unwrap() > 20_000.0, "a slow error is slow");
    }

    /// Times of 50 ms on average, exponentially distributed, of which none is waited for longer than 30 ms: more than half
    /// are given up. The average has a memory of a hundred thousand answers, and so a standard deviation below one percent.
    #[test]
    fn what_is_given_up_does_not_make_a_server_look_faster() {
        let latency = known(50);
        let (mut random, mut now) = (7_u64, at(1));
        let decay = Decay::after(Duration::from_secs(100));
        for _ in 0..400_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let unit = ((random >> 40) + 1) as f64 / (1_u64 << 24) as f64;
            let took = Duration::from_secs_f64(-0.05 * unit.ln());
            now = now.plus(Duration::from_millis(1));
            match Duration::from_millis(30) {
                patience if took > patience => latency.record_given_up(patience, 0, now, decay),
                _ => latency.record(took, 0, now, decay),
            }
        }
        let average = latency.average(now, decay).unwrap();
        assert!((average - 50_000.0).abs() < 2500.0, "{average}");
    }

    #[test]
    fn silence_counts_only_while_answers_are_owed() {
        let latency = Latency::default();
        latency.asked(at(1));
        latency.asked(at(2));
        close(Some(latency.silence(at(3))), 2_000_000.0);
        latency.record(Duration::from_secs(2), 0, at(3), DECAY);
        latency.settled();
        close(Some(latency.silence(at(4))), 1_000_000.0);
        latency.record_given_up(Duration::from_secs(4), 1, at(6), DECAY);
        close(Some(latency.silence(at(6))), 3_000_000.0);
        latency.settled();
        assert_eq!(latency.silence(at(9)), 0.0, "an idle server has nothing to say");
        latency.asked(at(10));
        close(Some(latency.silence(at(11))), 1_000_000.0);
    }

    #[test]
    fn answers_are_judged_by_what_they_met() {
        let latency = known(1);
        latency.record(Duration::from_millis(50), 9, at(1), DECAY);
        close(latency.near(0, at(1), DECAY), 1000.0);
        close(latency.near(5, at(1), DECAY), 1000.0);
        close(latency.near(10, at(1), DECAY), 50_000.0);
        close(latency.near(4_000_000_000, at(1), DECAY), 50_000.0);
        let other = Latency::default();
        (0..FEWEST).for_each(|_| other.record(Duration::from_millis(50), 9, at(1), DECAY));
        close(other.near(0, at(1), DECAY), 50_000.0);
    }

    #[test]
    fn classes_widen() {
        let classes: Vec<usize> = [0, 1, 2, 3, 4, 5, 6, 8, 12, 16].into_iter().map(class).collect();
        assert_eq!(classes, [0, 1, 2, 3, 4, 4, 5, 6, 7, 8]);
        assert_eq!(class(u32::MAX), CLASSES - 1);
    }
}
