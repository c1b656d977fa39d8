//! The JSON of the health pages.
//!
//! Measurements are integers with their unit in the name; counters only grow and say since when they count; every
//! state but healthy has a reason and a time.

use serde::Serialize;
use utoipa::ToSchema;
use weir_shared::{
    id::Revision,
    model::{AdminState, HealthCheckType},
    state::{Detector, HealthState, Reason},
    table::UpstreamCondition,
    time::Timestamp,
};

pub use super::{
    certificates::{CertificateView, CertificatesView},
    overload::{CircuitView, QueueView, RateView},
};
use crate::drains::Then;

/// The health of everything, as one process sees it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct HealthPage {
    /// When the page was made.
    pub at: Timestamp,
    /// The process that made it.
    #[schema(example = "node-1")]
    pub node: String,
    /// The configuration in force.
    #[schema(example = 42)]
    pub revision: Revision,
    /// Whose view it is.
    pub scope: Scope,
    /// The worst of the upstreams that enabled routes or TCP listeners send to.
    pub status: OverallStatus,
    /// How many servers are in which state, over the whole configuration whatever was asked for.
    pub totals: Totals,
    /// How the configuration is kept.
    pub store: StoreView,
    /// How long certificates last.
    pub certificates: CertificatesView,
    /// What all listeners counted, requests that never reached an upstream included.
    pub listener: super::ListenerCounts,
    /// The first hundred listeners whose address is not bound, by id. The rest serves.
    pub listeners_unbound: Vec<super::UnboundListener>,
    /// The upstreams, by id.
    pub upstreams: Vec<UpstreamHealth>,
    /// Present when there is more: the `after` of the next call.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "web/10.0.0.7-8080")]
    pub next: Option<String>,
}

/// Whose view a page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Of one process.
    Node,
}

/// State of the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OverallStatus {
    /// Every upstream that is routed to is healthy.
    Ok,
    /// One of them lacks some servers.
    Degraded,
    /// One of them has no server to send to.
    Down,
}

/// Counts over the whole configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Totals {
    /// Upstreams.
    pub upstreams: usize,
    /// Servers.
    pub servers: usize,
    /// Servers in use.
    pub healthy: usize,
    /// Servers failing checks or real requests.
    pub unhealthy: usize,
    /// Servers not checked yet.
    pub initial: usize,
    /// Servers that get no new requests by the operator's wish.
    pub draining: usize,
    /// Servers in maintenance or with weight 0.
    pub unused: usize,
    /// Servers whose state cannot be told now; the last verdict stays in force.
    pub unavailable: usize,
}

/// How the configuration is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct StoreView {
    /// Kind of store.
    #[schema(example = "sqlite")]
    pub kind: String,
    /// Whether it works.
    pub state: StoreState,
    /// When the last change was committed; null before the first.
    pub last_commit_at: Option<Timestamp>,
}

/// Whether a store works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StoreState {
    /// It reads and writes.
    Ok,
    /// Nothing can be written; traffic goes on with the last good configuration.
    ReadOnly,
    /// It cannot be read; the configuration in force may be old.
    Stale,
}

impl StoreState {
    /// The state as a word, as in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ReadOnly => "read_only",
            Self::Stale => "stale",
        }
    }
}

/// The health of one upstream.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct UpstreamHealth {
    /// Its name.
    #[schema(example = "web")]
    pub id: String,
    /// Its state, from its servers.
    pub state: UpstreamCondition,
    /// Whether verdicts are distrusted because too few servers are left, so that all are used.
    pub panic: bool,
    /// Since when it is in this state.
    pub since: Timestamp,
    /// The routes that send to it, or would if they were enabled.
    #[schema(example = json!(["default"]))]
    pub routes: Vec<String>,
    /// The TCP listeners whose connections go to it.
    #[schema(example = json!([]))]
    pub listeners: Vec<String>,
    /// Servers that are wanted, healthy and not ejected.
    pub eligible: usize,
    /// Servers.
    pub total: usize,
    /// Requests under way at its servers.
    pub in_flight: u64,
    /// Requests that found no room.
    pub queue: QueueView,
    /// The circuit breaker; null when there is none.
    pub circuit_breaker: Option<CircuitView>,
    /// The rates at which requests may come.
    pub rate_limits: Vec<RateView>,
    /// Requests a second over the last ten seconds.
    #[schema(example = 118.4)]
    pub rps: f64,
    /// Share of the last ten seconds' requests that ended in a 5xx or in an error of Weir's own.
    #[schema(example = 0.8)]
    pub error_rate_percent: f64,
    /// Time to the first byte of the response over the last ten seconds.
    pub latency_ms: LatencyView,
    /// Its servers, in the order of the configuration. Left out with `format=summary`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub servers: Option<Vec<ServerHealth>>,
}

/// Quantiles of a latency, in milliseconds; null without requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct LatencyView {
    /// Half of all were faster.
    #[schema(example = 4)]
    pub p50: Option<u64>,
    /// Nine of ten were faster.
    #[schema(example = 11)]
    pub p90: Option<u64>,
    /// 99 of 100 were faster.
    #[schema(example = 42)]
    pub p99: Option<u64>,
}

