//! One worker: a thread with its own runtime, listener socket, connection pools and counters.
//!
//! Nothing on the request path is shared between workers and written, except the atomics of a `ServerState`.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    hash::RandomState,
    rc::Rc,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use rand::{Rng, SeedableRng, rngs::SmallRng};
use tokio::{
    sync::{Notify, mpsc::Receiver},
    task::LocalSet,
    time::{MissedTickBehavior, interval},
};
use weir_shared::{
    id::ListenerId,
    state::{ListenerCounters, ListenerState, WorkerId},
    table::{CachedReader, Table, TableReader},
    time::{Moment, Now},
};

use crate::{
    AffinitySecret, ProxyConfig,
    affinity::Signer,
    clock::Clock,
    connection::Scratch,
    deadline::{Deadline, Deadlines, TICK},
    forward::Pools,
    head::Maps,
    listener::{Acceptor, Command, DRAIN_GRACE, Handle, Places},
    pressure::Pressure,
    proxy::DrainControl,
};

/// What a worker is made from, on its own thread.
pub(crate) struct Parts {
    pub(crate) id: WorkerId,
    pub(crate) config: Arc<ProxyConfig>,
    pub(crate) state: Arc<ListenerState>,
    pub(crate) reader: TableReader,
    pub(crate) secret: AffinitySecret,
    pub(crate) control: Arc<DrainControl>,
    pub(crate) places: Arc<Places>,
    pub(crate) keys: RandomState,
    pub(crate) pressure: Arc<Pressure>,
}

/// A table, shared by the requests of one worker without touching the count that all workers share.
#[derive(Debug)]
pub(crate) struct LocalTable(pub(crate) Arc<Table>);

/// Everything the requests of one worker share.
pub(crate) struct Worker {
    pub(crate) id: WorkerId,
    pub(crate) config: Arc<ProxyConfig>,
    pub(crate) clock: Clock,
    /// What connections of HTTP/1 use in turn.
    pub(crate) scratch: Scratch,
    /// For the fields of requests, and of responses.
    pub(crate) request_maps: Maps,
    pub(crate) response_maps: Maps,
    pub(crate) pools: Pools,
    /// Makes numbers of keys that clients choose: the same for all workers, and not to be foreseen.
    pub(crate) keys: RandomState,
    pressure: Arc<Pressure>,
    pub(crate) signer: Signer,
    deadlines: Rc<Deadlines>,
    state: Arc<ListenerState>,
    reader: TableReader,
    tables: RefCell<(CachedReader, Rc<LocalTable>)>,
    rng: RefCell<SmallRng>,
    /// The time at the last sweep: good enough for deadlines, which are only checked by sweeps.
    coarse: Cell<Moment>,
    control: Arc<DrainControl>,
    places: Arc<Places>,
    draining: Cell<bool>,
    drain_began: Cell<Option<Moment>>,
    drained: Notify,
    /// Whether what is under way is broken off.
    over: Cell<bool>,
    connections: Cell<usize>,
    /// There may be room for one more connection: one of this worker has closed, or a sweep has come.
    room: Notify,
    /// What tunnels read into, in turn.
    chunk: Cell<Vec<u8>>,
    /// The listeners that are accepted for.
    handles: RefCell<HashMap<ListenerId, Rc<Handle>>>,
    /// Listeners that were given up and may have connections still.
    leaving: RefCell<Vec<Rc<Handle>>>,
}

/// Runs a worker until it is drained, doing what it is `told`.
pub(crate) fn run(parts: Parts, told: Receiver<Command>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "cannot start a worker");
            return;
        }
    };
    let tasks = LocalSet::new();
    tasks.block_on(&runtime, async move {
        let worker = Rc::new(Worker::new(parts));
        // Owned by the local set, which ends with the worker.
        tokio::task::spawn_local(obey(Rc::clone(&worker), told));
        worker.sweep().await;
    });
}

