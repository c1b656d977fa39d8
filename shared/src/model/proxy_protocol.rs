//! The PROXY protocol: a balancer says at the start of a connection who the client is.
//!
//! The protocol demands that nobody guesses whether it is spoken (its §2, last paragraphs): a peer either has to send the
//! header or must not. Who may is a matter of addresses, because whoever may say who the client is may be anybody.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::listener::MAX_RANGES;
use crate::{
    cidr::Cidr,
    error::{FieldError, FieldErrorCode, Pointer},
};

/// Who begins connections with a PROXY header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Accept {
    /// Nobody: such a header is taken for a malformed request.
    #[default]
    Off,
    /// Peers of the trusted ranges, each time; others are clients themselves.
    FromTrusted,
    /// Everybody: peers outside the trusted ranges are not served.
    Required,
}

/// A version of the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProxyVersion {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// How connections of a listener begin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct ProxyProtocol {
    /// Who begins with a PROXY header. A connection whose header is malformed, or not there within `header_timeout`, is
    /// closed. Default `off`.
    pub accept: Accept,
    /// Versions that are taken. Default both.
    #[schema(min_items = 1, max_items = 2)]
    pub versions: Vec<ProxyVersion>,
    /// Peers that may say who the client is, at most 256 ranges. Whoever connects to a unix socket is trusted: the
    /// permissions of the socket say who may.
    #[schema(max_items = 256)]
    pub trusted: Vec<Cidr>,
}

impl Default for ProxyProtocol {
    fn default() -> Self {
        Self { accept: Accept::Off, versions: vec![ProxyVersion::V1, ProxyVersion::V2], trusted: Vec::new() }
    }
}

/// Whether connections to servers begin with a PROXY header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SendProxyProtocol {
    /// They do not.
    #[default]
    Off,
    /// With a line of text.
    V1,
    /// With a binary one.
    V2,
}

/// Checks `settings`.
pub(super) fn check(settings: &ProxyProtocol, at: &Pointer, errors: &mut Vec<FieldError>) {
    if settings.versions.is_empty() || settings.versions.len() > 2 {
        errors.push(at.at("versions").error(FieldErrorCode::OutOfRange, "one or both of v1 and v2"));
    }
    if settings.trusted.len() > MAX_RANGES {
        let detail = format!("at most {MAX_RANGES} ranges");
        errors.push(at.at("trusted").error(FieldErrorCode::TooMany, detail));
    }
    if settings.accept != Accept::Off && settings.trusted.is_empty() {
        let detail = "say which peers may say who the client is, like [\"10.0.0.0/8\"]; [\"0.0.0.0/0\", \"::/0\"] is everybody";
        errors.push(at.at("trusted").error(FieldErrorCode::Required, detail));
    }
}
