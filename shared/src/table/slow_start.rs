//! How much of its weight a server has while it warms up: little when it may be picked for the first time, or again, all of
//! it some time later.
//!
//! Each server has a clock of its own, started when it became eligible, so that others that join change nothing for it. When
//! all begin at once each has the same part of its weight, which limits nobody.
//!
//! Source of the curve: Envoy's slow start, weight × max(least, (time / duration)^(1 / aggression)).

use std::time::Duration;

use crate::{model, time::Moment};

/// Parts of the whole that a curve is followed in.
const STEPS: u32 = 20;

/// A set of servers is not built more often than this for the sake of warming up, however many there are.
const SHORTEST_STEP: Duration = Duration::from_millis(100);

/// How servers warm up.
#[derive(Clone, Copy, Debug)]
pub struct SlowStartPolicy {
    duration: Duration,
    least_percent: u8,
    aggression: f64,
}

impl SlowStartPolicy {
    /// What `settings` say; `None` when servers do not warm up.
    #[must_use]
    pub fn of(settings: &model::SlowStart) -> Option<Self> {
        let duration = settings.duration.duration();
        let (least_percent, aggression) = (settings.min_weight_percent, settings.aggression);
        (!duration.is_zero()).then_some(Self { duration, least_percent, aggression })
    }

    /// Percent of its weight that a server has which has been eligible for `warm`; at least 1.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 1 to 100")]
    pub(super) fn percent(self, warm: Duration) -> u8 {
        if warm >= self.duration {
            return 100;
        }
        let done = warm.as_secs_f64() / self.duration.as_secs_f64();
        let percent = (done.powf(1.0 / self.aggression) * 100.0).round() as u8;
        percent.clamp(self.least_percent.max(1), 100)
    }

    /// When percentages have to be worked out anew after `now`: the same for all servers of an upstream.
    pub(super) fn next_step(self, now: Moment) -> Moment {
        let step = Moment::from_elapsed((self.duration / STEPS).max(SHORTEST_STEP)).0.max(1);
        Moment((now.0 / step + 1).saturating_mul(step))
    }

    /// How much longer a server warms up that has been eligible for `warm`.
    #[must_use]
    pub fn left(self, warm: Duration) -> Duration {
        self.duration.saturating_sub(warm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(seconds: u64, least_percent: u8, aggression: f64) -> SlowStartPolicy {
        SlowStartPolicy { duration: Duration::from_secs(seconds), least_percent, aggression }
    }

    #[test]
    fn weights_grow_as_envoys_do() {
        let at = |policy: SlowStartPolicy| {
            [0, 5, 10, 30, 59, 60, 600].map(|s| policy.percent(Duration::from_secs(s)))
        };
        assert_eq!(at(policy(60, 10, 1.0)), [10, 10, 17, 50, 98, 100, 100]);
        // 10 s of 60 with aggression 2: √(1/6) = 0.408; with 0.5: (1/6)² = 0.028.
        assert_eq!(at(policy(60, 10, 2.0))[2], 41);
        assert_eq!(at(policy(60, 1, 0.5))[2], 3);
        assert_eq!(at(policy(60, 0, 1.0))[0], 1, "never nothing");
    }

    #[test]
    fn steps_are_few_and_come_together() {
        let policy = policy(30, 10, 1.0);
        let second = 1_000_000;
        assert_eq!(policy.next_step(Moment(7 * second)), Moment(7 * second + second / 2));
        assert_eq!(policy.next_step(Moment(7 * second + second / 2)), Moment(9 * second));
        let one = |seconds| SlowStartPolicy { duration: Duration::from_secs(seconds), ..policy };
        let policy = one(1);
        assert_eq!(policy.next_step(Moment(second)), Moment(second + second / 10));
    }
}
