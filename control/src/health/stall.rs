//! How long the checker's thread was kept from running, so that a timeout is blamed on whoever caused it.
//!
//! While checks are under way the thread means to wake every few milliseconds. What it sleeps longer than that is
//! time in which no server could have been heard.

use std::time::Duration;

use tokio::time::Instant;

/// Time between two wake-ups while checks are under way.
const TICK: Duration = Duration::from_millis(20);
/// Lateness that any busy system shows, and that says nothing.
const NOISE: Duration = Duration::from_millis(5);

/// Adds up the time that the thread was kept from running.
#[derive(Debug)]
pub(super) struct StallMeter {
    next_tick: Instant,
    total: Duration,
}

impl StallMeter {
    /// A meter that is started with [`Self::resume`].
    pub(super) fn new(now: Instant) -> Self {
        Self { next_tick: now, total: Duration::ZERO }
    }

    /// Begins to measure at `now`; the time before does not count.
    pub(super) fn resume(&mut self, now: Instant) {
        self.next_tick = now + TICK;
    }

    /// When the thread has to wake for the next measurement.
    pub(super) fn next_tick(&self) -> Instant {
        self.next_tick
    }

    /// Notes that the thread runs at `now`.
    pub(super) fn tick(&mut self, now: Instant) {
        if now >= self.next_tick {
            self.total = self.total(now);
            self.next_tick = now + TICK;
        }
    }

    /// All the time the thread was kept from running, up to `now`.
    pub(super) fn total(&self, now: Instant) -> Duration {
        let late = now.saturating_duration_since(self.next_tick);
        if late > NOISE { self.total + late } else { self.total }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_time_past_a_tick_counts() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut meter = StallMeter::new(start);
        meter.resume(at(1000));
        assert_eq!(meter.total(at(1024)), Duration::ZERO, "noise");
        meter.tick(at(1010));
        meter.tick(at(1021));
        assert_eq!(meter.next_tick(), at(1041));
        assert_eq!(meter.total(at(3041)), Duration::from_secs(2), "seen even before the tick is handled");
        meter.tick(at(3041));
        meter.tick(at(3061));
        assert_eq!(meter.total(at(3062)), Duration::from_secs(2));
        meter.resume(at(9000));
        assert_eq!(meter.total(at(9001)), Duration::from_secs(2), "time without checks does not count");
    }
}
