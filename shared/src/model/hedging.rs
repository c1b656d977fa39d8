//! Asking a second server when the first one takes long.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::check::{number, span};
use crate::{
    error::{FieldError, Pointer},
    units::Span,
};

/// When a second server is asked for the answer that the first one owes. Only for requests without a body whose method is
/// idempotent (RFC 9110 §9.2.2): both servers may run them. The first good answer is taken, the other attempt given up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Hedging {
    /// Whether a second server is asked. Default false: it makes servers work twice, and helps where the time of a request
    /// depends on chance more than on the request.
    pub enabled: bool,
    /// A second server is asked once a request has taken longer than this percentage of the upstream's recent ones, 50 to
    /// 99.9; sooner where the first server is much slower than others, later where `max_percent` would not last. Default 95.
    #[schema(minimum = 50, maximum = 99.9)]
    pub percentile: f64,
    /// Asked after this time instead, 1ms to 60s. Left out: by `percentile`.
    #[schema(nullable)]
    pub delay: Option<Span>,
    /// Requests that may be sent a second time, as a share of all, 1 to 100. Default 5. Retries have a budget of their own.
    #[schema(minimum = 1, maximum = 100)]
    pub max_percent: u8,
}

impl Default for Hedging {
    fn default() -> Self {
        Self { enabled: false, percentile: 95.0, delay: None, max_percent: 5 }
    }
}

pub(super) fn check(hedging: &Hedging, at: &Pointer, errors: &mut Vec<FieldError>) {
    number(hedging.percentile, 50.0..=99.9, &at.at("percentile"), errors);
    if let Some(delay) = hedging.delay {
        span(delay, Span::from_millis(1)..=Span::from_secs(60), &at.at("delay"), errors);
    }
    number(hedging.max_percent, 1..=100, &at.at("max_percent"), errors);
}
