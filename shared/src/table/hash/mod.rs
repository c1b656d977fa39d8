//! From a key of a request to a server, the same one as long as it is there.
//!
//! Built from all servers with a weight, not from those eligible at the moment: when a server falls ill, drains or is in
//! maintenance only its own keys go elsewhere, and come back with it. What is looked up is an order of preference; the caller
//! takes the first that is eligible.
//!
//! **What it costs others when one of N servers is taken out for good**: keys that move, for each one that has to, and how much
//! more than the mean the busiest server has.
//!
//! | N | 10 | 25 | 50 | 100 | 1000 | busiest |
//! |---|---|---|---|---|---|---|
//! | ring | 1.00 | 1.00 | 1.00 | 1.00 | 1.00 | 10 to 30 % |
//! | Maglev, 65 537 slots | 1.02 | 1.11 | 1.25 | 1.60 | – | 0.1 % |
//! | Maglev, 655 373 | 1.01 | 1.03 | 1.06 | 1.15 | 4.3 | 0.1 % |
//! | Maglev, 2 000 003 | 1.00 | 1.01 | 1.03 | 1.08 | 2.4 | 0.1 % |
//! | rendezvous by slot, 1 000 003 | 1.00 | | | 1.00 | 1.00 | 1 %, 1.5 %, 7 % with 10, 100, 1000 |
//! | the same, nobody above 1 % | 1.00 | | | 1.01 | 1.36 | 1 % |
//!
//! Maglev evens out to the last slot. When a server goes, each of the others gets an Nth of its slots, give or take √slots / N by
//! chance; evening that out moves slots of servers that stay, about N / √slots for each that had to move, and more when one that is
//! moved pushes others. So a table keeps within a tenth with a hundred slots for the square of N. Rendezvous hashing moves none,
//! and is as uneven as chance; bounded it keeps within a tenth for three to five times as many servers, but not for a
//! thousand, and is not the table that other balancers make of the same servers. Where a thousand servers come and go, a ring
//! with bounded loads is the choice.

mod maglev;
mod ring;
#[cfg(test)]
mod tests;

use std::{hash::Hasher as _, net::IpAddr, sync::Arc};

use maglev::Maglev;
use ring::Ring;
use twox_hash::XxHash64;

use super::{Placement, Server, placement::Part};
use crate::model::{self, Algorithm};

/// Looks at one key before it is given up: most of the table's servers are not to be had then, or not this balancer's.
const MAX_LOOKS: usize = 64;

/// Which server a key belongs to.
#[derive(Debug)]
pub struct HashTable {
    /// One for each part of the placement: a key looks for a server only where it is sent.
    tables: Box<[Kind]>,
}

#[derive(Debug)]
enum Kind {
    Ring(Ring),
    Maglev {
        all: Arc<Maglev>,
        /// Made without those that are out of use, if there are any: whose keys go where they will be if these never come back.
        wanted: Option<Arc<Maglev>>,
    },
}

/// A request's key, hashed. Which hash depends on the table it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key(u64);

impl HashTable {
    /// The tables of `algorithm` over the parts of `placement`; `None` for an algorithm that needs none, or when no server
    /// is wanted. Tables of `before` that would be made again as they are, which may take a tenth of a second each, are taken over.
    #[must_use]
    pub fn build(
        algorithm: Algorithm,
        settings: &model::Hash,
        servers: &[Arc<Server>],
        placement: &Placement,
        before: Option<&Self>,
    ) -> Option<Self> {
        if !algorithm.uses_key() || placement.parts.is_empty() {
            return None;
        }
        let entry = |index: &u32| {
            let server = servers.get(*index as usize)?;
            Some(Entry { index: *index, name: server.record.server.address.clone(), weight: server.weight })
        };
        let entries = |indexes: &[u32]| -> Vec<Entry> { indexes.iter().filter_map(entry).collect() };
        let maglev = |indexes: &[u32]| {
            let (entries, size) = (entries(indexes), settings.table_size);
            let known = before.and_then(|before| before.maglevs().find(|known| known.is_of(&entries, size)));
            known.map_or_else(|| Arc::new(Maglev::build(entries, size)), Arc::clone)
        };
        let table = |part: &Part| match algorithm {
            Algorithm::RingHash => Kind::Ring(Ring::build(&entries(&part.keyed))),
            _ => Kind::Maglev {
                all: maglev(&part.keyed),
                wanted: (part.servers.len() < part.keyed.len()).then(|| maglev(&part.servers)),
            },
        };
        Some(Self { tables: placement.parts.iter().map(table).collect() })
    }

