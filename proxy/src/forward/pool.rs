//! Connections to servers that wait for a next request, by worker and server.
//!
//! A pool belongs to the server's state, so that a connection survives any change of the configuration that leaves the server in
//! place. Last in, first out: the most recently used connection is the least likely to have been closed meanwhile, and
//! the surplus of a burst grows old and is closed.
//! Hot path: no allocation once a pool exists, no lock.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use bytes::BytesMut;
use http::Method;
use weir_shared::{
    id::UpstreamId,
    state::{ServerCounters, ServerState, WorkerId},
    table::{Server, Upstream},
    time::Moment,
};

use super::{connection::ServerConnection, http2, resolve::Resolver, response_head::SMALL_READ};
use crate::worker::Worker;

/// Idle time up to which a connection counts as in brisk use. Servers that close unused connections wait for longer, most of them
/// for 2 s and more.
const BRISK: Duration = Duration::from_secs(1);
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
    /// By the server's number.
    by_number: RefCell<Vec<Option<Rc<ServerPool>>>>,
    /// The same, the one looked at longest ago first.
    by_look: RefCell<VecDeque<Rc<ServerPool>>>,
    /// Addresses of servers known by name.
    pub(super) resolver: Resolver,
    /// A read buffer between two uses: connections without anything to read need none.
    spare: Cell<BytesMut>,
}

/// The waiting connections to one server, and what else the worker has of it. What each request needs comes first, side by
/// side: with thousands of servers all of it has to come from memory.
#[repr(C)]
pub(super) struct ServerPool {
    pub(super) state: Arc<ServerState>,
    /// What this worker counts.
    pub(super) counters: Arc<ServerCounters>,
    limits: Cell<Limits>,
    /// Room to make for the first read of a response, by the size of the last one.
    pub(super) read_size: Cell<usize>,
    idle: RefCell<Waiting>,
    pub(super) upstream: UpstreamId,
    pub(super) http2: http2::Pool,
}

#[derive(Clone, Copy)]
struct Limits {
    count: usize,
    idle: Duration,
    age: Duration,
}

/// A connection that waits.
struct Idle {
    connection: ServerConnection,
    since: Moment,
}

/// Connections that wait. The one to be used next needs no list, nor a read from where that is.
#[derive(Default)]
struct Waiting {
    latest: Option<Idle>,
    /// The others, the one that waits longest first.
    others: VecDeque<Idle>,
}

impl Waiting {
    fn len(&self) -> usize {
        usize::from(self.latest.is_some()) + self.others.len()
    }

    fn push(&mut self, idle: Idle) {
        self.others.extend(self.latest.replace(idle));
    }

    fn pop_latest(&mut self) -> Option<Idle> {
        self.latest.take().or_else(|| self.others.pop_back())
    }

    fn drop_oldest(&mut self) {
        if self.others.pop_front().is_none() {
            self.latest = None;
        }
    }

    fn retain(&mut self, mut is_kept: impl FnMut(&mut Idle) -> bool) {
        self.latest.take_if(|idle| !is_kept(idle));
        self.others.retain_mut(is_kept);
    }
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
    pub(super) fn of(&self, worker: WorkerId, upstream: &Upstream, server: &Server) -> Rc<ServerPool> {
        let known = self.by_number.borrow().get(server.state.number.value()).cloned().flatten();
        // Of one compiler no two servers alive have the same number; of two they may.
        match known.filter(|pool| Arc::ptr_eq(&pool.state, &server.state)) {
            Some(pool) => {
                pool.limits.set(Limits::of(upstream));
                pool
            }
            None => self.add(worker, upstream, server),
        }
    }

    #[cold]
    fn add(&self, worker: WorkerId, upstream: &Upstream, server: &Server) -> Rc<ServerPool> {
        let pool = Rc::new(ServerPool {
            state: Arc::clone(&server.state),
            counters: Arc::clone(server.state.counters.shared_of(worker)),
            limits: Cell::new(Limits::of(upstream)),
            read_size: Cell::new(SMALL_READ),
            idle: RefCell::default(),
            upstream: upstream.id.clone(),
            http2: http2::Pool::default(),
        });
        let number = server.state.number.value();
        let mut pools = self.by_number.borrow_mut();
        if pools.len() <= number {
            pools.resize_with(number + 1, || None);
        }
        if let Some(place) = pools.get_mut(number) {
            *place = Some(Rc::clone(&pool));
        }
        self.by_look.borrow_mut().push_back(Rc::clone(&pool));
        pool
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
    pub(crate) fn sweep(&self, now: Moment) {
        let mut by_look = self.by_look.borrow_mut();
        for _ in 0..by_look.len().div_ceil(SWEEPS_A_ROUND).min(POOLS_A_SWEEP) {
            let Some(pool) = by_look.pop_front() else { return };
            // Two here; more where a request has it.
            if pool.sweep(now) || Rc::strong_count(&pool) > 2 {
                by_look.push_back(pool);
                continue;
            }
            let mut pools = self.by_number.borrow_mut();
            if let Some(place) = pools.get_mut(pool.state.number.value()) {
                place.take_if(|known| Rc::ptr_eq(known, &pool));
            }
        }
    }
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
            let idle = self.idle.borrow_mut().pop_latest()?;
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
            idle.drop_oldest();
        }
        idle.push(Idle { connection, since: now });
    }

    /// Answers whether any connection is left.
    fn sweep(&self, now: Moment) -> bool {
        let limits = self.limits.get();
        let mut idle = self.idle.borrow_mut();
        if self.state.is_retired() {
            idle.retain(|_| false);
            self.http2.clear();
        } else {
            self.http2.sweep(limits.idle, limits.age, now);
            idle.retain(|idle| limits.allow(idle, now) && idle.connection.stream.is_quiet());
        }
        let waiting = idle.len() + self.http2.idle_count();
        self.counters.connections_idle.set(waiting as u64);
        idle.len() > 0 || !self.http2.is_empty()
    }

    /// How many connections wait.
    pub(super) fn idle_count(&self) -> u64 {
        self.idle.borrow().len() as u64
    }
}
