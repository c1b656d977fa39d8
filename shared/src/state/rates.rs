//! Which servers fail so much more than the others that they are ejected: success rates and shares of failures.
//!
//! Source: Envoy's outlier detection. The threshold of success rates is `mean − factor × σ`, with the population's standard
//! deviation over the servers that had enough requests. One server far below `n − 1` equal ones is `√(n − 1)` σ below the
//! mean whatever the distance: 1.9 σ takes five servers at least, and needs a floor for the distance besides.

use std::time::Duration;

use super::{Evidence, Sample};

/// When success rates eject.
#[derive(Clone, Copy, Debug)]
pub struct SuccessRatePolicy {
    /// How many standard deviations below the mean.
    pub stdev_factor: f64,
    /// How far below the mean at least, 0 to 1.
    pub minimum_drop: f64,
    /// Servers it takes.
    pub minimum_servers: usize,
    /// Requests a server needs to be compared.
    pub request_volume: u64,
}

/// When shares of failures eject.
#[derive(Clone, Copy, Debug)]
pub struct FailurePercentagePolicy {
    /// The share, 0 to 1.
    pub threshold: f64,
    /// Servers it takes.
    pub minimum_servers: usize,
    /// Requests a server needs to be judged.
    pub request_volume: u64,
}

/// How servers are compared with each other.
#[derive(Clone, Copy, Debug)]
pub struct RatePolicy {
    /// How often.
    pub interval: Duration,
    /// By success rates; `None` = not.
    pub success_rate: Option<SuccessRatePolicy>,
    /// By shares of failures; `None` = not.
    pub failure_percentage: Option<FailurePercentagePolicy>,
}

impl RatePolicy {
    /// Whether `servers` are enough for any comparison.
    #[must_use]
    pub fn applies_to(&self, servers: usize) -> bool {
        self.success_rate.is_some_and(|policy| servers >= policy.minimum_servers)
            || self.failure_percentage.is_some_and(|policy| servers >= policy.minimum_servers)
    }

    /// The servers to eject by what each did within the interval, the worst first, each once.
    #[must_use]
    pub fn outliers(&self, samples: &[(usize, Sample)]) -> Vec<(usize, Evidence)> {
        let mut found = self.by_success_rate(samples);
        for (server, evidence) in self.by_failure_percentage(samples) {
            if found.iter().all(|(known, _)| *known != server) {
                found.push((server, evidence));
            }
        }
        found.sort_by(|(_, one), (_, other)| rate_of(one).total_cmp(&rate_of(other)));
        found
    }

    fn by_success_rate(&self, samples: &[(usize, Sample)]) -> Vec<(usize, Evidence)> {
        let Some(policy) = self.success_rate else { return Vec::new() };
        let Some(enough) = enough(samples, policy.request_volume, policy.minimum_servers) else {
            return Vec::new();
        };
        let rates: Vec<f64> = enough.iter().map(|(_, sample)| sample.success_rate()).collect();
        let Some(Threshold { mean, rate: threshold }) = Threshold::of(&rates, policy.stdev_factor) else {
            return Vec::new();
        };
        let threshold = threshold.min(mean - policy.minimum_drop);
        enough
            .into_iter()
            .zip(rates)
            .filter(|(_, rate)| *rate < threshold)
            .map(|((server, sample), rate)| {
                (server, Evidence::SuccessRate { requests: sample.requests, rate, mean, threshold })
            })
            .collect()
    }

    fn by_failure_percentage(&self, samples: &[(usize, Sample)]) -> Vec<(usize, Evidence)> {
        let Some(policy) = self.failure_percentage else { return Vec::new() };
        let Some(enough) = enough(samples, policy.request_volume, policy.minimum_servers) else {
            return Vec::new();
        };
        let threshold = 1.0 - policy.threshold;
        enough
            .into_iter()
            .map(|(server, sample)| (server, sample.requests, sample.success_rate()))
            // Not by a hair: 85 of 100 failures are 85 %, though 1 − 0.85 is no number of base two.
            .filter(|(_, _, rate)| *rate <= threshold + 1e-9)
            .map(|(server, requests, rate)| {
                (server, Evidence::FailurePercentage { requests, rate, threshold })
            })
            .collect()
    }
}

