//! Servers in turn, smoothly interleaved by weight.
//!
//! The order of turns is prepared with the set of eligible servers; a pick is one step of a cursor that each worker has
//! for itself. Where several tiers share the requests, their turns are of one cursor: even, but not smooth. Weights that would
//! need too many turns are drawn by.

use weir_shared::{
    state::Counter,
    table::{Sampler, Server},
};

use super::Candidates;

/// The pick; `None` when there is no candidate.
pub(super) fn pick<'u>(
    candidates: &Candidates<'u, '_>,
    cursor: &Counter,
    random: impl FnOnce() -> u64,
) -> Option<&'u Server> {
    let turns = &candidates.tier.turns;
    if turns.is_empty() && !matches!(candidates.tier.sampler, Sampler::Uniform(_)) {
        return candidates.draw(random());
    }
    // Workers begin at different places, or all of them would begin with the same server.
    let turn = if cursor.value() == 0 { random() >> 1 | 1 } else { cursor.value() };
    cursor.set(turn.wrapping_add(1));
    let count = if turns.is_empty() { candidates.len() } else { turns.len() };
    let step = usize::try_from(turn.checked_rem(count as u64)?).ok()?;
    let at = |step: usize| {
        let position = if turns.is_empty() { Some(step) } else { turns.get(step).map(|turn| *turn as usize) };
        candidates.get(position?)
    };
    let picked = at(step)?;
    if candidates.is_open(picked) {
        return Some(picked);
    }
    // Full servers lose their turns, as far as a look at the next ones goes.
    const LOOKS: usize = 64;
    let skipped = (1..count.min(LOOKS))
        .find(|skipped| at((step + skipped) % count).is_some_and(|server| candidates.is_open(server)))?;
    cursor.set(turn.wrapping_add(1 + skipped as u64));
    at((step + skipped) % count)
}
