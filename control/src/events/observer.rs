//! Notices when a server, an upstream or a circuit breaker changes its state, and tells it.
//!
//! The state is what `GET /v1/health` shows, which nobody sets: it follows from checks, ejections that end by themselves,
//! and the operator's wishes. So it is looked at ten times a second, off the request path. A look costs two counters per
//! upstream; the servers of an upstream are looked at only after the counter moved, an ejection ended, or a change of
//! the configuration.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde::Serialize;
use tokio::time::MissedTickBehavior;
use utoipa::ToSchema;
use weir_shared::{
    id::UpstreamId,
    sharing::Change,
    state::{BreakerState, Detector, Evidence, HealthState, Reason, UpstreamState},
    table::{ServerStatus, Table, TableReader, Upstream, UpstreamCondition, UpstreamStatus},
    time::{Moment, Now, Timestamp},
};

use super::{Bus, Observed};
use crate::clock::Clock;

/// Time between two looks. A state that does not last as long may go untold.
const PERIOD: Duration = Duration::from_millis(100);

/// Events told in one go; then others get the thread.
const BURST: usize = 500;

/// A change of state, as told: of a server when it names one, of the circuit breaker when it has `circuit_breaker`, else of
/// the upstream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum HealthEvent {
    /// A server turned.
    Server(ServerTurn),
    /// A circuit breaker turned.
    Circuit(CircuitTurn),
    /// An upstream turned.
    Upstream(UpstreamTurn),
}

/// A server's change of state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ServerTurn {
    /// The upstream.
    #[schema(example = "web")]
    pub upstream: String,
    /// The server.
    #[schema(example = "10.0.0.7-8080")]
    pub server: String,
    /// State before.
    pub from: HealthState,
    /// State now.
    pub to: HealthState,
    /// Why, unless simply healthy.
    pub reason: Option<Reason>,
    /// The same for a person.
    pub detail: String,
    /// What ejected it; left out for other reasons.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub detector: Option<Detector>,
    /// When it was noticed.
    pub at: Timestamp,
    /// The process that noticed it.
    #[schema(value_type = String, example = "lb-1")]
    pub node: Arc<str>,
}

/// A turn of an upstream's circuit breaker. One that is undone within a tenth of a second may go untold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct CircuitTurn {
    /// The upstream.
    #[schema(example = "web")]
    pub upstream: String,
    /// What the breaker did, and does now.
    pub circuit_breaker: CircuitStates,
    /// When it was noticed.
    pub at: Timestamp,
    /// The process that noticed it.
    #[schema(value_type = String, example = "lb-1")]
    pub node: Arc<str>,
}

/// From one state of a circuit breaker to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct CircuitStates {
    /// State before.
    pub from: BreakerState,
    /// State now.
    pub to: BreakerState,
}

/// An upstream's change of state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct UpstreamTurn {
    /// The upstream.
    #[schema(example = "web")]
    pub upstream: String,
    /// State before.
    pub from: UpstreamCondition,
    /// State now.
    pub to: UpstreamCondition,
    /// When it was noticed.
    pub at: Timestamp,
    /// The process that noticed it.
    #[schema(value_type = String, example = "lb-1")]
    pub node: Arc<str>,
}

/// Looks at every server and tells the bus what turned.
#[derive(Debug)]
pub(crate) struct Observer {
    reader: TableReader,
    bus: Bus,
    clock: Clock,
    node: Arc<str>,
    table: Arc<Table>,
    /// The upstreams of the table.
    watched: BTreeMap<UpstreamId, Watched>,
}

/// An upstream as it was when last looked at.
#[derive(Debug)]
struct Watched {
    upstream: Arc<Upstream>,
    /// The upstream's own, one pointer nearer.
    observed: Arc<UpstreamState>,
    /// Number of the last change that was looked at; `None` when another look is due in any case.
    seen: Option<u64>,
    /// When the first ejection ends.
    expires: Option<Moment>,
    state: UpstreamCondition,
    /// What the circuit breaker did, and how often it had turned.
    circuit: (BreakerState, u64),
    /// By position in the upstream.
    servers: Box<[HealthState]>,
}

impl Observer {
    /// Takes the present state as known, and tells `bus` of what differs from now on. `node` is this process.
    #[must_use]
    pub(crate) fn new(reader: TableReader, bus: Bus, clock: Clock, node: &str) -> Self {
        let table = reader.snapshot();
        let now = clock.now();
        let node: Arc<str> = node.into();
        let known = |upstream: &Arc<Upstream>| (upstream.id.clone(), Watched::new(upstream));
        let mut watched: BTreeMap<UpstreamId, Watched> = table.upstreams().map(known).collect();
        for watched in watched.values_mut() {
            watched.look(now, &node);
        }
        Self { reader, bus, clock, node, table, watched }
    }

