//! How the checker itself is doing: how late it is, and how much it does.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use weir_shared::time::Moment;

/// A peak of lateness is shown for at least this long, so that no scrape misses it.
const PEAK_KEPT: Duration = Duration::from_secs(30);
/// No check is due.
const NEVER: u64 = u64::MAX;

/// Numbers about the checker, written by its thread alone.
#[derive(Debug)]
pub struct CheckerStats {
    /// Greatest lateness of this period and of the one before, in microseconds.
    peak_micros: [AtomicU64; 2],
    period: AtomicU64,
    /// When the earliest waiting check is due.
    next_due: AtomicU64,
    targets: AtomicU64,
    running: AtomicU64,
    discarded: AtomicU64,
}

impl Default for CheckerStats {
    fn default() -> Self {
        Self {
            peak_micros: [AtomicU64::new(0), AtomicU64::new(0)],
            period: AtomicU64::new(0),
            next_due: AtomicU64::new(NEVER),
            targets: AtomicU64::new(0),
            running: AtomicU64::new(0),
            discarded: AtomicU64::new(0),
        }
    }
}

impl CheckerStats {
    /// How late checks start: the worst of about the last minute, or how overdue the next one is at `now`.
    #[must_use]
    pub fn lag(&self, now: Moment) -> Duration {
        let overdue = match self.next_due.load(Ordering::Relaxed) {
            NEVER => Duration::ZERO,
            due => now.since(Moment(due)),
        };
        let age = period_of(now).saturating_sub(self.period.load(Ordering::Relaxed));
        let [current, previous] = self.peak_micros.each_ref().map(|peak| peak.load(Ordering::Relaxed));
        let peak = match age {
            0 => current.max(previous),
            1 => current,
            _ => 0,
        };
        overdue.max(Duration::from_micros(peak))
    }

    /// Servers with checks.
    #[must_use]
    pub fn targets(&self) -> u64 {
        self.targets.load(Ordering::Relaxed)
    }

    /// Checks under way.
    #[must_use]
    pub fn running(&self) -> u64 {
        self.running.load(Ordering::Relaxed)
    }

    /// Checks whose outcome said nothing about the server: the checker was starved, or out of files or ports.
    #[must_use]
    pub fn discarded(&self) -> u64 {
        self.discarded.load(Ordering::Relaxed)
    }

    pub(super) fn started(&self, lag: Duration, now: Moment) {
        let period = period_of(now);
        let before = self.period.swap(period, Ordering::Relaxed);
        let [current, previous] = &self.peak_micros;
        if period != before {
            let kept = if period == before + 1 { current.load(Ordering::Relaxed) } else { 0 };
            previous.store(kept, Ordering::Relaxed);
            current.store(0, Ordering::Relaxed);
        }
        let micros = u64::try_from(lag.as_micros()).unwrap_or(u64::MAX);
        current.fetch_max(micros, Ordering::Relaxed);
    }

    pub(super) fn discard(&self) {
        self.discarded.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn note(&self, targets: usize, running: usize, next_due: Option<Moment>) {
        self.targets.store(u64::try_from(targets).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.running.store(u64::try_from(running).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.next_due.store(next_due.map_or(NEVER, |due| due.0), Ordering::Relaxed);
    }
}

fn period_of(now: Moment) -> u64 {
    now.since(Moment(0)).as_secs() / PEAK_KEPT.as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment(seconds * 1_000_000)
    }

    #[test]
    fn a_peak_is_shown_for_half_a_minute_and_forgotten_after_a_minute() {
        let stats = CheckerStats::default();
        assert_eq!(stats.lag(at(5)), Duration::ZERO);
        stats.started(Duration::from_millis(700), at(29));
        stats.started(Duration::from_millis(3), at(31));
        assert_eq!(stats.lag(at(59)), Duration::from_millis(700));
        assert_eq!(stats.lag(at(61)), Duration::from_millis(3));
        assert_eq!(stats.lag(at(200)), Duration::ZERO);
    }

    #[test]
    fn a_check_that_does_not_start_at_all_shows_as_lag() {
        let stats = CheckerStats::default();
        stats.note(1, 0, Some(at(10)));
        assert_eq!(stats.lag(at(8)), Duration::ZERO);
        assert_eq!(stats.lag(at(17)), Duration::from_secs(7));
        stats.note(0, 0, None);
        assert_eq!(stats.lag(at(17)), Duration::ZERO);
    }
}
