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

use super::{Sample, latency::mean, least_request::in_flight, sample::MOST};

/// The pick; `None` when there is no candidate.
#[expect(clippy::needless_pass_by_value, reason = "a sample is for one pick")]
pub(super) fn pick<'u>(
    sample: Sample<'u>,
    upstream: &'u Upstream,
    now: Moment,
    random: u64,
) -> Option<&'u Server> {
    let policy = upstream.latency?;
    let load = |server: &Server| in_flight(server) / sample.weight(server);
    let limit = quantile(sample.iter().map(load), policy.hot_quantile);
    let measured =
        |server: &Server| server.state.latency.near(server.state.in_flight.count(), now, policy.decay);
    let typical = mean(sample.iter().filter_map(measured));
    // Whatever is cold comes before whatever is hot: costs of hot ones begin above all latencies.
    const HOT: f32 = 1e20;
    sample.least(random, |server| match load(server) {
        load if load > limit => HOT * (1.0 + load),
        load => measured(server).unwrap_or(typical) * (1.0 + load * f32::EPSILON),
    })
}

/// The value below which a share of `of` lies.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 16 values")]
fn quantile(values: impl Iterator<Item = f32>, of: f64) -> f32 {
    let mut sorted = [f32::INFINITY; MOST];
    let mut len = 0;
    for (slot, value) in sorted.iter_mut().zip(values) {
        *slot = value;
        len += 1;
    }
    sorted.sort_unstable_by(f32::total_cmp);
    let place = (of * (len.max(1) - 1) as f64) as usize;
    sorted.get(place).copied().unwrap_or(f32::INFINITY)
}
