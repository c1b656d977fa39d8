//! Protocols that a connection may be switched to.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::check::{DAY, span};
use crate::{
    error::{FieldError, FieldErrorCode, Pointer},
    units::Span,
};

/// Most protocols of one upstream.
const MOST: usize = 16;

/// The name of a protocol as in `Upgrade` fields (RFC 9110 §16.7), such as `websocket`; compared without regard to case. Not
/// `h2c`, `http` or `tls`: behind them a client would send requests that no rule is applied to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(
    value_type = String,
    min_length = 1,
    max_length = 63,
    pattern = "^[A-Za-z0-9][A-Za-z0-9._+-]*(/[A-Za-z0-9][A-Za-z0-9._+-]*)?$",
    example = "websocket"
)]
pub struct UpgradeProtocol(pub String);

impl UpgradeProtocol {
    /// The protocol of RFC 6455.
    pub const WEBSOCKET: &str = "websocket";

    fn is_name(&self) -> bool {
        let is_part = |part: &str| {
            part.starts_with(|first: char| first.is_ascii_alphanumeric())
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._+-".contains(&byte))
        };
        let (name, version) = self.0.split_once('/').unwrap_or((&self.0, "0"));
        self.0.len() <= 63 && is_part(name) && is_part(version)
    }

    /// Whether it stands for HTTP itself, under which requests would pass unseen.
    fn is_http(&self) -> bool {
        let name = self.0.split('/').next().unwrap_or_default();
        ["h2c", "h2", "h3", "http", "tls"].iter().any(|http| name.eq_ignore_ascii_case(http))
    }
}

impl fmt::Display for UpgradeProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Only WebSockets.
pub(super) fn default() -> Vec<UpgradeProtocol> {
    vec![UpgradeProtocol(UpgradeProtocol::WEBSOCKET.to_owned())]
}

/// Checks the protocols of an upstream and how long a switched connection may be silent.
pub(super) fn check(
    protocols: &[UpgradeProtocol],
    idle_timeout: Span,
    at: &Pointer,
    errors: &mut Vec<FieldError>,
) {
    let list = at.at("upgrades");
    if protocols.len() > MOST {
        errors.push(list.error(FieldErrorCode::TooMany, format!("at most {MOST} protocols")));
    }
    for (place, protocol) in protocols.iter().enumerate().take(MOST) {
        let earlier = protocols.get(..place).unwrap_or_default();
        let fault = if !protocol.is_name() {
            (FieldErrorCode::InvalidValue, "the name of a protocol, such as \"websocket\" or \"name/1.0\"")
        } else if protocol.is_http() {
            (FieldErrorCode::InvalidValue, "requests within this protocol would pass every rule unseen")
        } else if earlier.iter().any(|other| other.0.eq_ignore_ascii_case(&protocol.0)) {
            (FieldErrorCode::Duplicate, "the protocol is named twice")
        } else {
            continue;
        };
        let error = list.at(place).error(fault.0, fault.1);
        errors.push(FieldError { value: Some(Value::from(protocol.0.as_str())), ..error });
    }
    span(idle_timeout, Span::from_secs(1)..=DAY, &at.at("tunnel_idle_timeout"), errors);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(names: &[&str]) -> Vec<String> {
        let names: Vec<UpgradeProtocol> =
            names.iter().map(|name| UpgradeProtocol((*name).to_owned())).collect();
        let mut errors = Vec::new();
        check(&names, Span::from_secs(3600), &Pointer::root(), &mut errors);
        errors.into_iter().map(|error| error.pointer).collect()
    }

    #[test]
    fn names_of_protocols_are_taken_and_http_is_not() {
        assert_eq!(faults(&["websocket", "WebRTC", "icy/1.0", "a-b_c+d"]), [""; 0]);
        for bad in
            ["", "a b", "a,b", "a/b/c", "/1", "a/", "ä", "h2c", "HTTP/2.0", "TLS/1.3", "h2", &"x".repeat(64)]
        {
            assert_eq!(faults(&[bad]), ["#/upgrades/0"], "{bad}");
        }
        assert_eq!(faults(&["websocket", "WebSocket"]), ["#/upgrades/1"]);
        assert_eq!(faults(&["a"; 17]).first().map(String::as_str), Some("#/upgrades"));
    }

    #[test]
    fn silence_has_a_limit() {
        let mut errors = Vec::new();
        check(&default(), Span::default(), &Pointer::root(), &mut errors);
        assert_eq!(errors.len(), 1);
        assert_eq!(errors.first().map(|error| error.pointer.as_str()), Some("#/tunnel_idle_timeout"));
    }
}
