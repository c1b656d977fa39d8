//! Leaving a server alone that asks for it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{StatusRange, check::span};
use crate::{
    error::{FieldError, FieldErrorCode, Pointer},
    units::Span,
};

/// Leaving a server alone that asks for it, with an answer that has a `Retry-After` field (RFC 9110 §10.2.3). While there is
/// another one it gets no new requests for that time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct ServerRetryAfter {
    /// Whether servers are left alone. Default false: an application may well say this to a single client, and one client
    /// could then take servers away from the others.
    pub enabled: bool,
    /// Statuses whose field counts, 1 to 16. Default `["503"]`; 429 mostly means the client.
    #[schema(min_items = 1, max_items = 16)]
    pub statuses: Vec<StatusRange>,
    /// The longest time that is granted, 1s to 1h. Default 60s.
    pub max_time: Span,
}

impl Default for ServerRetryAfter {
    fn default() -> Self {
        let unavailable = StatusRange { first: 503, last: 503 };
        Self { enabled: false, statuses: vec![unavailable], max_time: Span::from_secs(60) }
    }
}

/// Checks `settings`.
pub(super) fn check(settings: &ServerRetryAfter, at: &Pointer, errors: &mut Vec<FieldError>) {
    if !(1..=16).contains(&settings.statuses.len()) {
        errors.push(at.at("statuses").error(FieldErrorCode::OutOfRange, "1 to 16 statuses or ranges"));
    }
    span(settings.max_time, Span::from_secs(1)..=Span::from_secs(3600), &at.at("max_time"), errors);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_pointed_at() {
        let mut errors = Vec::new();
        check(&ServerRetryAfter::default(), &Pointer::root(), &mut errors);
        assert!(errors.is_empty(), "defaults are valid: {errors:?}");
        let bad = ServerRetryAfter { enabled: true, statuses: Vec::new(), max_time: Span::default() };
        check(&bad, &Pointer::root(), &mut errors);
        let found: Vec<String> = errors.into_iter().map(|error| error.pointer).collect();
        assert_eq!(found, ["#/statuses", "#/max_time"]);
    }
}
