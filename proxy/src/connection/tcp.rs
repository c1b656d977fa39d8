//! Serves one connection of a TCP listener: a server of the listener's upstream, and bytes both ways.
//!
//! Picked, counted and judged as for a request: a connection is one request that ends with it. When a server cannot be
//! connected to, the next one is tried, for nothing was sent; once bytes have passed, nothing is tried again.

use std::{cell::Cell, rc::Rc, sync::Arc};

use weir_shared::{
    model::HashOn,
    table::{Key, Server, Upstream},
};

use super::{Ends, unless_over};
use crate::{
    admission::{self, Lack},
    balance::{self, Tried},
    error::ProxyError,
    forward::{self, Lease, Tunnel},
    listener::Handle,
    retry,
    stream::ClientStream,
    tunnel::{self, Early, Ended, Side, Watch, Way},
    worker::Worker,
};

/// Passes bytes on until either side has ended the connection.
pub(super) async fn serve(worker: &Rc<Worker>, handle: &Rc<Handle>, client: ClientStream, ends: Ends) {
    let id = handle.settings().spec.upstream.clone().unwrap_or_default();
    let table = worker.table();
    let connected = match table.0.upstream(&id) {
        Some(upstream) => match unless_over(worker, handle, connect(worker, upstream, ends)).await {
            Some(connected) => connected.map(|tunnel| (Arc::clone(upstream), tunnel)),
            None => Err(ProxyError::NoEligibleServer),
        },
        None => Err(ProxyError::NoUpstream),
    };
    // A connection may last for days: it must not keep the table of its beginning.
    drop(table);
    match connected {
        Ok((upstream, tunnel)) => pass(worker, handle, &upstream, client, tunnel).await,
        Err(error) => {
            handle.count(worker, |counters| counters.connect_failures.add(1));
            tracing::debug!(listener = %handle.id, error = error.code(), "no server for a connection");
            // The client has to know that nobody took what it has sent.
            client.reset_on_drop();
        }
    }
}

/// A connection to a server of `upstream`, tried one after the other.
async fn connect(worker: &Rc<Worker>, upstream: &Upstream, ends: Ends) -> Result<Tunnel, ProxyError> {
    let counters = upstream.state.counters.of(worker.id);
    counters.requests.add(1);
    let mut tried = Tried::default();
    let choice = balance::Request {
        worker: worker.id,
        now: worker.clock.moment(),
        key: key(upstream, ends),
        random: || worker.random(),
    };
    loop {
        let began = worker.clock.moment();
        let (server, lease) = match admission::place(worker, upstream, &tried, &choice, began) {
            Ok((server, _)) if tried.contains(server) => {
                return Err(gave_up(worker, upstream, ProxyError::NoEligibleServer));
            }
            Ok(place) => place,
            Err(Lack::Server) => {
                counters.no_server.add(1);
                return Err(gave_up(worker, upstream, ProxyError::NoEligibleServer));
            }
            // Nobody waits here: a client that speaks any protocol cannot be told for how long.
            Err(Lack::Room) => {
                counters.limit_reached.add(1);
                return Err(gave_up(worker, upstream, ProxyError::LimitReached));
            }
        };
        retry::note(worker, upstream, server, &mut tried);
        match open(worker, upstream, server, lease, ends).await {
            Ok(tunnel) => return Ok(tunnel),
            Err(error) => {
                let may_go_on = error.retry_on().is_some_and(|outcome| upstream.retries.covers(outcome))
                    && tried.count() <= usize::from(upstream.retries.attempts);
                if !may_go_on {
                    return Err(gave_up(worker, upstream, error));
                }
            }
        }
    }
}

fn gave_up(worker: &Worker, upstream: &Upstream, error: ProxyError) -> ProxyError {
    upstream.state.counters.of(worker.id).failures.add(1);
    error
}

async fn open(
    worker: &Rc<Worker>,
    upstream: &Upstream,
    server: &Server,
    lease: Lease,
    ends: Ends,
) -> Result<Tunnel, ProxyError> {
    let opened = forward::tunnel(worker, upstream, server, lease, ends).await;
    match &opened {
        Ok(tunnel) => {
            let took = worker.clock.moment().since(tunnel.lease.began());
            upstream.state.counters.of(worker.id).latency.record(took);
            tunnel.lease.connected(upstream, worker.clock.moment());
        }
        Err(error) => {
            if let Some(fault) = error.server_fault() {
                retry::server_failed(worker, upstream, server, fault);
            }
            tracing::debug!(upstream = %upstream.id, server = %server.id, error = error.code(), "attempt failed");
        }
    }
    opened
}

/// The client's key, where servers are picked by its address; nothing else is known of it.
fn key(upstream: &Upstream, ends: Ends) -> Option<Key> {
    let table = upstream.hash.as_ref()?;
    let settings = &upstream.record.spec.hash;
    if settings.on != HashOn::ClientIp {
        return None;
    }
    let (bytes, len) = Key::network(ends.peer.ip(), settings);
    bytes.get(..len).map(|bytes| table.key(bytes))
}

async fn pass(
    worker: &Rc<Worker>,
    handle: &Rc<Handle>,
    upstream: &Upstream,
    mut client: ClientStream,
    tunnel: Tunnel,
) {
    let Tunnel { lease, mut stream } = tunnel;
    let deadline = worker.deadline();
    let (has_answered, has_moved) = (Cell::new(false), Cell::new(false));
    let count = |way: Way, bytes: usize| {
        has_moved.set(true);
        let bytes = bytes as u64;
        let server = lease.counters();
        match way {
            Way::Up => {
                server.bytes_sent.add(bytes);
                handle.count(worker, |counters| counters.bytes_received.add(bytes));
            }
            Way::Down => {
                has_answered.set(true);
                server.bytes_received.add(bytes);
                handle.count(worker, |counters| counters.bytes_sent.add(bytes));
            }
        }
    };
    let watch = Watch {
        idle: handle.settings().spec.idle_timeout.duration(),
        deadline: &deadline,
        count: &count,
        stop: &|| lease.is_cut() || handle.is_over() || worker.is_over(),
    };
    let ended = tunnel::relay(worker, &mut client, &mut stream, Early::default(), &watch).await;
    match ended {
        Ended::Whole if has_moved.get() => lease.succeeded(),
        // A port behind which nothing is can do as much: accept, and close.
        Ended::Whole => {}
        // Whoever is left learns that this is no end in order: what it got may not be all there was.
        Ended::Failed(Way::Up, Side::Source) | Ended::Failed(Way::Down, Side::Sink) => {
            worker.listener().client_aborts.add(1);
            stream.reset_on_drop();
        }
        Ended::Failed(..) => {
            client.reset_on_drop();
            // One that has answered and then resets may be done with the client.
            if !has_answered.get() {
                lease.response_broken();
            }
        }
        Ended::Stopped => {
            lease.counters().cut.add(u64::from(lease.is_cut()));
            client.reset_on_drop();
            stream.reset_on_drop();
        }
        Ended::Idle => worker.listener().client_timeouts.add(1),
    }
    tracing::debug!(listener = %handle.id, upstream = %upstream.id, ?ended, "connection ended");
}
