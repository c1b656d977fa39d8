//! How many requests a server may have under way, found out from how fast it answers.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::check::{number, span};
use crate::{
    error::{FieldError, FieldErrorCode, Pointer},
    units::Span,
};

/// How many requests each server may have under way, found out from how fast it answers: the limit grows while more
/// requests do not make it slower, and shrinks when they do (the gradient2 algorithm of Netflix's concurrency-limits). It
/// joins the server's `max_requests`: the lower one holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct AdaptiveLimit {
    /// Whether limits are found out. Default false.
    pub enabled: bool,
    /// The limit of a server nobody has heard from, 1 to 100000, kept within `min` and `max`. Default 20.
    #[schema(minimum = 1, maximum = 100_000)]
    pub initial: u32,
    /// Lowest limit, 1 to 100000. Default 4 (Netflix: 20, for a whole service rather than a server).
    #[schema(minimum = 1, maximum = 100_000)]
    pub min: u32,
    /// Highest limit, 1 to 100000. Default 200.
    #[schema(minimum = 1, maximum = 100_000)]
    pub max: u32,
    /// How far one step goes towards what was found, 0.01 to 1. Default 0.2.
    #[schema(minimum = 0.01, maximum = 1)]
    pub smoothing: f64,
    /// How many times slower than usual answers may get before the limit shrinks, 1 to 10. Default 1.5.
    #[schema(minimum = 1, maximum = 10)]
    pub latency_tolerance: f64,
    /// Requests that may wait inside the server, 1 to 1000: by as many the limit grows in a step at most. Default 4.
    #[schema(minimum = 1, maximum = 1000)]
    pub queue_size: u32,
    /// Time over which answers are averaged for one step, 50ms to 60s; ten answers at least. Default 1s.
    pub window: Span,
    /// Steps over which the usual latency is averaged, 10 to 10000. Default 600.
    #[schema(minimum = 10, maximum = 10_000)]
    pub long_windows: u32,
}

impl Default for AdaptiveLimit {
    fn default() -> Self {
        Self {
            enabled: false,
            initial: 20,
            min: 4,
            max: 200,
            smoothing: 0.2,
            latency_tolerance: 1.5,
            queue_size: 4,
            window: Span::from_secs(1),
            long_windows: 600,
        }
    }
}

/// Checks `adaptive`.
pub(super) fn check(adaptive: &AdaptiveLimit, at: &Pointer, errors: &mut Vec<FieldError>) {
    for (name, value) in [("initial", adaptive.initial), ("min", adaptive.min), ("max", adaptive.max)] {
        number(value, 1..=100_000, &at.at(name), errors);
    }
    if adaptive.min > adaptive.max {
        let detail = format!("must be at least min ({})", adaptive.min);
        errors.push(at.at("max").error(FieldErrorCode::OutOfRange, detail));
    }
    number(adaptive.smoothing, 0.01..=1.0, &at.at("smoothing"), errors);
    number(adaptive.latency_tolerance, 1.0..=10.0, &at.at("latency_tolerance"), errors);
    number(adaptive.queue_size, 1..=1000, &at.at("queue_size"), errors);
    span(adaptive.window, Span::from_millis(50)..=Span::from_secs(60), &at.at("window"), errors);
    number(adaptive.long_windows, 10..=10_000, &at.at("long_windows"), errors);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_pointed_at() {
        let mut errors = Vec::new();
        check(&AdaptiveLimit::default(), &Pointer::root(), &mut errors);
        assert!(errors.is_empty(), "defaults are valid: {errors:?}");
        let bad = AdaptiveLimit {
            enabled: true,
            initial: 0,
            min: 5,
            max: 4,
            smoothing: f64::NAN,
            latency_tolerance: 0.5,
            queue_size: 0,
            window: Span::default(),
            long_windows: 1,
        };
        check(&bad, &Pointer::root(), &mut errors);
        let found: Vec<String> = errors.into_iter().map(|error| error.pointer).collect();
        let expected = [
            "#/initial",
            "#/max",
            "#/smoothing",
            "#/latency_tolerance",
            "#/queue_size",
            "#/window",
            "#/long_windows",
        ];
        assert_eq!(found, expected);
    }
}
