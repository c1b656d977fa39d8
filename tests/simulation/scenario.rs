//! What the servers are like and how much there is to do.

/// Requests a server works on at once.
pub(crate) const SLOTS: usize = 4;

/// One kind of server.
#[derive(Clone, Copy, Default)]
pub(crate) struct Character {
    /// Mean time to answer, in milliseconds.
    pub(crate) mean_ms: f64,
    /// Every so many milliseconds, for so many, nothing moves.
    pub(crate) stall: Option<(f64, f64)>,
    /// Every so many milliseconds, for so many, it answers 500 at once.
    pub(crate) failing: Option<(f64, f64)>,
}

/// Servers and load.
pub(crate) struct Scenario {
    pub(crate) name: String,
    pub(crate) servers: Vec<Character>,
    /// Requests per millisecond over all balancers.
    pub(crate) rate: f64,
    pub(crate) balancers: usize,
    pub(crate) warm_up_ms: f64,
    pub(crate) length_ms: f64,
}

impl Scenario {
    /// Ten servers, one five times slower and one that stalls 200 ms every 2 s, at `load` of what they can do.
    pub(crate) fn mixed(load: f64) -> Self {
        let normal = Character { mean_ms: 10.0, ..Character::default() };
        let mut servers = vec![normal; 10];
        servers[0].mean_ms = 50.0;
        servers[1].stall = Some((2000.0, 200.0));
        Self::of(format!("mixed, {:.0} % load", load * 100.0), servers, load)
    }

    /// The same with a server that answers 500 at once for 5 s in every 10.
    pub(crate) fn failing(load: f64) -> Self {
        let mut scenario = Self::mixed(load);
        scenario.servers[2].failing = Some((10_000.0, 5000.0));
        scenario.name = format!("mixed with 500s, {:.0} % load", load * 100.0);
        scenario
    }

    fn of(name: String, servers: Vec<Character>, load: f64) -> Self {
        let capacity: f64 = servers.iter().map(Character::capacity).sum();
        Self { name, rate: capacity * load, servers, balancers: 1, warm_up_ms: 10_000.0, length_ms: 60_000.0 }
    }
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
            let phase = now % every;
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
        self.failing.is_some_and(|(every, length)| now % every < length)
    }
}
