//! A place at a server for an attempt: at once where there is room, or after waiting for it.
//!
//! A pick and a place are two things: between them another worker may take the last one. Then the pick is made again, so
//! that a limit holds exactly whoever asks at the same time.
//! Hot path: without limits this is a pick and one branch.

mod waiting;

use std::rc::Rc;

use http::HeaderMap;
pub(crate) use waiting::{Admitted, Wish, wait};
use weir_shared::{
    state::Urgency,
    table::{Server, Upstream},
    time::Moment,
};

use crate::{
    balance::{self, Tried},
    error::ProxyError,
    exchange::Exchange,
    forward::Lease,
    worker::Worker,
};

/// Picks made before the upstream is taken for full. Each one lost means that somebody else has got a place.
const PICKS: usize = 8;

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lack {
    /// No server may be picked.
    Server,
    /// Those that may be picked, or the upstream as a whole, have as many requests under way as they may have.
    Room,
}

/// A server of `upstream` and a place there, unless others wait for one already. The client's own server, `bound`, comes
/// first, if there is room.
pub(crate) fn admit<'u>(
    exchange: &Exchange,
    upstream: &'u Upstream,
    bound: Option<&'u Server>,
    tried: &Tried,
    choice: &balance::Request<impl Fn() -> u64>,
) -> Result<(&'u Server, Lease), ProxyError> {
    if upstream.limits.is_some() && !upstream.state.queue.is_empty() {
        return Err(ProxyError::LimitReached);
    }
    let worker = exchange.worker();
    let began = if tried.is_empty() { exchange.began } else { worker.clock.moment() };
    if let Some(place) = at_bound(worker, upstream, bound, began) {
        return Ok(place);
    }
    place(worker, upstream, tried, choice, began).map_err(|lack| match lack {
        Lack::Server => {
            upstream.state.counters.of(worker.id).no_server.add(1);
            ProxyError::NoEligibleServer
        }
        Lack::Room => ProxyError::LimitReached,
    })
}

/// A place at the client's own server, `bound`, if there is one and it has room.
fn at_bound<'u>(
    worker: &Rc<Worker>,
    upstream: &'u Upstream,
    bound: Option<&'u Server>,
    began: Moment,
) -> Option<(&'u Server, Lease)> {
    let server = bound.filter(|_| !upstream.is_full())?;
    Some((server, Lease::begin(worker, upstream, server, began)?))
}

/// A server of `upstream` and a place there, for an attempt that `began` then.
pub(crate) fn place<'u>(
    worker: &Rc<Worker>,
    upstream: &'u Upstream,
    tried: &Tried,
    choice: &balance::Request<impl Fn() -> u64>,
    began: Moment,
) -> Result<(&'u Server, Lease), Lack> {
    for _ in 0..PICKS {
        if upstream.is_full() {
            break;
        }
        let Some(server) = balance::pick(upstream, tried, choice) else { break };
        if let Some(lease) = Lease::begin(worker, upstream, server, began) {
            return Ok((server, lease));
        }
    }
    let is_empty = upstream.limits.is_none() || upstream.eligible(choice.now).tiers.is_empty();
    Err(if is_empty { Lack::Server } else { Lack::Room })
}

/// How urgent a request with `headers` is.
fn urgency(upstream: &Upstream, headers: &HeaderMap) -> Urgency {
    let field = upstream.limits.as_ref().and_then(|limits| limits.priority_field.as_ref());
    let value = field.and_then(|field| headers.get(field));
    value.and_then(|value| Urgency::parse(value.as_bytes())).unwrap_or_default()
}
