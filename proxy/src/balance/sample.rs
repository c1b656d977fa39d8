//! The servers that are compared for one pick: all of a small group, some drawn by weight of a large one.
//!
//! Drawing two bounds the worst server's excess load to ln ln n with two reads, where looking at all would cost n of them
//! and send every worker to the same idle server.
//!
//! Source: Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing" (IEEE TPDS 12, 2001). With two servers,
//! two draws pick the busier one a quarter of the time, hence all of a small group.

use weir_shared::table::Server;

use super::{Candidates, Tried};

/// Largest group of which all servers are compared: as many cache lines as a pick may reasonably touch.
pub(super) const MOST: usize = 16;

/// Draws per server wanted before the sample is taken as it is.
const DRAWS: usize = 3;

/// Costs up to this many times the least are taken for equal.
const ALIKE: f32 = 1.2;

/// A number for each server of a sample, in order; what is left is infinite.
pub(super) type Values = [f32; MOST];

/// At most 16 different servers.
pub(super) struct Sample<'u> {
    servers: [Option<&'u Server>; MOST],
    len: usize,
    /// From here on they warm up and were drawn by their part of the weight: one wins if it is as good as the best.
    guests: usize,
    /// Whether the servers came up in proportion to their weights already.
    pub(super) is_drawn: bool,
}

impl<'u> Sample<'u> {
    /// All candidates with room that were not tried if there are few, else `choices` drawn of them.
    pub(super) fn take(
        candidates: &Candidates<'u, '_>,
        tried: &Tried,
        choices: u8,
        random: &impl Fn() -> u64,
    ) -> Self {
        let is_drawn = candidates.len() > MOST;
        let mut sample = Self { servers: [None; MOST], len: 0, guests: MOST, is_drawn };
        if !is_drawn {
            sample.add_all(candidates, tried, random);
            return sample;
        }
        let wanted = usize::from(choices).min(MOST);
        for _ in 0..wanted * DRAWS {
            if sample.len == wanted {
                break;
            }
            if let Some(server) = candidates.draw(random())
                && candidates.is_open(server)
                && !tried.contains(server)
                && !sample.iter().any(|other| std::ptr::eq(other, server))
            {
                sample.add(server);
            }
        }
        sample
    }

    /// All that have warmed up, and one more if that is drawn: whoever has a tenth of its weight has its tenth of the draws,
    /// and could not be held to it by dividing its load.
    fn add_all(&mut self, candidates: &Candidates<'u, '_>, tried: &Tried, random: &impl Fn() -> u64) {
        let is_free = |server: &&Server| candidates.is_open(server) && !tried.contains(server);
        let warm = (0..candidates.len()).filter(|position| !candidates.is_warming(*position));
        let warm = warm.filter_map(|position| candidates.get(position));
        warm.filter(is_free).for_each(|server| self.add(server));
        if candidates.tier.is_uneven() {
            let drawn = candidates.tier.sampler.sample(random());
            let guest = candidates.get(drawn).filter(|_| candidates.is_warming(drawn)).filter(is_free);
            if let Some(guest) = guest {
                self.guests = self.len;
                self.add(guest);
            }
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &'u Server> + '_ {
        self.servers.iter().take(self.len).flatten().copied()
    }

    /// The weight to divide a server's load by: that of a drawn one has had its say.
    pub(super) fn weight(&self, server: &Server) -> f32 {
        if self.is_drawn { 1.0 } else { f32::from(server.weight) }
    }

    /// A number for each server.
    pub(super) fn each(&self, value: impl Fn(&Server) -> f32) -> Values {
        let mut values = [f32::INFINITY; MOST];
        for (slot, server) in values.iter_mut().zip(self.iter()) {
            *slot = value(server);
        }
        values
    }

    /// Those of `values` that belong to a server.
    pub(super) fn of<'v>(&self, values: &'v Values) -> &'v [f32] {
        values.get(..self.len).unwrap_or_default()
    }

    /// A server with about the least of `costs`, taken by weight: measured costs this near are equal but for chance, and to
    /// tell them apart would send all requests to one server for as long as chance has it.
    pub(super) fn about_least(&self, random: u64, costs: &Values) -> Option<&'u Server> {
        let limit = self.of(costs).iter().copied().fold(f32::INFINITY, f32::min) * ALIKE;
        let near = || self.iter().zip(costs).filter(|(_, cost)| **cost <= limit).map(|(server, _)| server);
        if let Some(guest) = self.iter().nth(self.guests)
            && near().any(|server| std::ptr::eq(server, guest))
        {
            return Some(guest);
        }
        let total: f32 = near().map(|server| self.weight(server)).sum();
        let mut left = unit(random) * total;
        let mut picked = None;
        for server in near() {
            picked = Some(server);
            left -= self.weight(server);
            if left < 0.0 {
                break;
            }
        }
        picked
    }

    /// The server with the least of `costs`; among equals one is taken by weight, so that an idle group is used evenly.
    pub(super) fn least(&self, random: u64, costs: &Values) -> Option<&'u Server> {
        let mut best: Option<(&Server, f32)> = None;
        let mut weights = 0.0;
        let mut bits = random;
        for (place, (server, cost)) in self.iter().zip(costs.iter().copied()).enumerate() {
            let weight = self.weight(server);
            match best {
                Some((_, least)) if cost > least => {}
                Some(_) if place >= self.guests => best = Some((server, cost)),
                Some((_, least)) if cost >= least => {
                    weights += weight;
                    // Replaces with probability weight / weights: in the end each of the equals has its share.
                    bits =
                        bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    if unit(bits) * weights < weight {
                        best = Some((server, cost));
                    }
                }
                Some(_) | None => {
                    best = Some((server, cost));
                    weights = weight;
                }
            }
        }
        best.map(|(server, _)| server)
    }

    fn add(&mut self, server: &'u Server) {
        if let Some(slot) = self.servers.get_mut(self.len) {
            *slot = Some(server);
            self.len += 1;
        }
    }
}

/// The upper bits of `random` as a number from 0 to 1.
#[expect(clippy::cast_precision_loss, reason = "24 bits fit a float's mantissa")]
fn unit(random: u64) -> f32 {
    (random >> 40) as f32 / (1 << 24) as f32
}