/// Does what the worker is told, until nobody tells it anything any more.
async fn obey(worker: Rc<Worker>, mut told: Receiver<Command>) {
    while let Some(command) = told.recv().await {
        match command {
            // No more than what is open already is served to the end.
            _ if worker.is_draining() => {}
            Command::Open { listener, places, socket, done } => {
                let handle = {
                    let mut handles = worker.handles.borrow_mut();
                    let fresh = || Rc::new(Handle::new(Arc::clone(&listener), places));
                    Rc::clone(handles.entry(listener.id.clone()).or_insert_with(fresh))
                };
                handle.update(listener);
                match Acceptor::new(socket) {
                    Ok(acceptor) => acceptor.start(&worker, &handle, done),
                    Err(error) => tracing::error!(%error, listener = %handle.id, "cannot accept connections"),
                }
            }
            Command::Update { listener, done } => {
                if let Some(handle) = worker.handles.borrow().get(&listener.id) {
                    handle.update(listener);
                }
                drop(done);
            }
            Command::Close { id, done } => {
                let Some(handle) = worker.handles.borrow_mut().remove(&id) else { continue };
                handle.leave(worker.clock.moment(), done);
                worker.leaving.borrow_mut().push(handle);
                // Each connection looks for itself whether it is meant.
                worker.deadlines.wake_all();
            }
        }
    }
}

impl Worker {
    /// A worker by itself, without a thread or a socket, for what `document` says.
    #[cfg(test)]
    pub(crate) fn alone(document: weir_shared::model::Document, trusted_proxies: &[&str]) -> Rc<Self> {
        use weir_shared::{
            id::{Epoch, Revision},
            model::Meta,
            table::{Compiler, channel},
        };
        let clock_base = tokio::time::Instant::now();
        let document = document.into_config(Revision(1), Epoch("abc123".into()), Meta::default());
        let compiler = Compiler { workers: 1, ..Compiler::default() };
        let table = compiler.compile(Arc::new(document), None, Clock::new(clock_base).now()).unwrap();
        let config = ProxyConfig {
            listen: "127.0.0.1:0".parse().unwrap(),
            workers: 1,
            max_connections: 0,
            trusted_proxies: trusted_proxies.iter().map(|range| range.parse().unwrap()).collect(),
            trusted_hops: 0,
            max_memory_bytes: 0,
            clock_base,
        };
        Rc::new(Self::new(Parts {
            id: WorkerId(0),
            config: Arc::new(config),
            state: Arc::new(ListenerState::new(1)),
            reader: channel(table).1,
            control: Arc::default(),
            places: Places::new(0),
            keys: RandomState::new(),
            secret: AffinitySecret([0; 32]),
            pressure: Arc::new(Pressure::new(0)),
        }))
    }

    fn new(parts: Parts) -> Self {
        let mut reader = parts.reader.cached();
        let table = Rc::new(LocalTable(Arc::clone(reader.snapshot())));
        let clock = Clock::new(parts.config.clock_base);
        Self {
            id: parts.id,
            config: parts.config,
            clock,
            scratch: Scratch::default(),
            request_maps: Maps::default(),
            response_maps: Maps::default(),
            pools: Pools::default(),
            keys: parts.keys,
            pressure: parts.pressure,
            signer: Signer::new(&parts.secret.0),
            deadlines: Rc::default(),
            state: parts.state,
            reader: parts.reader,
            tables: RefCell::new((reader, table)),
            rng: RefCell::new(SmallRng::from_rng(&mut rand::rng())),
            coarse: Cell::new(clock.moment()),
            control: parts.control,
            places: parts.places,
            draining: Cell::new(false),
            drain_began: Cell::new(None),
            drained: Notify::new(),
            over: Cell::new(false),
            connections: Cell::new(0),
            room: Notify::new(),
            chunk: Cell::default(),
            handles: RefCell::default(),
            leaving: RefCell::default(),
        }
    }

    /// The table in force. A request takes one and keeps it to its end.
    pub(crate) fn table(&self) -> Rc<LocalTable> {
        let mut tables = self.tables.borrow_mut();
        let (reader, local) = &mut *tables;
        let current = reader.snapshot();
        if !Arc::ptr_eq(current, &local.0) {
            *local = Rc::new(LocalTable(Arc::clone(current)));
        }
        Rc::clone(local)
    }

    /// A new deadline, not set.
    pub(crate) fn deadline(&self) -> Deadline {
        self.deadlines.register()
    }

    /// The moment `timeout` from now, to within one sweep.
    pub(crate) fn after(&self, timeout: Duration) -> Moment {
        self.coarse.get().plus(timeout).plus(TICK)
    }

    /// The time, to within one sweep. Costs nothing.
    pub(crate) fn coarse_moment(&self) -> Moment {
        self.coarse.get()
    }

    /// Both clocks.
    pub(crate) fn now(&self) -> Now {
        self.clock.now()
    }

    /// What this worker counts at all listeners.
    pub(crate) fn listener(&self) -> &ListenerCounters {
        self.state.counters.of(self.id)
    }

