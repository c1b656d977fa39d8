//! Connections to servers that wait for a next request, by worker and server.
//!
//! Keyed by the server's state, so that a connection survives any change of the configuration that leaves the server in
//! place. Last in, first out: the most recently used connection is the least likely to have been closed meanwhile, and
//! the surplus of a burst grows old and is closed.
//! Hot path: no allocation once a pool exists, no lock.

use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, VecDeque},
    hash::{BuildHasherDefault, Hasher},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use bytes::BytesMut;
use http::Method;
use weir_shared::{
    id::UpstreamId,
    state::{ServerState, WorkerId},
    table::{Server, Upstream},
    time::Moment,
};

use super::{connection::ServerConnection, http2, resolve::Resolver, response_head::SMALL_READ};
use crate::worker::Worker;

/// Idle time up to which a connection counts as in brisk use: two sweeps of the coarse clock, by which it is measured.
const BRISK: Duration = Duration::from_millis(100);
/// Looks at unused connections go round all pools in as many sweeps, or more where that would be too many pools at once: with
/// 100 000 servers a worker would stop for a tenth of a second.
const SWEEPS_A_ROUND: usize = 20;
/// Most pools looked at in one sweep, which takes a tenth of a millisecond then.
const POOLS_A_SWEEP: usize = 128;
/// Largest read buffer kept for the next connection.
const KEPT_BUFFER: usize = 256 * 1024;

/// The pools of one worker.
#[derive(Default)]
pub(crate) struct Pools {
    by_server: RefCell<HashMap<usize, Rc<ServerPool>, BuildHasherDefault<AddressHasher>>>,
    /// The same, the one looked at longest ago first.
    by_look: RefCell<VecDeque<Rc<ServerPool>>>,
    /// Addresses of servers known by name.
    pub(super) resolver: Resolver,
    /// A read buffer between two uses: connections without anything to read need none.
    spare: Cell<BytesMut>,
}

/// Spreads addresses of allocations, which are multiples of their alignment, over the map.
#[derive(Default)]
struct AddressHasher(u64);

impl Hasher for AddressHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_usize(&mut self, address: usize) {
        // Fibonacci hashing: the map uses both the highest and the lowest bits.
        self.0 = (address as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
    }
}

/// The waiting connections to one server.
pub(super) struct ServerPool {
    pub(super) state: Arc<ServerState>,
    pub(super) upstream: UpstreamId,
    idle: RefCell<VecDeque<Idle>>,
    pub(super) http2: http2::Pool,
    limits: Cell<Limits>,
    /// Room to make for the first read of a response, by the size of the last one.
    pub(super) read_size: Cell<usize>,
}

#[derive(Clone, Copy)]
struct Limits {
    count: usize,
    idle: Duration,
    age: Duration,
}

struct Idle {
    connection: ServerConnection,
    since: Moment,
}

impl Limits {
    fn of(upstream: &Upstream) -> Self {
        Self {
            count: upstream.keepalive_connections,
            idle: upstream.idle_timeout,
            age: upstream.keepalive_time,
        }
    }

    fn allow(self, idle: &Idle, now: Moment) -> bool {
        now.since(idle.since) < self.idle && now.since(idle.connection.opened) < self.age
    }
}

impl Pools {
    /// The pool of `server`.
    pub(super) fn of(&self, upstream: &Upstream, server: &Server) -> Rc<ServerPool> {
        let key = key_of(&server.state);
        let mut pools = self.by_server.borrow_mut();
        let pool = pools.entry(key).or_insert_with(|| {
            let pool = Rc::new(ServerPool {
                state: Arc::clone(&server.state),
                upstream: upstream.id.clone(),
                idle: RefCell::default(),
                http2: http2::Pool::default(),
                limits: Cell::new(Limits::of(upstream)),
                read_size: Cell::new(SMALL_READ),
            });
            self.by_look.borrow_mut().push_back(Rc::clone(&pool));
            pool
        });
        pool.limits.set(Limits::of(upstream));
        Rc::clone(pool)
    }

