//! The servers that are compared for one pick: all of a small group, some drawn by weight of a large one.
//!
//! Drawing two bounds the worst server's excess load to ln ln n with two reads, where looking at all would cost n of them
//! and send every worker to the same idle server.
//!
//! Source: Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing" (IEEE TPDS 12, 2001). With two servers,
//! two draws pick the busier one a quarter of the time, hence all of a small group.

use weir_shared::table::{Sampler, Server};

use super::{Candidates, Tried};

/// Largest group of which all servers are compared: as many cache lines as a pick may reasonably touch.
pub(super) const MOST: usize = 16;

/// Draws per server wanted before the sample is taken as it is.
const DRAWS: usize = 3;

/// Costs up to this many times the least are taken for equal.
const ALIKE: f32 = 1.2;

/// At most 16 different servers, each with what a pick makes of it.
pub(super) struct Sample<'u> {
    members: [Option<Member<'u>>; MOST],
    len: usize,
    /// From here on they warm up and were drawn by their part of the weight: one wins if it is as good as the best.
    guests: usize,
    /// Whether weights make no difference: all are equal, or the servers came up in proportion to them already.
    is_even: bool,
}

/// One of the servers that are compared.
#[derive(Clone, Copy)]
pub(super) struct Member<'u> {
    pub(super) server: &'u Server,
    /// The weight that counts: that of a drawn one has had its say.
    pub(super) weight: f32,
    /// The less, the better.
    pub(super) cost: f32,
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
        let is_even = is_drawn || matches!(candidates.tier.sampler, Sampler::Uniform(_));
        let mut sample = Self { members: [None; MOST], len: 0, guests: MOST, is_even };
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
                && !sample.members().any(|other| std::ptr::eq(other.server, server))
            {
                sample.add(server);
            }
        }
        sample
    }

    /// All that have warmed up, and one more if that is drawn: whoever has a tenth of its weight has its tenth of the draws,
    /// and could not be held to it by dividing its load.
    fn add_all(&mut self, candidates: &Candidates<'u, '_>, tried: &Tried, random: &impl Fn() -> u64) {
        // Mostly so, and then not asked of each.
        let all_free = candidates.are_open() && tried.is_empty();
        let is_free = |server: &&Server| all_free || (candidates.is_open(server) && !tried.contains(server));
        let is_uneven = candidates.tier.is_uneven();
        for position in 0..candidates.len() {
            if is_uneven && candidates.is_warming(position) {
                continue;
            }
            if let Some(server) = candidates.get(position).filter(is_free) {
                self.add(server);
            }
        }
        if is_uneven {
            let drawn = candidates.tier.sampler.sample(random());
            let guest = candidates.get(drawn).filter(|_| candidates.is_warming(drawn)).filter(is_free);
            if let Some(guest) = guest {
                self.guests = self.len;
                self.add(guest);
            }
        }
    }

    pub(super) fn members(&self) -> impl Iterator<Item = &Member<'u>> {
        self.members.iter().map_while(Option::as_ref)
    }

    pub(super) fn members_mut(&mut self) -> impl Iterator<Item = &mut Member<'u>> {
        self.members.iter_mut().map_while(Option::as_mut)
    }

    /// The one that warms up.
    pub(super) fn guest_mut(&mut self) -> Option<&mut Member<'u>> {
        self.members.get_mut(self.guests)?.as_mut()
    }

    /// How many requests each would have with one more, in proportion to its weight: divided by how many would be its own
    /// share of all, rounded up. So servers that stay within their shares are equals, and weights say how often each of them is
    /// picked, however few requests there are: the first request of a light server does not wait until a heavy one has as many
    /// times more, nor does each request go to the light one that finds the heavy one at work.
    pub(super) fn loads(&self, in_flight: impl Fn(&Server) -> f32) -> [f32; MOST] {
        let mut loads = [f32::INFINITY; MOST];
        for (load, member) in loads.iter_mut().zip(self.members()) {
            *load = in_flight(member.server) + 1.0;
        }
        if !self.is_even {
            let all: f32 = loads.iter().take(self.len).map(|load| load - 1.0).sum::<f32>() + 1.0;
            let weight: f32 = self.members().map(|member| member.weight).sum();
            for (load, member) in loads.iter_mut().zip(self.members()) {
                *load /= (all * member.weight / weight).ceil();
            }
        }
        loads
    }

    /// A server with about the least cost, taken by weight: measured costs this near are equal but for chance, and to tell
    /// them apart would send all requests to one server for as long as chance has it.
    pub(super) fn about_least(&self, random: u64) -> Option<&'u Server> {
        self.within(ALIKE, random)
    }

    /// The server with the least cost; among equals one is taken by weight, so that an idle group is used evenly.
    pub(super) fn least(&self, random: u64) -> Option<&'u Server> {
        self.within(1.0, random)
    }

    /// A server whose cost is at most `times` the least, taken by weight. In passes without a branch that depends on costs,
    /// but for the end of the last: they are as good as random, and a wrong guess costs the processor more than a pass.
    fn within(&self, times: f32, random: u64) -> Option<&'u Server> {
        let limit = self.members().map(|member| member.cost).fold(f32::INFINITY, f32::min) * times;
        let guest = self.members.get(self.guests).copied().flatten();
        if let Some(guest) = guest.filter(|guest| guest.cost <= limit) {
            return Some(guest.server);
        }
        let share = |member: &Member<'u>| if member.cost <= limit { member.weight } else { 0.0 };
        let total: f32 = self.members().map(share).sum();
        let mut left = unit(random) * total;
        let mut picked = None;
        for member in self.members() {
            let share = share(member);
            if share > 0.0 {
                picked = Some(member.server);
            }
            left -= share;
            if left < 0.0 {
                break;
            }
        }
        picked
    }

    fn add(&mut self, server: &'u Server) {
        if let Some(slot) = self.members.get_mut(self.len) {
            let weight = if self.is_even { 1.0 } else { f32::from(server.weight) };
            *slot = Some(Member { server, weight, cost: 0.0 });
            self.len += 1;
        }
    }
}

/// The upper bits of `random` as a number from 0 to 1.
#[expect(clippy::cast_precision_loss, reason = "24 bits fit a float's mantissa")]
pub(super) fn unit(random: u64) -> f32 {
    (random >> 40) as f32 / (1 << 24) as f32
}
