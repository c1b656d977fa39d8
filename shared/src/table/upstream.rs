//! An upstream as the request path sees it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use arc_swap::{ArcSwap, Guard};

use super::{
    AffinityTable, Eligible, EligiblePolicy, HashTable, LimitPolicy, Placement, RateLimiter, Server, Shadow,
    Slot, eligible::NEVER,
};
use crate::{
    id::UpstreamId,
    model::{
        Algorithm, Comparison, Hash, RetryOn, SendProxyProtocol, ServerProtocol, StatusRange,
        UpgradeProtocol, UpstreamRecord,
    },
    sharing::middle,
    state::{BreakerPolicy, Decay, EjectionPolicy, HealthThresholds, RatePolicy, ServerState, UpstreamState},
    time::Moment,
    tls::OutgoingTls,
};

/// When another server is tried.
#[derive(Clone, Debug)]
pub struct RetryPolicy {
    /// Attempts after the first.
    pub attempts: u8,
    /// Outcomes that are retried.
    pub on: Box<[RetryOn]>,
    /// Share of requests that may be retries.
    pub budget_percent: u8,
}

impl RetryPolicy {
    /// Whether `outcome` is one that is retried.
    #[must_use]
    pub fn covers(&self, outcome: RetryOn) -> bool {
        self.on.contains(&outcome)
    }
}

/// When a second server is asked while the first still owes an answer.
#[derive(Clone, Copy, Debug)]
pub struct HedgePolicy {
    /// After how long.
    pub delay: HedgeDelay,
    /// Share of requests that may be sent twice.
    pub max_percent: u8,
}

/// How long the first server has for itself.
#[derive(Clone, Copy, Debug)]
pub enum HedgeDelay {
    /// Always as long as this.
    Fixed(Duration),
    /// As long as this percentage of recent requests took at most.
    Percentile(f64),
}

/// What is taken for a server's latency.
#[derive(Clone, Copy, Debug)]
pub struct LatencyPolicy {
    /// How fast answers are forgotten.
    pub decay: Decay,
    /// Quantile of requests in flight above which a server is hot.
    pub hot_quantile: f64,
}

/// When a server is left alone that asks for it.
#[derive(Clone, Debug)]
pub struct PausePolicy {
    /// Statuses whose `Retry-After` counts.
    pub statuses: Box<[StatusRange]>,
    /// The longest time that is granted.
    pub max_time: Duration,
}

/// A compiled upstream. Reused as it is by every table until its own configuration changes.
#[derive(Debug)]
pub struct Upstream {
    /// Name.
    pub id: UpstreamId,
    /// What routes know it by, the same as long as it is there.
    pub slot: Slot,
    /// What is spoken to the servers.
    pub protocol: ServerProtocol,
    /// How a server is picked.
    pub algorithm: Algorithm,
    /// How servers are compared.
    pub comparison: Comparison,
    /// What is taken for a server's latency; `None`: it is not measured.
    pub latency: Option<LatencyPolicy>,
    /// For how long what servers say of their load counts; `None`: it is not asked for.
    pub load_reports: Option<Duration>,
    /// Which server a request's key belongs to; `None`: keys are not used.
    pub hash: Option<HashTable>,
    /// Bounded loads: the most a server may have of what would be its own, in percent; 0 = no bound.
    pub balance_percent: u16,
    /// A second way to pick, to whose servers nothing is sent; `None`: none.
    pub shadow: Option<Shadow>,
    /// Which server a client's cookie means; `None`: clients are not bound.
    pub affinity: Option<AffinityTable>,
    /// How connections to the servers are secured; `None`: they are not.
    pub tls: Option<Arc<OutgoingTls>>,
    /// Time to open a connection.
    pub connect_timeout: Duration,
    /// Time until the first byte of a response; `None` = no limit.
    pub response_timeout: Option<Duration>,
    /// Time without a byte while a message is under way.
    pub stream_idle_timeout: Duration,
    /// Protocols that a connection may be switched to.
    pub upgrades: Box<[UpgradeProtocol]>,
    /// Time without a byte on a connection that was switched.
    pub tunnel_idle_timeout: Duration,
    /// How long an unused connection is kept.
    pub idle_timeout: Duration,
    /// Age at which a connection is no longer reused.
    pub keepalive_time: Duration,
    /// Unused connections kept per server and worker.
    pub keepalive_connections: usize,
    /// Whether a connection begins with a PROXY header, so that it serves one client alone.
    pub send_proxy_protocol: SendProxyProtocol,
    /// Rates at which requests may come.
    pub rate_limits: Box<[RateLimiter]>,
    /// When requests are refused because most fail; `None`: never.
    pub breaker: Option<BreakerPolicy>,
    /// How much work is let through at once; `None`: any amount.
    pub limits: Option<LimitPolicy>,
    /// When a server is left alone that asks for it; `None`: never.
    pub pause: Option<PausePolicy>,
    /// When another server is tried.
    pub retries: RetryPolicy,
    /// When a second server is asked; `None` = never.
    pub hedging: Option<HedgePolicy>,
    /// When checks turn a verdict.
    pub thresholds: HealthThresholds,
    /// The servers, in the order of the configuration.
    pub servers: Box<[Arc<Server>]>,
    /// What is observed of it.
    pub state: Arc<UpstreamState>,
    /// What it was compiled from.
    pub record: Arc<UpstreamRecord>,
    /// Where the servers stand to each other and to this balancer.
    pub placement: Placement,
    pub(super) ejection: EjectionPolicy,
    pub(super) rates: RatePolicy,
    pub(super) error_statuses: Box<[StatusRange]>,
    pub(super) eligible: ArcSwap<Eligible>,
}

