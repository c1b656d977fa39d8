//! The first server, in the order of the configuration, that can take one more request: the others are kept free, so that
//! they can be switched off.
//!
//! Source: HAProxy's `balance first`. Without a limit (`max_requests`) the first server gets everything. Costs a look at each
//! server that is full, up to 64 of them from the front; where all of these are, at the 64 behind the last one that is known
//! to be full, and so on: a cursor of the worker keeps that place, and comes back as places become free.

use weir_shared::{state::Counter, table::Server};

use super::Candidates;

/// Servers looked at for one pick.
const LOOKS: usize = 64;

/// The pick; `None` when no server that was looked at has room.
pub(super) fn pick<'u>(candidates: &Candidates<'u, '_>, cursor: &Counter) -> Option<&'u Server> {
    let open = |from: usize, to: usize| {
        (from..to.min(candidates.len()))
            .filter_map(|position| Some((position, candidates.get(position)?)))
            .find(|(_, server)| candidates.is_open(server))
    };
    let known = usize::try_from(cursor.value()).unwrap_or(0).min(candidates.len());
    // From the front in any case: those that were full longest ago are the likeliest to have room again.
    let found = open(0, LOOKS).or_else(|| open(known.max(LOOKS), known.max(LOOKS) + LOOKS));
    let next = match found {
        // Back by as much as one look reaches, so that those before it come up again.
        Some((position, _)) => position.saturating_sub(LOOKS / 2),
        None => known.max(LOOKS) + LOOKS,
    };
    cursor.set(if next >= candidates.len() { 0 } else { next as u64 });
    found.map(|(_, server)| server)
}
