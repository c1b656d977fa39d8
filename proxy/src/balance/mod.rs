//! Picks a server for an attempt. One file per algorithm; this one says which is used and what a retry avoids.
//!
//! Hot path: no allocation, no lock. Pure: what is random, what time it is and which worker asks come from the caller, so
//! that the same code is measured, simulated and run.

mod first;
mod hash;
mod key;
mod latency;
mod least_request;
mod policy;
mod prequal;
mod round_robin;
mod sample;
mod shadow;

pub(crate) use key::{key_of, shadow_key_of};
use policy::Policy;
use sample::Sample;
pub use shadow::{By, Ghost, Picked, compare};
use weir_shared::{
    model::Algorithm,
    state::WorkerId,
    table::{Eligible, Key, Server, Tier, Upstream},
    time::Moment,
};

/// Most attempts of one request: the first and five retries.
const MOST_TRIED: usize = 6;

/// Servers of a part that are looked at for one of which most are what is looked for, as a rule.
const LOOKS: usize = 64;

/// The servers a request was sent to already, by address of their state.
#[derive(Debug, Default)]
pub struct Tried {
    servers: [usize; MOST_TRIED],
    count: usize,
}

impl Tried {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many attempts there were.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Notes an attempt at `server`.
    pub fn add(&mut self, server: &Server) {
        if let Some(slot) = self.servers.get_mut(self.count) {
            *slot = identity(server);
        }
        self.count += 1;
    }

    /// Whether there was an attempt at `server`.
    #[must_use]
    pub fn contains(&self, server: &Server) -> bool {
        self.servers.iter().take(self.count).any(|tried| *tried == identity(server))
    }
}

fn identity(server: &Server) -> usize {
    std::sync::Arc::as_ptr(&server.state).addr()
}

/// Who picks, when, and for which key.
#[derive(Debug)]
pub struct Request<R> {
    /// The worker that picks.
    pub worker: WorkerId,
    /// When, to within a millisecond: servers are also judged by how long they have been silent.
    pub now: Moment,
    /// The key of the request, if it has one that counts.
    pub key: Option<Key>,
    /// Gives 64 random bits.
    pub random: R,
}

/// The servers to pick from.
#[derive(Clone, Copy)]
struct Candidates<'u, 'e> {
    policy: &'e Policy<'u>,
    eligible: &'e Eligible,
    tier: &'e Tier,
    now: Moment,
}

impl<'u> Candidates<'u, '_> {
    fn len(&self) -> usize {
        self.tier.members.len()
    }

    fn get(&self, position: usize) -> Option<&'u Server> {
        Some(self.policy.upstream.servers.get(*self.tier.members.get(position)? as usize)?)
    }

    /// Whether the server at `position` still warms up while others do less, so that it has to be drawn to be compared.
    fn is_warming(&self, position: usize) -> bool {
        self.tier.is_uneven()
            && self
                .tier
                .members
                .get(position)
                .is_some_and(|index| self.eligible.percent(*index) < self.tier.warmest)
    }

    /// One drawn by weight.
    fn draw(&self, random: u64) -> Option<&'u Server> {
        self.get(self.tier.sampler.sample(random))
    }

    /// Whether all can take one more request, whatever they have, and none can ask to be left alone.
    fn are_open(&self) -> bool {
        let upstream = self.policy.upstream;
        upstream.limits.is_none() && upstream.pause.is_none()
    }

    /// Whether `server` can take one more request, and has not asked to be left alone.
    fn is_open(&self, server: &Server) -> bool {
        self.policy.has_room(server) && !self.policy.upstream.is_paused(server, self.now)
    }

    /// All servers by parts, those of this tier first and those that get nothing last; of each part `looks` at most, from a
    /// random one on.
    fn around(self, random: u64, looks: usize) -> impl Iterator<Item = &'u Server> {
        let others = self.eligible.tiers.iter().filter(move |tier| !std::ptr::eq(*tier, self.tier));
        let tiers = std::iter::once(self.tier).chain(others).map(|tier| &tier.members);
        let servers = &self.policy.upstream.servers;
        tiers.chain(&self.eligible.reserves).flat_map(move |members| {
            let count = members.len();
            let start = usize::try_from(random >> 32).unwrap_or(0) % count.max(1);
            let at = move |offset: usize| servers.get(*members.get((start + offset) % count)? as usize);
            (0..count.min(looks)).filter_map(at).map(AsRef::as_ref)
        })
    }
}

