//! What a worker keeps of one listener, shared by all of its connections.

use std::{
    cell::{Cell, Ref, RefCell},
    net::IpAddr,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use tokio::sync::{Notify, mpsc};
use weir_shared::{id::ListenerId, state::BindingCounters, table::Listener, time::Moment};

use super::{Places, WorkerSocket};
use crate::worker::Worker;

/// How long an idle connection may still send one request after draining began, so that it can be told to close.
pub(crate) const DRAIN_GRACE: Duration = Duration::from_secs(3);

/// Dropped when a worker has done what it was told.
pub(crate) type Done = mpsc::Sender<()>;

/// What the manager tells a worker.
#[derive(Debug)]
pub(crate) enum Command {
    /// Accept connections of a listener, and no more on the socket it had before.
    Open { listener: Arc<Listener>, places: Arc<Places>, socket: WorkerSocket, done: Done },
    /// Other settings of a listener are in force.
    Update { listener: Arc<Listener>, done: Done },
    /// Give a listener up.
    Close { id: ListenerId, done: Done },
}

/// Tells an accept loop to stop, and notes who waits for it.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    is_asked: Cell<bool>,
    asked: Notify,
    /// Dropped when the loop has closed its socket.
    waiting: RefCell<Vec<Done>>,
}

impl Stop {
    /// Asks the loop to serve what waits and close its socket.
    pub(crate) fn ask(&self, done: Done) {
        self.waiting.borrow_mut().push(done);
        self.is_asked.set(true);
        self.asked.notify_waiters();
    }

    pub(crate) fn is_asked(&self) -> bool {
        self.is_asked.get()
    }

    /// Waits for `future`, or answers `None` when the loop is asked to stop first.
    pub(crate) async fn unless_asked<F: Future>(&self, future: F) -> Option<F::Output> {
        let asked = self.asked.notified();
        if self.is_asked() {
            return None;
        }
        tokio::select! {
            output = future => Some(output),
            () = asked => None,
        }
    }
}

/// How far a listener that was given up has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// It is in use.
    Open,
    /// Connections are told to close with their next answer.
    Told,
    /// Idle connections are closed.
    PastGrace,
    /// What is left is broken off.
    Over,
}

/// One listener at one worker.
#[derive(Debug)]
pub(crate) struct Handle {
    /// Name of the listener.
    pub(crate) id: ListenerId,
    pub(crate) places: Arc<Places>,
    settings: RefCell<Arc<Listener>>,
    /// The loop that accepts for it.
    accepting: RefCell<Option<Rc<Stop>>>,
    stage: Cell<Stage>,
    /// When it was given up.
    left: Cell<Moment>,
}

impl Handle {
    pub(crate) fn new(listener: Arc<Listener>, places: Arc<Places>) -> Self {
        Self {
            id: listener.id.clone(),
            places,
            settings: RefCell::new(listener),
            accepting: RefCell::default(),
            stage: Cell::new(Stage::Open),
            left: Cell::default(),
        }
    }

    /// What is in force of the listener. Do not hold the answer across an await.
    pub(crate) fn settings(&self) -> Ref<'_, Arc<Listener>> {
        self.settings.borrow()
    }

    /// Puts other settings in force.
    pub(crate) fn update(&self, listener: Arc<Listener>) {
        self.settings.replace(listener);
    }

    /// What `worker` counts at the listener.
    pub(crate) fn count(&self, worker: &Worker, count: impl Fn(&BindingCounters)) {
        count(self.settings.borrow().state.counters.of(worker.id));
    }

    /// Whether `peer` may speak for other clients.
    pub(crate) fn trusts(&self, worker: &Worker, peer: IpAddr) -> bool {
        match &self.settings.borrow().spec.trusted_proxies {
            Some(ranges) => ranges.iter().any(|range| range.contains(peer)),
            None => worker.config.trusts(peer),
        }
    }

    /// Takes `stop` for the loop that accepts now; answers the one that did.
    pub(crate) fn accept_until(&self, stop: Rc<Stop>) -> Option<Rc<Stop>> {
        self.accepting.borrow_mut().replace(stop)
    }

    /// Gives the listener up at `now`: its connections are told to close.
    pub(crate) fn leave(&self, now: Moment, done: Done) {
        self.left.set(now);
        self.stage.set(Stage::Told);
        if let Some(stop) = self.accepting.borrow_mut().take() {
            stop.ask(done);
        }
    }

    /// Takes in what time it is. Answers whether its connections have to look what that means for them.
    pub(crate) fn look(&self, now: Moment) -> bool {
        let timeout = self.settings.borrow().spec.drain_timeout.duration();
        let waited = now.since(self.left.get());
        let stage = match self.stage.get() {
            Stage::Open => Stage::Open,
            _ if waited >= timeout => Stage::Over,
            _ if waited >= DRAIN_GRACE => Stage::PastGrace,
            _ => Stage::Told,
        };
        self.stage.replace(stage) != stage
    }

    /// Whether connections are to be closed after their request.
    pub(crate) fn is_draining(&self) -> bool {
        self.stage.get() >= Stage::Told
    }

    /// Whether idle connections are to be closed now.
    pub(crate) fn is_past_grace(&self) -> bool {
        self.stage.get() >= Stage::PastGrace
    }

    /// Whether what is left is broken off.
    pub(crate) fn is_over(&self) -> bool {
        self.stage.get() == Stage::Over
    }
}
