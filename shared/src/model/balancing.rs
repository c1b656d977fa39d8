//! How a server is picked, and the settings of each way.
//!
//! Settings of an algorithm that is not in use are kept, so that going back to it needs no second look at the manual.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Upstream,
    check::{number, span},
};
use crate::{
    error::{FieldError, FieldErrorCode, Pointer},
    units::Span,
};

/// How a server is picked for each request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// Fewest requests in flight for the weight: some drawn at random are compared, or all in a small group.
    LeastRequest,
    /// In turn, interleaved smoothly by weight.
    RoundRobin,
    /// At random, by weight.
    Random,
    /// The first in the order of the list that has room under its `max_requests`: the others are kept free, so that they
    /// can be switched off.
    First,
    /// Least average latency times requests in flight for the weight; a server that has been silent for longer is as slow as it
    /// is silent.
    #[default]
    LeastTime,
    /// As `least_time`, with a latency that follows the worst answers at once and forgets them slowly.
    PeakEwma,
    /// Of those with few requests in flight the fastest; with none such, the one with the fewest.
    Prequal,
    /// By a key of the request, on a ketama ring.
    RingHash,
    /// By a key of the request, through a Maglev table: more even than a ring.
    Maglev,
}

impl Algorithm {
    /// Whether picks depend on how fast servers answer.
    #[must_use]
    pub fn uses_latency(self) -> bool {
        matches!(self, Self::LeastTime | Self::PeakEwma | Self::Prequal)
    }

    /// Whether picks depend on a key of the request.
    #[must_use]
    pub fn uses_key(self) -> bool {
        matches!(self, Self::RingHash | Self::Maglev)
    }
}

/// Settings of `least_request`, and of how many servers of a large group are compared by any algorithm that compares.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Comparison {
    /// Servers drawn and compared when the group has more than 16, 2 to 16. Default 2 (Envoy's `choice_count`).
    #[schema(minimum = 2, maximum = 16)]
    pub choice_count: u8,
    /// How much requests in flight count beside the server's weight, 0 to 10. 1: the server with the fewest for its weight is
    /// taken, the least stretching its share of all of them. Any other: one is drawn with weight / (in flight + 1)^bias, at 0 by
    /// weight alone (Envoy's `active_request_bias`). Default 1.
    #[schema(minimum = 0, maximum = 10)]
    pub active_request_bias: f64,
}

impl Default for Comparison {
    fn default() -> Self {
        Self { choice_count: 2, active_request_bias: 1.0 }
    }
}

/// Settings of `least_time`, `peak_ewma` and `prequal`: what is taken for a server's latency.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Latency {
    /// Time after which an answer counts a third (1/e) of what it did, 10ms to 10m. Default 10s (Finagle).
    pub decay_time: Span,
    /// `prequal` only: a server is hot when its requests in flight are above this quantile of those compared, 0 to 1.
    /// Default 0.84 (Wydrowski et al., NSDI 2024: 2^-0.25).
    #[schema(minimum = 0, maximum = 1)]
    pub hot_quantile: f64,
}

impl Default for Latency {
    fn default() -> Self {
        Self { decay_time: Span::from_secs(10), hot_quantile: 0.84 }
    }
}

/// What of a request is its key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HashOn {
    /// The client's address, or the network it is in.
    #[default]
    ClientIp,
    /// The first value of a header field.
    Header,
    /// The value of a cookie.
    Cookie,
    /// The first value of a query parameter, as it is written.
    Query,
    /// The path.
    Path,
}

/// Settings of `ring_hash` and `maglev`. A request without a key gets a server at random.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Hash {
    /// What of a request is its key. Default `client_ip`.
    pub on: HashOn,
    /// Name of the header field, cookie or query parameter. Needed for these, not allowed otherwise.
    pub name: Option<String>,
    /// Leading bits of an IPv4 address that count, 8 to 32. Default 32.
    #[schema(minimum = 8, maximum = 32)]
    pub ipv4_prefix: u8,
    /// Leading bits of an IPv6 address that count, 16 to 128. Default 64: one host often has the whole network.
    #[schema(minimum = 16, maximum = 128)]
    pub ipv6_prefix: u8,
    /// Bounded loads: a server that has more than this share, in percent, of what would be its own goes without, and the
    /// key's next server is taken. 0 (off), or 101 to 1000. Default 0. HAProxy and Envoy advise 120 to 200.
    #[schema(minimum = 0, maximum = 1000)]
    pub balance_percent: u16,
    /// `maglev`: size of the table, 1009 to 2000000; the next prime is taken. With more than one server per hundred places the
    /// table has 65537, 655373 or 1000003 places, and where one size follows another all keys move once. When a server is removed,
    /// or gets another weight, some keys of others move as well: of 10 servers 2 % as many as its own, of 100 60 % (8 % with
    /// 2000000), of 1000 more than its own by far; `ring_hash` moves none of them. Default 65537.
    #[schema(minimum = 1009, maximum = 2_000_000)]
    pub table_size: u32,
}

