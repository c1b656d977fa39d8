//! Hot-cold lexicographic choice: servers with many requests in flight are hot and avoided; of the cold ones the fastest is
//! picked, and when all are hot the one with the fewest requests.
//!
//! The balancer has all of the servers' traffic, so that it knows their requests in flight and needs no probes. Latency is
//! judged by answers that met as many requests in flight as the next one will.
//!
//! Source: Wydrowski et al., "Load is not what you should balance: Introducing Prequal" (NSDI 2024), §4.

use weir_shared::{
    table::{Server, Upstream},
    time::Moment,
};

use super::{
    Sample,
    latency::{UNKNOWN, mean},
    least_request::in_flight,
    sample::Values,
};

/// The pick; `None` when there is no candidate.
#[expect(clippy::needless_pass_by_value, reason = "a sample is for one pick")]
pub(super) fn pick<'u>(
    sample: Sample<'u>,
    upstream: &'u Upstream,
    now: Moment,
    random: u64,
) -> Option<&'u Server> {
    let policy = upstream.latency?;
    let loads = sample.each(|server| in_flight(server) / sample.weight(server));
    let limit = quantile(loads, sample.of(&loads).len(), policy.hot_quantile);
    let near = |server: &Server| server.state.latency.near(server.state.in_flight.count(), now, policy.decay);
    let mut costs = sample.each(|server| near(server).unwrap_or(UNKNOWN));
    let typical = mean(sample.of(&costs));
    // Whatever is cold comes before whatever is hot: costs of hot ones begin above all latencies.
    const HOT: f32 = 1e20;
    for (cost, load) in costs.iter_mut().zip(sample.of(&loads)) {
        let usual = if cost.is_nan() { typical } else { *cost };
        *cost = if *load > limit { HOT * (1.0 + load) } else { usual * (1.0 + load * f32::EPSILON) };
    }
    sample.least(random, &costs)
}

/// The one of the first `len` of `values` below which a share of `of` lies.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 16 values")]
fn quantile(mut values: Values, len: usize, of: f64) -> f32 {
    let place = (of * (len.max(1) - 1) as f64) as usize;
    values.get_mut(..len).unwrap_or_default().sort_unstable_by(f32::total_cmp);
    values.get(place).copied().unwrap_or(f32::INFINITY)
}
