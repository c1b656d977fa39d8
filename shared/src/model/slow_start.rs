//! How a server that is new or back gets its requests little by little.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::check::{number, span};
use crate::{
    error::{FieldError, Pointer},
    units::Span,
};

/// Slow start: a server that was added, became healthy, was no longer ejected or came back from drain or maintenance begins
/// with a part of its weight and has all of it after `duration`. Algorithms that pick by a key give it that part of its keys.
/// Servers that begin together share evenly all the while.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
#[schema(example = json!({"duration": "30s", "min_weight_percent": 10, "aggression": 1.0}))]
pub struct SlowStart {
    /// Time until a server has all of its weight, `0s` (off) or 1s to 1h. Default 0s.
    pub duration: Span,
    /// Least part of its weight that a server has, 1 to 100 percent. Default 10 (Envoy).
    #[schema(minimum = 1, maximum = 100)]
    pub min_weight_percent: u8,
    /// The weight grows with (time / duration)^(1 / aggression), 0.1 to 10: above 1 fast first, below 1 slow first. Default
    /// 1, in proportion to the time (Envoy).
    #[schema(minimum = 0.1, maximum = 10)]
    pub aggression: f64,
}

impl Default for SlowStart {
    fn default() -> Self {
        Self { duration: Span::default(), min_weight_percent: 10, aggression: 1.0 }
    }
}

/// Checks the settings of a slow start.
pub(super) fn check(settings: &SlowStart, at: &Pointer, errors: &mut Vec<FieldError>) {
    if settings.duration != Span::default() {
        span(settings.duration, Span::from_secs(1)..=Span::from_secs(3600), &at.at("duration"), errors);
    }
    number(settings.min_weight_percent, 1..=100, &at.at("min_weight_percent"), errors);
    number(settings.aggression, 0.1..=10.0, &at.at("aggression"), errors);
}
