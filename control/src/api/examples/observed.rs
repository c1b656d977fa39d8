//! What is observed, as it was answered once: an upstream of two servers, one of which is down.

use serde_json::Value;

/// What one of the files beside this one holds.
fn answer(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

fn part(mut whole: Value, pointer: &str) -> Value {
    whole.pointer_mut(pointer).map(Value::take).unwrap_or_default()
}

/// The health of everything.
pub(in crate::api) fn health() -> Value {
    answer(include_str!("health.json"))
}

/// The health of the upstream.
pub(in crate::api) fn upstream_health() -> Value {
    part(health(), "/upstreams/0")
}

/// The health of the server that is down.
pub(in crate::api) fn server_health() -> Value {
    part(upstream_health(), "/servers/1")
}

/// Why that server gets no requests.
pub(in crate::api) fn explanation() -> Value {
    answer(include_str!("explanation.json"))
}

/// What a shadow would have done in the place of turns, with one server slow.
pub(in crate::api) fn shadow() -> Value {
    answer(include_str!("shadow.json"))
}

/// The program and the process.
pub(in crate::api) fn info() -> Value {
    answer(include_str!("info.json"))
}
