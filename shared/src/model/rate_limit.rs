//! How often requests may come.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    check::{number, span},
    limits::field_name,
};
use crate::{
    error::{FieldError, FieldErrorCode, Pointer},
    units::Span,
};

/// Most rates that one resource may have.
const MAX_RATES: usize = 8;

/// What requests share an allowance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RateKey {
    /// All.
    #[default]
    All,
    /// Those from one client's address, or from the network it is in.
    ClientIp,
    /// Those with the same first value of a header field. Those without the field share one allowance.
    Header,
}

/// Which answers tell of a rate, in `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-09). When to
/// come again, `Retry-After`, is told of every request that is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RateFields {
    /// Those to requests that are refused.
    #[default]
    Refused,
    /// All, so that clients can slow down before they are refused.
    Always,
    /// None.
    Never,
}

/// A rate at which requests may come: so many in a time, and so many at once (a token bucket). Those above it are
/// answered 429. The rate holds for all workers of a process together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
#[schema(example = json!({"name": "per-client", "requests": 100, "per": "1s", "burst": 200, "key": "client_ip"}))]
pub struct RateLimit {
    /// What clients, metrics and changes know it by: 1 to 63 of `a-z`, `0-9`, `.`, `_` and `-`. A change of anything else
    /// leaves allowances as they are. Default `default`.
    #[schema(pattern = "^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$", min_length = 1, max_length = 63)]
    pub name: String,
    /// Requests in each `per`, 1 to 1000000. Default 100.
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub requests: u32,
    /// The time in which so many may come, 100ms to 24h. Default 1s.
    pub per: Span,
    /// Requests that may come at once after a pause, 1 to 1000000. Default as many as `requests`.
    #[schema(nullable, minimum = 1, maximum = 1_000_000)]
    pub burst: Option<u32>,
    /// What requests share an allowance. Default `all`.
    pub key: RateKey,
    /// Name of the header field. Needed for `header`, not allowed otherwise.
    #[schema(nullable, max_length = 255)]
    pub header: Option<String>,
    /// Leading bits of an IPv4 address that count, 8 to 32. Default 32.
    #[schema(minimum = 8, maximum = 32)]
    pub ipv4_prefix: u8,
    /// Leading bits of an IPv6 address that count, 16 to 128. Default 64: one host often has the whole network.
    #[schema(minimum = 16, maximum = 128)]
    pub ipv6_prefix: u8,
    /// Allowances remembered at once, 64 to 1000000; each takes about 32 bytes. When there are more, those that are unused
    /// again are forgotten first, then those of whoever has used the least. Default 65536.
    #[schema(minimum = 64, maximum = 1_000_000)]
    pub max_keys: u32,
    /// Which answers tell of it. Default `refused`.
    pub fields: RateFields,
}

impl Default for RateLimit {
    fn default() -> Self {
        Self {
            name: "default".to_owned(),
            requests: 100,
            per: Span::from_secs(1),
            burst: None,
            key: RateKey::All,
            header: None,
            ipv4_prefix: 32,
            ipv6_prefix: 64,
            max_keys: 65_536,
            fields: RateFields::default(),
        }
    }
}

/// Checks the rates of one resource.
pub(super) fn check(rates: &[RateLimit], at: &Pointer, errors: &mut Vec<FieldError>) {
    if rates.len() > MAX_RATES {
        errors.push(at.error(FieldErrorCode::TooMany, format!("at most {MAX_RATES} rates")));
        return;
    }
    for (place, rate) in rates.iter().enumerate() {
        let at = at.at(place);
        one(rate, &at, errors);
        if rates.iter().take(place).any(|other| other.name == rate.name) {
            let detail = format!("the name \"{}\" is used twice", rate.name);
            errors.push(at.at("name").error(FieldErrorCode::Duplicate, detail));
        }
    }
}

fn one(rate: &RateLimit, at: &Pointer, errors: &mut Vec<FieldError>) {
    super::check::check_id(&rate.name, &at.at("name"), errors);
    number(rate.requests, 1..=1_000_000, &at.at("requests"), errors);
    span(rate.per, Span::from_millis(100)..=Span::from_secs(24 * 3600), &at.at("per"), errors);
    if let Some(burst) = rate.burst {
        number(burst, 1..=1_000_000, &at.at("burst"), errors);
    }
    number(rate.ipv4_prefix, 8..=32, &at.at("ipv4_prefix"), errors);
    number(rate.ipv6_prefix, 16..=128, &at.at("ipv6_prefix"), errors);
    number(rate.max_keys, 64..=1_000_000, &at.at("max_keys"), errors);
    let at = at.at("header");
    match (rate.key, rate.header.as_deref()) {
        (RateKey::Header, Some(name)) => field_name(name, &at, errors),
        (RateKey::Header, None) => errors.push(at.error(FieldErrorCode::Required, "say which header field")),
        (RateKey::All | RateKey::ClientIp, Some(_)) => {
            errors.push(at.error(FieldErrorCode::InvalidValue, "only a header key has a field"));
        }
        (RateKey::All | RateKey::ClientIp, None) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(rates: &[RateLimit]) -> Vec<String> {
        let mut errors = Vec::new();
        check(rates, &Pointer::root(), &mut errors);
        errors.into_iter().map(|error| error.pointer).collect()
    }

    fn rate() -> RateLimit {
        RateLimit { requests: 10, ..RateLimit::default() }
    }

    #[test]
    fn every_fault_is_pointed_at() {
        assert!(faults(&[rate()]).is_empty());
        let bad = RateLimit {
            name: "per client".into(),
            requests: 0,
            per: Span::from_millis(0),
            burst: Some(0),
            key: RateKey::Header,
            header: Some("a b".into()),
            ipv4_prefix: 33,
            ipv6_prefix: 0,
            max_keys: 1,
            fields: RateFields::Never,
        };
        let expected = [
            "#/0/name",
            "#/0/requests",
            "#/0/per",
            "#/0/burst",
            "#/0/ipv4_prefix",
            "#/0/ipv6_prefix",
            "#/0/max_keys",
            "#/0/header",
        ];
        assert_eq!(faults(&[bad]), expected);
    }

    #[test]
    fn names_are_used_once_and_keys_have_what_they_need() {
        assert_eq!(faults(&[rate(), rate()]), ["#/1/name"]);
        assert_eq!(faults(&[RateLimit { key: RateKey::Header, ..rate() }]), ["#/0/header"]);
        assert_eq!(faults(&[RateLimit { header: Some("x-user".into()), ..rate() }]), ["#/0/header"]);
        assert_eq!(faults(&vec![rate(); 9]), ["#"]);
    }
}
