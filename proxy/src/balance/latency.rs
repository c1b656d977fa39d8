//! The server that will probably answer first: its latency times the requests it has to answer for its weight.
//!
//! A server that owes answers and has given none for longer than it usually takes is as slow as it is silent: averages learn
//! of a server that hangs when it is over.
//!
//! Source: NGINX's `least_time`, Traefik's `leasttime`, Finagle's peak EWMA.

use weir_shared::{
    model::Algorithm,
    table::{Server, Upstream},
    time::Moment,
};

use super::{Sample, least_request::in_flight};

/// What every answer is taken to last longer than it does, in microseconds: among servers that answer within a fraction of
/// a millisecond, who is faster is chance, or not worth leaving the others without requests.
const NEGLIGIBLE: f32 = 1_000.0;

/// In place of a latency that is not known.
pub(super) const UNKNOWN: f32 = f32::NAN;

/// The pick; `None` when there is no candidate.
#[expect(clippy::needless_pass_by_value, reason = "a sample is for one pick")]
pub(super) fn pick<'u>(
    sample: Sample<'u>,
    upstream: &'u Upstream,
    now: Moment,
    random: u64,
) -> Option<&'u Server> {
    let policy = upstream.latency?;
    let measured = |server: &Server| match upstream.algorithm {
        Algorithm::PeakEwma => server.state.latency.peak(now, policy.decay),
        _ => server.state.latency.average(now, policy.decay),
    };
    let mut costs = sample.each(|server| measured(server).unwrap_or(UNKNOWN));
    let typical = mean(sample.of(&costs));
    let weight = mean(sample.of(&sample.each(|server| sample.weight(server))));
    for (cost, server) in costs.iter_mut().zip(sample.iter()) {
        // A server nobody has heard from is taken for an average one: it gets its share and no flood.
        let usual = if cost.is_nan() { typical } else { *cost };
        let wait = usual.max(server.state.latency.silence(now));
        // The weight is a share of what there is to do, and makes nobody faster: idle servers are equals in it.
        *cost = (wait + NEGLIGIBLE) * (in_flight(server) * weight / sample.weight(server) + 1.0);
    }
    sample.about_least(random, &costs)
}

/// The mean of those of `values` that are known; 1 of nothing.
pub(super) fn mean(values: &[f32]) -> f32 {
    let known = values.iter().filter(|value| !value.is_nan());
    let (sum, count) = known.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    if count > 0.0 { sum / count } else { 1.0 }
}