/// The mean of success rates, and the rate below which one is an outlier.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Threshold {
    mean: f64,
    rate: f64,
}

impl Threshold {
    /// `mean − factor × σ` of `rates`; `None` without any.
    #[expect(clippy::cast_precision_loss, reason = "there are at most 10 000 servers")]
    fn of(rates: &[f64], factor: f64) -> Option<Self> {
        if rates.is_empty() {
            return None;
        }
        let count = rates.len() as f64;
        let mean = rates.iter().sum::<f64>() / count;
        let variance = rates.iter().map(|rate| (rate - mean).powi(2)).sum::<f64>() / count;
        Some(Self { mean, rate: mean - factor * variance.sqrt() })
    }
}

/// The servers with at least `volume` requests, if they are at least `minimum`.
fn enough(samples: &[(usize, Sample)], volume: u64, minimum: usize) -> Option<Vec<(usize, Sample)>> {
    let enough: Vec<_> = samples.iter().copied().filter(|(_, sample)| sample.requests >= volume).collect();
    (enough.len() >= minimum).then_some(enough)
}

fn rate_of(evidence: &Evidence) -> f64 {
    match *evidence {
        Evidence::SuccessRate { rate, .. } | Evidence::FailurePercentage { rate, .. } => rate,
        Evidence::Row { .. } => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::state::Detector;

    const SUCCESS: SuccessRatePolicy =
        SuccessRatePolicy { stdev_factor: 1.9, minimum_drop: 0.05, minimum_servers: 5, request_volume: 100 };
    const FAILURES: FailurePercentagePolicy =
        FailurePercentagePolicy { threshold: 0.85, minimum_servers: 5, request_volume: 50 };

    fn policy(
        success_rate: Option<SuccessRatePolicy>,
        failure_percentage: Option<FailurePercentagePolicy>,
    ) -> RatePolicy {
        RatePolicy { interval: Duration::from_secs(10), success_rate, failure_percentage }
    }

    /// Servers of 1000 requests each, with so many failures.
    fn samples(failures: &[u64]) -> Vec<(usize, Sample)> {
        failures.iter().map(|failures| Sample { requests: 1000, failures: *failures }).enumerate().collect()
    }

    fn indexes(found: &[(usize, Evidence)]) -> Vec<usize> {
        found.iter().map(|(server, _)| *server).collect()
    }

    fn by_rate(failures: &[u64]) -> Vec<usize> {
        indexes(&policy(Some(SUCCESS), None).outliers(&samples(failures)))
    }

    #[test]
    fn the_threshold_is_the_mean_less_deviations_of_the_population() {
        // The example of Envoy's own unit test: rates 100 (four times) and 50 per cent, factor 1.9.
        let Threshold { mean, rate } = Threshold::of(&[1.0, 1.0, 1.0, 1.0, 0.5], 1.9).unwrap();
        assert!((mean - 0.9).abs() < 1e-12 && (rate - 0.52).abs() < 1e-12, "{mean} {rate}");
        let Threshold { mean, rate } = Threshold::of(&[0.95; 7], 1.9).unwrap();
        assert!((mean - 0.95).abs() < 1e-12 && (rate - 0.95).abs() < 1e-9);
        assert_eq!(Threshold::of(&[], 1.9), None);
    }

    #[test]
    fn one_server_of_five_stands_out_and_one_of_four_cannot() {
        assert_eq!(by_rate(&[0, 0, 0, 0, 500]), [4]);
        assert_eq!(by_rate(&[500, 0, 0, 0, 0, 0, 0, 0, 0, 0]), [0]);
        let four = policy(Some(SuccessRatePolicy { minimum_servers: 4, ..SUCCESS }), None);
        assert!(four.outliers(&samples(&[0, 0, 0, 1000])).is_empty());
        assert!(by_rate(&[0, 0, 0, 1000]).is_empty());
    }

    #[test]
    fn what_is_common_to_all_is_nobodys_fault_and_neither_is_a_trifle() {
        assert!(by_rate(&[300; 10]).is_empty());
        assert!(by_rate(&[1000; 10]).is_empty());
        assert!(by_rate(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 1]).is_empty(), "one in a thousand");
        assert!(by_rate(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 50]).is_empty());
        assert_eq!(by_rate(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 60]), [9]);
        let plain = policy(Some(SuccessRatePolicy { minimum_drop: 0.0, ..SUCCESS }), None);
        assert_eq!(indexes(&plain.outliers(&samples(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 1]))), [9], "as in Envoy");
    }

    #[test]
    fn servers_with_few_requests_are_left_out() {
        let mut found = samples(&[0, 0, 0, 0, 500]);
        found[4].1 = Sample { requests: 99, failures: 99 };
        assert!(policy(Some(SUCCESS), None).outliers(&found).is_empty(), "four are left");
        found.push((5, Sample { requests: 100, failures: 100 }));
        assert_eq!(indexes(&policy(Some(SUCCESS), None).outliers(&found)), [5]);
    }

    #[test]
    fn a_share_of_failures_ejects_however_the_others_fare() {
        let found = policy(None, Some(FAILURES)).outliers(&samples(&[850, 849, 1000, 0, 0]));
        assert_eq!(indexes(&found), [2, 0], "the worst first");
        assert!(found.iter().all(|(_, evidence)| evidence.detector() == Detector::FailurePercentage));
        assert!(policy(None, Some(FAILURES)).outliers(&samples(&[1000; 4])).is_empty(), "too few servers");
        assert_eq!(policy(None, Some(FAILURES)).outliers(&samples(&[1000; 5])).len(), 5);
    }

    #[test]
    fn a_server_is_found_once() {
        let found = policy(Some(SUCCESS), Some(FAILURES)).outliers(&samples(&[1000, 0, 0, 0, 0]));
        assert_eq!((indexes(&found), found[0].1.detector()), (vec![0], Detector::SuccessRate));
    }

    proptest! {
        /// Written out anew, in per cent and with the sums of squares, as Envoy's documentation tells it.
        #[test]
        fn success_rates_are_judged_as_documented(
            servers in prop::collection::vec((0_u64..400, 0_u64..=100), 0..40),
            factor in 0.1_f64..4.0,
            drop in 0.0_f64..0.3,
        ) {
            let samples: Vec<_> = servers
                .iter()
                .map(|(requests, percent)| Sample { requests: *requests, failures: requests * percent / 100 })
                .enumerate()
                .collect();
            let policy = policy(Some(SuccessRatePolicy { stdev_factor: factor, minimum_drop: drop, ..SUCCESS }), None);
            let mut found = indexes(&policy.outliers(&samples));
            found.sort_unstable();
            let rated: Vec<(usize, f64)> = samples
                .iter()
                .filter(|(_, sample)| sample.requests >= 100)
                .map(|(n, sample)| (*n, 100.0 * (sample.requests - sample.failures) as f64 / sample.requests as f64))
                .collect();
            let n = rated.len() as f64;
            let mean = rated.iter().map(|(_, rate)| rate).sum::<f64>() / n;
            let square = rated.iter().map(|(_, rate)| rate * rate).sum::<f64>() / n;
            let limit = (mean - factor * (square - mean * mean).max(0.0).sqrt()).min(mean - 100.0 * drop);
            // What is on the line by rounding may fall to either side.
            prop_assume!(rated.iter().all(|(_, rate)| (rate - limit).abs() > 1e-6));
            let expected: Vec<usize> = rated
                .iter()
                .filter(|(_, rate)| rated.len() >= 5 && *rate < limit)
                .map(|(n, _)| *n)
                .collect();
            prop_assert_eq!(found, expected);
        }
    }
}
