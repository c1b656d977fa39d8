//! An attempt's hold on a server: counted as in flight until dropped.

use std::{cell::Cell, rc::Rc, sync::Arc};

use http::Method;
use weir_shared::{
    model::SendProxyProtocol,
    state::{ServerCounters, ServerFault, UpstreamState},
    table::{Server, Upstream},
    time::Moment,
};

use super::{
    connection::ServerConnection,
    decode::{BodyFraming, LARGE_READ},
    http2,
    pool::ServerPool,
    response_head::SMALL_READ,
};
use crate::{balance::Ghost, error::ProxyError, worker::Worker};

/// One attempt at one server, from the pick until the response body has ended or was given up.
pub(crate) struct Lease {
    worker: Rc<Worker>,
    pool: Rc<ServerPool>,
    began: Moment,
    /// Since when the server has had the whole request, or could have had it but for the time to connect; `None`: the client
    /// has still to send some of it, whose time is not the server's.
    asked: Cell<Option<Moment>>,
    /// Requests the server was working on when this one came.
    met: u32,
    /// Whether the server's latency waits for the answer.
    is_owed: Cell<bool>,
    /// Where the upstream's requests in flight are counted, if they are.
    bounded: Option<Arc<UpstreamState>>,
    /// Where the upstream's places are counted, if they are.
    limited: Option<Arc<UpstreamState>>,
    /// The request as the upstream's shadow has it, if there is one.
    ghost: Option<Ghost>,
}

impl Lease {
    /// Begins an attempt at `began`, if the server and the upstream have room for one.
    pub(crate) fn begin(
        worker: &Rc<Worker>,
        upstream: &Upstream,
        server: &Server,
        began: Moment,
    ) -> Option<Self> {
        let met = upstream.reserve(server)?;
        let limited = upstream.limits.is_some().then(|| Arc::clone(&upstream.state));
        let pool = worker.pools.of(worker.id, upstream, server);
        let is_owed = upstream.latency.is_some();
        if is_owed {
            pool.state.latency.asked(began);
        }
        let bounded = upstream.is_bounded().then(|| Arc::clone(&upstream.state));
        if let Some(state) = &bounded {
            state.in_flight.of(worker.id).add(1);
        }
        let (is_owed, asked) = (Cell::new(is_owed), Cell::new(Some(began)));
        let worker = Rc::clone(worker);
        let lease = Self { worker, pool, began, asked, met, is_owed, bounded, limited, ghost: None };
        lease.counters().requests.add(1);
        lease.counters().connections_active.add(1);
        Some(lease)
    }

    /// Requests the server was working on when this one came.
    pub(crate) fn met(&self) -> u32 {
        self.met
    }

    /// Ends `ghost` with this attempt.
    pub(crate) fn haunt(&mut self, ghost: Option<Ghost>) {
        self.ghost = ghost;
    }

    /// Takes in that the head of a response had arrived `now`, with `status`, or one that the status of a call amounts to.
    /// A server that answers before it has been sent everything tells nothing of its speed.
    pub(super) fn answered(&self, upstream: &Upstream, status: u16, now: Moment) {
        self.counters().count_response(status);
        self.settle();
        let Some(took) = self.asked.get().map(|asked| now.since(asked)) else { return };
        self.counters().latency.record(took);
        let Some(policy) = upstream.latency else { return };
        let latency = &self.pool.state.latency;
        if upstream.is_error_status(status) {
            latency.record_error(took, self.met, now, policy.decay);
        } else {
            latency.record(took, self.met, now, policy.decay);
            if upstream.shadow.is_some() {
                self.pool.state.shadow().answered(took, self.met);
            }
        }
    }

    /// Notes that the client has still to send some of the request: how long that takes says nothing of the server.
    pub(super) fn uploads(&self) {
        self.asked.set(None);
        self.settle();
    }

    /// Notes that everything has been sent, and that the server's time begins if it has not yet.
    pub(super) fn sent(&self, upstream: &Upstream) {
        if self.asked.get().is_some() {
            return;
        }
        let now = self.worker.clock.moment();
        self.asked.set(Some(now));
        if upstream.latency.is_some() {
            self.is_owed.set(true);
            self.pool.state.latency.asked(now);
        }
    }

    /// When the attempt began.
    pub(crate) fn began(&self) -> Moment {
        self.began
    }

