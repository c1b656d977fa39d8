//! Hot-cold lexicographic choice: servers with many requests in flight are hot and avoided; of the cold ones the fastest is
//! picked, and when all are hot the one with the fewest requests.
//!
//! A balancer that has all of the servers' traffic knows their requests in flight and needs no probes. Latency is judged by
//! answers that met as many requests in flight as the next one will. Where balancers share servers, these may tell both with
//! their answers (`load_reports`), which counts for as long as it is fresh.
//!
//! Source: Wydrowski et al., "Load is not what you should balance: Introducing Prequal" (NSDI 2024), §4.

use weir_shared::{table::Server, time::Moment};

use super::{Policy, Sample, sample::MOST};

/// The pick; `None` when there is no candidate.
pub(super) fn pick<'u>(
    mut sample: Sample<'u>,
    policy: &Policy<'u>,
    now: Moment,
    random: u64,
) -> Option<&'u Server> {
    let settings = policy.latency?;
    let loads = sample.loads(|server| policy.with_others(server, now));
    let coldest = rank(sample.members().count(), settings.hot_quantile);
    let mut fastest = f32::INFINITY;
    for member in sample.members_mut() {
        let near = || member.server.state.latency.near(policy.count(member.server), now, settings.decay);
        member.cost = policy.told(member.server, now).or_else(near).unwrap_or(f32::NAN);
        fastest = fastest.min(member.cost);
    }
    // A server nobody has heard from is as good as the best: as an average one it would not be picked before all others are hot.
    let unknown = if fastest.is_finite() { fastest } else { 1.0 };
    // Whatever is cold comes before whatever is hot: costs of hot ones begin above all latencies.
    const HOT: f32 = 1e20;
    for (member, load) in sample.members_mut().zip(loads) {
        let usual = if member.cost.is_nan() { unknown } else { member.cost };
        member.cost = if below(&loads, load) > coldest {
            HOT * (1.0 + load)
        } else {
            usual * (1.0 + load * f32::EPSILON)
        };
    }
    sample.least(random)
}

/// How many of `len` values lie below the one that a share of `of` lies below.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 16 values")]
fn rank(len: usize, of: f64) -> usize {
    (of * (len.max(1) - 1) as f64) as usize
}

/// How many of `loads` are below `load`: more than the rank of a quantile, if `load` is above it. Counted and not sorted,
/// because the order of loads is as good as random, and a wrong guess costs the processor more than sixteen comparisons.
fn below(loads: &[f32; MOST], load: f32) -> usize {
    loads.iter().map(|other| usize::from(*other < load)).sum()
}
