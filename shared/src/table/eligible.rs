//! Which servers of an upstream may be picked now.
//!
//! Built when something changes, not per request: a pick reads it through one pointer. A server is in when the operator
//! wants it, checks call it healthy and it is not ejected; how much the servers of each level of priority get is
//! [`super::spill`]'s to say, and how much of it stays in the balancer's zone [`local_share`]'s. With too few left the verdicts
//! are distrusted and every wanted server is used (panic).

use std::{sync::Arc, time::Duration};

use super::{
    Placement, Server, Side, SlowStartPolicy, SpillPolicy, Tier,
    placement::Part,
    spill::{Level, Load, loads},
    tier::{self, Ingredients, Pickers},
};
use crate::{model::UpstreamRecord, state::EjectionEnd, time::Moment};

/// In place of the moment from which a server may be picked: it may not.
pub(super) const NEVER: Moment = Moment(u64::MAX);

/// The servers that may be picked, prepared for picking.
#[derive(Debug)]
pub struct Eligible {
    /// The servers by what part of the requests they get, all of it together; empty when none may be picked.
    pub tiers: Box<[Tier]>,
    /// Indexes of the servers that may be picked and get nothing, because others suffice, by part: for when those others are
    /// full, or have failed a request.
    pub reserves: Box<[Box<[u32]>]>,
    /// Whether verdicts are distrusted somewhere because too few servers are left.
    pub panic: bool,
    /// Servers that are wanted, healthy and not ejected, of any priority, whether this balancer uses them or not.
    pub healthy: usize,
    /// For each server of the upstream since when it may be picked.
    pub(super) moments: Box<[Moment]>,
    /// Percent of its weight that each server of the upstream has; empty when all have all of it.
    percents: Box<[u8]>,
    generation: u64,
    /// When the first ejection ends or a server has warmed up further, so that the set must be built again.
    expires: Option<Moment>,
}

/// What an upstream's set is built by.
#[derive(Clone, Copy, Debug)]
pub struct EligiblePolicy {
    pickers: Pickers,
    spill: SpillPolicy,
    /// Servers needed for zones to count.
    min_servers: usize,
    slow_start: Option<SlowStartPolicy>,
}

impl EligiblePolicy {
    /// What the upstream of `record` is built by.
    pub(super) fn of(record: &UpstreamRecord) -> Self {
        let spec = &record.spec;
        Self {
            pickers: Pickers {
                real: spec.algorithm,
                shadow: spec.shadow.as_ref().map(|shadow| shadow.algorithm),
            },
            spill: SpillPolicy {
                panic_percent: spec.panic_threshold_percent,
                overprovisioning_percent: spec.overprovisioning_percent,
            },
            min_servers: spec.zone_awareness.min_servers.into(),
            slow_start: SlowStartPolicy::of(&spec.slow_start),
        }
    }
}

impl Eligible {
    /// Builds the set as of `now`. `before` is since when each server could be picked, as known before; whoever is not in it
    /// begins now. `generation` is the upstream's, read before anything else.
    #[must_use]
    pub fn build(
        servers: &[Arc<Server>],
        placement: &Placement,
        policy: EligiblePolicy,
        before: &[Moment],
        generation: u64,
        now: Moment,
    ) -> Self {
        let mut draft = Draft {
            servers,
            policy,
            before,
            now,
            since: vec![NEVER; servers.len()],
            percents: Vec::new(),
            healthy: 0,
            expires: None,
        };
        let levels: Vec<Vec<Found<'_>>> =
            placement.levels().map(|parts| parts.iter().map(|part| draft.look(part)).collect()).collect();
        let healths: Vec<Level> =
            levels.iter().map(|parts| Level::sum(parts.iter().map(|part| part.level))).collect();
        let loads = loads(&healths, policy.spill);
        for (parts, load) in levels.iter().zip(&loads) {
            // In a panic servers that just came back are the ones to rely on.
            if load.share > 0.0 && !load.panic {
                parts.iter().for_each(|found| draft.warm_up(&found.eligible));
            }
        }
        let (mut tiers, mut reserves) = (Vec::new(), Vec::new());
        let mut number = 0;
        for (parts, load) in levels.into_iter().zip(loads) {
            let first = number;
            number += parts.len();
            for (place, of) in draft.level(parts, load) {
                if of.share > 0.0 {
                    tiers.push((first + place, of));
                } else {
                    reserves.push(of.members.into_boxed_slice());
                }
            }
        }
        let tier = |(part, of)| Tier::new(of, part, policy.pickers, servers.len());
        let mut tiers: Box<[Tier]> = tiers.into_iter().map(tier).collect();
        tier::divide(&mut tiers);
        let panic = tiers.iter().any(|tier| tier.panic);
        let Draft { since, percents, healthy, expires, .. } = draft;
        let reserves = reserves.into();
        Self {
            tiers,
            reserves,
            panic,
            healthy,
            moments: since.into(),
            percents: percents.into(),
            generation,
            expires,
        }
    }

