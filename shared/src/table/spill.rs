//! How much of the requests each priority level gets: a level that is short of healthy servers hands on what it cannot take.
//!
//! A level can take its healthy share times the overprovisioning factor, all of the requests at most. The first level gets
//! what it can take, the next what is left, and so on. When all together cannot take everything, each gets in proportion to
//! what it can, and a level below the panic threshold uses all its servers.
//!
//! Source: Envoy's priority levels, with counts of servers. Unlike there, a threshold above 1 / factor means what it says
//! in an upstream of one level.

/// The servers of a level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Level {
    /// Wanted by the operator, at least one.
    pub(super) wanted: usize,
    /// Healthy and not ejected, of these.
    pub(super) healthy: usize,
}

/// What a level gets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Load {
    /// Share of the requests, from 0 to 1.
    pub(super) share: f64,
    /// Whether its verdicts are distrusted, so that requests go to all its servers.
    pub(super) panic: bool,
}

/// Percentages that decide.
#[derive(Clone, Copy, Debug)]
pub struct SpillPolicy {
    /// Below this share of healthy servers the verdicts are distrusted; 0 = never.
    pub panic_percent: u8,
    /// What a level can take when all its servers are healthy; at least 100.
    pub overprovisioning_percent: u16,
}

/// What each of `levels` gets, in their order. The shares add up to 1, or are all 0 when no server may be picked.
#[expect(clippy::cast_precision_loss, reason = "at most 10 000 servers")]
pub(super) fn loads(levels: &[Level], policy: SpillPolicy) -> Vec<Load> {
    let factor = f64::from(policy.overprovisioning_percent) / 100.0;
    let health = |level: &Level| (level.healthy as f64 / level.wanted.max(1) as f64 * factor).min(1.0);
    let total = levels.iter().map(health).sum::<f64>().min(1.0);
    if total <= 0.0 {
        let panic = policy.panic_percent > 0;
        let wanted = levels.iter().map(|level| level.wanted).sum::<usize>().max(1) as f64;
        let share = |level: &Level| if panic { level.wanted as f64 / wanted } else { 0.0 };
        return levels.iter().map(|level| Load { share: share(level), panic }).collect();
    }
    let others_suffice = levels.len() > 1 && total >= 1.0;
    let mut left = 1.0;
    let load = |level: &Level| {
        let share = (health(level) / total).min(left);
        left -= share;
        // What rounding leaves over is no share.
        if left < 1e-9 {
            left = 0.0;
        }
        Load { share, panic: !others_suffice && level.is_short(policy.panic_percent) }
    };
    levels.iter().map(load).collect()
}

impl Level {
    /// Several parts as one.
    pub(super) fn sum(parts: impl Iterator<Item = Self>) -> Self {
        parts.fold(Self { wanted: 0, healthy: 0 }, |sum, part| Self {
            wanted: sum.wanted + part.wanted,
            healthy: sum.healthy + part.healthy,
        })
    }

    fn is_short(self, panic_percent: u8) -> bool {
        self.healthy * 100 < self.wanted * usize::from(panic_percent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(levels: &[(usize, usize)], panic_percent: u8) -> Vec<(f64, bool)> {
        let levels: Vec<Level> =
            levels.iter().map(|(healthy, wanted)| Level { wanted: *wanted, healthy: *healthy }).collect();
        let policy = SpillPolicy { panic_percent, overprovisioning_percent: 140 };
        let rounded = |load: Load| ((load.share * 1000.0).round() / 10.0, load.panic);
        loads(&levels, policy).into_iter().map(rounded).collect()
    }

    #[test]
    fn a_level_hands_on_what_it_cannot_take() {
        // Figures of Envoy's documentation of priority levels: healthy servers of 100 in each level, and what each gets.
        for (healthy, expected) in [
            ((100, 100), [100.0, 0.0]),
            ((72, 100), [100.0, 0.0]),
            ((71, 100), [99.4, 0.6]),
            ((50, 100), [70.0, 30.0]),
            ((25, 100), [35.0, 65.0]),
            ((25, 25), [50.0, 50.0]),
            ((0, 100), [0.0, 100.0]),
        ] {
            let found = shares(&[(healthy.0, 100), (healthy.1, 100)], 0);
            assert_eq!(found.iter().map(|load| load.0).collect::<Vec<_>>(), expected, "{healthy:?}");
        }
        let three = shares(&[(5, 100), (0, 100), (10, 100)], 0);
        assert_eq!(three.iter().map(|load| load.0).collect::<Vec<_>>(), [33.3, 0.0, 66.7]);
    }

    #[test]
    fn panic_comes_after_the_other_levels_and_before_nothing() {
        assert_eq!(shares(&[(1, 3), (1, 1)], 50), [(46.7, false), (53.3, false)], "others make up for it");
        assert_eq!(shares(&[(1, 3), (0, 1)], 50), [(100.0, true), (0.0, true)]);
        assert_eq!(
            shares(&[(0, 2), (1, 3)], 50),
            [(0.0, true), (100.0, true)],
            "no healthy server is left out"
        );
        assert_eq!(shares(&[(0, 3), (0, 1)], 50), [(75.0, true), (25.0, true)]);
        assert_eq!(shares(&[(0, 3), (0, 1)], 0), [(0.0, false), (0.0, false)]);
        assert_eq!(shares(&[(1, 3), (0, 1)], 0), [(100.0, false), (0.0, false)]);
        assert_eq!(shares(&[(8, 10)], 90), [(100.0, true)], "a threshold means what it says");
        assert_eq!(shares(&[(5, 10)], 50), [(100.0, false)]);
    }

    #[test]
    fn shares_add_up_and_more_health_never_means_less_at_the_front() {
        for panic_percent in [0, 50, 100] {
            for (a, b, c) in (0..=7).flat_map(|a| (0..=5).flat_map(move |b| (0..=3).map(move |c| (a, b, c))))
            {
                let levels = |a| [(a, 7), (b, 5), (c, 3)];
                let sum: f64 = shares(&levels(a), panic_percent).iter().map(|load| load.0).sum();
                let is_empty = a + b + c == 0 && panic_percent == 0;
                assert!((sum - if is_empty { 0.0 } else { 100.0 }).abs() < 0.2, "{a} {b} {c}: {sum}");
                if a < 7 && a + b + c > 0 {
                    let front = |a| shares(&levels(a), panic_percent)[0].0;
                    assert!(front(a) <= front(a + 1), "{a} {b} {c}");
                }
            }
        }
    }
}
