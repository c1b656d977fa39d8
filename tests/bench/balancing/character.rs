//! What the servers are like. Times in milliseconds since the beginning of a run.

/// Requests a server works on at once.
pub(crate) const SLOTS: usize = 4;

/// One kind of server.
#[derive(Clone, Copy)]
pub(crate) struct Character {
    /// Mean time a request takes.
    pub(crate) mean_ms: f64,
    /// Every so many milliseconds, for so many, nothing moves.
    stall: Option<(f64, f64)>,
    /// Every so many milliseconds, for so many, it answers 500 at once.
    failing: Option<(f64, f64)>,
}

impl Character {
    /// Ten servers: one five times slower than the others, one that stalls 200 ms every 2 s; with `failing` also one that
    /// fails 5 s of every 10.
    pub(crate) fn of(scenario: &str) -> Option<Vec<Self>> {
        let normal = Self { mean_ms: 10.0, stall: None, failing: None };
        let slow = Self { mean_ms: 50.0, ..normal };
        let stalling = Self { stall: Some((2000.0, 200.0)), ..normal };
        let third = match scenario {
            "mixed" => normal,
            "failing" => Self { failing: Some((10_000.0, 5000.0)), ..normal },
            _ => return None,
        };
        let mut servers = vec![slow, stalling, third];
        servers.resize(10, normal);
        Some(servers)
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

    /// Whether it answers 500 at `now`: in the second half of each period, so that a run sees a whole one.
    pub(crate) fn fails(&self, now: f64) -> bool {
        self.failing.is_some_and(|(every, length)| now % every >= every - length)
    }
}