    /// 64 random bits.
    pub(crate) fn random(&self) -> u64 {
        self.rng.borrow_mut().next_u64()
    }

    /// `size` bytes to read into; give them back with [`Self::give_back_chunk`].
    pub(crate) fn chunk(&self, size: usize) -> Vec<u8> {
        let mut chunk = self.chunk.take();
        chunk.resize(size, 0);
        chunk
    }

    /// Keeps `chunk` for the next tunnel that has something to read: those at rest need none.
    pub(crate) fn give_back_chunk(&self, chunk: Vec<u8>) {
        self.chunk.set(chunk);
    }

    /// Whether connections are to be closed after their request.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Whether idle connections are to be closed now.
    pub(crate) fn is_past_grace(&self) -> bool {
        self.drain_began.get().is_some_and(|began| self.coarse.get().since(began) >= DRAIN_GRACE)
    }

    /// Whether new work is refused, memory being short.
    pub(crate) fn is_short_of_memory(&self) -> bool {
        self.pressure.is_high()
    }

    /// Counts a connection more.
    pub(crate) fn connection_opened(&self) {
        self.connections.set(self.connections.get() + 1);
        self.listener().connections_accepted.add(1);
        self.listener().connections_active.add(1);
    }

    /// Counts a connection less.
    pub(crate) fn connection_closed(&self) {
        self.connections.set(self.connections.get() - 1);
        self.listener().connections_active.sub(1);
        self.room.notify_one();
    }

    /// Places for connections of the whole process.
    pub(crate) fn places(&self) -> &Arc<Places> {
        &self.places
    }

    /// Waits until there may be room for one more connection.
    pub(crate) async fn room(&self) {
        self.room.notified().await;
    }

    /// Whether what is under way is broken off.
    pub(crate) fn is_over(&self) -> bool {
        self.over.get()
    }

    /// Waits for `future`, or answers `None` when draining begins first.
    pub(crate) async fn until_drained<F: Future>(&self, future: F) -> Option<F::Output> {
        if self.is_draining() {
            return None;
        }
        tokio::select! {
            output = future => Some(output),
            () = self.drained.notified() => None,
        }
    }

    /// Checks deadlines, unused connections and the end of the process, until the worker is drained.
    async fn sweep(self: &Rc<Self>) {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut cuts_seen = self.reader.cuts();
        let mut is_odd = false;
        loop {
            tick.tick().await;
            let now = self.clock.moment();
            self.coarse.set(now);
            self.deadlines.sweep(now);
            let cuts = self.reader.cuts();
            if std::mem::replace(&mut cuts_seen, cuts) != cuts {
                // Each task looks for itself whether it is meant: no request has to be entered in a list for it.
                self.deadlines.wake_all();
            }
            // Connections of other workers close without a word to this one.
            self.room.notify_waiters();
            self.look_after_leaving(now);
            is_odd = !is_odd;
            if is_odd && self.id == WorkerId(0) {
                self.pressure.look();
            }
            self.pools.sweep(now);
            if self.control.is_draining() && self.drain(now).is_ready() {
                return;
            }
        }
    }

    /// Wakes connections of listeners that were given up, when time has come for something.
    fn look_after_leaving(&self, now: Moment) {
        let mut leaving = self.leaving.borrow_mut();
        if leaving.is_empty() {
            return;
        }
        // With its last connection nobody else has it any more.
        leaving.retain(|handle| Rc::strong_count(handle) > 1);
        let mut is_due = false;
        for handle in leaving.iter() {
            is_due |= handle.look(now);
        }
        drop(leaving);
        if is_due {
            self.deadlines.wake_all();
        }
    }

    fn drain(&self, now: Moment) -> Poll<()> {
        if !self.draining.replace(true) {
            self.drain_began.set(Some(now));
            self.drained.notify_waiters();
            self.room.notify_waiters();
            self.deadlines.wake_all();
        } else if self.is_past_grace() {
            self.deadlines.wake_all();
        }
        let active = self.listener().requests_active.value() + self.listener().tunnels_active.value();
        if self.control.is_ended() {
            if self.over.replace(true) {
                return Poll::Ready(());
            }
            self.control.count_aborted(active);
            // One more turn, in which each connection is broken off so that nobody takes it for an end in order.
            self.deadlines.wake_all();
            return Poll::Pending;
        }
        // The first sweep of a drain leaves time for connections the kernel had already accepted.
        let began = self.drain_began.get().unwrap_or(now);
        if self.connections.get() == 0 && now > began { Poll::Ready(()) } else { Poll::Pending }
    }
}
