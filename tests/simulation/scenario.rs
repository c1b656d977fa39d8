//! What the servers are like, who sends to them and how much there is to do.

use serde_json::{Value, json};
use weir_tests::character::Character;

/// Zones that a placed fleet is spread over.
pub(crate) const ZONES: usize = 3;

/// Which servers balancers use.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Placing {
    /// All alike.
    Flat,
    /// So many of them, by turns.
    Subset(u16),
    /// Those of their own zone first; so many of them.
    Zones(u16),
}

/// Servers and load.
pub(crate) struct Scenario {
    /// What files are called by.
    pub(crate) name: &'static str,
    pub(crate) title: String,
    pub(crate) servers: Vec<Character>,
    /// Requests per millisecond over all balancers.
    pub(crate) rate: f64,
    pub(crate) balancers: usize,
    pub(crate) placing: Placing,
    /// Settings of the upstream.
    pub(crate) settings: Value,
    pub(crate) warm_up_ms: f64,
    pub(crate) length_ms: f64,
    /// A server that takes so many times longer until then, in milliseconds.
    pub(crate) slow_until: Option<(usize, f64, f64)>,
    /// Requests, one in so many, that take so many milliseconds whoever does them.
    pub(crate) long: Option<(u64, f64)>,
}

impl Scenario {
    /// Ten servers, one five times slower and one that stalls 200 ms every 2 s, at `load` of what they can do.
    pub(crate) fn mixed(name: &'static str, load: f64) -> Self {
        Self::of(name, "1 balancer, 10 servers: one slow, one stalls", Character::mixed(), load)
    }

    /// Ten servers alike but for the first, which takes a hundred times as long until a minute before anything is counted.
    pub(crate) fn recovers(name: &'static str, load: f64) -> Self {
        let what = "1 balancer, 10 servers: one has been slow and is well";
        Self {
            slow_until: Some((0, 100.0, 20_000.0)),
            warm_up_ms: 80_000.0,
            length_ms: 30_000.0,
            ..Self::of(name, what, vec![Character::NORMAL; 10], load)
        }
    }

    /// Ten servers alike, and one request in a hundred that takes `times` as long as the others do on average.
    pub(crate) fn long(name: &'static str, load: f64, times: f64) -> Self {
        let what = format!("1 balancer, 10 servers alike: 1 % of the requests take {times} times as long");
        let scenario = Self::of(name, &what, vec![Character::NORMAL; 10], load);
        let long = Some((100, times * Character::NORMAL.mean_ms));
        Self { long, rate: scenario.rate / (0.99 + 0.01 * times), ..scenario }
    }

    /// The same with a second server asked for one request in twenty at most.
    pub(crate) fn hedged(name: &'static str, load: f64) -> Self {
        let what = "1 balancer with hedging, 10 servers: one slow, one stalls";
        let settings = json!({"hedging": {"enabled": true, "max_percent": 5}});
        Self { settings, ..Self::of(name, what, Character::mixed(), load) }
    }

    /// As [`Self::mixed`], with a server that answers 500 at once for 5 s in every 10.
    pub(crate) fn failing(name: &'static str, load: f64) -> Self {
        let what = "1 balancer, 10 servers: one slow, one stalls, one fails";
        Self::of(name, what, Character::failing(), load)
    }

    /// A hundred balancers before a thousand servers, of each ten of which one is slow and one stalls, at a time of its own.
    pub(crate) fn fleet(name: &'static str, load: f64, placing: Placing) -> Self {
        let mut servers = vec![Character::NORMAL; 1000];
        for (n, server) in servers.iter_mut().enumerate() {
            match n % 10 {
                0 => server.mean_ms = 50.0,
                1 => server.stall = Some((2000.0, 200.0)),
                _ => {}
            }
            server.phase = (n * 137 % 2000) as f64;
        }
        let who = match placing {
            Placing::Flat => "100 balancers, 1000 servers".to_owned(),
            Placing::Subset(size) => format!("100 balancers with {size} of 1000 servers each"),
            Placing::Zones(size) => {
                format!("100 balancers in {ZONES} zones, {size} servers of the own zone, of 1000")
            }
        };
        let what = format!("{who}: a tenth slow, a tenth stalls");
        Self {
            balancers: 100,
            placing,
            warm_up_ms: 2000.0,
            length_ms: 4000.0,
            ..Self::of(name, &what, servers, load)
        }
    }

    fn of(name: &'static str, what: &str, servers: Vec<Character>, load: f64) -> Self {
        let capacity: f64 = servers.iter().map(Character::capacity).sum();
        Self {
            name,
            title: format!("{what}; {:.0} % load", load * 100.0),
            rate: capacity * load,
            servers,
            balancers: 1,
            placing: Placing::Flat,
            settings: json!({}),
            warm_up_ms: 10_000.0,
            length_ms: 60_000.0,
            slow_until: None,
            long: None,
        }
    }
}