/// The health of one server.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ServerHealth {
    /// Its name in its upstream.
    #[schema(example = "10.0.0.7-8080")]
    pub id: String,
    /// Where it is.
    #[schema(example = "10.0.0.7:8080")]
    pub address: String,
    /// The addresses its name stands for, as last looked up; left out when `address` is one itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, example = json!(["10.0.0.7:8080", "10.0.0.8:8080"]))]
    pub resolved: Option<Vec<String>>,
    /// Where it is, in the operator's words.
    #[schema(example = "eu-1a")]
    pub zone: String,
    /// Share of requests relative to the other servers.
    #[schema(example = 1)]
    pub weight: u16,
    /// 0 is used first, 1 is a backup.
    pub priority: u8,
    /// What the operator wants.
    pub admin_state: AdminState,
    /// The one state, from everything known.
    pub state: HealthState,
    /// Whether it may be picked now (panic aside).
    pub eligible: bool,
    /// Why it is in its state; null when simply healthy.
    pub reason: Option<Reason>,
    /// The same for a person; empty when there is nothing to add.
    #[schema(example = "tcp connect to 10.0.0.7:8080: connection refused (os error 111)")]
    pub detail: String,
    /// Since when it is in this state.
    pub since: Timestamp,
    /// How long it has been in this state.
    #[schema(example = 108_119)]
    pub for_ms: u64,
    /// Active checks; null when they are turned off.
    pub check: Option<CheckView>,
    /// Ejection by the outcome of real requests.
    pub passive: PassiveView,
    /// Its drain; null when it is in use, or was set to `drain` without one.
    pub drain: Option<DrainHealth>,
    /// Requests under way.
    pub in_flight: u32,
    /// Requests that may be under way, as set or as found out; null = any number.
    pub limit: Option<u32>,
    /// Until when it is left alone, while there is another one, because it asked for it; null when it is not.
    pub paused_until: Option<Timestamp>,
    /// Connections to it.
    pub connections: ConnectionsView,
    /// How long it takes, since `counters_since`.
    pub latency_ms: ServerLatencyView,
    /// Numbers that only grow.
    pub counters: CountersView,
    /// Since when the numbers count.
    pub counters_since: Timestamp,
}

/// Active checks of one server.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CheckView {
    /// What a check does.
    #[serde(rename = "type")]
    pub kind: HealthCheckType,
    /// What is checked.
    #[schema(example = "http://10.0.0.7:8080/healthz")]
    pub url: String,
    /// When the last check ended.
    pub last_at: Option<Timestamp>,
    /// Whether it passed.
    pub last_ok: Option<bool>,
    /// Status of its answer.
    pub last_status: Option<u16>,
    /// How long it took.
    pub duration_ms: Option<u64>,
    /// When the next one is due.
    pub next_at: Option<Timestamp>,
    /// Whether the state is from before `health_check` was changed, and the first check of the new kind still to come.
    pub recheck_pending: bool,
    /// Passes in a row, up to now.
    pub consecutive_ok: u32,
    /// Failures in a row, up to now.
    pub consecutive_failed: u32,
    /// Checks made.
    pub total: u64,
    /// Checks failed.
    pub failed: u64,
    /// The last change of verdict.
    pub last_change: Option<ChangeView>,
    /// The last 32 outcomes, newest right: `+` passed, `-` failed.
    #[schema(example = "++++++++------")]
    pub history: String,
}

/// A change of verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ChangeView {
    /// Before.
    pub from: HealthState,
    /// After.
    pub to: HealthState,
    /// When.
    pub at: Timestamp,
}

/// Ejection of one server by the outcome of real requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct PassiveView {
    /// Errors in a row, up to now.
    pub consecutive_errors: u32,
    /// Share of requests that succeeded within the last `outlier_detection.interval`; null when it had none, and while
    /// servers are not compared, being too few or not meant to be.
    #[schema(example = 99.8)]
    pub success_rate_percent: Option<f64>,
    /// When the ejection ends; null when not ejected.
    pub ejected_until: Option<Timestamp>,
    /// What ejected it; null when not ejected.
    pub detector: Option<Detector>,
    /// How often it was ejected.
    pub ejections: u64,
}

/// The drain of one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct DrainHealth {
    /// When it began.
    pub started_at: Timestamp,
    /// When it ends even though requests are under way.
    pub deadline: Timestamp,
    /// Requests under way.
    pub in_flight: u32,
    /// What becomes of the server then.
    pub then: Then,
    /// Whether it has ended, with the server kept.
    pub done: bool,
}

/// Connections to one server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct ConnectionsView {
    /// With a request on them.
    pub active: u64,
    /// Kept for reuse.
    pub idle: u64,
}

/// How long one server takes, in milliseconds; null without requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct ServerLatencyView {
    /// To open a connection, half of all were faster.
    pub connect_p50: Option<u64>,
    /// To the first byte of the response, half of all were faster.
    pub ttfb_p50: Option<u64>,
    /// To the first byte of the response, 99 of 100 were faster.
    pub ttfb_p99: Option<u64>,
}

/// What was counted at one server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct CountersView {
    /// Attempts made.
    pub requests: u64,
    /// Informational responses.
    pub responses_1xx: u64,
    /// Successful responses.
    pub responses_2xx: u64,
    /// Redirections.
    pub responses_3xx: u64,
    /// Client errors.
    pub responses_4xx: u64,
    /// Server errors.
    pub responses_5xx: u64,
    /// Connections that could not be opened.
    pub connect_errors: u64,
    /// Attempts that got no response in time.
    pub timeouts: u64,
    /// Connections that ended before the response was complete.
    pub resets: u64,
    /// Requests given up at the end of a drain.
    pub cut: u64,
    /// Attempts that were repeats of one that failed elsewhere.
    pub retries: u64,
    /// Bytes sent to the server.
    pub bytes_sent: u64,
    /// Bytes received from the server.
    pub bytes_received: u64,
}
