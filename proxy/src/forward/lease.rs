//! An attempt's hold on a server: counted as in flight until dropped.

use std::rc::Rc;

use http::Method;
use weir_shared::{
    state::{ServerCounters, ServerFault},
    table::{Server, Upstream},
    time::Moment,
};

use super::{
    connection::ServerConnection,
    decode::{BodyFraming, LARGE_READ},
    pool::ServerPool,
    response_head::SMALL_READ,
};
use crate::worker::Worker;

/// One attempt at one server, from the pick until the response body has ended or was given up.
pub(crate) struct Lease {
    worker: Rc<Worker>,
    pool: Rc<ServerPool>,
    began: Moment,
}

impl Lease {
    /// Begins an attempt at `began`.
    pub(super) fn begin(worker: &Rc<Worker>, upstream: &Upstream, server: &Server, began: Moment) -> Self {
        let pool = worker.pools.of(upstream, server);
        pool.state.in_flight.start();
        let lease = Self { worker: Rc::clone(worker), pool, began };
        lease.counters().requests.add(1);
        lease.counters().connections_active.add(1);
        lease
    }

    /// When the attempt began.
    pub(super) fn began(&self) -> Moment {
        self.began
    }

    /// Notes that the server answered well, to the end.
    pub(super) fn succeeded(&self) {
        self.pool.state.outlier.succeeded();
    }

    /// Whether the operator has given the attempt up, its server being drained for too long.
    pub(super) fn is_cut(&self) -> bool {
        self.pool.state.is_cut(self.began)
    }

    pub(super) fn worker(&self) -> &Worker {
        &self.worker
    }

    /// What this worker counts at the server.
    pub(crate) fn counters(&self) -> &ServerCounters {
        self.pool.state.counters.of(self.worker.id)
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
    pub(super) fn checkout(&self, method: &Method) -> Option<ServerConnection> {
        let connection = self.pool.take(&self.worker, method);
        self.counters().connections_idle.set(self.pool.idle_count());
        connection
    }

    /// Keeps `connection` for another request, if it may be used again.
    pub(super) fn give_back(&self, connection: ServerConnection, now: Moment) {
        self.pool.put(&self.worker, connection, now);
        self.counters().connections_idle.set(self.pool.idle_count());
    }

    /// Notes that the server broke off a response it had begun. Ejects it if that was one failure too many.
    pub(super) fn response_broken(&self) {
        self.counters().resets.add(1);
        let table = self.worker.table();
        // Found again by name, because the table may have changed since the pick; failures are rare enough for that.
        let Some(upstream) = table.0.upstream(self.pool.upstream.as_str()) else { return };
        let same = |server: &&Server| std::sync::Arc::ptr_eq(&server.state, &self.pool.state);
        if let Some(server) = upstream.servers.iter().find(same) {
            crate::retry::server_failed(
                &self.worker,
                upstream,
                server,
                ServerFault::Response,
                "response incomplete",
            );
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.pool.state.in_flight.end();
        self.counters().connections_active.sub(1);
    }
}
