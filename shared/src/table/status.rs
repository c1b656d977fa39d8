//! What a dashboard is told of a server or an upstream: one state, its reason, and since when.

use serde::Serialize;
use utoipa::ToSchema;

use super::{Server, Upstream};
use crate::{
    model::AdminState,
    state::{HealthRecord, HealthState, OutlierRecord, Reason, Recheck},
    time::{Moment, Timestamp},
};

/// State of a server, from everything known of it.
#[derive(Clone, Debug)]
pub struct ServerStatus {
    /// The one state.
    pub state: HealthState,
    /// Why, unless simply healthy.
    pub reason: Option<Reason>,
    /// The same for a person.
    pub detail: String,
    /// Since when.
    pub since: Timestamp,
    /// Whether it may be picked (panic aside).
    pub eligible: bool,
    /// What checks say.
    pub health: HealthRecord,
    /// What real requests say.
    pub outlier: OutlierRecord,
}

impl ServerStatus {
    /// The state of `server` at `now` alone: what [`Self::of`] answers as `state`, at a fraction of the cost.
    #[must_use]
    pub fn state_of(server: &Server, now: Moment) -> HealthState {
        match server.admin_state {
            AdminState::Maint => return HealthState::Unused,
            AdminState::Drain => return HealthState::Draining,
            AdminState::Ready if server.weight == 0 => return HealthState::Unused,
            AdminState::Ready => {}
        }
        match server.state.health.verdict() {
            (HealthState::Unhealthy, _) => HealthState::Unhealthy,
            _ if server.state.outlier.is_ejected(now) => HealthState::Unhealthy,
            (HealthState::Initial, _) => HealthState::Initial,
            (_, true) => HealthState::Unavailable,
            (_, false) => HealthState::Healthy,
        }
    }

    /// The state of `server` at `now`. What weighs most wins: unused, draining, unhealthy, initial, unavailable, healthy.
    #[must_use]
    pub fn of(server: &Server, now: Moment) -> Self {
        let health = server.state.health.record();
        let outlier = server.state.outlier.record();
        let ejected = server.state.outlier.is_ejected(now);
        let admin_since = server.state.admin_since();
        let (state, reason, since) = match server.admin_state {
            AdminState::Maint => (HealthState::Unused, Some(Reason::AdminMaint), admin_since),
            AdminState::Drain => (HealthState::Draining, Some(Reason::AdminDrain), admin_since),
            AdminState::Ready if server.weight == 0 => {
                (HealthState::Unused, Some(Reason::WeightZero), admin_since)
            }
            AdminState::Ready if health.verdict == HealthState::Unhealthy => {
                (HealthState::Unhealthy, health.reason, health.since)
            }
            AdminState::Ready if ejected => (HealthState::Unhealthy, Some(Reason::Ejected), outlier.since),
            AdminState::Ready if health.verdict == HealthState::Initial => {
                (HealthState::Initial, health.reason, health.since)
            }
            AdminState::Ready if health.late => {
                (HealthState::Unavailable, Some(Reason::CheckerLate), health.since)
            }
            AdminState::Ready if health.recheck == Recheck::Pending => {
                (HealthState::Healthy, Some(Reason::RecheckPending), health.since)
            }
            AdminState::Ready => (HealthState::Healthy, health.reason, health.since),
        };
        let eligible = server.is_wanted() && server.state.health.is_healthy() && !ejected;
        let detail = match reason {
            Some(Reason::Ejected) => outlier.cause(),
            // The checks' words are about their verdict; what an operator decided has a reason of its own.
            Some(Reason::AdminMaint | Reason::AdminDrain | Reason::WeightZero) => String::new(),
            _ => health.detail.clone(),
        };
        Self { state, reason, detail, since, eligible, health, outlier }
    }
}

/// State of an upstream, from its servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UpstreamState {
    /// Every server in use is eligible.
    Healthy,
    /// Some are not.
    Degraded,
    /// Too few are: verdicts are distrusted and all are used.
    Panic,
    /// None may be picked.
    Down,
    /// There is none.
    Empty,
}

/// State of an upstream and how many servers may be picked.
#[derive(Clone, Copy, Debug)]
pub struct UpstreamStatus {
    /// The one state.
    pub state: UpstreamState,
    /// Servers that are wanted, healthy and not ejected.
    pub eligible: usize,
    /// Servers.
    pub total: usize,
    /// Whether verdicts are distrusted.
    pub panic: bool,
}

impl UpstreamStatus {
    /// The state of `upstream` at `now`.
    #[must_use]
    pub fn of(upstream: &Upstream, now: Moment) -> Self {
        let eligible = upstream.eligible(now);
        let wanted = upstream.servers.iter().filter(|server| server.is_wanted()).count();
        let total = upstream.servers.len();
        let state = if total == 0 {
            UpstreamState::Empty
        } else if eligible.panic {
            UpstreamState::Panic
        } else if eligible.tiers.is_empty() {
            UpstreamState::Down
        } else if eligible.healthy < wanted {
            UpstreamState::Degraded
        } else {
            UpstreamState::Healthy
        };
        Self { state, eligible: eligible.healthy, total, panic: eligible.panic }
    }
}
