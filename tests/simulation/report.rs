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
    /// Attempts after the first.
    pub(crate) retries: usize,
    /// Attempts by server.
    pub(crate) by_server: Vec<usize>,
}

/// One line of a table.
pub(crate) fn line(outcome: &Outcome) -> String {
    let mut times = outcome.times.clone();
    times.sort_unstable_by(f64::total_cmp);
    let quantile = |of: f64| times.get((times.len() as f64 * of) as usize).copied().unwrap_or(f64::NAN);
    format!(
        "p50 {:7.1}  p90 {:7.1}  p99 {:7.1}  p99.9 {:7.1}  errors {:5}  unanswered {:5}  retries {:5}  {:?}",
        quantile(0.5),
        quantile(0.9),
        quantile(0.99),
        quantile(0.999),
        outcome.errors,
        outcome.unanswered,
        outcome.retries,
        outcome.by_server,
    )
}
