//! The server that will probably answer first: its latency times the requests it would have to answer, for its weight.
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
    let loads = sample.loads(|server| policy.in_flight(server));
    for (member, load) in sample.members_mut().zip(loads) {
        // A server nobody has heard from is taken for a typical one: it gets its share and no flood.
        let usual = if member.cost.is_nan() { typical } else { member.cost };
        let wait = usual.max(member.server.state.latency.silence(now));
        member.cost = (wait + NEGLIGIBLE) * load;
    }
    sample.about_least(random)
}

/// Makes what `measured` tells of each server its cost, not a number where nothing is known. Answers what to take for that: the
/// mean time of the requests that the known ones would answer in the same time, each having as many in flight (the harmonic
/// mean). A slow one answers few of them, and so does not make a new server look slow. 1 when nothing is known.
fn typical(sample: &mut Sample<'_>, measured: impl Fn(&Server) -> Option<f32>) -> f32 {
    let mut all_known = true;
    for member in sample.members_mut() {
        member.cost = measured(member.server).unwrap_or(f32::NAN);
        all_known &= !member.cost.is_nan();
    }
    if all_known {
        // Not needed, and divisions cost something.
        return 1.0;
    }
    let known = sample.members().map(|member| member.cost).filter(|cost| !cost.is_nan());
    let (rate, count) =
        known.fold((0.0, 0.0), |(rate, count), cost| (rate + 1.0 / cost.max(1.0), count + 1.0));
    if count > 0.0 { count / rate } else { 1.0 }
}
