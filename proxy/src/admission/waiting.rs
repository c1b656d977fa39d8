//! Waiting for a place: bounded in number and time, the more urgent first.
//!
//! Who waits looks at the table in force each time, not at the one its request began with: what an operator does about an
//! overload, more servers or a higher limit, helps those who wait already.

use std::{future::poll_fn, sync::Arc, task::Poll};

use weir_shared::{
    id::UpstreamId,
    state::{Ticket, Turn, UpstreamState},
    table::{Key, Server, Upstream},
    time::Moment,
};

use super::{Lack, at_bound, place, urgency};
use crate::{
    affinity::{self, Bond},
    balance::{self, Tried},
    error::ProxyError,
    exchange::Exchange,
    forward::{Lease, RequestHead},
};

/// A place that was waited for.
pub(crate) struct Admitted {
    /// The upstream as it is now.
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) server: Arc<Server>,
    pub(crate) lease: Lease,
}

/// What a request that waits has to say about who it goes to: the servers that had it already, what its cookie says, its key.
#[derive(Clone, Copy)]
pub(crate) struct Wish<'a>(pub(crate) &'a Tried, pub(crate) Option<Bond>, pub(crate) Option<Key>);

/// Waits until `upstream` has a place for `request`.
pub(crate) async fn wait(
    exchange: &Exchange,
    upstream: &Upstream,
    wish: Wish<'_>,
    request: &RequestHead<'_>,
) -> Result<Admitted, ProxyError> {
    let worker = exchange.worker();
    let counters = upstream.state.counters.of(worker.id);
    let Some(limits) = &upstream.limits else { return Err(ProxyError::NoEligibleServer) };
    let urgency = urgency(upstream, request.headers);
    let Some(ticket) = upstream.state.queue.join(urgency, limits.queue_size) else {
        counters.limit_reached.add(1);
        return Err(ProxyError::LimitReached);
    };
    counters.queued.add(1);
    let began = worker.clock.moment();
    let stay = Stay { exchange, state: &upstream.state, ticket };
    exchange.client().waits();
    let until = worker.after(limits.queue_timeout);
    let outcome = poll_fn(|cx| {
        let turn = stay.state.queue.turn(ticket, cx.waker());
        match turn {
            Turn::Out => return Poll::Ready(Err(ProxyError::LimitReached)),
            Turn::First | Turn::Called => match look(exchange, &upstream.id, wish) {
                Ok(admitted) => return Poll::Ready(Ok(admitted)),
                Err(Lack::Server) => return Poll::Ready(Err(ProxyError::NoEligibleServer)),
                Err(Lack::Room) => {}
            },
            Turn::Wait => {}
        }
        let now = worker.coarse_moment();
        if now >= until {
            return Poll::Ready(Err(ProxyError::QueueTimeout));
        }
        // The first looks at every sweep: room may have come about without a place being given back.
        exchange.deadline.set(if turn == Turn::First { Moment(now.0 + 1).min(until) } else { until });
        exchange.deadline.poll(cx).map(|()| Err(ProxyError::QueueTimeout))
    })
    .await;
    exchange.deadline.clear();
    drop(stay);
    counters.queued_micros.add(u64::try_from(worker.clock.moment().since(began).as_micros()).unwrap_or(0));
    match outcome {
        Err(ProxyError::LimitReached) => counters.limit_reached.add(1),
        Err(ProxyError::QueueTimeout) => counters.queue_timeouts.add(1),
        Err(ProxyError::NoEligibleServer) => counters.no_server.add(1),
        _ => {}
    }
    outcome
}

/// A place at the upstream called `id`, as it is now; at the client's own server, if there is one.
fn look(exchange: &Exchange, id: &UpstreamId, wish: Wish<'_>) -> Result<Admitted, Lack> {
    let Wish(tried, bond, key) = wish;
    let worker = exchange.worker();
    let table = worker.table();
    let upstream = table.0.upstream(id.as_str()).ok_or(Lack::Server)?;
    let choice =
        balance::Request { worker: worker.id, now: worker.coarse_moment(), key, random: || worker.random() };
    let began = worker.clock.moment();
    let bound = affinity::server(exchange, upstream, bond, tried);
    let (server, lease) = match at_bound(worker, upstream, bound, began) {
        Some(place) => place,
        None => place(worker, upstream, tried, &choice, began)?,
    };
    let same = |other: &&Arc<Server>| std::ptr::eq(Arc::as_ptr(other), server);
    let server = upstream.servers.iter().find(same).ok_or(Lack::Server)?;
    Ok(Admitted { upstream: Arc::clone(upstream), server: Arc::clone(server), lease })
}

/// A stay in the queue, left when dropped: with a place, without one, or with the client.
struct Stay<'a> {
    exchange: &'a Exchange,
    state: &'a UpstreamState,
    ticket: Ticket,
}

impl Drop for Stay<'_> {
    fn drop(&mut self) {
        self.exchange.client().waits_no_more();
        self.state.queue.leave(self.ticket);
    }
}
