//! The data plane as a whole: bound, started, drained.

use std::{
    hash::RandomState,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::sync::{mpsc::channel, oneshot, watch};
use weir_shared::{
    id::Revision,
    model::ListenAddress,
    state::{ListenerState, WorkerId},
    table::TableReader,
};

use crate::{
    AffinitySecret, ProxyConfig,
    clock::Clock,
    listener::{self, Following, Manager, Places, Sockets},
    pressure::Pressure,
    worker,
};

/// What a worker may be told and has not done yet; then the manager of listeners waits.
const COMMANDS: usize = 64;
/// How long the start waits for the listeners of the first table to be tried.
const FIRST_BIND: Duration = Duration::from_secs(5);

/// A data plane whose address is taken but which accepts nothing yet.
#[derive(Debug)]
pub struct Proxy {
    config: Arc<ProxyConfig>,
    state: Arc<ListenerState>,
    sockets: Sockets,
    address: SocketAddr,
}

impl Proxy {
    /// Takes the address of the listener `default`, once for each worker.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub fn bind(config: ProxyConfig, state: Arc<ListenerState>) -> io::Result<Self> {
        let sockets = listener::bind(&ListenAddress::Socket(config.listen), config.workers)?;
        let address = match &sockets.address {
            ListenAddress::Socket(address) => *address,
            ListenAddress::Unix(_) => config.listen,
        };
        Ok(Self { config: Arc::new(config), state, sockets, address })
    }

    /// Where clients connect.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Starts the workers, and binds the listeners of the table. Requests see the tables of `reader`; affinity cookies are
    /// signed with `secret`. Listeners follow what `published` tells of, and `settled` tells of which revision they were
    /// tried.
    ///
    /// # Errors
    /// A thread or its runtime cannot be made. A listener that cannot be bound is no error.
    pub fn start(
        self,
        reader: TableReader,
        secret: AffinitySecret,
        published: watch::Receiver<Revision>,
        settled: watch::Sender<Revision>,
    ) -> io::Result<RunningProxy> {
        let control = Arc::new(DrainControl::default());
        let keys = RandomState::new();
        let pressure = Arc::new(Pressure::new(self.config.max_memory_bytes));
        let places = Places::new(self.config.max_connections);
        let mut threads = Vec::new();
        let (finished, done) = mpsc::channel();
        let mut workers = Vec::new();
        for index in 0..self.config.workers {
            let (commands, told) = channel(COMMANDS);
            workers.push(commands);
            let worker = worker::Parts {
                id: WorkerId(index),
                config: Arc::clone(&self.config),
                state: Arc::clone(&self.state),
                reader: reader.clone(),
                secret,
                control: Arc::clone(&control),
                places: Arc::clone(&places),
                keys: keys.clone(),
                pressure: Arc::clone(&pressure),
            };
            let finished = finished.clone();
            let run = move || {
                worker::run(worker, told);
                // The other end is gone only when nobody waits any more.
                let _ = finished.send(());
            };
            threads.push(thread::Builder::new().name(format!("weir-worker-{index}")).spawn(run)?);
        }
        let manager = Manager {
            workers,
            clock: Clock::new(self.config.clock_base),
            first: Some(self.sockets),
            entries: std::collections::HashMap::new(),
            tried: None,
        };
        let (stop, stopped) = oneshot::channel();
        let (ready, is_ready) = mpsc::sync_channel(1);
        let following = Following { reader, published, settled, stop: stopped, ready };
        let manager = follow(manager, following)?;
        // However it goes, the rest serves.
        let _ = is_ready.recv_timeout(FIRST_BIND);
        Ok(RunningProxy { control, state: self.state, threads, done, manager, stop })
    }
}

/// Starts the thread that binds listeners.
fn follow(manager: Manager, following: Following) -> io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let run = move || runtime.block_on(manager.run(following));
    thread::Builder::new().name("weir-listeners".to_owned()).spawn(run)
}

/// How workers learn that they are to end, and tell what they gave up.
#[derive(Debug, Default)]
pub(crate) struct DrainControl {
    draining: AtomicBool,
    ended: AtomicBool,
    aborted: AtomicU64,
}

impl DrainControl {
    /// Whether to stop accepting and to announce the end on every connection.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Whether to end whatever is still under way.
    pub(crate) fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Counts requests that were under way at the end.
    pub(crate) fn count_aborted(&self, requests: u64) {
        self.aborted.fetch_add(requests, Ordering::Relaxed);
    }
}

/// A data plane at work.
#[derive(Debug)]
pub struct RunningProxy {
    control: Arc<DrainControl>,
    state: Arc<ListenerState>,
    threads: Vec<JoinHandle<()>>,
    done: mpsc::Receiver<()>,
    manager: JoinHandle<()>,
    /// Ends the manager when dropped.
    stop: oneshot::Sender<()>,
}

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Requests that were still under way at the deadline.
    pub aborted: u64,
}

impl RunningProxy {
    /// Stops accepting connections, announces the end on those there are, and closes each after its request.
    pub fn drain(&self) {
        // Seen from outside before the first connection is refused.
        self.state.drain();
        self.control.draining.store(true, Ordering::Release);
    }

    /// Waits until the workers have ended, at most `deadline`; then ends them. Blocks.
    #[must_use]
    pub fn wait(self, deadline: Duration) -> Drained {
        // Nothing is bound any more; files of unix sockets are removed.
        drop(self.stop);
        let mut running = self.threads.len();
        let mut left = deadline;
        while running > 0 {
            let started = tokio::time::Instant::now();
            match self.done.recv_timeout(left) {
                Ok(()) => running -= 1,
                Err(mpsc::RecvTimeoutError::Timeout) => self.control.ended.store(true, Ordering::Release),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
            left = left.saturating_sub(started.elapsed());
            if self.control.is_ended() {
                // A worker notices within one sweep; it has nothing left to wait for.
                left = Duration::from_secs(1);
            }
        }
        for thread in self.threads.into_iter().chain([self.manager]) {
            // A worker that panicked has said so on its own.
            let _ = thread.join();
        }
        Drained { aborted: self.control.aborted.load(Ordering::Relaxed) }
    }
}
