//! From what operators wrote to what the proxy reads: the only way to make a [`Table`].
//!
//! What a change did not touch is recognised by pointer and reused whole, so that one change among 100 000 servers costs
//! a comparison of pointers for the others. Nothing observable happens before the table is published; compiling for a trial is free.

use std::{collections::HashMap, sync::Arc};

use arc_swap::ArcSwap;
use http::HeaderValue;

use super::{
    AffinityTable, Eligible, EligiblePolicy, HashTable, HedgeDelay, HedgePolicy, LatencyPolicy, LimitPolicy,
    Listener, PausePolicy, Placement, RateLimiter, RetryPolicy, Server, Shadow, Site, Slot, Steps, Table,
    Upstream, certificates::Certificates, ejecting, route, size,
};
use crate::{
    error::{FieldError, Invalid, Pointer},
    id::{ListenerId, ServerId, UpstreamId},
    model::{
        self, Config, HealthCheck, ListenerFlags, ServerRecord, UpstreamRecord, address::Address, check,
    },
    sharing::{Change, SharedMap, changed, middle},
    state::{BreakerPolicy, Decay, HealthThresholds, Numbers, ServerState, UpstreamState},
    time::Now,
    tls,
};

/// Compiles configurations for a process with a given number of workers.
#[derive(Clone, Debug, Default)]
pub struct Compiler {
    /// Worker threads, each with counters of its own.
    pub workers: usize,
    /// Where this balancer is among others.
    pub site: Site,
    /// What the command line says of the listener `default`.
    pub flags: ListenerFlags,
    /// What TLS needs of the process.
    pub tls: tls::Basis,
    /// Numbers of servers.
    pub numbers: Numbers,
}

impl Compiler {
    /// Compiles `config`, taking over from `previous` whatever did not change and the state of whatever did.
    ///
    /// # Errors
    /// Every fault, with a pointer into the whole document.
    pub fn compile(&self, config: Arc<Config>, previous: Option<&Table>, now: Now) -> Result<Table, Invalid> {
        let mut errors = Vec::new();
        let none = SharedMap::default();
        let known = previous.map_or(&none, |table| &table.config.upstreams);
        let changes: Vec<_> = changed(known, &config.upstreams).collect();
        let certificates = Certificates::compile(&config, previous, &mut errors);
        let servers = servers(previous, &changes);
        let bytes = size::of(&config, previous, &changes);
        check::totals(&config, servers, bytes, &mut errors);
        together(&config, &changes, &certificates, previous, &mut errors);
        let listeners = self.listeners(&config, &certificates, previous, now, &mut errors);
        let mut upstreams = previous.map(|table| table.upstreams.clone()).unwrap_or_default();
        let mut slots = previous.map(|table| table.slots.clone()).unwrap_or_default();
        let (mut touched, mut removed) = (Vec::new(), Vec::new());
        let concerned = certificates.concerned(&config.upstreams, known);
        for (id, change) in changes.into_iter().chain(concerned) {
            touched.push(id.clone());
            let record = match change {
                Change::Added(record) | Change::Replaced(_, record) => record,
                Change::Removed(_) => {
                    if let Some(gone) = upstreams.get(id) {
                        slots.release(gone.slot);
                    }
                    upstreams.remove_mut(id);
                    removed.push(id.clone());
                    continue;
                }
            };
            let before = upstreams.get(id).map(AsRef::as_ref);
            let slot = before.map_or_else(|| slots.reserve(), |before| before.slot);
            let compiled = self.upstream((id, slot), record, before, &certificates, now, &mut errors);
            if let Some(upstream) = compiled.map(Arc::new) {
                slots.set(&upstream);
                upstreams.insert_mut(id.clone(), upstream);
            }
        }
        touched.sort_unstable();
        let scene =
            route::Scene { config: &config, upstreams: &upstreams, removed: &removed, workers: self.workers };
        let before = previous.map(|table| (&*table.config, &table.routes));
        let routes = route::compile(&scene, before, &mut errors);
        if !errors.is_empty() {
            return Err(Invalid(errors));
        }
        let from = previous.map(|table| Arc::downgrade(&table.config)).unwrap_or_default();
        let steps = Steps { from, upstreams: touched.into_boxed_slice() };
        let certificates = certificates.all;
        Ok(Table { config, listeners, certificates, upstreams, servers, bytes, slots, routes, steps })
    }

    /// The listeners of `config`. Those that did not change are taken over as they are.
    fn listeners(
        &self,
        config: &Config,
        certificates: &Certificates,
        previous: Option<&Table>,
        now: Now,
        errors: &mut Vec<FieldError>,
    ) -> SharedMap<ListenerId, Listener> {
        let none = SharedMap::default();
        let known = previous.map_or(&none, |table| &table.config.listeners);
        let mut listeners = previous.map(|table| table.listeners.clone()).unwrap_or_default();
        let concerned = certificates.concerned(&config.listeners, known);
        for (id, change) in changed(known, &config.listeners).chain(concerned) {
            let (Change::Added(record) | Change::Replaced(_, record)) = change else {
                listeners.remove_mut(id);
                continue;
            };
            let before = listeners.get(id).map(AsRef::as_ref);
            let compiled = Listener::compile(id, record, before, &self.flags, self.workers, now, errors);
            if let Some(mut listener) = compiled {
                listener.tls = certificates.incoming(&listener.spec, before, &self.tls, errors);
                listeners.insert_mut(id.clone(), Arc::new(listener));
            }
        }
        listeners
    }

