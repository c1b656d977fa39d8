//! What became of the requests that count.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

pub(crate) struct Tally {
    counted_from: Instant,
    /// All sent, the warm-up's included.
    sent: u64,
    times: Vec<f64>,
    /// How late requests were sent, for want of a connection or of time: what answers before them have done to their times.
    late: Vec<f64>,
    /// Answers other than 2xx by status, and requests without an answer by what happened.
    lost: BTreeMap<String, u64>,
}

impl Tally {
    /// What is due before `counted_from` does not count.
    pub(crate) fn new(counted_from: Instant) -> Self {
        Self { counted_from, sent: 0, times: Vec::new(), late: Vec::new(), lost: BTreeMap::new() }
    }

    pub(crate) fn sent(&mut self, due: Instant) {
        self.sent += 1;
        if due >= self.counted_from {
            self.late.push(millis(due.elapsed()));
        }
    }

    pub(crate) fn answered(&mut self, due: Instant, status: u16) {
        match status {
            200..=299 if due >= self.counted_from => self.times.push(millis(due.elapsed())),
            200..=299 => {}
            _ => self.lost(due, &status.to_string()),
        }
    }

    pub(crate) fn lost(&mut self, due: Instant, why: &str) {
        if due >= self.counted_from {
            *self.lost.entry(why.to_owned()).or_default() += 1;
        }
    }

    pub(crate) fn report(mut self) -> Value {
        self.times.sort_unstable_by(f64::total_cmp);
        self.late.sort_unstable_by(f64::total_cmp);
        let lost: u64 = self.lost.values().sum();
        json!({
            "sent": self.sent,
            "answered": self.times.len(),
            "lost": lost,
            "lost_by": self.lost,
            "p50_ms": quantile(&self.times, 0.5),
            "p90_ms": quantile(&self.times, 0.9),
            "p99_ms": quantile(&self.times, 0.99),
            "p999_ms": quantile(&self.times, 0.999),
            "max_ms": self.times.last(),
            "late_p99_ms": quantile(&self.late, 0.99),
        })
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rank"
)]
fn quantile(sorted: &[f64], of: f64) -> Option<f64> {
    sorted.get((sorted.len() as f64 * of) as usize).copied()
}
