//! Which servers of an upstream may be picked now.
//!
//! Built when something changes, not per request: a pick reads it through one pointer. A server is in when the operator
//! wants it, checks call it healthy and it is not ejected. Priority 1 joins only when priority 0 has too few left, and with
//! too few in both the verdicts are distrusted and every wanted server is used (panic).

use std::sync::Arc;

use super::{Sampler, Server};
use crate::{model::Algorithm, state::EjectionEnd, time::Moment};

/// Largest round-robin schedule, in turns. Weights that would need more are scaled down.
const MAX_TURNS: usize = 16_384;

/// The servers that may be picked, prepared for picking.
#[derive(Debug)]
pub struct Eligible {
    /// Indexes into the upstream's servers.
    pub members: Box<[u32]>,
    /// Draws a position in `members` by weight.
    pub sampler: Sampler,
    /// Positions in `members` in smoothly weighted turns; empty when all weights are equal or turns are not used.
    pub turns: Box<[u32]>,
    /// One bit per server of the upstream, set for those in `members`; empty unless keys are used.
    pub set: Box<[u64]>,
    /// Sum of the members' weights.
    pub weight: u64,
    /// Whether verdicts are distrusted because too few servers are left.
    pub panic: bool,
    /// Servers that are wanted, healthy and not ejected, of any priority.
    pub healthy: usize,
    pub(super) generation: u64,
    /// When the first ejection ends, so that the set must be built again.
    pub(super) expires: Option<Moment>,
}

impl Eligible {
    /// Builds the set as of `now`. `generation` is the upstream's, read before anything else.
    #[must_use]
    pub fn build(
        servers: &[Arc<Server>],
        algorithm: Algorithm,
        panic_percent: u8,
        generation: u64,
        now: Moment,
    ) -> Self {
        let mut expires: Option<Moment> = None;
        let mut tiers = [Tier::default(), Tier::default()];
        for (index, server) in (0_u32..).zip(servers) {
            if !server.is_wanted() {
                continue;
            }
            let tier = if server.priority == 0 { &mut tiers[0] } else { &mut tiers[1] };
            tier.wanted.push(index);
            let ejected = match server.state.outlier.ejected_until() {
                Some(until) if until > now => {
                    expires = Some(expires.map_or(until, |first| first.min(until)));
                    true
                }
                Some(_) => {
                    server.state.outlier.uneject(EjectionEnd::Due);
                    false
                }
                None => false,
            };
            if !ejected && server.state.health.is_healthy() {
                tier.healthy.push(index);
            }
        }
        let healthy = tiers.iter().map(|tier| tier.healthy.len()).sum();
        let (members, panic) = choose(tiers, usize::from(panic_percent));
        let weights: Vec<u16> = members
            .iter()
            .filter_map(|index| servers.get(*index as usize))
            .map(|server| server.weight)
            .collect();
        let sampler = Sampler::new(&weights);
        let in_turns = algorithm == Algorithm::RoundRobin && matches!(sampler, Sampler::Alias(_));
        let turns = if in_turns { turns(&weights) } else { Box::default() };
        let set = if algorithm.uses_key() { set(&members, servers.len()) } else { Box::default() };
        let weight = weights.iter().map(|weight| u64::from(*weight)).sum();
        let members = members.into_boxed_slice();
        Self { members, sampler, turns, set, weight, panic, healthy, generation, expires }
    }

    /// Whether the server at `index` may be picked. Only where keys are used.
    #[must_use]
    pub fn contains(&self, index: u32) -> bool {
        self.set.get(index as usize / 64).is_some_and(|bits| bits >> (index % 64) & 1 == 1)
    }

    /// Whether the set still holds at `now` for an upstream at `generation`.
    #[must_use]
    pub(super) fn is_current(&self, generation: u64, now: Moment) -> bool {
        self.generation == generation && self.expires.is_none_or(|expires| now < expires)
    }
}

fn set(members: &[u32], servers: usize) -> Box<[u64]> {
    let mut set = vec![0_u64; servers.div_ceil(64)];
    for index in members {
        if let Some(bits) = set.get_mut(*index as usize / 64) {
            *bits |= 1 << (index % 64);
        }
    }
    set.into_boxed_slice()
}

