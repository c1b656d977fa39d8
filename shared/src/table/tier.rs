//! Servers that share a part of the requests, prepared for picking one of them.

use super::{Sampler, Side, turns::turns};
use crate::model::Algorithm;

/// Draws are of so many.
const WHOLE: f64 = (1_u64 << 32) as f64;

/// Servers that share a part of the requests.
#[derive(Debug)]
pub struct Tier {
    /// Indexes into the upstream's servers.
    pub members: Box<[u32]>,
    /// Draws a position in `members` by weight.
    pub sampler: Sampler,
    /// Positions in `members` in smoothly weighted turns; empty when all weights are equal, or need too
    /// many turns, or turns are not used.
    pub turns: Box<[u32]>,
    /// Sum of the members' weights, in hundredths while a server of the upstream warms up.
    pub weight: u64,
    /// Which part of the placement they are.
    pub part: usize,
    /// Their priority.
    pub priority: u8,
    /// Where they are.
    pub side: Side,
    /// The part of the requests that is theirs, above 0 and at most 1.
    pub share: f64,
    /// Whether their verdicts are distrusted because too few of them are left.
    pub panic: bool,
    /// Most percent of its weight that a member has.
    pub warmest: u8,
    /// Least percent of its weight that a member has.
    pub coldest: u8,
    /// One bit per server of the upstream, set for the members; empty unless keys are used.
    set: Box<[u64]>,
    /// Draws below this that are no earlier tier's are its own.
    below: u64,
}

/// What a tier is made of.
pub(super) struct Ingredients {
    pub(super) members: Vec<u32>,
    /// Weights of the members.
    pub(super) weights: Vec<u32>,
    pub(super) priority: u8,
    pub(super) side: Side,
    pub(super) share: f64,
    pub(super) panic: bool,
    /// Least and most percent of its weight that a member has.
    pub(super) percents: (u8, u8),
}

/// The algorithms that pick from a tier.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pickers {
    /// The one whose picks are followed.
    pub(super) real: Algorithm,
    /// The one that picks on paper, if there is one.
    pub(super) shadow: Option<Algorithm>,
}

impl Pickers {
    fn any(self, is: impl Fn(Algorithm) -> bool) -> bool {
        is(self.real) || self.shadow.is_some_and(is)
    }
}

impl Tier {
    /// The tier of `of`, from that `part` of the placement of an upstream of so many `servers`.
    pub(super) fn new(of: Ingredients, part: usize, pickers: Pickers, servers: usize) -> Self {
        let Ingredients { members, weights, priority, side, share, panic, percents } = of;
        let sampler = Sampler::new(&weights);
        let in_turns = pickers.any(|algorithm| algorithm == Algorithm::RoundRobin)
            && matches!(sampler, Sampler::Alias(_));
        Self {
            turns: if in_turns { turns(&weights) } else { Box::default() },
            sampler,
            weight: weights.iter().map(|weight| u64::from(*weight)).sum(),
            part,
            priority,
            side,
            share,
            panic,
            warmest: percents.1,
            coldest: percents.0,
            set: if pickers.any(Algorithm::uses_key) { set(&members, servers) } else { Box::default() },
            below: 0,
            members: members.into_boxed_slice(),
        }
    }

    /// Whether some member warms up while another does not, or less so.
    #[must_use]
    pub fn is_uneven(&self) -> bool {
        self.coldest < self.warmest
    }

    /// Whether the server at `index` is a member. Only where keys are used.
    #[must_use]
    pub fn contains(&self, index: u32) -> bool {
        self.set.get(index as usize / 64).is_some_and(|bits| bits >> (index % 64) & 1 == 1)
    }
}

/// Gives each of `tiers` its part of all draws.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a sum of shares is from 0 to about 1"
)]
pub(super) fn divide(tiers: &mut [Tier]) {
    let mut sum = 0.0;
    for tier in tiers.iter_mut() {
        sum += tier.share;
        tier.below = (sum * WHOLE) as u64;
    }
    if let Some(last) = tiers.last_mut() {
        last.below = u64::MAX;
    }
}

/// The tier that the upper half of `draw` falls to.
pub(super) fn at(tiers: &[Tier], draw: u64) -> Option<&Tier> {
    tiers.iter().find(|tier| draw >> 32 < tier.below)
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
