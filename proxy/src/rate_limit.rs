//! Whether a request comes within the rates that its route and its upstream allow.
//!
//! A request that is refused by one rate has used nothing of the others. The answer says which rate it was, and when to
//! come again: `Retry-After` (RFC 9110 §10.2.3), and `RateLimit` and `RateLimit-Policy` as in
//! draft-ietf-httpapi-ratelimit-headers-09.

use std::hash::BuildHasher;

use http::{HeaderMap, HeaderValue, header};
use weir_shared::table::{Asker, RateLimiter, Route, Upstream};

use crate::{
    error::ProxyError,
    exchange::{Exchange, Refusal},
    header::client_address,
};

/// Most rates that hold for one request: eight of its route and eight of its upstream.
const MOST_RATES: usize = 16;

/// The rates of `route` and of `upstream`, in this order.
fn rates<'a>(route: &'a Route, upstream: Option<&'a Upstream>) -> impl Iterator<Item = &'a RateLimiter> {
    route.rate_limits.iter().chain(upstream.into_iter().flat_map(|upstream| &upstream.rate_limits))
}

/// Takes one request out of every allowance.
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
    let mut taken: [Option<(&RateLimiter, u64)>; MOST_RATES] = [None; MOST_RATES];
    for (place, limiter) in rates(route, upstream).enumerate() {
        match limiter.take(asker, |key| exchange.worker().keys.hash_one(key), exchange.began) {
            Ok(key) => taken.iter_mut().skip(place).take(1).for_each(|slot| *slot = Some((limiter, key))),
            Err(wait) => {
                for (limiter, key) in taken.into_iter().flatten() {
                    limiter.give_back(key);
                }
                exchange.refuse(Refusal { wait: Some(wait), rate: Some(place) });
                return Err(ProxyError::RateLimited);
            }
        }
    }
    Ok(())
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
    // Rounded up: who comes after as many gets through.
    let seconds = (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1);
    headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    let Some((place, route)) = refusal.rate.zip(route) else { return };
    for limiter in rates(route, upstream) {
        headers.append("ratelimit-policy", limiter.policy.clone());
    }
    let exceeded = rates(route, upstream).nth(place).map(|limiter| &limiter.name);
    let value = exceeded.map(|name| HeaderValue::try_from(format!("\"{name}\";r=0;t={seconds}")));
    if let Some(Ok(value)) = value {
        headers.insert("ratelimit", value);
    }
}
