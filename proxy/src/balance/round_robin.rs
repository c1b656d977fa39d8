//! Servers in turn, smoothly interleaved by weight.
//!
//! The order of turns is prepared with the set of eligible servers; a pick is one step of a cursor that each worker has
//! for itself.

use weir_shared::{state::Counter, table::Server};

use super::Candidates;

/// The pick; `None` when there is no candidate.
pub(super) fn pick<'u>(
    candidates: &Candidates<'u, '_>,
    cursor: &Counter,
    random: impl FnOnce() -> u64,
) -> Option<&'u Server> {
    // Workers begin at different places, or all of them would begin with the same server.
    let turn = if cursor.value() == 0 { random() >> 1 | 1 } else { cursor.value() };
    cursor.set(turn.wrapping_add(1));
    let turns = &candidates.eligible.turns;
    let count = if turns.is_empty() { candidates.len() } else { turns.len() };
    let step = usize::try_from(turn.checked_rem(count as u64)?).ok()?;
    let position = if turns.is_empty() { step } else { *turns.get(step)? as usize };
    candidates.get(position)
}