    /// The tier that a request goes to. `draw` gives 64 random bits, of which the upper half is used, and is only asked when
    /// there is a choice.
    #[must_use]
    pub fn tier(&self, draw: impl FnOnce() -> u64) -> Option<&Tier> {
        match &*self.tiers {
            [only] => Some(only),
            tiers => tier::at(tiers, draw()),
        }
    }

    /// Indexes of all servers that get requests.
    pub fn members(&self) -> impl Iterator<Item = u32> {
        self.tiers.iter().flat_map(|tier| tier.members.iter().copied())
    }

    /// Percent of its weight that the server at `index` has while it warms up; 100 afterwards.
    #[must_use]
    pub fn percent(&self, index: u32) -> u8 {
        percent(&self.percents, index)
    }

    /// The weight that `server`, the one at `index`, has now: in the unit of [`Tier::weight`].
    #[must_use]
    pub fn weight(&self, index: u32, server: &Server) -> u32 {
        weight(&self.percents, index, server)
    }

    /// Since when the server at `index` may be picked; `None` when it may not be, panic aside.
    #[must_use]
    pub fn since(&self, index: u32) -> Option<Moment> {
        self.moments.get(index as usize).copied().filter(|since| *since != NEVER)
    }

    /// Whether the set still holds at `now` for an upstream at `generation`.
    #[must_use]
    pub(super) fn is_current(&self, generation: u64, now: Moment) -> bool {
        self.generation == generation && self.expires.is_none_or(|expires| now < expires)
    }
}

/// A set being built.
struct Draft<'a> {
    servers: &'a [Arc<Server>],
    policy: EligiblePolicy,
    before: &'a [Moment],
    now: Moment,
    since: Vec<Moment>,
    percents: Vec<u8>,
    healthy: usize,
    expires: Option<Moment>,
}

/// A part with those of its servers that may be picked.
struct Found<'p> {
    part: &'p Part,
    level: Level,
    eligible: Vec<u32>,
}