    /// Looks for ever. Run it on the control plane's runtime.
    pub(crate) async fn run(mut self) {
        let mut ticks = tokio::time::interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.look().await;
        }
    }

    /// Looks once.
    pub(super) async fn look(&mut self) {
        let table = self.reader.snapshot();
        if !Arc::ptr_eq(&table, &self.table) {
            self.follow(table);
        }
        let now = self.clock.now();
        let mut told = 0;
        for watched in self.watched.values_mut() {
            if !watched.is_due(now.moment) {
                continue;
            }
            let turns = watched.look(now, &self.node);
            told += turns.len();
            self.bus.publish_all(Observed::Health, watched.upstream.id.as_str(), &turns);
            if told >= BURST {
                told = 0;
                tokio::task::yield_now().await;
            }
        }
    }

    /// Takes over the upstreams of another table; what did not change is not looked at.
    fn follow(&mut self, table: Arc<Table>) {
        for (id, change) in table.changes_since(&self.table) {
            let next = match change {
                Change::Removed(_) => {
                    self.watched.remove(id);
                    continue;
                }
                Change::Added(upstream) => Watched::new(upstream),
                Change::Replaced(_, upstream) => match self.watched.get(id) {
                    Some(known) => known.changed_to(upstream),
                    None => Watched::new(upstream),
                },
            };
            self.watched.insert(id.clone(), next);
        }
        self.table = table;
    }
}

impl Watched {
    /// A new upstream, of which nothing is known but that its servers were not checked yet.
    fn new(upstream: &Arc<Upstream>) -> Self {
        Self {
            upstream: Arc::clone(upstream),
            observed: Arc::clone(&upstream.state),
            seen: None,
            expires: None,
            state: UpstreamCondition::Empty,
            circuit: (BreakerState::Closed, 0),
            servers: vec![HealthState::Initial; upstream.servers.len()].into(),
        }
    }

    /// The same upstream after a change of its configuration.
    fn changed_to(&self, upstream: &Arc<Upstream>) -> Self {
        let known: std::collections::HashMap<&str, HealthState> = self
            .upstream
            .servers
            .iter()
            .map(|server| server.id.as_str())
            .zip(self.servers.iter().copied())
            .collect();
        let state = |id: &str| known.get(id).copied().unwrap_or_default();
        let servers = upstream.servers.iter().map(|server| state(server.id.as_str())).collect();
        Self { state: self.state, circuit: self.circuit, servers, ..Self::new(upstream) }
    }

    fn is_due(&self, now: Moment) -> bool {
        self.seen != Some(self.observed.shown())
            || self.circuit.1 != self.observed.breaker.turns()
            || self.expires.is_some_and(|expires| expires <= now)
    }

    fn look_at_circuit(&mut self, now: Now, node: &Arc<str>) -> Option<HealthEvent> {
        let turns = self.observed.breaker.turns();
        let (state, _) = self.observed.breaker.state();
        let (from, _) = std::mem::replace(&mut self.circuit, (state, turns));
        let turn = CircuitTurn {
            upstream: self.upstream.id.as_str().to_owned(),
            circuit_breaker: CircuitStates { from, to: state },
            at: now.wall,
            node: Arc::clone(node),
        };
        (from != state).then_some(HealthEvent::Circuit(turn))
    }

    /// Looks at the circuit breaker and every server. Answers what turned.
    fn look(&mut self, now: Now, node: &Arc<str>) -> Vec<HealthEvent> {
        // Read first: what changes during the look is looked at again.
        self.seen = Some(self.observed.shown());
        self.expires = None;
        let mut turns = Vec::new();
        turns.extend(self.look_at_circuit(now, node));
        for (server, known) in self.upstream.servers.iter().zip(&mut self.servers) {
            let end = server.state.outlier.ejected_until().filter(|end| *end > now.moment);
            self.expires = self.expires.into_iter().chain(end).min();
            let status = ServerStatus::of(server, now.moment);
            if status.state == *known {
                continue;
            }
            let is_ejected = status.reason == Some(Reason::Ejected);
            turns.push(HealthEvent::Server(ServerTurn {
                upstream: self.upstream.id.as_str().to_owned(),
                server: server.id.as_str().to_owned(),
                from: std::mem::replace(known, status.state),
                to: status.state,
                reason: status.reason,
                detail: status.detail,
                detector: status.outlier.evidence.filter(|_| is_ejected).map(Evidence::detector),
                at: now.wall,
                node: Arc::clone(node),
            }));
        }
        let state = UpstreamStatus::of(&self.upstream, now.moment).state;
        if state != self.state {
            turns.push(HealthEvent::Upstream(UpstreamTurn {
                upstream: self.upstream.id.as_str().to_owned(),
                from: std::mem::replace(&mut self.state, state),
                to: state,
                at: now.wall,
                node: Arc::clone(node),
            }));
        }
        turns
    }
}
