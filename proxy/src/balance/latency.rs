//! The server that will probably answer first: its latency times the requests it has to answer before, per weight.
//!
//! Source: NGINX's `least_time`, Traefik's `leasttime`, Finagle's peak EWMA.

use weir_shared::{
    model::Algorithm,
    table::{Server, Upstream},
    time::Moment,
};

use super::{Sample, least_request::in_flight};

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
    let typical = mean(sample.iter().filter_map(measured));
    sample.least(random, |server| {
        // A server nobody has heard from is taken for an average one: it gets its share and no flood.
        measured(server).unwrap_or(typical) * (in_flight(server) + 1.0) / sample.weight(server)
    })
}

/// The mean; 1 of nothing.
pub(super) fn mean(values: impl Iterator<Item = f32>) -> f32 {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    if count > 0.0 { sum / count } else { 1.0 }
}
