//! The JSON of an explanation.

use serde::{Serialize, Serializer};
use utoipa::ToSchema;
use weir_shared::{
    id::Revision,
    state::{Detector, HealthState, Reason},
    time::Timestamp,
};

use crate::status::view::{CheckView, CountersView, DrainHealth, PassiveView};

/// Why a server gets requests, or does not.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Explanation {
    /// When this was so.
    pub at: Timestamp,
    /// The configuration in force.
    #[schema(example = 42)]
    pub revision: Revision,
    /// The upstream.
    #[schema(example = "web")]
    pub upstream: String,
    /// The server.
    #[schema(example = "10.0.0.7-8080")]
    pub server: String,
    /// Where it is.
    #[schema(example = "10.0.0.7:8080")]
    pub address: String,
    /// Whether requests may go to it now: some route leads here and the balancer may pick it.
    #[schema(example = false)]
    pub gets_requests: bool,
    /// The one state, as in the health documents.
    pub state: HealthState,
    /// What decides.
    pub cause: Cause,
    /// Everything that decides, in the order in which it is looked at.
    pub factors: Vec<Factor>,
    /// Its share of the picks: the product of all multipliers, 0 while it may not be picked.
    #[schema(example = 0)]
    #[serde(serialize_with = "number")]
    pub effective_weight: f64,
    /// Its share of the weights of all servers that may be picked now, in percent.
    #[schema(example = 0.0)]
    pub share_percent: f64,
    /// Its drain; null when it is in use, or was set to `drain` without one.
    pub drain: Option<DrainHealth>,
    /// Active checks; null when they are turned off.
    pub check: Option<CheckView>,
    /// The last checks, newest first.
    pub last_checks: Vec<CheckEntry>,
    /// Ejection by the outcome of real requests.
    pub passive: PassiveView,
    /// The last ejections, newest first.
    pub ejections: Vec<EjectionEntry>,
    /// When the next check is due; null when none is.
    pub next_check_at: Option<Timestamp>,
    /// Requests under way.
    pub in_flight: u32,
    /// Numbers that only grow.
    pub counters: CountersView,
    /// Since when the numbers count.
    pub counters_since: Timestamp,
    /// What would change it, for a person.
    #[schema(example = json!(["Nothing accepts connections at 10.0.0.7:8080: start the server there. It returns after 2 passed checks in a row; the next is due at 2026-11-22T21:40:05.000Z."]))]
    pub hints: Vec<String>,
}

/// What decides that a server gets requests, or does not.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Cause {
    /// The factor that decides.
    pub factor: FactorName,
    /// The reason code of the server's state; null when it is simply healthy.
    pub reason: Option<Reason>,
    /// One sentence.
    #[schema(
        example = "Active checks fail: tcp connect to 10.0.0.7:8080: connection refused (os error 111)."
    )]
    pub text: String,
    /// Since when that is so; where it is not noted, since when the server is in its state.
    pub since: Timestamp,
}

/// Something that decides whether a server gets requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FactorName {
    /// Some enabled route, or a TCP listener, sends to the upstream.
    Route,
    /// What the operator wants of the server.
    AdminState,
    /// The weight the operator gave it.
    Weight,
    /// The verdict of active checks.
    Health,
    /// The verdict of real requests.
    Ejection,
    /// Whether its priority is in use.
    Priority,
    /// Whether it is one of the servers this balancer uses; only where it does not use all.
    Subset,
    /// Whether its zone is in use; only where zones count.
    Zone,
    /// What part of its weight it has while it warms up; only where servers do.
    SlowStart,
    /// Whether it and the upstream have room; only where something is limited.
    Limits,
    /// What it was found to bear; only where limits are found out.
    AdaptiveLimit,
    /// Whether it has asked to be left alone; only where that counts.
    Pause,
    /// Whether the upstream's requests are let through; only with a circuit breaker.
    CircuitBreaker,
}

/// One factor and what it does.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Factor {
    /// Which.
    pub name: FactorName,
    /// Whether it lets the server have requests by itself.
    pub ok: bool,
    /// What it multiplies the weight by: 0 keeps the server out. With verdicts distrusted (panic) those of checks and of
    /// real requests multiply by 1 whatever they are.
    #[schema(example = 1)]
    #[serde(serialize_with = "number")]
    pub multiplier: f64,
    /// How it stands, in one sentence.
    #[schema(example = "The operator wants it in use (ready).")]
    pub text: String,
}

/// Writes 3 as 3, not as 3.0.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::trivially_copy_pass_by_ref,
    reason = "a product of a weight and percentages; serde asks for the reference"
)]
fn number<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    if value.fract() == 0.0 {
        serializer.serialize_u64(*value as u64)
    } else {
        serializer.serialize_f64(*value)
    }
}

/// A check that was made.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct CheckEntry {
    /// When it ended.
    pub at: Timestamp,
    /// How it ended.
    pub result: CheckResult,
    /// Why it failed.
    pub reason: Option<Reason>,
    /// Status of the answer, if there was one.
    #[schema(example = 503)]
    pub status: Option<u16>,
    /// How long it took.
    #[schema(example = 3)]
    pub duration_ms: u64,
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckResult {
    /// As it should.
    Passed,
    /// Otherwise.
    Failed,
}

/// An ejection, under way or over.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct EjectionEntry {
    /// When it began.
    pub at: Timestamp,
    /// When it was due to end by itself.
    pub due: Timestamp,
    /// When a passing check ended it early; null when none did.
    pub ended_early_at: Option<Timestamp>,
    /// What found the server failing.
    pub detector: Detector,
    /// By which figures, for a person.
    #[schema(example = "consecutive_5xx: 5 requests in a row failed, the last with status 500")]
    pub detail: String,
    /// How many errors in a row led to it; null for an ejection by rates.
    #[schema(example = 5)]
    pub consecutive_errors: Option<u32>,
    /// How many requests make up the rate that led to it; null for an ejection by errors in a row.
    #[schema(example = json!(null))]
    pub requests: Option<u64>,
    /// Share of them that succeeded; null for an ejection by errors in a row.
    #[schema(example = json!(null))]
    pub success_rate_percent: Option<f64>,
    /// The success rate that it took not to be ejected; null for an ejection by errors in a row.
    #[schema(example = json!(null))]
    pub threshold_percent: Option<f64>,
}
