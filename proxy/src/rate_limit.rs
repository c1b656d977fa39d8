//! Whether a request comes within the rates that its upstream allows.
//!
//! A request that is refused by one rate has used nothing of the others. The answer says which rate it was, and when to
//! come again: `Retry-After` (RFC 9110 §10.2.3), and `RateLimit` and `RateLimit-Policy` as in
//! draft-ietf-httpapi-ratelimit-headers-09.

use std::hash::BuildHasher;

use http::{HeaderMap, HeaderValue, header};
use weir_shared::table::{Asker, RateLimiter, Upstream};

use crate::{
    error::ProxyError,
    exchange::{Exchange, Refusal},
    header::client_address,
};

/// Takes one request out of every allowance.
///
/// # Errors
/// One of them has none left.
pub(crate) fn check(exchange: &Exchange, upstream: &Upstream, headers: &HeaderMap) -> Result<(), ProxyError> {
    if upstream.rate_limits.is_empty() {
        return Ok(());
    }
    let asker = Asker { address: client_address(exchange, headers), headers };
    let mut taken: [Option<(&RateLimiter, u64)>; 8] = [None; 8];
    for (place, limiter) in upstream.rate_limits.iter().enumerate() {
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

/// The fields that tell of a refused request when to come again, and of `upstream`'s rates if one was exceeded.
pub(crate) fn tell(headers: &mut HeaderMap, upstream: Option<&Upstream>, refusal: Refusal) {
    let Some(wait) = refusal.wait else { return };
    // Rounded up: who comes after as many gets through.
    let seconds = (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1);
    headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    let Some((place, upstream)) = refusal.rate.zip(upstream) else { return };
    for limiter in &upstream.rate_limits {
        headers.append("ratelimit-policy", limiter.policy.clone());
    }
    let exceeded = upstream.rate_limits.get(place).map(|limiter| &limiter.name);
    let value = exceeded.map(|name| HeaderValue::try_from(format!("\"{name}\";r=0;t={seconds}")));
    if let Some(Ok(value)) = value {
        headers.insert("ratelimit", value);
    }
}
