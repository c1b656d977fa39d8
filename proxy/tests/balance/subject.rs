//! Upstreams whose servers are in given states, and picks among them.

use std::{cell::Cell, collections::HashMap, sync::Arc, time::Duration};

use serde_json::{Value, json};
use weir_proxy::balance::{self, Request, Tried};
use weir_shared::{
    id::{Epoch, Revision},
    model::{Document, Meta},
    state::{CheckOutcome, Decay, HealthThresholds, Reason, WorkerId},
    table::{BalancerNumber, Compiler, Key, Server, Site, Table, Upstream},
    time::{Moment, Now, Timestamp},
};
pub(crate) const NOW: Now = Now { moment: Moment(1_000_000), wall: Timestamp(0) };

/// An upstream whose servers are all healthy, and a stream of random numbers.
pub(crate) struct Subject {
    pub(crate) table: Table,
    pub(crate) random: Cell<u64>,
    pub(crate) now: Cell<Now>,
}

impl Subject {
    /// Servers `s0`, `s1`, … with these weights.
    pub(crate) fn new(settings: Value, weights: &[u16]) -> Self {
        Self::limited(settings, weights, 0)
    }

    /// The same, each with at most `max_requests` under way.
    pub(crate) fn limited(settings: Value, weights: &[u16], max_requests: u32) -> Self {
        Self::of(
            settings,
            weights.iter().map(|weight| json!({"weight": weight, "max_requests": max_requests})),
        )
    }

    /// Servers with these weights, of which this balancer uses so many.
    pub(crate) fn in_subset(mut settings: Value, weights: &[u16], size: u16) -> Self {
        settings["subset"] = json!({"size": size});
        let site = Site { zone: None, number: BalancerNumber::new(0, 1) };
        Self::at(site, settings, weights.iter().map(|weight| json!({"weight": weight})))
    }

    /// Servers `s0`, `s1`, … with these settings.
    pub(crate) fn of(settings: Value, servers: impl IntoIterator<Item = Value>) -> Self {
        Self::at(Site::default(), settings, servers)
    }

    /// The same, for a balancer that is there.
    pub(crate) fn at(site: Site, settings: Value, servers: impl IntoIterator<Item = Value>) -> Self {
        let named = |(n, mut server): (usize, Value)| {
            server["id"] = json!(format!("s{n}"));
            server["address"] = json!(format!("10.0.{}.{}:80", n / 250, n % 250));
            server
        };
        let servers: Vec<Value> = servers.into_iter().enumerate().map(named).collect();
        let mut upstream = json!({"id": "web", "servers": servers});
        upstream.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        let document: Document = serde_json::from_value(json!({"upstreams": [upstream]})).unwrap();
        let config = document.into_config(Revision(1), Epoch("abc123".into()), Meta::default());
        let table = Compiler { workers: 1, site, ..Compiler::default() }
            .compile(Arc::new(config), None, NOW)
            .unwrap();
        let subject = Self { table, random: Cell::new(1), now: Cell::new(NOW) };
        for server in &subject.upstream().servers {
            server.state.health.assume_healthy(NOW);
        }
        subject.upstream().state.eligibility_changed();
        drop(subject.upstream().eligible(NOW.moment));
        subject
    }

    pub(crate) fn upstream(&self) -> &Upstream {
        self.table.upstream("web").unwrap()
    }

    pub(crate) fn server(&self, n: usize) -> &Server {
        &self.upstream().servers[n]
    }

    /// Lets a server fail its checks, or pass them again.
    pub(crate) fn set_healthy(&self, servers: impl IntoIterator<Item = usize>, failure: Option<Reason>) {
        let once = HealthThresholds { healthy: 1, unhealthy: 1 };
        let outcome = CheckOutcome { failure, detail: String::new(), status: None, duration: Duration::ZERO };
        for n in servers {
            self.server(n).state.health.observe(&outcome, once, self.now.get());
        }
        self.upstream().state.eligibility_changed();
        drop(self.upstream().eligible(self.now.get().moment));
    }

    pub(crate) fn wait(&self, seconds: u64) {
        let Now { moment, wall } = self.now.get();
        self.now.set(Now { moment: moment.plus(Duration::from_secs(seconds)), wall });
    }

    /// Gives a server answers that took so long, having met none to seven others.
    pub(crate) fn answers(&self, n: usize, ms: u64) {
        for met in 0..8 {
            let latency = &self.server(n).state.latency;
            latency.record(Duration::from_millis(ms), met, NOW.moment, Decay::after(Duration::from_secs(10)));
        }
    }

    pub(crate) fn work(&self, n: usize, in_flight: u32) {
        for _ in 0..in_flight {
            self.server(n).state.in_flight.start();
        }
    }

    pub(crate) fn bits(&self) -> u64 {
        let state = self.random.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.random.set(state);
        let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    pub(crate) fn pick_for(&self, key: Option<Key>, tried: &Tried) -> &Server {
        self.try_pick(key, tried).unwrap()
    }

    pub(crate) fn try_pick(&self, key: Option<Key>, tried: &Tried) -> Option<&Server> {
        let request =
            Request { worker: WorkerId(0), now: self.now.get().moment, key, random: || self.bits() };
        balance::pick(self.upstream(), tried, &request)
    }

    pub(crate) fn key(&self, text: &str) -> Option<Key> {
        Some(self.upstream().hash.as_ref().unwrap().key(text.as_bytes()))
    }

    pub(crate) fn pick(&self) -> &str {
        self.pick_for(None, &Tried::default()).id.as_str()
    }

    pub(crate) fn share(&self, id: &str) -> f64 {
        self.shares().get(id).copied().unwrap_or(0.0)
    }

    /// The share of many different keys that a server has.
    pub(crate) fn keyed_share(&self, id: &str) -> f64 {
        let home = |n: u32| self.pick_for(self.key(&format!("user-{n}")), &Tried::default());
        (0..20_000).filter(|n| home(*n).id.as_str() == id).count() as f64 / 20_000.0
    }

    /// Shares of many picks, none of which stays in flight.
    pub(crate) fn shares(&self) -> HashMap<String, f64> {
        const PICKS: u32 = 20_000;
        let mut shares = HashMap::new();
        for _ in 0..PICKS {
            *shares.entry(self.pick().to_owned()).or_insert(0.0) += 1.0 / f64::from(PICKS);
        }
        shares
    }
}

/// Five standard deviations of a share over as many picks as [`Subject::shares`] makes.
pub(crate) fn bound(share: f64) -> f64 {
    5.0 * (share * (1.0 - share) / 20_000.0).sqrt()
}

/// Every algorithm that shares out requests.
pub(crate) const ALGORITHMS: [&str; 8] =
    ["round_robin", "random", "least_request", "least_time", "peak_ewma", "prequal", "ring_hash", "maglev"];

/// The `n` of server `sn`.
pub(crate) fn number(id: &str) -> usize {
    id[1..].parse().unwrap()
}
