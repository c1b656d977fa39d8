//! The data plane as a whole: bound, started, drained.

use std::{
    hash::RandomState,
    io,
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use weir_shared::{
    state::{ListenerState, WorkerId},
    table::TableReader,
};

use crate::{AffinitySecret, ProxyConfig, listener, places::Places, pressure::Pressure, worker};

/// A data plane whose address is taken but which accepts nothing yet.
#[derive(Debug)]
pub struct Proxy {
    config: Arc<ProxyConfig>,
    state: Arc<ListenerState>,
    sockets: Vec<TcpListener>,
    address: SocketAddr,
}

impl Proxy {
    /// Takes the address, once for each worker.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub fn bind(config: ProxyConfig, state: Arc<ListenerState>) -> io::Result<Self> {
        let sockets = listener::bind(config.listen, config.workers)?;
        let address = sockets.first().map_or(Ok(config.listen), TcpListener::local_addr)?;
        Ok(Self { config: Arc::new(config), state, sockets, address })
    }

    /// Where clients connect.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Starts the workers. Requests see the tables of `reader`; affinity cookies are signed with `secret`.
    ///
    /// # Errors
    /// A thread or its runtime cannot be made.
    pub fn start(self, reader: TableReader, secret: AffinitySecret) -> io::Result<RunningProxy> {
        let control = Arc::new(DrainControl::default());
        let keys = RandomState::new();
        let pressure = Arc::new(Pressure::new(self.config.max_memory_bytes));
        let places = Places::new(self.config.listener.max_connections);
        let mut threads = Vec::new();
        let (finished, done) = mpsc::channel();
        for (index, socket) in self.sockets.into_iter().enumerate() {
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
                worker::run(worker, socket);
                // The other end is gone only when nobody waits any more.
                let _ = finished.send(());
            };
            threads.push(thread::Builder::new().name(format!("weir-worker-{index}")).spawn(run)?);
        }
        Ok(RunningProxy { control, state: self.state, threads, done })
    }
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
        for thread in self.threads {
            // A worker that panicked has said so on its own.
            let _ = thread.join();
        }
        Drained { aborted: self.control.aborted.load(Ordering::Relaxed) }
    }
}
