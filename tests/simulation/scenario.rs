//! What the servers are like, who sends to them and how much there is to do.

/// Requests a server works on at once.
pub(crate) const SLOTS: usize = 4;

/// Zones that a placed fleet is spread over.
pub(crate) const ZONES: usize = 3;

/// One kind of server.
#[derive(Clone, Copy, Default)]
pub(crate) struct Character {
    /// Mean time to answer, in milliseconds.
    pub(crate) mean_ms: f64,
    /// Every so many milliseconds, for so many, nothing moves.
    pub(crate) stall: Option<(f64, f64)>,
    /// Every so many milliseconds, for so many, it answers 500 at once.
    pub(crate) failing: Option<(f64, f64)>,
    /// How much earlier than others it stalls or fails, in milliseconds.
    pub(crate) phase: f64,
}

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
    pub(crate) warm_up_ms: f64,
    pub(crate) length_ms: f64,
}

impl Scenario {
    /// Ten servers, one five times slower and one that stalls 200 ms every 2 s, at `load` of what they can do.
    pub(crate) fn mixed(name: &'static str, load: f64) -> Self {
        let mut servers = vec![normal(); 10];
        servers[0].mean_ms = 50.0;
        servers[1].stall = Some((2000.0, 200.0));
        Self::of(name, "1 balancer, 10 servers: one slow, one stalls", servers, load)
    }

    /// The same with a server that answers 500 at once for 5 s in every 10.
    pub(crate) fn failing(name: &'static str, load: f64) -> Self {
        let mut scenario = Self::mixed(name, load);
        scenario.servers[2].failing = Some((10_000.0, 5000.0));
        scenario.title =
            format!("1 balancer, 10 servers: one slow, one stalls, one fails; {:.0} % load", load * 100.0);
        scenario
    }

    /// A hundred balancers before a thousand servers, of each ten of which one is slow and one stalls, at a time of its own.
    pub(crate) fn fleet(name: &'static str, load: f64, placing: Placing) -> Self {
        let mut servers = vec![normal(); 1000];
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
            warm_up_ms: 10_000.0,
            length_ms: 60_000.0,
        }
    }
}

fn normal() -> Character {
    Character { mean_ms: 10.0, ..Character::default() }
}

impl Character {
    /// Requests per millisecond it can do at most.
    fn capacity(&self) -> f64 {
        let up = self.stall.map_or(1.0, |(every, length)| 1.0 - length / every);
        SLOTS as f64 / self.mean_ms * up
    }

    /// When work of `length` that begins at `from` is done.
    pub(crate) fn done(&self, from: f64, length: f64) -> f64 {
        let Some((every, stall)) = self.stall else { return from + length };
        let (mut now, mut left) = (from, length);
        loop {
            let phase = (now + self.phase) % every;
            if phase < stall {
                now += stall - phase;
                continue;
            }
            if left <= every - phase {
                return now + left;
            }
            left -= every - phase;
            now += every - phase;
        }
    }

    /// Whether it answers 500 at `now`.
    pub(crate) fn fails(&self, now: f64) -> bool {
        self.failing.is_some_and(|(every, length)| (now + self.phase) % every < length)
    }
}
