//! When requests to an upstream that fails are refused at once.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::check::{number, span};
use crate::{
    error::{FieldError, Pointer},
    units::Span,
};

/// When requests to an upstream that fails are refused at once, so that it can recover and nobody waits for nothing. A
/// request fails when it ends, after all retries, without a response or with a 5xx.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct CircuitBreaker {
    /// Whether there is one. Default false: ejection takes out single servers already.
    pub enabled: bool,
    /// Share of failed requests that opens it, 1 to 100. Default 50.
    #[schema(minimum = 1, maximum = 100)]
    pub error_percent: u8,
    /// Requests within the window before the share means anything, 1 to 1000000. Default 20.
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub min_requests: u32,
    /// How far back requests count, 1s to 10m. Default 10s.
    pub window: Span,
    /// How long it stays open, 100ms to 10m; then some requests are let through to try. Default 10s (Traefik).
    pub open_time: Span,
    /// Requests let through to try, 1 to 1000: when all of them succeed it closes, when one fails it opens again.
    /// Those without an outcome after `open_time` are no longer waited for, and others may try. Default 3.
    #[schema(minimum = 1, maximum = 1000)]
    pub trial_requests: u32,
}

impl Default for CircuitBreaker {
    fn default() -> Self {
        Self {
            enabled: false,
            error_percent: 50,
            min_requests: 20,
            window: Span::from_secs(10),
            open_time: Span::from_secs(10),
            trial_requests: 3,
        }
    }
}

/// Checks `breaker`.
pub(super) fn check(breaker: &CircuitBreaker, at: &Pointer, errors: &mut Vec<FieldError>) {
    number(breaker.error_percent, 1..=100, &at.at("error_percent"), errors);
    number(breaker.min_requests, 1..=1_000_000, &at.at("min_requests"), errors);
    span(breaker.window, Span::from_secs(1)..=Span::from_secs(600), &at.at("window"), errors);
    span(breaker.open_time, Span::from_millis(100)..=Span::from_secs(600), &at.at("open_time"), errors);
    number(breaker.trial_requests, 1..=1000, &at.at("trial_requests"), errors);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_pointed_at() {
        let mut errors = Vec::new();
        check(&CircuitBreaker::default(), &Pointer::root(), &mut errors);
        assert!(errors.is_empty(), "defaults are valid: {errors:?}");
        let bad = CircuitBreaker {
            enabled: true,
            error_percent: 101,
            min_requests: 0,
            window: Span::default(),
            open_time: Span::from_secs(3600),
            trial_requests: 0,
        };
        check(&bad, &Pointer::root(), &mut errors);
        let found: Vec<String> = errors.into_iter().map(|error| error.pointer).collect();
        assert_eq!(
            found,
            ["#/error_percent", "#/min_requests", "#/window", "#/open_time", "#/trial_requests"]
        );
    }
}
