//! Lets an upstream's shadow follow a request that is about to be sent.

use weir_shared::table::{Server, Upstream};

use crate::{
    balance::{self, By, Picked, Tried},
    exchange::Exchange,
    forward::{Lease, RequestHead},
};

/// The request, whose attempt holds `lease` at `server`, is picked for by the shadow as well if it is the first attempt.
/// Without a shadow this is one branch. `bound` is the server that the client's cookie asked for.
pub(crate) fn follow(
    exchange: &Exchange,
    upstream: &Upstream,
    (server, bound): (&Server, Option<*const Server>),
    tried: &Tried,
    lease: &mut Lease,
    request: &RequestHead<'_>,
) {
    let Some(shadow) = upstream.shadow.as_ref().filter(|_| tried.is_empty()) else { return };
    let worker = exchange.worker();
    let by = match bound {
        Some(bound) if std::ptr::eq(bound, server) => By::Affinity,
        _ => By::Algorithm,
    };
    let choice = balance::Request {
        worker: worker.id,
        now: lease.began(),
        key: balance::shadow_key_of(upstream, request),
        random: || worker.random(),
    };
    let picked = Picked { server, met: lease.met(), by };
    lease.haunt(balance::compare(upstream, shadow, picked, &choice));
}
