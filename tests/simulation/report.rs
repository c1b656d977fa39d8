//! Figures of one run.

/// What clients saw.
#[derive(Default)]
pub(crate) struct Outcome {
    /// Times to the answer in milliseconds.
    pub(crate) times: Vec<f64>,
    /// Answers that were errors.
    pub(crate) errors: usize,
    /// Requests not answered by the end of the run.
    pub(crate) unanswered: usize,
    /// Attempts after one that failed.
    pub(crate) retries: usize,
    /// Attempts beside one that took long.
    pub(crate) hedges: usize,
    /// Attempts by server.
    pub(crate) by_server: Vec<usize>,
}

/// The figures of a run.
pub(crate) struct Figures {
    /// Sorted times to the answer in milliseconds.
    times: Vec<f64>,
    errors: usize,
    unanswered: usize,
    retries: usize,
    hedges: usize,
    /// Requests at the busiest of the servers that are alike, for one at the average of them.
    imbalance: f64,
}

impl Figures {
    /// Of `outcome`, whose servers from the third on in every ten are alike.
    pub(crate) fn of(outcome: Outcome) -> Self {
        let mut times = outcome.times;
        times.sort_unstable_by(f64::total_cmp);
        let alike = || {
            outcome.by_server.iter().enumerate().filter(|(n, _)| n % 10 > 2).map(|(_, count)| *count as f64)
        };
        let mean = alike().sum::<f64>() / alike().count().max(1) as f64;
        Self {
            times,
            errors: outcome.errors,
            unanswered: outcome.unanswered,
            retries: outcome.retries,
            hedges: outcome.hedges,
            imbalance: alike().fold(0.0, f64::max) / mean,
        }
    }

    /// The time below which a share of all lies.
    pub(crate) fn quantile(&self, of: f64) -> f64 {
        let place = (self.times.len() as f64 * of) as usize;
        self.times.get(place.min(self.times.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
    }

    /// One row of a table in Markdown.
    pub(crate) fn row(&self, name: &str) -> String {
        let [p50, p90, p99, p999] = [0.5, 0.9, 0.99, 0.999].map(|of| self.quantile(of));
        let Self { errors, unanswered, retries, hedges, imbalance, .. } = self;
        let hedged = 100.0 * *hedges as f64 / self.times.len().max(1) as f64;
        format!(
            "| `{name}` | {p50:.0} | {p90:.0} | {p99:.0} | {p999:.0} | {errors} | {unanswered} | {retries} | {hedged:.1} % | {imbalance:.2} |"
        )
    }
}

/// The head of such a table.
pub(crate) const HEAD: &str = "| | p50 | p90 | p99 | p99.9 | errors | not answered | retries | hedges | busiest / mean |\n\
                               |---|---|---|---|---|---|---|---|---|---|";