    /// Takes in that the server was connected to `now`, where nothing but that can be told of its speed (TCP).
    pub(crate) fn connected(&self, upstream: &Upstream, now: Moment) {
        let took = now.since(self.began);
        self.counters().latency.record(took);
        self.settle();
        if let Some(policy) = upstream.latency {
            self.pool.state.latency.record(took, self.met, now, policy.decay);
        }
    }

    fn settle(&self) {
        if self.is_owed.replace(false) {
            self.pool.state.latency.settled();
        }
    }

    /// Takes in how long the server took, for the limit it is found to bear; not that of an error, which takes no work.
    pub(super) fn took(&self, upstream: &Upstream, now: Moment) {
        let Some(asked) = self.asked.get() else { return };
        if let Some(policy) = upstream.limits.as_ref().and_then(|limits| limits.adaptive) {
            self.pool.state.adaptive.record(now.since(asked), self.met, policy, now);
        }
    }

    /// Counts that no response came, for `error`.
    pub(super) fn failed(&self, error: ProxyError) {
        let counters = self.counters();
        match error {
            ProxyError::ResponseTimeout => counters.timeouts.add(1),
            ProxyError::ServerDrained => counters.cut.add(1),
            ProxyError::ClientTimeout | ProxyError::ClientAborted | ProxyError::BodyTooLarge => {}
            _ => counters.resets.add(1),
        }
    }

    /// Notes that the server answered well, to the end.
    pub(crate) fn succeeded(&self) {
        self.pool.state.outlier.succeeded();
    }

    /// Whether the operator has given the attempt up, its server being drained for too long.
    pub(crate) fn is_cut(&self) -> bool {
        self.pool.state.is_cut(self.began)
    }

    pub(crate) fn worker(&self) -> &Worker {
        &self.worker
    }

    /// What this worker counts at the server.
    pub(crate) fn counters(&self) -> &ServerCounters {
        &self.pool.counters
    }

    /// Room to make for the first read of a response.
    pub(super) fn read_size(&self) -> usize {
        self.pool.read_size.get()
    }

    /// Expects the next response of the server to be about as large as this one.
    pub(super) fn expect_like(&self, framing: BodyFraming) {
        let is_small = matches!(framing, BodyFraming::Length(length) if length < SMALL_READ as u64);
        self.pool.read_size.set(if is_small { SMALL_READ } else { LARGE_READ });
    }

    /// An unused connection to the server that is still open.
    pub(super) fn checkout(&self, upstream: &Upstream, method: &Method) -> Option<ServerConnection> {
        if upstream.send_proxy_protocol != SendProxyProtocol::Off {
            // A connection says at its start whose it is.
            return None;
        }
        let connection = self.pool.take(&self.worker, upstream, method);
        self.counters().connections_idle.set(self.pool.idle_count());
        connection
    }

    /// Keeps `connection` for another request, if it may be used again.
    pub(super) fn give_back(&self, connection: ServerConnection, now: Moment) {
        self.pool.put(&self.worker, connection, now);
        self.counters().connections_idle.set(self.pool.idle_count());
    }

    /// The connections to the server over HTTP/2.
    pub(super) fn http2(&self) -> &http2::Pool {
        &self.pool.http2
    }

    /// Notes that the server broke off a response it had begun. Ejects it if that was one failure too many.
    pub(crate) fn response_broken(&self) {
        self.counters().resets.add(1);
        self.ended_badly(ServerFault::Incomplete);
    }

    /// Notes that a call ended, after its messages, with what amounts to `status`, an error.
    pub(super) fn call_ended(&self, status: u16) {
        self.ended_badly(ServerFault::Status(status));
    }

    fn ended_badly(&self, fault: ServerFault) {
        let table = self.worker.table();
        // Found again by name, because the table may have changed since the pick; failures are rare enough for that.
        let Some(upstream) = table.0.upstream(self.pool.upstream.as_str()) else { return };
        let same = |server: &&Arc<Server>| Arc::ptr_eq(&server.state, &self.pool.state);
        let Some(server) = upstream.servers.iter().find(same) else { return };
        match fault {
            ServerFault::Status(status) if !upstream.is_error_status(status) => self.succeeded(),
            fault => crate::retry::server_failed(&self.worker, upstream, server, fault),
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.pool.state.in_flight.end();
        self.settle();
        if let Some(state) = &self.bounded {
            state.in_flight.of(self.worker.id).sub(1);
        }
        if let Some(state) = &self.limited {
            state.limited.end();
            state.queue.place_free();
        }
        self.counters().connections_active.sub(1);
    }
}
