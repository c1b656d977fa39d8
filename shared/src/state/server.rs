//! Everything observed of one server.

use std::sync::{
    OnceLock,
    atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
};

use super::{
    AdaptiveLimit, Health, InFlight, Latency, LoadReport, Number, Outlier, Pause, PerWorker, Resolved,
    ServerCounters, ShadowLoad,
};
use crate::time::{Moment, Now, Timestamp};

/// What is observed of one server, from its addition until its removal, over any number of tables.
///
/// What every request reads or writes is in the first cache line: with thousands of servers, none of what a request touches of
/// its server is in the processor's nearer caches, and each line costs as much as the pick itself.
#[derive(Debug)]
#[repr(C, align(128))]
pub struct ServerState {
    /// By what workers find what they keep of it.
    pub number: Number,
    /// Attempts begun before this moment are given up.
    cut: AtomicU64,
    /// Requests under way.
    pub in_flight: InFlight,
    retired: AtomicBool,
    /// Whether the last table has the server, but not for new requests.
    withheld: AtomicBool,
    /// How fast it answers, where its upstream's algorithm asks for it.
    pub latency: Latency,
    /// What it says of its load, where the upstream asks for it.
    pub load_report: LoadReport,
    /// The limit of requests under way that was found out, where the upstream asks for it.
    pub adaptive: AdaptiveLimit,
    /// What active checks say.
    pub health: Health,
    /// What real requests say.
    pub outlier: Outlier,
    /// Whether it wants to be left alone.
    pub pause: Pause,
    /// What its name stands for, where its address has one.
    pub resolved: Resolved,
    /// Numbers, by worker.
    pub counters: PerWorker<ServerCounters>,
    /// What a shadow makes of it; made when there is the first one.
    shadow: OnceLock<Box<ShadowLoad>>,
    /// Since when the numbers count.
    pub counters_since: Timestamp,
    /// When the operator last changed `admin_state` or weight 0 / not 0.
    admin_since: AtomicI64,
}

impl ServerState {
    /// State of a server just added at `now`, for `workers` workers.
    #[must_use]
    pub fn new(workers: usize, number: Number, now: Now) -> Self {
        Self {
            counters: PerWorker::new(workers),
            cut: AtomicU64::new(0),
            in_flight: InFlight::default(),
            retired: AtomicBool::new(false),
            withheld: AtomicBool::new(false),
            latency: Latency::default(),
            load_report: LoadReport::default(),
            adaptive: AdaptiveLimit::default(),
            health: Health::new(now),
            outlier: Outlier::default(),
            pause: Pause::default(),
            resolved: Resolved::default(),
            number,
            shadow: OnceLock::new(),
            counters_since: now.wall,
            admin_since: AtomicI64::new(now.wall.0),
        }
    }

    /// What a shadow makes of it.
    pub fn shadow(&self) -> &ShadowLoad {
        self.shadow.get_or_init(Box::default)
    }

    /// What a shadow makes of it, if there ever was one.
    #[must_use]
    pub fn shadow_if_any(&self) -> Option<&ShadowLoad> {
        self.shadow.get().map(AsRef::as_ref)
    }

    /// Notes that the operator changed what is wanted of the server.
    pub fn admin_changed(&self, at: Timestamp) {
        self.admin_since.store(at.0, Ordering::Relaxed);
    }

    /// When the operator last changed what is wanted of the server.
    #[must_use]
    pub fn admin_since(&self) -> Timestamp {
        Timestamp(self.admin_since.load(Ordering::Relaxed))
    }

    /// Notes that no table has the server any more: its unused connections are closed at the next touch.
    pub fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }

    /// Notes that the operator lets the server have no new requests.
    pub(crate) fn withhold(&self) {
        self.withheld.store(true, Ordering::Release);
    }

    /// Notes that the operator lets the server have new requests.
    pub(crate) fn give_out(&self) {
        self.withheld.store(false, Ordering::Release);
    }

    /// Whether the operator has taken the server out of use, or away. A request with an older table, in which the server
    /// still is, asks before it goes on to another server.
    #[must_use]
    pub fn is_withdrawn(&self) -> bool {
        self.withheld.load(Ordering::Acquire) || self.is_retired()
    }

    /// Gives up the attempts begun before `now`. Those of a later time, when the server is in use again, are not meant.
    pub(crate) fn cut(&self, now: Moment) {
        self.cut.store(now.0, Ordering::Release);
    }

    /// Whether an attempt begun at `began` was given up. A load of a line that the attempt has touched anyway.
    #[must_use]
    pub fn is_cut(&self, began: Moment) -> bool {
        began.0 < self.cut.load(Ordering::Relaxed)
    }

    /// Whether the server was removed.
    #[must_use]
    pub fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use std::mem::offset_of;

    use super::*;

    #[test]
    fn what_a_request_touches_is_one_cache_line() {
        // Of `Latency`, the last 16 words are for algorithms that ask for them.
        let latency = offset_of!(ServerState, latency) + size_of::<Latency>() - 64;
        assert_eq!((offset_of!(ServerState, number), latency, align_of::<ServerState>()), (0, 64, 128));
    }
}