#[derive(Default)]
struct Tier {
    wanted: Vec<u32>,
    healthy: Vec<u32>,
}

/// Primaries while enough of them are healthy; backups when no primary is; whatever is healthy of both while that is
/// enough; else everything wanted, so that no healthy server is left out of a panic.
fn choose(tiers: [Tier; 2], panic_percent: usize) -> (Vec<u32>, bool) {
    let [primary, backup] = tiers;
    if primary.suffices(panic_percent) {
        return (primary.healthy, false);
    }
    if primary.healthy.is_empty() && backup.suffices(panic_percent) {
        return (backup.healthy, false);
    }
    let both = primary.with(backup);
    if both.suffices(panic_percent) {
        return (both.healthy, false);
    }
    if panic_percent == 0 {
        return (Vec::new(), false);
    }
    let panic = !both.wanted.is_empty();
    (both.wanted, panic)
}

impl Tier {
    fn suffices(&self, panic_percent: usize) -> bool {
        !self.healthy.is_empty() && self.healthy.len() * 100 >= self.wanted.len() * panic_percent
    }

    fn with(mut self, other: Self) -> Self {
        self.wanted.extend(other.wanted);
        self.healthy.extend(other.healthy);
        self
    }
}

/// Smoothly interleaved turns: the k-th turn of a server of weight w comes at time (k + ½) / w.
fn turns(weights: &[u16]) -> Box<[u32]> {
    let divisor = weights.iter().fold(0, |divisor, weight| gcd(divisor, usize::from(*weight))).max(1);
    let total: usize = weights.iter().map(|weight| usize::from(*weight) / divisor).sum();
    let scale = total.div_ceil(MAX_TURNS.max(weights.len())).max(1);
    let mut turns: Vec<(u64, u32)> = Vec::with_capacity(total / scale + weights.len());
    for (position, weight) in (0_u32..).zip(weights) {
        let count = u64::try_from((usize::from(*weight) / divisor).div_ceil(scale)).unwrap_or(1);
        turns.extend((0..count).map(|k| (((2 * k + 1) << 32) / count, position)));
    }
    turns.sort_unstable();
    turns.into_iter().map(|(_, position)| position).collect()
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_weighted_and_interleaved() {
        assert_eq!(*turns(&[1, 3]), [1, 0, 1, 1]);
        assert_eq!(*turns(&[10, 10, 20]), [2, 0, 1, 2]);
        let many = turns(&[65_535, 1]);
        assert!(many.len() <= MAX_TURNS + 2, "{}", many.len());
        assert!(many.contains(&1));
    }

    #[test]
    fn backups_are_used_before_panic_and_panic_before_nothing() {
        let tier =
            |wanted: &[u32], healthy: &[u32]| Tier { wanted: wanted.to_vec(), healthy: healthy.to_vec() };
        let chosen = |primary, backup, percent| choose([primary, backup], percent);
        assert_eq!(chosen(tier(&[0, 1], &[0]), tier(&[2], &[2]), 50), (vec![0], false));
        assert_eq!(chosen(tier(&[0, 1, 3], &[]), tier(&[2], &[2]), 50), (vec![2], false));
        assert_eq!(chosen(tier(&[0, 1, 3], &[0]), tier(&[2], &[2]), 50), (vec![0, 2], false));
        assert_eq!(chosen(tier(&[0, 1, 3], &[0]), tier(&[2], &[]), 50), (vec![0, 1, 3, 2], true));
        assert_eq!(chosen(tier(&[0, 1], &[]), tier(&[2, 3, 4], &[3]), 50), (vec![0, 1, 2, 3, 4], true));
        assert_eq!(chosen(tier(&[0, 1, 3], &[0]), tier(&[], &[]), 0), (vec![0], false));
        assert_eq!(chosen(tier(&[0], &[]), tier(&[], &[]), 0), (vec![], false));
        assert_eq!(chosen(tier(&[], &[]), tier(&[], &[]), 50), (vec![], false));
    }
}
