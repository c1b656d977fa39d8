//! A server that has asked to be left alone for a while.

use std::{
    sync::atomic::{AtomicI64, AtomicU64, Ordering},
    time::Duration,
};

use crate::time::{Moment, Now, Timestamp};

/// Until when a server wants to be left alone. Read by picks, where the upstream honours it.
#[derive(Debug, Default)]
pub struct Pause {
    /// In microseconds; 0 = never asked.
    until: AtomicU64,
    /// The same for people.
    shown: AtomicI64,
    count: AtomicU64,
}

impl Pause {
    /// The server asks `now` to be left alone for `time`. A shorter time than one it asked for before changes nothing.
    pub fn ask(&self, time: Duration, now: Now) {
        let until = now.moment.plus(time).0;
        if self.until.fetch_max(until, Ordering::Relaxed) < until {
            self.shown.store(now.wall.plus(time).0, Ordering::Relaxed);
        }
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether it wants to be left alone at `now`.
    #[must_use]
    pub fn is_on(&self, now: Moment) -> bool {
        self.until.load(Ordering::Relaxed) > now.0
    }

    /// Until when, if it still does at `now`.
    #[must_use]
    pub fn until(&self, now: Moment) -> Option<Timestamp> {
        self.is_on(now).then(|| Timestamp(self.shown.load(Ordering::Relaxed)))
    }

    /// How often it has asked.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_time_asked_for_holds_and_ends() {
        let pause = Pause::default();
        let now = Now { moment: Moment(1_000_000), wall: Timestamp(5000) };
        assert!(!pause.is_on(now.moment));
        pause.ask(Duration::from_secs(2), now);
        pause.ask(Duration::from_secs(1), now);
        assert_eq!((pause.until(now.moment), pause.count()), (Some(Timestamp(7000)), 2));
        assert!(pause.is_on(Moment(2_999_999)) && !pause.is_on(Moment(3_000_000)));
        assert_eq!(pause.until(Moment(3_000_000)), None);
    }
}
