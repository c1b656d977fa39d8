//! What a server answered, as two numbers: what the detectors that go by rates read of its counters.

use super::{PerWorker, ServerCounters};

/// Requests that came to an end at a server, and how many of them count against it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Answered with a final response, or failed without one.
    pub requests: u64,
    /// Failed. At most `requests`.
    pub failures: u64,
}

impl Sample {
    /// The counters of all workers as they are now. Requests under way are in neither number.
    #[must_use]
    pub fn read(counters: &PerWorker<ServerCounters>) -> Self {
        let mut sample = Self::default();
        for worker in counters.iter() {
            let [_interim, finals @ ..] = &worker.responses;
            let answered: u64 = finals.iter().map(super::Counter::value).sum();
            sample.requests += answered + worker.unanswered.value();
            sample.failures += worker.failures.value();
        }
        sample
    }

    /// What has come since `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        let requests = self.requests.saturating_sub(earlier.requests);
        // An answer with a bad status that also breaks off has failed twice, and one may break off an interval later.
        let failures = self.failures.saturating_sub(earlier.failures).min(requests);
        Self { requests, failures }
    }

    /// Share of the requests that succeeded, 0 to 1; 1 without requests.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts of one interval are far below 2^52")]
    pub fn success_rate(self) -> f64 {
        if self.requests == 0 {
            return 1.0;
        }
        self.requests.saturating_sub(self.failures) as f64 / self.requests as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::WorkerId;

    #[test]
    fn what_ended_is_counted_once_over_all_workers() {
        let counters = PerWorker::<ServerCounters>::new(2);
        for (worker, statuses) in [(0, [200, 404, 500]), (1, [100, 200, 304])] {
            let counters = counters.of(WorkerId(worker));
            statuses.into_iter().for_each(|status| counters.count_response(status));
        }
        counters.of(WorkerId(0)).failures.add(1);
        let earlier = Sample::read(&counters);
        assert_eq!(earlier, Sample { requests: 5, failures: 1 });
        counters.of(WorkerId(1)).failures.add(3);
        counters.of(WorkerId(1)).unanswered.add(3);
        counters.of(WorkerId(1)).count_response(200);
        let grown = Sample::read(&counters).since(earlier);
        assert_eq!(grown, Sample { requests: 4, failures: 3 });
        assert!((grown.success_rate() - 0.25).abs() < 1e-12);
    }

    #[test]
    fn failures_are_never_more_than_requests() {
        let twice = Sample { requests: 1, failures: 2 };
        assert_eq!(twice.since(Sample::default()).failures, 1);
        assert!((Sample::default().success_rate() - 1.0).abs() < f64::EPSILON);
    }
}
