//! A rate at which requests may come, as the request path sees it.

use std::{net::IpAddr, sync::Arc, time::Duration};

use http::{HeaderName, HeaderValue};

use super::hash::network;
use crate::{
    model::{self, RateFields, RateKey},
    state::{Allowances, Left, Rate},
    time::Moment,
};

/// What requests share an allowance.
#[derive(Clone, Debug)]
enum Key {
    All,
    ClientIp { ipv4_prefix: u8, ipv6_prefix: u8 },
    Header(HeaderName),
}

/// A rate at which requests may come. Its allowances outlive tables, by the name of the rate.
#[derive(Clone, Debug)]
pub struct RateLimiter {
    /// What it is known by.
    pub name: Box<str>,
    /// What is told of it in a `RateLimit-Policy` field.
    pub policy: HeaderValue,
    /// Which answers tell of it.
    pub fields: RateFields,
    /// What is left of it.
    pub allowances: Arc<Allowances>,
    rate: Rate,
    key: Key,
    max_keys: usize,
}

/// One request that was let through.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    /// Whose it was, to give it back by.
    pub key: u64,
    /// What whoever asked has left.
    pub left: Left,
}

/// What a request has that may be its key.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// The client's address.
    pub address: IpAddr,
    /// The request's fields.
    pub headers: &'a http::HeaderMap,
}

impl RateLimiter {
    /// What `rates` say, with the allowances of those that were there `before` under the same names.
    pub(super) fn compile(rates: &[model::RateLimit], before: &[Self]) -> Box<[Self]> {
        let one = |rate: &model::RateLimit| {
            let known = before.iter().find(|before| *before.name == *rate.name);
            Self {
                name: rate.name.as_str().into(),
                policy: policy(rate),
                fields: rate.fields,
                allowances: known.map(|known| Arc::clone(&known.allowances)).unwrap_or_default(),
                rate: Rate::new(rate.requests, rate.per.duration(), rate.burst.unwrap_or(rate.requests)),
                key: match rate.key {
                    RateKey::All => Key::All,
                    RateKey::ClientIp => {
                        Key::ClientIp { ipv4_prefix: rate.ipv4_prefix, ipv6_prefix: rate.ipv6_prefix }
                    }
                    RateKey::Header => rate
                        .header
                        .as_deref()
                        .and_then(|name| HeaderName::try_from(name).ok())
                        .map_or(Key::All, Key::Header),
                },
                max_keys: usize::try_from(rate.max_keys).unwrap_or(usize::MAX),
            }
        };
        rates.iter().map(one).collect()
    }

    /// Takes one request of whoever asks at `now`. `hash` makes a number of a key that nobody outside can foresee.
    ///
    /// # Errors
    /// There is none left: in how long there is one.
    pub fn take(
        &self,
        asker: Asker<'_>,
        hash: impl FnOnce(&[u8]) -> u64,
        now: Moment,
    ) -> Result<Taken, Duration> {
        let key = match &self.key {
            Key::All => 0,
            Key::ClientIp { ipv4_prefix, ipv6_prefix } => {
                let (bytes, len) = network(asker.address, *ipv4_prefix, *ipv6_prefix);
                hash(bytes.get(..len).unwrap_or_default())
            }
            Key::Header(name) => asker.headers.get(name).map_or(0, |value| hash(value.as_bytes())),
        };
        self.allowances.take(key, self.rate, self.max_keys, now).map(|left| Taken { key, left })
    }

    /// Gives back what was taken for `key`.
    pub fn give_back(&self, key: u64) {
        self.allowances.give_back(key, self.rate);
    }
}

/// `"name";q=requests;w=seconds`, a quota policy item of draft-ietf-httpapi-ratelimit-headers-09 §3.
fn policy(rate: &model::RateLimit) -> HeaderValue {
    let seconds = rate.per.duration().as_secs_f64();
    // A window is in whole seconds: a shorter one is shown as what it makes in a second.
    let (quota, window) = if seconds < 1.0 {
        ((f64::from(rate.requests) / seconds).round(), 1.0)
    } else {
        (f64::from(rate.requests), seconds.round())
    };
    // Names are plain: nothing in one has to be escaped, and the whole is ASCII.
    HeaderValue::try_from(format!("\"{}\";q={quota};w={window}", rate.name))
        .unwrap_or(HeaderValue::from_static("\"default\""))
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::units::Span;

    fn rate(key: RateKey, header: Option<&str>) -> model::RateLimit {
        model::RateLimit {
            requests: 1,
            burst: Some(1),
            key,
            header: header.map(Into::into),
            ..Default::default()
        }
    }

    fn limiter(rate: model::RateLimit) -> RateLimiter {
        RateLimiter::compile(&[rate], &[]).into_vec().remove(0)
    }

    /// Whether the second of two is let through.
    fn takes_both(limiter: &RateLimiter, first: (&str, &str), second: (&str, &str)) -> bool {
        let take = |(address, user): (&str, &str)| {
            let mut headers = HeaderMap::new();
            if !user.is_empty() {
                headers.insert("x-user", user.parse().unwrap());
            }
            let asker = Asker { address: address.parse().unwrap(), headers: &headers };
            let hash = |bytes: &[u8]| {
                bytes.iter().fold(7_u64, |hash, byte| hash.wrapping_mul(31).wrapping_add(u64::from(*byte)))
            };
            limiter.take(asker, hash, Moment(1_000_000)).is_ok()
        };
        assert!(take(first));
        take(second)
    }

    #[test]
    fn keys_tell_requests_apart() {
        let by_ip = || limiter(rate(RateKey::ClientIp, None));
        assert!(takes_both(&by_ip(), ("10.0.0.1", ""), ("10.0.0.2", "")));
        assert!(!takes_both(&by_ip(), ("10.0.0.1", ""), ("::ffff:10.0.0.1", "")), "the same client");
        assert!(!takes_both(&by_ip(), ("2001:db8::1", ""), ("2001:db8::2", "")), "the same network");
        assert!(takes_both(&by_ip(), ("2001:db8::1", ""), ("2001:db8:0:1::2", "")));
        let by_user = || limiter(rate(RateKey::Header, Some("X-User")));
        assert!(takes_both(&by_user(), ("10.0.0.1", "a"), ("10.0.0.1", "b")));
        assert!(!takes_both(&by_user(), ("10.0.0.1", "a"), ("10.0.0.2", "a")));
        assert!(!takes_both(&by_user(), ("10.0.0.1", ""), ("10.0.0.2", "")), "without a key: one allowance");
        assert!(!takes_both(&limiter(rate(RateKey::All, None)), ("10.0.0.1", "a"), ("10.0.0.2", "b")));
    }

    #[test]
    fn allowances_are_kept_by_name() {
        let before = RateLimiter::compile(&[rate(RateKey::All, None)], &[]);
        let changed = model::RateLimit { requests: 5, ..rate(RateKey::All, None) };
        let other = model::RateLimit { name: "other".into(), ..rate(RateKey::All, None) };
        let after = RateLimiter::compile(&[other, changed], &before);
        assert!(Arc::ptr_eq(&before[0].allowances, &after[1].allowances));
        assert!(!Arc::ptr_eq(&before[0].allowances, &after[0].allowances));
    }

    #[test]
    fn policies_are_told_in_whole_seconds() {
        let told = |requests, per| policy(&model::RateLimit { requests, per, ..Default::default() });
        assert_eq!(told(100, Span::from_secs(60)), "\"default\";q=100;w=60");
        assert_eq!(told(5, Span::from_millis(100)), "\"default\";q=50;w=1");
    }
}
