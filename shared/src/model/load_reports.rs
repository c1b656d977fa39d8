//! What servers say of their load.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::check::span;
use crate::{
    error::{FieldError, Pointer},
    units::Span,
};

/// Taking in what servers say of their load, for `prequal` where several balancers share them: response fields
/// `x-prequal-rif` (requests it works on, this one included) and `x-prequal-latency-us` (what it expects to take for one, in
/// microseconds). Clients do not get the fields.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct LoadReports {
    /// Whether they are taken in. Default false: a balancer that has all of a server's traffic knows better by itself, and a
    /// server that says nonsense gets what it asks for.
    pub enabled: bool,
    /// For how long one counts, 10ms to 1m; afterwards the balancer's own traffic does. Default 1s (Wydrowski et al., NSDI
    /// 2024, keep a probe for as long).
    pub max_age: Span,
}

impl Default for LoadReports {
    fn default() -> Self {
        Self { enabled: false, max_age: Span::from_secs(1) }
    }
}

/// Checks `settings`.
pub(super) fn check(settings: &LoadReports, at: &Pointer, errors: &mut Vec<FieldError>) {
    span(settings.max_age, Span::from_millis(10)..=Span::from_secs(60), &at.at("max_age"), errors);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_pointed_at() {
        let mut errors = Vec::new();
        check(&LoadReports::default(), &Pointer::root(), &mut errors);
        assert!(errors.is_empty(), "defaults are valid: {errors:?}");
        check(&LoadReports { enabled: true, max_age: Span::default() }, &Pointer::root(), &mut errors);
        assert_eq!(errors[0].pointer, "#/max_age");
    }
}
