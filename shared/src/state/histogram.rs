//! Latencies, counted in buckets whose width grows with the value.
//!
//! Four buckets an octave from 64 µs to 67 s: a quantile is off by at most 19 %, in 650 bytes. Fixed buckets make
//! adding, summing over workers and subtracting an earlier reading trivial.
//! Hot path: one increment, no allocation, no lock.

use std::{
    array,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Buckets: one below 64 µs, four for each of 20 octaves, the last open-ended.
const BUCKETS: usize = 81;
/// log2 of the lower edge of the second bucket, in microseconds.
const FIRST_OCTAVE: u32 = 6;

/// Counts of one worker; written by it alone.
#[derive(Debug)]
#[repr(C)]
pub struct Histogram {
    sum_micros: super::Counter,
    buckets: [AtomicU64; BUCKETS],
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: array::from_fn(|_| AtomicU64::new(0)), sum_micros: super::Counter::default() }
    }
}

impl Histogram {
    /// Counts one value.
    pub fn record(&self, value: Duration) {
        let micros = u64::try_from(value.as_micros()).unwrap_or(u64::MAX);
        if let Some(bucket) = self.buckets.get(bucket_of(micros)) {
            bucket.store(bucket.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        }
        self.sum_micros.add(micros);
    }
}

/// Counts summed over workers, or the difference of two such sums.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistogramCounts {
    buckets: [u64; BUCKETS],
    /// Sum of the values, in microseconds.
    pub sum_micros: u64,
}

impl Default for HistogramCounts {
    fn default() -> Self {
        Self { buckets: [0; BUCKETS], sum_micros: 0 }
    }
}

impl HistogramCounts {
    /// Adds one worker's counts.
    pub fn add(&mut self, histogram: &Histogram) {
        for (sum, bucket) in self.buckets.iter_mut().zip(&histogram.buckets) {
            *sum = sum.wrapping_add(bucket.load(Ordering::Relaxed));
        }
        self.sum_micros = self.sum_micros.wrapping_add(histogram.sum_micros.value());
    }

    /// What was counted since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut difference = self.clone();
        for (count, before) in difference.buckets.iter_mut().zip(&earlier.buckets) {
            *count = count.wrapping_sub(*before);
        }
        difference.sum_micros = self.sum_micros.wrapping_sub(earlier.sum_micros);
        difference
    }

    /// How many values were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The value below which a share `quantile` (0 to 1) of all lies: the upper edge of its bucket. `None` when empty.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Option<Duration> {
        self.bucket_at(quantile).map(|(index, _)| upper_edge(index))
    }

    /// The same, taking the values of a bucket for evenly spread over its width.
    #[must_use]
    pub fn quantile_between(&self, quantile: f64) -> Option<Duration> {
        let (index, inside) = self.bucket_at(quantile)?;
        let lower = index.checked_sub(1).map_or(Duration::ZERO, upper_edge);
        Some(lower + (upper_edge(index) - lower).mul_f64(inside))
    }

    /// The bucket where a share `quantile` of all is reached, and how far into it, from 0 to 1.
    fn bucket_at(&self, quantile: f64) -> Option<(usize, f64)> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rank, where one part in 2^52 does not matter"
        )]
        let rank = ((count as f64 * quantile).ceil() as u64).clamp(1, count);
        let mut seen = 0;
        for (index, bucket) in self.buckets.iter().enumerate() {
            if seen + bucket >= rank {
                #[expect(clippy::cast_precision_loss, reason = "a share, of which three digits matter")]
                return Some((index, (rank - seen) as f64 / *bucket as f64));
            }
            seen += bucket;
        }
        None
    }

    /// How many values were at most `edge`, counting whole buckets.
    #[must_use]
    pub fn at_most(&self, edge: Duration) -> u64 {
        let inside = |index: &usize| upper_edge(*index) <= edge;
        self.buckets.iter().enumerate().take_while(|(index, _)| inside(index)).map(|(_, count)| count).sum()
    }
}

fn bucket_of(micros: u64) -> usize {
    if micros < 1 << FIRST_OCTAVE {
        return 0;
    }
    let octave = micros.ilog2();
    let quarter = (micros >> (octave - 2)) & 3;
    let index = u64::from(octave - FIRST_OCTAVE) * 4 + quarter + 1;
    usize::try_from(index).map_or(BUCKETS - 1, |index| index.min(BUCKETS - 1))
}

fn upper_edge(index: usize) -> Duration {
    if index == 0 {
        return Duration::from_micros(1 << FIRST_OCTAVE);
    }
    let index = u64::try_from(index - 1).unwrap_or(0);
    let base = 1_u64 << (u64::from(FIRST_OCTAVE) + index / 4);
    Duration::from_micros(base + base / 4 * (index % 4 + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_lies_below_its_bucket_edge_and_within_a_quarter() {
        for micros in [1, 63, 64, 79, 80, 1000, 1024, 33_333, 1_000_000, 59_000_000] {
            let edge = upper_edge(bucket_of(micros));
            assert!(edge > Duration::from_micros(micros), "{micros}: {edge:?}");
            assert!(micros < 64 || edge.as_micros() <= u128::from(micros) * 5 / 4 + 1, "{micros}: {edge:?}");
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_come_from_the_difference_of_two_readings() {
        let histogram = Histogram::default();
        histogram.record(Duration::from_secs(5));
        let mut before = HistogramCounts::default();
        before.add(&histogram);
        for _ in 0..99 {
            histogram.record(Duration::from_millis(1));
        }
        histogram.record(Duration::from_millis(100));
        let mut after = HistogramCounts::default();
        after.add(&histogram);
        let window = after.since(&before);
        assert_eq!(window.count(), 100);
        assert!(window.quantile(0.5).unwrap() < Duration::from_micros(1300));
        assert!(window.quantile(0.99).unwrap() < Duration::from_micros(1300));
        assert!(window.quantile(1.0).unwrap() >= Duration::from_millis(100));
        assert_eq!(HistogramCounts::default().quantile(0.5), None);
        assert_eq!(HistogramCounts::default().quantile_between(0.5), None);
        let spread = Histogram::default();
        (0..100_000).step_by(10).for_each(|micros| spread.record(Duration::from_micros(micros)));
        let mut counts = HistogramCounts::default();
        counts.add(&spread);
        let middle = counts.quantile_between(0.95).unwrap().as_secs_f64();
        assert!((middle - 0.095).abs() < 0.001, "{middle}");
    }
}
