//! When each check is due.

use std::{collections::BTreeSet, time::Duration};

use tokio::time::Instant;

/// A server being checked, from its addition until its removal. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct TargetId(pub(super) u64);

/// Checks that wait for their time, earliest first. One timer serves them all.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: BTreeSet<(Instant, TargetId)>,
}

impl Queue {
    /// Adds a check.
    pub(super) fn push(&mut self, due: Instant, target: TargetId) {
        self.waiting.insert((due, target));
    }

    /// Takes a check out again.
    pub(super) fn remove(&mut self, due: Instant, target: TargetId) {
        self.waiting.remove(&(due, target));
    }

    /// Takes out the earliest check that is due at `now`.
    pub(super) fn pop(&mut self, now: Instant) -> Option<(Instant, TargetId)> {
        let (due, target) = *self.waiting.first().filter(|(due, _)| *due <= now)?;
        self.waiting.pop_first();
        Some((due, target))
    }

    /// When the earliest check is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.waiting.first().map(|(due, _)| *due)
    }

    /// Checks that were due before `now`, earliest first.
    pub(super) fn overdue(&self, now: Instant) -> impl Iterator<Item = (Instant, TargetId)> {
        self.waiting.iter().copied().take_while(move |(due, _)| *due < now)
    }
}

/// `interval`, longer or shorter by up to `percent`; `draw` is a random number from 0 to 1.
pub(super) fn jittered(interval: Duration, percent: u8, draw: f64) -> Duration {
    let share = f64::from(percent) / 100.0;
    interval.mul_f64((1.0 + share * (2.0 * draw - 1.0)).max(0.0))
}

/// A moment of `interval`, from its start to just before its end; `draw` is a random number from 0 to 1.
pub(super) fn spread(interval: Duration, draw: f64) -> Duration {
    interval.mul_f64(draw.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn checks_come_out_when_due_and_in_order() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut queue = Queue::default();
        for (due, id) in [(3, 1), (1, 2), (2, 3), (2, 4)] {
            queue.push(at(due), TargetId(id));
        }
        queue.remove(at(2), TargetId(4));
        assert_eq!(queue.next_due(), Some(at(1)));
        assert_eq!(queue.pop(at(0)), None);
        assert_eq!(queue.overdue(at(3)).count(), 2);
        let popped: Vec<_> = std::iter::from_fn(|| queue.pop(at(3))).map(|(_, id)| id.0).collect();
        assert_eq!(popped, [2, 3, 1]);
        assert_eq!(queue.next_due(), None);
    }

    #[test]
    fn intervals_vary_by_no_more_than_asked() {
        let interval = Duration::from_secs(5);
        assert_eq!(jittered(interval, 10, 0.0), Duration::from_millis(4500));
        assert_eq!(jittered(interval, 10, 0.5), interval);
        assert_eq!(jittered(interval, 10, 1.0), Duration::from_millis(5500));
        assert_eq!(jittered(interval, 0, 0.9), interval);
        assert_eq!(spread(interval, 0.0), Duration::ZERO);
        assert_eq!(spread(interval, 0.5), Duration::from_millis(2500));
    }
}
