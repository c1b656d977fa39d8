//! The recent past of one upstream or server, a number a second and a number every ten seconds.
//!
//! Two rings of fixed size, 15 KiB in all, written by the sampler: 120 points of a second and 360 of ten seconds, which is
//! an hour. A point is placed by the clock, so that time in which nothing could be read (a machine asleep, a sampler that
//! was late) is a gap and never a wrong number. A longer past is Prometheus' job.

use std::{sync::Arc, time::Duration};

use weir_shared::{
    state::{HistogramCounts, ServerTotals, UpstreamTotals},
    time::Moment,
};

/// Points of a second kept.
pub(super) const SECONDS: usize = 120;
/// Points of ten seconds kept.
pub(super) const DECADES: usize = 360;

/// What was counted up to some moment.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub(super) requests: u64,
    pub(super) errors: u64,
    pub(super) retries: u64,
    pub(super) latency: HistogramCounts,
}

impl Reading {
    /// Whether no request began or ended between this and `other`.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        (self.requests, self.errors, self.latency.count())
            == (other.requests, other.errors, other.latency.count())
    }
}

impl From<UpstreamTotals> for Reading {
    fn from(totals: UpstreamTotals) -> Self {
        let [.., server_errors] = totals.responses;
        Self {
            requests: totals.requests,
            errors: server_errors.wrapping_add(totals.failures),
            retries: totals.retries,
            latency: totals.latency,
        }
    }
}

impl From<ServerTotals> for Reading {
    fn from(totals: ServerTotals) -> Self {
        let [.., server_errors] = totals.responses;
        let broken = [totals.connect_errors, totals.timeouts, totals.resets];
        Self {
            requests: totals.requests,
            errors: broken.into_iter().fold(server_errors, u64::wrapping_add),
            retries: totals.retries,
            latency: totals.latency,
        }
    }
}

/// What is true at a moment, not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Gauges {
    /// Requests under way.
    pub(super) in_flight: u32,
    /// Servers that are wanted, healthy and not ejected.
    pub(super) eligible: u32,
}

/// What happened in one step: 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    pub(super) rps: f32,
    pub(super) errors: u32,
    pub(super) retries: u32,
    pub(super) gauges: Gauges,
    /// Quantiles 0.5, 0.9 and 0.99 in milliseconds; [`Self::NO_LATENCY`] without requests.
    pub(super) latency_ms: [u32; 3],
}

impl Point {
    /// Stands for a latency that nothing had.
    pub(super) const NO_LATENCY: u32 = u32::MAX;

    fn between(earlier: &Reading, later: &Reading, elapsed: Duration, gauges: Gauges) -> Self {
        let latency = later.latency.since(&earlier.latency);
        let quantile = |quantile| {
            let millis = latency.quantile(quantile).map(|value| value.as_micros().div_ceil(1000));
            millis.map_or(Self::NO_LATENCY, |millis| u32::try_from(millis).unwrap_or(Self::NO_LATENCY - 1))
        };
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            reason = "a rate to be drawn"
        )]
        let rps = (later.requests.wrapping_sub(earlier.requests) as f64 / elapsed.as_secs_f64()) as f32;
        Self {
            rps,
            errors: small(later.errors.wrapping_sub(earlier.errors)),
            retries: small(later.retries.wrapping_sub(earlier.retries)),
            gauges,
            latency_ms: [0.5, 0.9, 0.99].map(quantile),
        }
    }
}

fn small(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Points by the number of their step since the process started.
#[derive(Debug)]
struct Ring {
    points: Box<[Option<Point>]>,
    /// The step after the last one written.
    end: u64,
}

impl Ring {
    fn new(len: usize) -> Self {
        Self { points: vec![None; len].into_boxed_slice(), end: 0 }
    }

    /// Writes the point of `step`. Steps left out are gaps.
    fn put(&mut self, step: u64, point: Point) {
        let len = self.points.len() as u64;
        let gap = self.end.max((step + 1).saturating_sub(len));
        for skipped in gap..step {
            self.set(skipped, None);
        }
        self.set(step, Some(point));
        self.end = step + 1;
    }

    fn set(&mut self, step: u64, point: Option<Point>) {
        let place = usize::try_from(step % self.points.len() as u64).unwrap_or(0);
        if let Some(slot) = self.points.get_mut(place) {
            *slot = point;
        }
    }

    /// The point of `step`, if it is kept and no gap.
    fn get(&self, step: u64) -> Option<Point> {
        let len = self.points.len() as u64;
        if step >= self.end || step + len < self.end {
            return None;
        }
        let place = usize::try_from(step % len).ok()?;
        self.points.get(place).copied().flatten()
    }
}

/// How long the steps of a series are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A second.
    Second,
    /// Ten seconds.
    Decade,
}

impl Step {
    /// Its length.
    #[must_use]
    pub fn length(self) -> Duration {
        Duration::from_secs(self.seconds())
    }