    /// A read buffer.
    pub(super) fn buffer(&self) -> BytesMut {
        self.spare.take()
    }

    /// Keeps `buffer`, in which nothing is, for the next connection that has something to read.
    pub(super) fn keep(&self, buffer: BytesMut) {
        if buffer.capacity() <= KEPT_BUFFER {
            self.spare.set(buffer);
        }
    }

    /// Closes connections that waited too long, were closed by the server, or lead to a server that was removed, in the pools
    /// whose turn it is.
    pub(crate) fn sweep(&self, worker: WorkerId, now: Moment) {
        let mut by_look = self.by_look.borrow_mut();
        for _ in 0..by_look.len().div_ceil(SWEEPS_A_ROUND).min(POOLS_A_SWEEP) {
            let Some(pool) = by_look.pop_front() else { return };
            // Two here; more where a request has it.
            if pool.sweep(worker, now) || Rc::strong_count(&pool) > 2 {
                by_look.push_back(pool);
            } else {
                self.by_server.borrow_mut().remove(&key_of(&pool.state));
            }
        }
    }
}

/// By what the pool of a server is found.
fn key_of(state: &Arc<ServerState>) -> usize {
    Arc::as_ptr(state).addr()
}

impl ServerPool {
    /// A connection that can take a request to `upstream` with `method`. One that is secured in another way than the upstream
    /// says now is closed.
    pub(super) fn take(
        &self,
        worker: &Worker,
        upstream: &Upstream,
        method: &Method,
    ) -> Option<ServerConnection> {
        let limits = self.limits.get();
        let now = worker.coarse_moment();
        loop {
            let idle = self.idle.borrow_mut().pop_back()?;
            // It may be long until it is this server's turn to be looked at.
            let is_due = limits.allow(&idle, now);
            let mut connection = idle.connection;
            // Worth a system call, to see a close that is only microseconds old: a request that may not be repeated, and a
            // connection idle for so long that its server may be about to close it.
            let asks_kernel = !method.is_idempotent() || now.since(idle.since) > BRISK;
            let is_usable = is_due
                && connection.stream.is_secured_as(upstream.tls.as_ref())
                && connection.stream.is_quiet()
                && (!asks_kernel || connection.stream.is_quiet_now());
            if is_usable {
                connection.served = connection.served.saturating_add(1);
                return Some(connection);
            }
        }
    }

    /// Keeps `connection` for another request, unless it cannot take one or enough are waiting.
    pub(super) fn put(&self, worker: &Worker, mut connection: ServerConnection, now: Moment) {
        if !connection.buffer.is_empty() {
            // Bytes nobody asked for: whatever follows could be taken for the next response.
            return;
        }
        worker.pools.keep(std::mem::take(&mut connection.buffer));
        if !connection.may_be_reused || self.state.is_retired() || worker.is_draining() {
            return;
        }
        let limits = self.limits.get();
        let mut idle = self.idle.borrow_mut();
        if limits.count == 0 {
            return;
        }
        if idle.len() >= limits.count {
            idle.pop_front();
        }
        idle.push_back(Idle { connection, since: now });
    }

    /// Answers whether any connection is left.
    fn sweep(&self, worker: WorkerId, now: Moment) -> bool {
        let limits = self.limits.get();
        let mut idle = self.idle.borrow_mut();
        if self.state.is_retired() {
            idle.clear();
            self.http2.clear();
        } else {
            self.http2.sweep(limits.idle, limits.age, now);
            idle.retain_mut(|idle| limits.allow(idle, now) && idle.connection.stream.is_quiet());
        }
        let waiting = idle.len() + self.http2.idle_count();
        self.state.counters.of(worker).connections_idle.set(waiting as u64);
        !idle.is_empty() || !self.http2.is_empty()
    }

    /// How many connections wait.
    pub(super) fn idle_count(&self) -> u64 {
        self.idle.borrow().len() as u64
    }
}
