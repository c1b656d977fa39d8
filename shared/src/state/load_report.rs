//! What a server says of its load, for a while after it has said so.
//!
//! Of the requests it says it has, those that this balancer knows of are taken off: what is left is other balancers', and
//! stays about the same while its own come and go. Source: Wydrowski et al., "Load is not what you should balance:
//! Introducing Prequal" (NSDI 2024), where a probe that was used counts one request more until the next.

use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    time::Duration,
};

use crate::time::Moment;

/// The last report of one server. Of two at the same instant either may hold.
#[derive(Debug, Default)]
pub struct LoadReport {
    others: AtomicU32,
    /// Bits of `f32`, in microseconds.
    latency: AtomicU32,
    /// When each was told, in microseconds; 0 = never.
    others_at: AtomicU64,
    latency_at: AtomicU64,
}

impl LoadReport {
    /// The server works on `requests`, of which `own` are this balancer's.
    pub fn in_flight(&self, requests: u32, own: u32, now: Moment) {
        self.others.store(requests.saturating_sub(own), Ordering::Relaxed);
        self.others_at.store(now.0.max(1), Ordering::Relaxed);
    }

    /// The server expects to take so many microseconds for a request.
    #[expect(clippy::cast_precision_loss, reason = "seven digits are plenty for a latency")]
    pub fn latency(&self, micros: u32, now: Moment) {
        self.latency.store((micros as f32).to_bits(), Ordering::Relaxed);
        self.latency_at.store(now.0.max(1), Ordering::Relaxed);
    }

    /// Requests of other balancers that the server works on, as far as it said so within `max_age`.
    #[must_use]
    pub fn others(&self, now: Moment, max_age: Duration) -> u32 {
        if is_fresh(&self.others_at, now, max_age) { self.others.load(Ordering::Relaxed) } else { 0 }
    }

    /// What the server expects to take for a request, in microseconds, if it said so within `max_age`.
    #[must_use]
    pub fn expected(&self, now: Moment, max_age: Duration) -> Option<f32> {
        let told = f32::from_bits(self.latency.load(Ordering::Relaxed));
        is_fresh(&self.latency_at, now, max_age).then_some(told)
    }
}

fn is_fresh(at: &AtomicU64, now: Moment, max_age: Duration) -> bool {
    let at = at.load(Ordering::Relaxed);
    at != 0 && now.since(Moment(at)) <= max_age
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGE: Duration = Duration::from_secs(1);

    #[test]
    fn what_others_have_is_what_is_not_ours() {
        let report = LoadReport::default();
        assert_eq!(report.others(Moment(5), AGE), 0);
        report.in_flight(9, 2, Moment(10));
        assert_eq!(report.others(Moment(10), AGE), 7);
        report.in_flight(1, 2, Moment(20));
        assert_eq!(report.others(Moment(20), AGE), 0, "ours have grown since it was said");
    }

    #[test]
    fn a_report_is_stale_after_a_while_and_each_part_by_itself() {
        let report = LoadReport::default();
        let second = 1_000_000;
        report.in_flight(5, 0, Moment(second));
        report.latency(700, Moment(2 * second));
        let told = |at: u64| (report.others(Moment(at), AGE), report.expected(Moment(at), AGE));
        assert_eq!(told(2 * second), (5, Some(700.0)));
        assert_eq!(told(2 * second + 1), (0, Some(700.0)));
        assert_eq!(told(3 * second + 1), (0, None));
    }
}
