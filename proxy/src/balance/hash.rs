//! The server a request's key belongs to, or the next one the key prefers.
//!
//! Bounded loads: a server that has its share of the requests in flight, times a factor, is passed over, so that a key that
//! everybody asks for does not drown its server. Source: Mirrokni, Thorup and Zadimoghaddam, "Consistent Hashing with
//! Bounded Loads" (SODA 2018).

use weir_shared::table::{Eligible, HashTable, Key, Server};

use super::{Candidates, Policy, Tried};

/// The pick; `None` when there is no candidate.
pub(super) fn pick<'u>(
    candidates: &Candidates<'u, '_>,
    table: &HashTable,
    key: Key,
    tried: &Tried,
) -> Option<&'u Server> {
    let tier = candidates.tier;
    let bound = Bound::of(candidates);
    let mut first = None;
    for index in table.preferred(tier.part, key) {
        if !tier.contains(index) {
            continue;
        }
        let Some(server) = candidates.policy.upstream.servers.get(index as usize).map(AsRef::as_ref) else {
            continue;
        };
        if tried.contains(server) || !candidates.is_open(server) || !takes(candidates, index, key) {
            continue;
        }
        if bound.as_ref().is_none_or(|bound| bound.has_room(index, server)) {
            return Some(server);
        }
        first = first.or(Some(server));
    }
    // All that were looked at are full, or gone, or not of this balancer's subset.
    first.or_else(|| most_preferred(candidates, key, tried))
}

/// The server of the tier that `key` prefers without a table: a look at all of them, which are few as a rule when it comes to
/// this.
fn most_preferred<'u>(candidates: &Candidates<'u, '_>, key: Key, tried: &Tried) -> Option<&'u Server> {
    let Candidates { policy, eligible, tier, .. } = *candidates;
    let preference = |index: &u32| {
        let server = policy.upstream.servers.get(*index as usize).map(AsRef::as_ref)?;
        let is_free = !tried.contains(server) && candidates.is_open(server);
        let weight = eligible.weight(*index, server);
        is_free.then(|| (key.preference(&server.record.server.address, weight), server))
    };
    let better = |one: &(f64, &Server), other: &(f64, &Server)| one.0.total_cmp(&other.0);
    tier.members.iter().filter_map(preference).max_by(better).map(|(_, server)| server)
}

/// Whether the server at `index` has warmed up far enough for `key`: it begins with some of its keys, always the same ones,
/// and the rest follow. Servers that warm up together have all of theirs.
fn takes(candidates: &Candidates<'_, '_>, index: u32, key: Key) -> bool {
    let tier = candidates.tier;
    if !tier.is_uneven() {
        return true;
    }
    let turn = (key.other_bits() ^ u64::from(index)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    turn * u64::from(tier.warmest) < u64::from(candidates.eligible.percent(index)) << 32
}

/// How many requests in flight a server may have.
struct Bound<'u, 'c> {
    policy: &'c Policy<'u>,
    eligible: &'c Eligible,
    /// Per weight.
    per_weight: f64,
}

impl<'u, 'c> Bound<'u, 'c> {
    #[expect(clippy::cast_precision_loss, reason = "exact for any number of requests in flight")]
    fn of(candidates: &Candidates<'u, 'c>) -> Option<Self> {
        let percent = candidates.policy.balance_percent;
        if percent == 0 {
            return None;
        }
        // Workers count down what they counted up, so that only the sum is a number of requests.
        let counts =
            candidates.policy.upstream.state.in_flight.iter().map(weir_shared::state::Counter::value);
        let in_flight = counts.fold(0, u64::wrapping_add) as f64;
        let share = (in_flight * candidates.tier.share + 1.0) / candidates.tier.weight.max(1) as f64;
        Some(Self {
            policy: candidates.policy,
            eligible: candidates.eligible,
            per_weight: share * f64::from(percent) / 100.0,
        })
    }

    fn has_room(&self, index: u32, server: &Server) -> bool {
        let most = (self.per_weight * f64::from(self.eligible.weight(index, server))).ceil();
        f64::from(self.policy.count(server)) < most
    }
}
