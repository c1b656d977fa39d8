//! How each demo server behaves, so that each shows one thing that a load balancer does about it.

use std::time::Duration;

/// Where all of them answer health checks.
pub(super) const HEALTH_PATH: &str = "/healthz";

/// What `slow` takes per request: clearly felt with curl, and long enough for the balancer to avoid it.
const SLOW_DELAY: Duration = Duration::from_millis(150);

/// `flaky` goes through this many requests and checks, the last [`FLAKY_FAILURES`] of which fail: short enough to be met
/// by hand.
const FLAKY_CYCLE: u64 = 20;

/// Twice the consecutive errors that eject a server by default: what is left after the ejection is met by health checks,
/// which therefore agree for a while and then bring the server back.
const FLAKY_FAILURES: u64 = 10;

/// One of the demo's servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Character {
    /// Answers at once.
    Fast,
    /// Takes its time.
    Slow,
    /// Fails several times in a row, now and then.
    Flaky,
}

/// What one request gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reaction {
    /// Waited before answering.
    pub(super) delay: Duration,
    /// 200 or 500.
    pub(super) status: u16,
}

impl Character {
    /// All three.
    pub(super) const ALL: [Self; 3] = [Self::Fast, Self::Slow, Self::Flaky];

    /// Id of the server in the upstream.
    pub(super) fn id(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Slow => "slow",
            Self::Flaky => "flaky",
        }
    }

    /// What to tell the visitor.
    pub(super) fn description(self) -> &'static str {
        match self {
            Self::Fast => "answers at once",
            Self::Slow => "takes 150 ms",
            Self::Flaky => "answers 500 for a while, now and then",
        }
    }

    /// What the request or check numbered `number`, from 0, gets.
    pub(super) fn reaction(self, number: u64) -> Reaction {
        match self {
            Self::Fast => Reaction { delay: Duration::ZERO, status: 200 },
            Self::Slow => Reaction { delay: SLOW_DELAY, status: 200 },
            Self::Flaky => {
                let fails = number % FLAKY_CYCLE >= FLAKY_CYCLE - FLAKY_FAILURES;
                Reaction { delay: Duration::ZERO, status: if fails { 500 } else { 200 } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flaky_fails_often_enough_in_a_row_to_be_ejected_and_not_at_first() {
        let statuses: Vec<u16> =
            (0..FLAKY_CYCLE).map(|number| Character::Flaky.reaction(number).status).collect();
        assert!(statuses[..10].iter().all(|status| *status == 200), "{statuses:?}");
        assert!(statuses[10..].iter().all(|status| *status == 500), "{statuses:?}");
        assert!((0..100).all(|number| Character::Slow.reaction(number).status == 200));
    }
}
