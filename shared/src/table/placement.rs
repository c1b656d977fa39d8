//! Where the servers of an upstream stand to each other and to this balancer, as far as the configuration alone tells:
//! levels of priority, zones, and which of them the balancer uses.
//!
//! Made with the table. What changes by itself, such as health, is looked at by [`super::Eligible`].
//!
//! **Subsets.** Servers stand on a ring in the order of their addresses' hashes, balancers at equal distances on it, and each
//! uses the servers that follow its place. So every server is used by ⌊m·k/n⌋ or ⌈m·k/n⌉ of m balancers with k of n servers
//! each, and when a server comes or goes no balancer's subset changes by more than two: its place moves by less than one
//! server. Source: Twitter's deterministic aperture (Finagle), with whole servers. The SRE book's shuffles (chapter 20) are
//! as even, but change most of a subset when a server goes.

use std::{collections::BTreeMap, sync::Arc};

use twox_hash::XxHash64;

use super::{Server, Site};
use crate::model::{Upstream, ZoneMode};

/// The servers an operator wants to have requests, in parts that stand alike.
#[derive(Debug)]
pub struct Placement {
    /// By priority; of one priority the local ones first.
    pub(super) parts: Box<[Part]>,
}

/// Servers that stand alike.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) priority: u8,
    pub(super) side: Side,
    /// Zones with servers of this priority; at least 1.
    pub(super) zones: usize,
    /// Indexes into the upstream's servers, those that are used first at the front.
    pub(super) servers: Box<[u32]>,
    /// The same, and those that would be here if they were not out of use: keys count on them to come back.
    pub(super) keyed: Box<[u32]>,
    /// How many are used, if so many may be.
    pub(super) size: usize,
}

/// Where servers are, seen from the balancer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// In its zone.
    Local,
    /// In another, or in none.
    Remote,
    /// Zones do not count.
    Anywhere,
}

impl Placement {
    /// Places `servers`, of `upstream`, as seen from `site`. Those that are not wanted get no requests; keys alone count on them to come back.
    #[must_use]
    pub fn new(servers: &[Arc<Server>], upstream: &Upstream, site: &Site) -> Self {
        let zone = site.zone.as_deref().filter(|_| upstream.zone_awareness.mode == ZoneMode::PreferLocal);
        let side = |server: &Server| match zone {
            None => Side::Anywhere,
            Some(zone) if server.record.server.zone == zone => Side::Local,
            Some(_) => Side::Remote,
        };
        let mut parts: BTreeMap<(u8, Side), Vec<u32>> = BTreeMap::new();
        let mut zones: BTreeMap<u8, Vec<&str>> = BTreeMap::new();
        for (index, server) in (0_u32..).zip(servers).filter(|(_, server)| server.weight > 0) {
            parts.entry((server.priority, side(server))).or_default().push(index);
            if server.is_wanted() && zone.is_some() && !server.record.server.zone.is_empty() {
                zones.entry(server.priority).or_default().push(&server.record.server.zone);
            }
        }
        let zones: BTreeMap<u8, usize> =
            zones.into_iter().map(|(level, names)| (level, distinct(names))).collect();
        let is_wanted = |index: &u32| servers.get(*index as usize).is_some_and(|server| server.is_wanted());
        let part = |((priority, side), keyed): ((u8, Side), Vec<u32>)| {
            let wanted: Vec<u32> = keyed.iter().copied().filter(is_wanted).collect();
            if wanted.is_empty() {
                return None;
            }
            let (wanted, size) = subset(wanted, servers, upstream.subset.size.into(), site);
            let zones = zones.get(&priority).copied().unwrap_or(1);
            Some(Part { priority, side, zones, servers: wanted.into(), keyed: keyed.into(), size })
        };
        Self { parts: parts.into_iter().filter_map(part).collect() }
    }

    /// How the server at `index` stands; `None` when it is not wanted. Looks at all servers.
    #[must_use]
    pub fn place(&self, index: u32) -> Option<Place> {
        let found = |part: &Part| {
            let position = part.servers.iter().position(|member| *member == index)?;
            let membership = match part.size {
                size if size >= part.servers.len() => Membership::OfAll,
                size if position < size => Membership::OfSubset,
                _ => Membership::Spare,
            };
            Some(Place { side: part.side, membership })
        };
        self.parts.iter().find_map(found)
    }

    /// The parts, level by level.
    pub(super) fn levels(&self) -> impl Iterator<Item = &[Part]> {
        self.parts.chunk_by(|one, other| one.priority == other.priority)
    }
}

/// How a server stands to the balancer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Where it is.
    pub side: Side,
    /// Whether the balancer uses it.
    pub membership: Membership,
}

/// Whether a balancer uses a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Membership {
    /// As it uses all that are alike.
    OfAll,
    /// It is one of its subset.
    OfSubset,
    /// Only in place of one of its subset that may not be picked.
    Spare,
}

impl Part {
    /// The servers that are used while all may be.
    pub(super) fn first(&self) -> &[u32] {
        self.servers.get(..self.size).unwrap_or(&self.servers)
    }
}

fn distinct(mut names: Vec<&str>) -> usize {
    names.sort_unstable();
    names.dedup();
    names.len()
}

/// `members` from the balancer's place on their ring on, and how many of them it uses. All, as they are, when it uses all.
fn subset(mut members: Vec<u32>, servers: &[Arc<Server>], size: usize, site: &Site) -> (Vec<u32>, usize) {
    let all = members.len();
    let Some(number) = site.number.filter(|_| size > 0 && size < all) else { return (members, all) };
    members.sort_by_cached_key(|index| {
        let address = servers.get(*index as usize).map(|server| server.record.server.address.as_str());
        (XxHash64::oneshot(0, address.unwrap_or_default().as_bytes()), *index)
    });
    members.rotate_left(number.start(all));
    (members, size)
}
