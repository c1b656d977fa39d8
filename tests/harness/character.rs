//! Servers that are not all alike, for measuring what a balancer makes of them. Times in milliseconds since a run began.

/// Requests a server works on at once.
pub const SLOTS: usize = 4;

/// One kind of server.
#[derive(Clone, Copy, Debug)]
pub struct Character {
    /// Mean time a request takes.
    pub mean_ms: f64,
    /// Every so many milliseconds, for so many, nothing moves.
    pub stall: Option<(f64, f64)>,
    /// Every so many milliseconds, for so many, it answers 500 at once.
    pub failing: Option<(f64, f64)>,
    /// How much earlier than others it stalls or fails, in milliseconds.
    pub phase: f64,
}

impl Character {
    /// What most servers are like.
    pub const NORMAL: Self = Self { mean_ms: 10.0, stall: None, failing: None, phase: 0.0 };

    /// Ten servers, of which one is five times slower than the others and one stalls 200 ms every 2 s.
    pub fn mixed() -> Vec<Self> {
        let mut servers = vec![Self::NORMAL; 10];
        servers[0].mean_ms = 50.0;
        servers[1].stall = Some((2000.0, 200.0));
        servers
    }

    /// The same with a third that answers 500 in the second half of every 10 s, so that a run sees a whole one.
    pub fn failing() -> Vec<Self> {
        let mut servers = Self::mixed();
        servers[2] = Self { failing: Some((10_000.0, 5000.0)), phase: 5000.0, ..Self::NORMAL };
        servers
    }

    /// Requests per millisecond it can do at most.
    pub fn capacity(&self) -> f64 {
        let up = self.stall.map_or(1.0, |(every, length)| 1.0 - length / every);
        SLOTS as f64 / self.mean_ms * up
    }

    /// When work of `length` that begins at `from` is done.
    pub fn done(&self, from: f64, length: f64) -> f64 {
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
    pub fn fails(&self, now: f64) -> bool {
        self.failing.is_some_and(|(every, length)| (now + self.phase) % every < length)
    }
}