impl Upstream {
    /// The servers that may be picked at `now`. Do not hold the answer across an await.
    ///
    /// Builds the set again first if a server's eligibility changed since; two workers that do so at once do the same
    /// work twice, and a result that is already out of date is noticed at the next call.
    #[must_use]
    pub fn eligible(&self, now: Moment) -> Guard<Arc<Eligible>> {
        let eligible = self.eligible.load();
        let generation = self.state.generation();
        if eligible.is_current(generation, now) {
            return eligible;
        }
        let policy = EligiblePolicy::of(&self.record);
        let built =
            Eligible::build(&self.servers, &self.placement, policy, &eligible.moments, generation, now);
        drop(eligible);
        self.eligible.store(Arc::new(built));
        self.eligible.load()
    }

    /// What a key of the shadow is made of; `None` without a shadow.
    #[must_use]
    pub fn shadow_hash(&self) -> Option<&Hash> {
        super::shadow::hash(&self.record.spec)
    }

    /// Whether requests in flight are counted for bounded loads.
    #[must_use]
    pub fn is_bounded(&self) -> bool {
        self.balance_percent != 0 || self.shadow.as_ref().is_some_and(|shadow| shadow.balance_percent != 0)
    }

    /// Whether `server` has asked to be left alone, and is while there is another.
    #[must_use]
    pub fn is_paused(&self, server: &Server, now: Moment) -> bool {
        self.pause.is_some() && server.state.pause.is_on(now)
    }

    /// For each of `servers`, of a later version of this upstream, since when it may be picked: whatever is not changed of a
    /// server, it goes on warming up as it did.
    pub(super) fn since(&self, servers: &[Arc<Server>], now: Moment) -> Vec<Moment> {
        let eligible = self.eligible(now);
        let since = |place: usize| eligible.moments.get(place).copied().unwrap_or(NEVER);
        let (was, is) = middle(&self.servers, servers, |one, other| Arc::ptr_eq(&one.state, &other.state));
        let replaced: HashMap<*const ServerState, Moment> = was
            .clone()
            .filter_map(|place| Some((Arc::as_ptr(&self.servers.get(place)?.state), since(place))))
            .collect();
        let moment = |(place, server): (usize, &Arc<Server>)| match place {
            place if place < is.start => since(place),
            place if place < is.end => replaced.get(&Arc::as_ptr(&server.state)).copied().unwrap_or(NEVER),
            place => since(place - is.end + was.end),
        };
        servers.iter().enumerate().map(moment).collect()
    }

    /// Whether a response with `status` counts as an error of the server.
    #[must_use]
    pub fn is_error_status(&self, status: u16) -> bool {
        self.error_statuses.iter().any(|range| range.contains(status))
    }

    /// The server named `id`.
    #[must_use]
    pub fn server(&self, id: &str) -> Option<&Server> {
        self.servers.iter().find(|server| server.id.as_str() == id).map(AsRef::as_ref)
    }
}