impl Draft<'_> {
    /// Finds the servers of `part` that may be picked: as many as the balancer uses, further ones in place of those that may
    /// not. How many are left is counted of all of them, since other balancers need stand-ins too.
    fn look<'p>(&mut self, part: &'p Part) -> Found<'p> {
        let mut eligible = Vec::with_capacity(part.size);
        let mut healthy = 0;
        for index in &part.servers {
            if !self.is_eligible(*index) {
                continue;
            }
            healthy += 1;
            if eligible.len() < part.size {
                let place = *index as usize;
                let since =
                    self.before.get(place).copied().filter(|since| *since != NEVER).unwrap_or(self.now);
                if let Some(slot) = self.since.get_mut(place) {
                    *slot = since;
                }
                eligible.push(*index);
            }
        }
        if part.size < part.servers.len() {
            // In the order of the configuration, like everywhere else.
            eligible.sort_unstable();
        }
        self.healthy += healthy;
        Found { part, level: Level { wanted: part.servers.len(), healthy }, eligible }
    }

    /// Whether the server at `index` is healthy and not ejected. An ejection that is over is ended.
    fn is_eligible(&mut self, index: u32) -> bool {
        let Some(server) = self.servers.get(index as usize) else { return false };
        match server.state.outlier.ejected_until() {
            Some(until) if until > self.now => {
                self.expire(until);
                return false;
            }
            Some(_) => {
                server.state.outlier.uneject(EjectionEnd::Due);
            }
            None => {}
        }
        server.state.health.is_healthy()
    }

    fn expire(&mut self, at: Moment) {
        self.expires = Some(self.expires.map_or(at, |first| first.min(at)));
    }

    /// What the parts of one level that has this load become, each with its place in the level.
    fn level(&self, parts: Vec<Found<'_>>, load: Load) -> Vec<(usize, Ingredients)> {
        let mut level: Vec<(usize, Side, Ingredients)> = Vec::with_capacity(parts.len());
        let zones = parts.first().map_or(1, |found| found.part.zones);
        for (place, Found { part, eligible, .. }) in parts.into_iter().enumerate() {
            let members = if load.panic && load.share > 0.0 { all_used(part, eligible) } else { eligible };
            if !members.is_empty() {
                let percents = members.iter().map(|index| percent(&self.percents, *index));
                let of = Ingredients {
                    percents: percents.fold((100, 0), |(least, most), one| (least.min(one), most.max(one))),
                    weights: members.iter().map(|index| self.weight(*index)).collect(),
                    members,
                    priority: part.priority,
                    side: part.side,
                    share: load.share,
                    panic: load.panic,
                };
                level.push((place, part.side, of));
            }
        }
        self.divide(&mut level, zones);
        level.into_iter().map(|(place, _, of)| (place, of)).collect()
    }

    /// Divides the share of a level between the local part and the remote one, if it has both.
    fn divide(&self, level: &mut [(usize, Side, Ingredients)], zones: usize) {
        let [(_, Side::Local, local), (_, _, remote)] = level else { return };
        let weight = |of: &Ingredients| of.weights.iter().map(|weight| u64::from(*weight)).sum::<u64>();
        let servers = local.members.len() + remote.members.len();
        // Too few for zones to count: as if they did not.
        let (zones, percent) = match servers < self.policy.min_servers {
            true => (1, 100),
            false => (zones, self.policy.spill.overprovisioning_percent),
        };
        let kept = local_share(weight(local), weight(remote), zones, percent);
        (local.share, remote.share) = (local.share * kept, local.share * (1.0 - kept));
    }

    /// Works out what part of their weights `members` have.
    fn warm_up(&mut self, members: &[u32]) {
        let Some(slow_start) = self.policy.slow_start else { return };
        for index in members {
            let place = *index as usize;
            let warm = self.since.get(place).map_or(Duration::MAX, |since| self.now.since(*since));
            let percent = slow_start.percent(warm);
            if percent == 100 {
                continue;
            }
            if self.percents.is_empty() {
                self.percents = vec![100; self.servers.len()];
            }
            if let Some(slot) = self.percents.get_mut(place) {
                *slot = percent;
            }
            self.expire(slow_start.next_step(self.now));
        }
    }

    fn weight(&self, index: u32) -> u32 {
        self.servers.get(index as usize).map_or(0, |server| weight(&self.percents, index, server))
    }
}

/// The servers that are used while all of `part` may be, and the `eligible` ones, which stand in for some of them.
fn all_used(part: &Part, mut eligible: Vec<u32>) -> Vec<u32> {
    eligible.extend(part.first());
    eligible.sort_unstable();
    eligible.dedup();
    eligible
}

fn percent(percents: &[u8], index: u32) -> u8 {
    percents.get(index as usize).copied().unwrap_or(100)
}

/// In hundredths while some server warms up.
fn weight(percents: &[u8], index: u32, server: &Server) -> u32 {
    let unit = percents.get(index as usize).map_or(1, |percent| u32::from(*percent));
    u32::from(server.weight) * unit
}

/// The part of its requests that a zone keeps. No server of it gets more than `percent` of what it would get if zones did
/// not count, all `zones` having the same traffic.
#[expect(clippy::cast_precision_loss, reason = "sums of at most 10 000 weights")]
fn local_share(local: u64, remote: u64, zones: usize, percent: u16) -> f64 {
    let fair = local as f64 / (local + remote).max(1) as f64;
    (fair * zones as f64 * f64::from(percent) / 100.0).min(1.0)
}
