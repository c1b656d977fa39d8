//! How much work is let through to an upstream at once, and what becomes of the rest.
//!
//! The limit of a single server is its own `max_requests`. A request is under way from the pick until its response body
//! has ended.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::check::{number, span};
use crate::{
    error::{FieldError, FieldErrorCode, Pointer},
    units::Span,
};

/// Largest limit of requests under way that can be written.
pub(super) const MAX_REQUESTS: u32 = 1_000_000;

/// How much work is let through to an upstream at once, and what becomes of the rest.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Limits {
    /// Requests under way at all servers together, over all workers, 1 to 1000000; 0 = any number. Default 0. Those that
    /// were under way when the first limit of the upstream or its servers was set are not counted.
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub max_requests: u32,
    /// Requests that find no room, because of this limit or of the servers' own.
    pub queue: Queue,
}

/// Requests that wait for room.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Queue {
    /// Requests that may wait, over all workers, 0 to 65536; 0 = a request without room is refused. When as many wait, the
    /// newest of the least urgent is refused. Default 1024 (Envoy's `max_pending_requests`).
    #[schema(minimum = 0, maximum = 65_536)]
    pub size: u32,
    /// How long a request may wait, 10ms to 10m; then it is refused. Default 5s.
    pub timeout: Span,
    /// Header field that says how urgent a request is: `0` (first) to `7`, or a dictionary with such a member `u`, as the
    /// field `Priority` of RFC 9218 is. Requests without it have 3. Whoever can send the field can go first, so use one
    /// that only trusted parties can set. Default none: all are alike.
    #[schema(nullable, max_length = 255, example = "priority")]
    pub priority_header: Option<String>,
}

impl Default for Queue {
    fn default() -> Self {
        Self { size: 1024, timeout: Span::from_secs(5), priority_header: None }
    }
}

/// Checks `limits`.
pub(super) fn check(limits: &Limits, at: &Pointer, errors: &mut Vec<FieldError>) {
    number(limits.max_requests, 0..=MAX_REQUESTS, &at.at("max_requests"), errors);
    let at = at.at("queue");
    number(limits.queue.size, 0..=65_536, &at.at("size"), errors);
    let timeouts = Span::from_millis(10)..=Span::from_secs(600);
    span(limits.queue.timeout, timeouts, &at.at("timeout"), errors);
    if let Some(name) = &limits.queue.priority_header {
        field_name(name, &at.at("priority_header"), errors);
    }
}

/// Checks the name of a header field (RFC 9110 §5.1).
pub(super) fn field_name(name: &str, at: &Pointer, errors: &mut Vec<FieldError>) {
    if name.len() > 255 || http::HeaderName::try_from(name).is_err() {
        let detail = "not a valid field name: 1 to 255 letters, digits and !#$%&'*+-.^_`|~ only";
        let error = at.error(FieldErrorCode::InvalidValue, detail);
        errors.push(FieldError { value: Some(name.chars().take(64).collect::<String>().into()), ..error });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_pointed_at() {
        let mut errors = Vec::new();
        check(&Limits::default(), &Pointer::root(), &mut errors);
        assert!(errors.is_empty(), "defaults are valid: {errors:?}");
        let queue = Queue { size: 65_537, timeout: Span::default(), priority_header: Some("a b".into()) };
        check(&Limits { max_requests: 1_000_001, queue }, &Pointer::root(), &mut errors);
        let found: Vec<String> = errors.into_iter().map(|error| error.pointer).collect();
        assert_eq!(found, ["#/max_requests", "#/queue/size", "#/queue/timeout", "#/queue/priority_header"]);
    }
}
