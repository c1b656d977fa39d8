//! How many servers of an upstream are in which state, counted again only when that may have changed.
//!
//! A page shows the sums over everything, so that without this a page of one upstream would look at every server there is.

use std::sync::Arc;

use weir_shared::{
    state::HealthState,
    table::{Eligible, ServerStatus, Upstream},
    time::Moment,
};

use super::view::Totals;

/// Servers by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct StateCounts {
    initial: usize,
    healthy: usize,
    unhealthy: usize,
    draining: usize,
    unused: usize,
    unavailable: usize,
}

impl StateCounts {
    fn of(upstream: &Upstream, now: Moment) -> Self {
        let mut counts = Self::default();
        for server in &upstream.servers {
            *counts.place(ServerStatus::state_of(server, now)) += 1;
        }
        counts
    }

    /// How many servers are in `state`.
    pub(super) fn in_state(mut self, state: HealthState) -> usize {
        *self.place(state)
    }

    fn place(&mut self, state: HealthState) -> &mut usize {
        match state {
            HealthState::Initial => &mut self.initial,
            HealthState::Healthy => &mut self.healthy,
            HealthState::Unhealthy => &mut self.unhealthy,
            HealthState::Draining => &mut self.draining,
            HealthState::Unused => &mut self.unused,
            HealthState::Unavailable => &mut self.unavailable,
        }
    }

    /// Adds these servers to `totals`.
    pub(super) fn add_to(self, totals: &mut Totals) {
        totals.initial += self.initial;
        totals.healthy += self.healthy;
        totals.unhealthy += self.unhealthy;
        totals.draining += self.draining;
        totals.unused += self.unused;
        totals.unavailable += self.unavailable;
    }
}

/// The counts of one upstream, with what they were taken from: while that is the same, so are they.
#[derive(Debug)]
pub(super) struct Counted {
    upstream: Arc<Upstream>,
    /// A set is built anew whenever an eligibility changes or an ejection ends.
    eligible: Arc<Eligible>,
    appearance: u64,
    pub(super) counts: StateCounts,
}

impl Counted {
    /// Counts the servers of `upstream`.
    pub(super) fn of(upstream: &Arc<Upstream>, now: Moment) -> Self {
        // Read before anything else: whatever changes while counting is seen the next time.
        let appearance = upstream.state.appearance();
        let eligible = Arc::clone(&upstream.eligible(now));
        let counts = StateCounts::of(upstream, now);
        Self { upstream: Arc::clone(upstream), eligible, appearance, counts }
    }

    /// Whether the counts are still those of `upstream`.
    pub(super) fn holds(&self, upstream: &Arc<Upstream>, now: Moment) -> bool {
        Arc::ptr_eq(&self.upstream, upstream)
            && self.appearance == upstream.state.appearance()
            && Arc::ptr_eq(&self.eligible, &upstream.eligible(now))
    }
}