    /// How far back points of this length go.
    #[must_use]
    pub fn reach(self) -> Duration {
        self.length() * u32::try_from(self.kept()).unwrap_or(u32::MAX)
    }

    fn seconds(self) -> u64 {
        match self {
            Self::Second => 1,
            Self::Decade => 10,
        }
    }

    fn kept(self) -> usize {
        match self {
            Self::Second => SECONDS,
            Self::Decade => DECADES,
        }
    }

    /// The number of the step that `moment` lies in.
    pub(super) fn number(self, moment: Moment) -> u64 {
        moment.since(Moment(0)).as_secs() / self.seconds()
    }
}

/// The readings that the next points are counted from, and the points.
#[derive(Debug)]
pub(super) struct Series {
    last: (Moment, Arc<Reading>),
    decade: (Moment, Arc<Reading>),
    seconds: Ring,
    decades: Ring,
}

impl Series {
    /// Begins with what had been counted `at`.
    pub(super) fn new(at: Moment, reading: Arc<Reading>) -> Self {
        Self {
            last: (at, Arc::clone(&reading)),
            decade: (at, reading),
            seconds: Ring::new(SECONDS),
            decades: Ring::new(DECADES),
        }
    }

    /// Takes in what has been counted up to `at`. A step is written once, when a later one has begun.
    pub(super) fn read(&mut self, at: Moment, reading: &Arc<Reading>, gauges: Gauges) {
        for (step, base, ring) in [
            (Step::Second, &mut self.last, &mut self.seconds),
            (Step::Decade, &mut self.decade, &mut self.decades),
        ] {
            let number = step.number(at);
            if number > step.number(base.0) {
                let point = Point::between(&base.1, reading, at.since(base.0), gauges);
                ring.put(number - 1, point);
                *base = (at, Arc::clone(reading));
            }
        }
    }

    /// The last `count` points before the step that `now` lies in, oldest first.
    pub(super) fn points(&self, step: Step, count: usize, now: Moment) -> Vec<Option<Point>> {
        let ring = match step {
            Step::Second => &self.seconds,
            Step::Decade => &self.decades,
        };
        let end = step.number(now);
        (0..count as u64).rev().map(|back| ring.get(end.checked_sub(back + 1)?)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment(millis * 1000)
    }

    fn counted(requests: u64) -> Arc<Reading> {
        Arc::new(Reading { requests, errors: requests / 10, ..Reading::default() })
    }

    fn rps(series: &Series, step: Step, count: usize, now: Moment) -> Vec<Option<u32>> {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole numbers here")]
        let whole = |point: Point| point.rps.round() as u32;
        series.points(step, count, now).into_iter().map(|point| point.map(whole)).collect()
    }

    #[test]
    fn rates_are_by_the_time_that_passed_and_lie_in_the_step_before() {
        let mut series = Series::new(at(500), counted(0));
        series.read(at(1500), &counted(100), Gauges::default());
        series.read(at(2600), &counted(210), Gauges { in_flight: 3, eligible: 2 });
        assert_eq!(rps(&series, Step::Second, 3, at(2700)), [None, Some(100), Some(100)]);
        let last = series.points(Step::Second, 1, at(2700))[0].unwrap();
        assert_eq!((last.errors, last.gauges), (11, Gauges { in_flight: 3, eligible: 2 }));
        assert_eq!(last.latency_ms, [Point::NO_LATENCY; 3]);
    }

    #[test]
    fn time_without_readings_is_a_gap() {
        let mut series = Series::new(at(0), counted(0));
        series.read(at(1000), &counted(1), Gauges::default());
        series.read(at(5000), &counted(5), Gauges::default());
        assert_eq!(rps(&series, Step::Second, 5, at(5100)), [Some(1), None, None, None, Some(1)]);
        assert_eq!(rps(&series, Step::Second, 2, at(9000)), [None, None], "and so is time after the last");
        series.read(at(900_000), &counted(5), Gauges::default());
        let all = rps(&series, Step::Second, SECONDS, at(900_500));
        assert_eq!(all.iter().flatten().count(), 1, "nothing of an earlier round is left");
    }

    #[test]
    fn the_rings_go_round() {
        let mut series = Series::new(at(0), counted(0));
        for second in 1..=5000 {
            series.read(at(second * 1000), &counted(second * second), Gauges::default());
        }
        let seconds = rps(&series, Step::Second, SECONDS, at(5_000_000));
        assert_eq!(seconds.last(), Some(&Some(2 * 5000 - 1)));
        assert_eq!(seconds.first(), Some(&Some(2 * (5000 - 119) - 1)));
        let decades = rps(&series, Step::Decade, DECADES, at(5_000_000));
        assert!(decades.iter().all(Option::is_some));
        assert_eq!(decades.last(), Some(&Some(2 * 5000 - 10)));
        assert_eq!(size_of::<Option<Point>>(), 36);
    }
}