    fn maglevs(&self) -> impl Iterator<Item = &Arc<Maglev>> {
        self.tables
            .iter()
            .flat_map(|table| match table {
                Kind::Ring(_) => [None, None],
                Kind::Maglev { all, wanted } => [Some(all), wanted.as_ref()],
            })
            .flatten()
    }

    /// The hash of a key made of `bytes`.
    #[must_use]
    pub fn key(&self, bytes: &[u8]) -> Key {
        match self.tables.first() {
            Some(Kind::Ring(_)) => Key(u64::from(ring::hash(bytes))),
            Some(Kind::Maglev { .. }) | None => Key(XxHash64::oneshot(0, bytes)),
        }
    }

    /// Indexes of servers of `part` in the order in which `key` prefers them: the first is its own. A server may come up
    /// again.
    pub fn preferred(&self, part: usize, key: Key) -> impl Iterator<Item = u32> {
        let table = self.tables.get(part);
        let mut look = 0;
        std::iter::from_fn(move || {
            let server = match table? {
                Kind::Ring(ring) => ring.at(key.0, look),
                Kind::Maglev { wanted: Some(wanted), .. } if look > 0 => wanted.at(key.0, look - 1),
                Kind::Maglev { all, .. } => all.at(key.0, look),
            };
            look += 1;
            server.filter(|_| look <= MAX_LOOKS)
        })
    }
}

impl Key {
    /// Random bits that are the same for the same key.
    #[must_use]
    pub fn bits(self) -> u64 {
        self.seeded(1)
    }

    /// Random bits that are the same for the same key and tell nothing of [`Self::bits`].
    #[must_use]
    pub fn other_bits(self) -> u64 {
        self.seeded(2)
    }

    /// Random bits that are the same for the same key and tell nothing of the others: which of several upstreams it goes to.
    #[must_use]
    pub fn split_bits(self) -> u64 {
        self.seeded(3)
    }

    fn seeded(self, seed: u64) -> u64 {
        let mut hasher = XxHash64::with_seed(seed);
        hasher.write_u64(self.0);
        hasher.finish()
    }

    /// How much the key prefers the server at `address` where it has to choose among a few of which no table was made: each is
    /// preferred by as many keys as its `weight` says, and when one comes or goes only those keys move.
    ///
    /// Source: Thaler and Ravishankar, "Using Name-Based Mappings to Increase Hit Rates" (IEEE/ACM ToN 6, 1998).
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "random bits, of which 53 are plenty")]
    pub fn preference(self, address: &str, weight: u32) -> f64 {
        let bits = XxHash64::oneshot(self.bits(), address.as_bytes());
        let unit = ((bits >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
        f64::from(weight) / -unit.ln()
    }

    /// The bytes of the network `address` is in, of as many leading bits as `settings` say.
    #[must_use]
    pub fn network(address: IpAddr, settings: &model::Hash) -> ([u8; 16], usize) {
        network(address, settings.ipv4_prefix, settings.ipv6_prefix)
    }
}

/// The bytes of the network `address` is in, of as many leading bits, and how many bytes there are.
pub(super) fn network(address: IpAddr, ipv4_prefix: u8, ipv6_prefix: u8) -> ([u8; 16], usize) {
    let mut bytes = [0; 16];
    let (len, bits) = match address.to_canonical() {
        IpAddr::V4(address) => {
            bytes[..4].copy_from_slice(&address.octets());
            (4, ipv4_prefix)
        }
        IpAddr::V6(address) => {
            bytes.copy_from_slice(&address.octets());
            (16, ipv6_prefix)
        }
    };
    let mut left = u32::from(bits);
    for byte in &mut bytes {
        let kept = left.min(8);
        *byte &= u8::MAX.checked_shl(8 - kept).unwrap_or(0);
        left -= kept;
    }
    (bytes, len)
}

/// A server to be built in.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    index: u32,
    /// What is hashed: the address, so that several balancers agree whatever they call the server.
    name: String,
    weight: u16,
}