    /// `None` when that added to `errors`.
    fn upstream(
        &self,
        (id, slot): (&UpstreamId, Slot),
        record: &Arc<UpstreamRecord>,
        before: Option<&Upstream>,
        certificates: &Certificates,
        now: Now,
        errors: &mut Vec<FieldError>,
    ) -> Option<Upstream> {
        let spec = &record.spec;
        let found = errors.len();
        let at = Pointer::root().at("upstreams").at(id);
        check::upstream_spec(spec, &at, errors);
        let servers = self.servers(record, before, now, &at.at("servers"), errors);
        if errors.len() > found {
            return None;
        }
        let state = before.map_or_else(
            || Arc::new(UpstreamState::new(self.workers, now.wall)),
            |before| Arc::clone(&before.state),
        );
        let generation = state.generation();
        let placement = Placement::new(&servers, spec, &self.site);
        let since = before.map(|before| before.since(&servers, now.moment)).unwrap_or_default();
        let policy = EligiblePolicy::of(record);
        let eligible = Eligible::build(&servers, &placement, policy, &since, generation, now.moment);
        let hash = before.and_then(|before| before.hash.as_ref());
        Some(Upstream {
            id: id.clone(),
            slot,
            protocol: spec.protocol.over(&spec.tls),
            algorithm: spec.algorithm,
            comparison: spec.comparison.clone(),
            latency: latency(spec),
            load_reports: spec.load_reports.enabled.then(|| spec.load_reports.max_age.duration()),
            affinity: spec.affinity.enabled.then(|| AffinityTable::new(&servers)),
            hash: HashTable::build(spec.algorithm, &spec.hash, &servers, &placement, hash),
            shadow: Shadow::compile(spec, &servers, &placement, before, self.workers, now),
            balance_percent: if spec.algorithm.uses_key() { spec.hash.balance_percent } else { 0 },
            tls: certificates.outgoing(&spec.tls, before, &self.tls, &at.at("tls"), errors),
            connect_timeout: spec.connect_timeout.duration(),
            response_timeout: Some(spec.response_timeout.duration()).filter(|timeout| !timeout.is_zero()),
            stream_idle_timeout: spec.stream_idle_timeout.duration(),
            upgrades: spec.upgrades.clone().into_boxed_slice(),
            tunnel_idle_timeout: spec.tunnel_idle_timeout.duration(),
            idle_timeout: spec.idle_timeout.duration(),
            keepalive_time: spec.keepalive_time.duration(),
            keepalive_connections: usize::try_from(spec.keepalive_connections).unwrap_or(usize::MAX),
            send_proxy_protocol: spec.send_proxy_protocol,
            retries: retries(&spec.retries),
            hedging: hedging(&spec.hedging),
            thresholds: thresholds(&spec.health_check),
            rate_limits: RateLimiter::compile(
                &spec.rate_limits,
                before.map(|before| before.rate_limits.as_ref()).unwrap_or_default(),
            ),
            breaker: breaker(&spec.circuit_breaker),
            pause: pause(&spec.server_retry_after),
            limits: LimitPolicy::of(spec, &servers),
            servers,
            placement,
            state,
            record: Arc::clone(record),
            ejection: ejecting::policy(&spec.outlier_detection),
            rates: ejecting::rates(&spec.outlier_detection),
            error_statuses: spec.outlier_detection.count_statuses.clone().into_boxed_slice(),
            eligible: ArcSwap::from_pointee(eligible),
        })
    }

    /// The servers of `record`. Those that did not change, at both ends of the list, are taken over as they are; what is
    /// wrong with the others is added to `errors`.
    fn servers(
        &self,
        record: &UpstreamRecord,
        before: Option<&Upstream>,
        now: Now,
        at: &Pointer,
        errors: &mut Vec<FieldError>,
    ) -> Box<[Arc<Server>]> {
        let present = before.map(|before| before.servers.as_ref()).unwrap_or_default();
        let (was, is) =
            middle(present, &record.servers, |server, record| Arc::ptr_eq(&server.record, record));
        let (head, rest) = present.split_at(was.start);
        let (replaced, tail) = rest.split_at(was.len());
        let fresh = || record.servers.iter().enumerate().take(is.end).skip(is.start);
        check::some_servers(
            record.servers.len(),
            fresh().map(|(place, record)| (place, &record.server)),
            head.iter().chain(tail).map(|server| (server.id.as_str(), &server.address)),
            at,
            errors,
        );
        let kept: HashMap<&str, &Arc<Server>> =
            replaced.iter().map(|server| (server.id.as_str(), server)).collect();
        let checks = &record.spec.health_check;
        let fresh = fresh().filter_map(|(_, record)| {
            let before = kept.get(record.server.id.as_str()).copied();
            self.server(record, before, checks, now)
        });
        head.iter().cloned().chain(fresh).chain(tail.iter().cloned()).collect()
    }