impl Default for Hash {
    fn default() -> Self {
        Self {
            on: HashOn::ClientIp,
            name: None,
            ipv4_prefix: 32,
            ipv6_prefix: 64,
            balance_percent: 0,
            table_size: 65_537,
        }
    }
}

/// Checks everything about picking in `upstream`.
pub(super) fn check(upstream: &Upstream, at: &Pointer, errors: &mut Vec<FieldError>) {
    comparison(&upstream.comparison, &at.at("comparison"), errors);
    let latency = at.at("latency");
    let decay = Span::from_millis(10)..=Span::from_secs(600);
    span(upstream.latency.decay_time, decay, &latency.at("decay_time"), errors);
    number(upstream.latency.hot_quantile, 0.0..=1.0, &latency.at("hot_quantile"), errors);
    hash(&upstream.hash, &at.at("hash"), errors);
}

/// Checks how servers are compared.
pub(super) fn comparison(comparison: &Comparison, at: &Pointer, errors: &mut Vec<FieldError>) {
    number(comparison.choice_count, 2..=16, &at.at("choice_count"), errors);
    number(comparison.active_request_bias, 0.0..=10.0, &at.at("active_request_bias"), errors);
}

/// Checks what keys are made of.
pub(super) fn hash(hash: &Hash, at: &Pointer, errors: &mut Vec<FieldError>) {
    number(hash.ipv4_prefix, 8..=32, &at.at("ipv4_prefix"), errors);
    number(hash.ipv6_prefix, 16..=128, &at.at("ipv6_prefix"), errors);
    number(hash.table_size, 1009..=2_000_000, &at.at("table_size"), errors);
    if hash.balance_percent != 0 {
        number(hash.balance_percent, 101..=1000, &at.at("balance_percent"), errors);
    }
    let mut refuse = |code, detail: &str| errors.push(at.at("name").error(code, detail));
    match (hash.on, hash.name.as_deref()) {
        (HashOn::ClientIp | HashOn::Path, None) => {}
        (HashOn::ClientIp | HashOn::Path, Some(_)) => {
            refuse(FieldErrorCode::InvalidValue, "only a header, cookie or query key has a name");
        }
        (HashOn::Header | HashOn::Cookie | HashOn::Query, None) => {
            refuse(FieldErrorCode::Required, "say which header, cookie or query parameter");
        }
        (HashOn::Header | HashOn::Cookie, Some(name)) => {
            // RFC 9110 §5.1 and RFC 6265 §4.1.1: both are tokens.
            if http::HeaderName::try_from(name).is_err() {
                refuse(
                    FieldErrorCode::InvalidValue,
                    "not a valid name: letters, digits and !#$%&'*+-.^_`|~ only",
                );
            }
        }
        (HashOn::Query, Some(name)) => {
            let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"#&=".contains(&byte);
            if name.is_empty() || name.len() > 255 || !name.bytes().all(is_plain) {
                refuse(
                    FieldErrorCode::InvalidValue,
                    "1 to 255 characters as they are written in a query, without '#', '&' and '='",
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(edit: impl FnOnce(&mut Upstream)) -> Vec<String> {
        let mut upstream = Upstream::default();
        edit(&mut upstream);
        let mut errors = Vec::new();
        check(&upstream, &Pointer::root(), &mut errors);
        errors.into_iter().map(|error| error.pointer).collect()
    }

    #[test]
    fn defaults_are_valid() {
        assert!(faults(|_| {}).is_empty());
    }

    #[test]
    fn every_fault_is_pointed_at() {
        let found = faults(|upstream| {
            upstream.comparison = Comparison { choice_count: 1, active_request_bias: f64::NAN };
            upstream.latency = Latency { decay_time: Span::from_millis(1), hot_quantile: 1.5 };
            upstream.hash = Hash {
                on: HashOn::Cookie,
                name: Some("a b".into()),
                ipv4_prefix: 33,
                ipv6_prefix: 0,
                balance_percent: 100,
                table_size: 1,
            };
        });
        let expected = [
            "#/comparison/choice_count",
            "#/comparison/active_request_bias",
            "#/latency/decay_time",
            "#/latency/hot_quantile",
            "#/hash/ipv4_prefix",
            "#/hash/ipv6_prefix",
            "#/hash/table_size",
            "#/hash/balance_percent",
            "#/hash/name",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_key_has_the_name_it_needs() {
        let named = |on, name: Option<&str>| {
            faults(|upstream| {
                upstream.hash.on = on;
                upstream.hash.name = name.map(Into::into);
            })
        };
        for (on, name, is_valid) in [
            (HashOn::ClientIp, None, true),
            (HashOn::ClientIp, Some("x"), false),
            (HashOn::Path, Some("x"), false),
            (HashOn::Header, Some("X-User"), true),
            (HashOn::Header, None, false),
            (HashOn::Header, Some(""), false),
            (HashOn::Query, Some("user[id]"), true),
            (HashOn::Query, Some("a=b"), false),
        ] {
            assert_eq!(named(on, name).is_empty(), is_valid, "{on:?} {name:?}");
        }
    }
}
