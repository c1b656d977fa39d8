//! The server that will probably answer first: its latency times the requests it has to answer for its weight.
//!
//! A server that owes answers and has given none for longer than it usually takes is as slow as it is silent: averages learn
//! of a server that hangs when it is over.
//!
//! Source: NGINX's `least_time`, Traefik's `leasttime`, Finagle's peak EWMA.

use weir_shared::{model::Algorithm, table::Server, time::Moment};

use super::{Policy, Sample};

/// What every answer is taken to last longer than it does, in microseconds: among servers that answer within a fraction of
/// a millisecond, who is faster is chance, or not worth leaving the others without requests.
const NEGLIGIBLE: f32 = 1_000.0;

/// The pick; `None` when there is no candidate.
pub(super) fn pick<'u>(
    mut sample: Sample<'u>,
    policy: &Policy<'u>,
    now: Moment,
    random: u64,
) -> Option<&'u Server> {
    let decay = policy.latency?.decay;
    let typical = typical(&mut sample, |server| match policy.algorithm {
        Algorithm::PeakEwma => server.state.latency.peak(now, decay),
        _ => server.state.latency.average(now, decay),
    });
    let (weights, count) = sum(sample.members().map(|member| member.weight));
    let weight = weights / count;
    for member in sample.members_mut() {
        // A server nobody has heard from is taken for an average one: it gets its share and no flood.
        let usual = if member.cost.is_nan() { typical } else { member.cost };
        let wait = usual.max(member.server.state.latency.silence(now));
        // The weight is a share of what there is to do, and makes nobody faster: idle servers are equals in it.
        member.cost = (wait + NEGLIGIBLE) * (policy.in_flight(member.server) * weight / member.weight + 1.0);
    }
    sample.about_least(random)
}

/// Makes what `measured` tells of each server its cost, not a number where nothing is known, and answers the mean of what is;
/// 1 of nothing.
pub(super) fn typical(sample: &mut Sample<'_>, measured: impl Fn(&Server) -> Option<f32>) -> f32 {
    let (total, count) = sum(sample.members_mut().filter_map(|member| {
        let measured = measured(member.server);
        member.cost = measured.unwrap_or(f32::NAN);
        measured
    }));
    if count > 0.0 { total / count } else { 1.0 }
}

/// The sum, and of how many.
fn sum(values: impl Iterator<Item = f32>) -> (f32, f32) {
    values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0))
}