    /// `None` only for an address that `check` refuses.
    fn server(
        &self,
        record: &Arc<ServerRecord>,
        before: Option<&Arc<Server>>,
        checks: &HealthCheck,
        now: Now,
    ) -> Option<Arc<Server>> {
        let server = &record.server;
        let unmoved = before.filter(|before| before.record.server.address == server.address);
        let (address, authority, state) = match unmoved {
            Some(before) if Arc::ptr_eq(&before.record, record) => return Some(Arc::clone(before)),
            Some(before) => (before.address.clone(), before.authority.clone(), Arc::clone(&before.state)),
            None => {
                let address = Address::parse(&server.address).ok()?;
                let authority = HeaderValue::try_from(address.to_string()).ok()?;
                let state = ServerState::new(self.workers, self.numbers.take(), now);
                if !checks.enabled {
                    state.health.assume_healthy(now);
                }
                (address, authority, Arc::new(state))
            }
        };
        Some(Arc::new(Server {
            id: unmoved.map_or_else(|| ServerId::new(&server.id), |before| before.id.clone()),
            address,
            authority,
            weight: server.weight,
            priority: server.priority,
            max_requests: if server.max_requests == 0 { u32::MAX } else { server.max_requests },
            admin_state: server.admin_state,
            state,
            record: Arc::clone(record),
        }))
    }
}

/// A change of an upstream.
type Changed<'a> = (&'a UpstreamId, Change<'a, UpstreamRecord>);

/// How many servers there are after `changes`.
fn servers(previous: Option<&Table>, changes: &[Changed<'_>]) -> usize {
    let count = |record: &UpstreamRecord| record.servers.len();
    let before = previous.map_or(0, |table| table.servers);
    let (gone, come) = changes.iter().fold((0, 0), |(gone, come), (_, change)| match change {
        Change::Added(is) => (gone, come + count(is)),
        Change::Replaced(was, is) => (gone + count(was), come + count(is)),
        Change::Removed(was) => (gone + count(was), come),
    });
    (before + come).saturating_sub(gone)
}

/// Checks listeners with each other, and what listeners and upstreams name; only where something of it is not as it was, so
/// that other changes do not cost more the more listeners there are.
fn together(
    config: &Config,
    changes: &[Changed<'_>],
    certificates: &Certificates,
    previous: Option<&Table>,
    errors: &mut Vec<FieldError>,
) {
    let is_other = |before: &Table| changed(&before.config.listeners, &config.listeners).next().is_some();
    let is_gone = |(_, change): &Changed<'_>| matches!(change, Change::Removed(_));
    if !certificates.touched.is_empty() {
        check::listeners(config, errors);
        check::named_certificates(config, config.upstreams.values(), errors);
        return;
    }
    if previous.is_none_or(is_other) || changes.iter().any(is_gone) {
        check::listeners(config, errors);
    }
    let fresh = changes.iter().filter_map(|(_, change)| match change {
        Change::Added(is) | Change::Replaced(_, is) => Some(*is),
        Change::Removed(_) => None,
    });
    check::named_certificates(config, fresh, errors);
}

fn latency(spec: &model::Upstream) -> Option<LatencyPolicy> {
    let is_measured = spec.algorithm.uses_latency() || spec.shadow.is_some() || spec.hedging.enabled;
    is_measured.then(|| LatencyPolicy {
        decay: Decay::after(spec.latency.decay_time.duration()),
        hot_quantile: spec.latency.hot_quantile,
    })
}

fn thresholds(checks: &HealthCheck) -> HealthThresholds {
    HealthThresholds {
        healthy: checks.healthy_threshold.into(),
        unhealthy: checks.unhealthy_threshold.into(),
    }
}

fn hedging(hedging: &model::Hedging) -> Option<HedgePolicy> {
    let delay = match hedging.delay {
        Some(delay) => HedgeDelay::Fixed(delay.duration()),
        None => HedgeDelay::Percentile(hedging.percentile),
    };
    hedging.enabled.then_some(HedgePolicy { delay, max_percent: hedging.max_percent })
}

pub(super) fn retries(retries: &model::Retries) -> RetryPolicy {
    RetryPolicy {
        attempts: retries.attempts,
        on: retries.on.clone().into_boxed_slice(),
        budget_percent: retries.budget_percent,
    }
}

fn breaker(breaker: &model::CircuitBreaker) -> Option<BreakerPolicy> {
    breaker.enabled.then(|| BreakerPolicy {
        error_percent: breaker.error_percent,
        min_requests: breaker.min_requests,
        window: breaker.window.duration(),
        open_time: breaker.open_time.duration(),
        trial_requests: breaker.trial_requests,
    })
}

fn pause(settings: &model::ServerRetryAfter) -> Option<PausePolicy> {
    settings.enabled.then(|| PausePolicy {
        statuses: settings.statuses.clone().into_boxed_slice(),
        max_time: settings.max_time.duration(),
    })
}
