//! Whether a request comes within the rates that its route and its upstream allow.
//!
//! A request that is refused by one rate has used nothing of the others. The answer says which rate it was, and when to
//! come again: `Retry-After` (RFC 9110 §10.2.3), and `RateLimit` and `RateLimit-Policy` as in
//! draft-ietf-httpapi-ratelimit-headers-09. Where a rate's `fields` say so, answers to other requests tell what is left.

use std::{fmt::Write as _, hash::BuildHasher, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, header};
use weir_shared::{
    model::RateFields,
    table::{Asker, RateLimiter, Route, Taken, Upstream},
};

use crate::{
    error::ProxyError,
    exchange::{Exchange, Refusal},
    header::client_address,
};

/// Most rates that hold for one request: eight of its route and eight of its upstream.
const MOST_RATES: usize = 16;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LEFT: HeaderName = HeaderName::from_static("ratelimit");

/// The rates of `route` and of `upstream`, in this order.
fn rates<'a>(route: &'a Route, upstream: Option<&'a Upstream>) -> impl Iterator<Item = &'a RateLimiter> {
    route.rate_limits.iter().chain(upstream.into_iter().flat_map(|upstream| &upstream.rate_limits))
}

/// Takes one request out of every allowance, and notes what the answer is to tell of them.
///
/// # Errors
/// One of them has none left.
pub(crate) fn check(
    exchange: &Exchange,
    route: &Route,
    upstream: Option<&Upstream>,
    headers: &HeaderMap,
) -> Result<(), ProxyError> {
    if route.rate_limits.is_empty() && upstream.is_none_or(|upstream| upstream.rate_limits.is_empty()) {
        return Ok(());
    }
    let asker = Asker { address: client_address(exchange, headers), headers };
    let mut taken: [Option<(&RateLimiter, Taken)>; MOST_RATES] = [None; MOST_RATES];
    for (place, limiter) in rates(route, upstream).enumerate() {
        match limiter.take(asker, |key| exchange.worker().keys.hash_one(key), exchange.began) {
            Ok(one) => taken.iter_mut().skip(place).take(1).for_each(|slot| *slot = Some((limiter, one))),
            Err(wait) => {
                for (limiter, one) in taken.into_iter().flatten() {
                    limiter.give_back(one.key);
                }
                exchange.refuse(Refusal { wait: Some(wait), rate: Some(place) });
                return Err(ProxyError::RateLimited);
            }
        }
    }
    let told = taken.into_iter().flatten().filter(|(limiter, _)| limiter.fields == RateFields::Always);
    exchange.tell(left(told));
    Ok(())
}

/// The fields that tell what is left; `None` where there is nothing to tell.
fn left<'a>(told: impl Iterator<Item = (&'a RateLimiter, Taken)>) -> Option<Box<HeaderMap>> {
    let mut fields: Option<Box<HeaderMap>> = None;
    let mut value = String::new();
    for (limiter, Taken { left, .. }) in told {
        fields.get_or_insert_default().append(POLICY, limiter.policy.clone());
        let comma = if value.is_empty() { "" } else { ", " };
        let (name, requests, seconds) = (&limiter.name, left.requests, whole_seconds(left.full_in));
        // Writing to a string does not fail.
        let _ = write!(value, "{comma}\"{name}\";r={requests};t={seconds}");
    }
    // Names are plain ASCII, and so is the value.
    fields.as_deref_mut()?.insert(LEFT, HeaderValue::try_from(value).ok()?);
    fields
}

/// Rounded up: who comes after as many gets through.
fn whole_seconds(time: Duration) -> u64 {
    (time.as_secs() + u64::from(time.subsec_nanos() > 0)).max(1)
}

/// Adds what was noted to an answer, whoever made it. A server may tell of rates of its own.
pub(crate) fn tell_left(exchange: &Exchange, headers: &mut HeaderMap) {
    for (name, value) in exchange.told().iter().flat_map(|fields| fields.iter()) {
        headers.append(name, value.clone());
    }
}

/// The fields that tell of a refused request when to come again, and of the rates of `route` and `upstream` if one was
/// exceeded.
pub(crate) fn tell(
    headers: &mut HeaderMap,
    route: Option<&Route>,
    upstream: Option<&Upstream>,
    refusal: Refusal,
) {
    let Some(wait) = refusal.wait else { return };
    let seconds = whole_seconds(wait);
    headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    let Some((place, route)) = refusal.rate.zip(route) else { return };
    let is_told = |limiter: &&RateLimiter| limiter.fields != RateFields::Never;
    for limiter in rates(route, upstream).filter(is_told) {
        headers.append(POLICY, limiter.policy.clone());
    }
    let exceeded = rates(route, upstream).nth(place).filter(is_told).map(|limiter| &limiter.name);
    let value = exceeded.map(|name| HeaderValue::try_from(format!("\"{name}\";r=0;t={seconds}")));
    if let Some(Ok(value)) = value {
        headers.insert(LEFT, value);
    }
}
