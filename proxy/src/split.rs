//! Which of a route's upstreams gets a request.
//!
//! Each gets its share of the requests, and keeps whom it has got: a client that has an affinity cookie of one of the upstreams
//! goes there as long as that has a share at all; requests with a key (`ring_hash`, `maglev`) are divided by it, so that the same
//! key means the same upstream and a change of the shares moves no more keys than it has to. All others are drawn.

use http::HeaderMap;
use weir_shared::table::{Slot, Split};

use crate::{affinity, balance, exchange::Exchange};

/// The upstream for a request with `headers` for `target`; `None` when none has a share.
pub(crate) fn choose(exchange: &Exchange, split: &Split, headers: &HeaderMap, target: &str) -> Option<Slot> {
    if split.targets.len() < 2 {
        return split.choose(0);
    }
    let table = &exchange.table.0;
    let with_share = split.targets.iter().filter(|target| target.weight > 0);
    for target in with_share {
        let upstream = table.target(target.slot)?;
        if affinity::bond(exchange, upstream, headers).is_some() {
            return Some(target.slot);
        }
    }
    // Whoever has a share: a key's upstream shall not depend on it.
    let mut upstreams = split.targets.iter().filter_map(|target| table.target(target.slot));
    let key = upstreams.find_map(|upstream| balance::key_of(upstream, exchange, headers, target));
    split.choose(key.map_or_else(|| exchange.worker().random(), weir_shared::table::Key::split_bits))
}