/// Any that can take one more request; one that wants to be left alone if some looks find no other, because all of them may
/// want that. For one with room it looks at all if it must: whoever finds none waits, and those who come after wait behind
/// without looking.
fn any_open<'u>(candidates: &Candidates<'u, '_>, random: u64) -> Option<&'u Server> {
    let with_room =
        || candidates.around(random, usize::MAX).find(|server| candidates.policy.has_room(server));
    if candidates.policy.upstream.pause.is_none() {
        return with_room();
    }
    candidates.around(random, LOOKS).find(|server| candidates.is_open(server)).or_else(with_room)
}

/// A server for the next attempt; `None` when none is eligible or none of those has room. A server tried already comes up
/// again only when there is no other. One that was taken out of use since the request began gets no attempt after the first.
#[must_use]
pub fn pick<'u>(
    upstream: &'u Upstream,
    tried: &Tried,
    request: &Request<impl Fn() -> u64>,
) -> Option<&'u Server> {
    pick_by(&Policy::real(upstream), tried, request)
}

/// A pick by `policy`.
fn pick_by<'u>(
    policy: &Policy<'u>,
    tried: &Tried,
    request: &Request<impl Fn() -> u64>,
) -> Option<&'u Server> {
    let upstream = policy.upstream;
    let eligible = upstream.eligible(request.now);
    let now = request.now;
    // A key stays with its tier as it stays with its server.
    let tier = eligible.tier(|| request.key.map_or_else(&request.random, Key::other_bits))?;
    let candidates = Candidates { policy, eligible: &eligible, tier, now };
    let picked = match choose(&candidates, tried, request) {
        Some(server) if candidates.is_open(server) => Some(server),
        _ => any_open(&candidates, if policy.algorithm == Algorithm::First { 0 } else { (request.random)() }),
    };
    if tried.is_empty() {
        return picked;
    }
    let picked = picked.filter(|server| !server.state.is_withdrawn());
    if picked.is_some_and(|server| !tried.contains(server)) && !tier.panic {
        return picked;
    }
    let in_use = |server: &&Server| !server.state.is_withdrawn() && policy.has_room(server);
    let any_in_use = || {
        let servers = eligible.members().filter_map(|index| upstream.servers.get(index as usize));
        servers.map(AsRef::as_ref).find(in_use)
    };
    another(&candidates, tried, (request.random)()).or(picked).or_else(any_in_use)
}

fn choose<'u>(
    candidates: &Candidates<'u, '_>,
    tried: &Tried,
    request: &Request<impl Fn() -> u64>,
) -> Option<&'u Server> {
    let policy = candidates.policy;
    let random = &request.random;
    let sample = || Sample::take(candidates, tried, policy.comparison.choice_count, random);
    match policy.algorithm {
        Algorithm::LeastRequest => least_request::pick(sample(), policy, random()),
        Algorithm::RoundRobin => round_robin::pick(candidates, policy.cursors.of(request.worker), random),
        Algorithm::Random => candidates.draw(random()),
        Algorithm::First => first::pick(candidates, policy.cursors.of(request.worker)),
        Algorithm::LeastTime | Algorithm::PeakEwma => latency::pick(sample(), policy, request.now, random()),
        Algorithm::Prequal => prequal::pick(sample(), policy, request.now, random()),
        Algorithm::RingHash | Algorithm::Maglev => match request.key.zip(policy.hash) {
            Some((key, table)) => hash::pick(candidates, table, key, tried),
            None => candidates.draw(random()),
        },
    }
}

/// A server not tried yet, one that is healthy if there is any: after a failure, distrust of the verdicts (panic) has to
/// wait.
fn another<'u>(candidates: &Candidates<'u, '_>, tried: &Tried, random: u64) -> Option<&'u Server> {
    let is_free = |server: &&Server| {
        !tried.contains(server) && !server.state.is_withdrawn() && candidates.is_open(server)
    };
    // A bounded look around: with most of a large group failing, any other server will do.
    let around = || candidates.around(random, LOOKS).filter(is_free);
    around().find(|server| server.state.health.is_healthy()).or_else(|| around().next())
}
