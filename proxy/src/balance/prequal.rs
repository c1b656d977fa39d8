//! Hot-cold lexicographic choice: servers with many requests in flight are hot and avoided; of the cold ones the fastest is
//! picked, and when all are hot the one with the fewest requests.
//!
//! A balancer that has all of the servers' traffic knows their requests in flight and needs no probes. Latency is judged by
//! answers that met as many requests in flight as the next one will. Where balancers share servers, these may tell both with
//! their answers (`load_reports`), which counts for as long as it is fresh.
//!
//! Source: Wydrowski et al., "Load is not what you should balance: Introducing Prequal" (NSDI 2024), §4.

use weir_shared::{table::Server, time::Moment};

use super::{Policy, Sample, latency::typical, sample::MOST};

/// The pick; `None` when there is no candidate.
pub(super) fn pick<'u>(
    mut sample: Sample<'u>,
    policy: &Policy<'u>,
    now: Moment,
    random: u64,
) -> Option<&'u Server> {
    let settings = policy.latency?;
    let mut loads = [f32::INFINITY; MOST];
    let mut len = 0;
    for (slot, member) in loads.iter_mut().zip(sample.members()) {
        *slot = policy.with_others(member.server, now) / member.weight;
        len += 1;
    }
    let coldest = rank(len, settings.hot_quantile);
    let typical = typical(&mut sample, |server| {
        let near = || server.state.latency.near(policy.count(server), now, settings.decay);
        policy.told(server, now).or_else(near)
    });
    // Whatever is cold comes before whatever is hot: costs of hot ones begin above all latencies.
    const HOT: f32 = 1e20;
    for (member, load) in sample.members_mut().zip(loads) {
        let usual = if member.cost.is_nan() { typical } else { member.cost };
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
