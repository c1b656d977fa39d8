//! What is known of one client connection, shared by its socket and its requests.
//!
//! A connection is idle, or receiving a head, or has a request under way. Each phase has its own deadline; the socket and
//! the request move the connection from one to the next.

use std::{
    cell::{Cell, OnceCell, RefCell},
    net::IpAddr,
    rc::Rc,
    time::Duration,
};

use http::{HeaderMap, StatusCode, Version};
use weir_shared::{
    model::ListenerProtocol,
    table::{Listener, Table},
};

use super::{Ends, tls::Secured, tunnel::StreamEnd};
use crate::{
    deadline::Deadline,
    forward::{Switched, write_field},
    listener::Handle,
    worker::Worker,
};

/// Time between two looks after a client whose server is waited for.
const WATCH: Duration = Duration::from_secs(1);

/// Bytes of interim responses that wait for a client, beyond which no more are made.
const MOST_INTERIM: usize = 16 * 1024;

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing: no byte of a next request has arrived.
    Idle,
    /// A head has begun to arrive.
    Head,
    /// A request is under way (HTTP/2: at least one).
    Exchange,
}

/// One client connection.
pub(crate) struct Client {
    pub(crate) worker: Rc<Worker>,
    /// The listener it came by.
    pub(crate) listener: Rc<Handle>,
    /// Address of the other end.
    pub(crate) peer: IpAddr,
    /// Both ends, as far as is known.
    pub(crate) ends: Ends,
    /// Whether the other end may speak for other clients.
    pub(crate) is_trusted: bool,
    /// When the current phase gives up.
    pub(crate) deadline: Deadline,
    phase: Cell<Phase>,
    /// Whether the deadline is one for looking after the client, while a server is waited for (HTTP/1).
    watches: Cell<bool>,
    /// Requests that wait for room at an upstream. More than one only over HTTP/2.
    waiting: Cell<u32>,
    /// How long the client has to take the response handed over last (HTTP/1).
    stall: Cell<Duration>,
    /// Requests under way; more than one only over HTTP/2.
    exchanges: Cell<u32>,
    /// The server's connection that this one is to be joined with, once the answer that says so is sent (HTTP/1).
    switched: Cell<Option<Box<Switched>>>,
    /// Interim responses on their way (HTTP/1).
    interim: RefCell<Vec<u8>>,
    /// How the connection is secured, if it is.
    secured: OnceCell<Secured>,
    /// What servers are told of the client, where that is the same for all its requests.
    introduction: OnceCell<Box<[u8]>>,
    /// Whether it could not be made any more as it is.
    is_outdated: Cell<bool>,
    /// How the stream that is about to become a connection is to end (HTTP/2).
    opening: Cell<Option<Rc<StreamEnd>>>,
}

impl Client {
    pub(crate) fn new(worker: &Rc<Worker>, listener: &Rc<Handle>, ends: Ends) -> Self {
        let peer = ends.peer.ip().to_canonical();
        Self {
            worker: Rc::clone(worker),
            listener: Rc::clone(listener),
            peer,
            ends,
            is_trusted: worker.config.trusted_hops > 0 || listener.trusts(worker, peer),
            deadline: worker.deadline(),
            phase: Cell::new(Phase::Idle),
            watches: Cell::new(false),
            waiting: Cell::new(0),
            stall: Cell::new(Duration::ZERO),
            exchanges: Cell::new(0),
            switched: Cell::new(None),
            interim: RefCell::default(),
            secured: OnceCell::new(),
            introduction: OnceCell::new(),
            is_outdated: Cell::new(false),
            opening: Cell::new(None),
        }
    }

    /// Whether `address` may speak for other clients.
    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        self.listener.trusts(&self.worker, address)
    }

    /// Whether the connection is to be closed after the request under way.
    pub(crate) fn is_draining(&self) -> bool {
        self.worker.is_draining() || self.listener.is_draining() || self.is_outdated.get()
    }

    /// Whether what is under way is broken off.
    pub(super) fn is_over(&self) -> bool {
        self.worker.is_over() || self.listener.is_over()
    }

    /// Whether a connection like this could not be made any more, as the listener's `settings` and `table` are: it speaks
    /// another protocol, or the client has not proved who it is. Such a connection is to be closed.
    pub(crate) fn is_outdated(&self, settings: &Listener, table: &Table) -> bool {
        let may_be_used = match (self.secured(), &settings.tls) {
            (None, _) => settings.spec.protocol == ListenerProtocol::Http,
            (Some(secured), Some(asked)) => secured.suffices(asked, table, &settings.id),
            (Some(_), None) => false,
        };
        if !may_be_used {
            self.is_outdated.set(true);
        }
        !may_be_used
    }

    /// Whether the connection is to be closed if nothing is under way.
    pub(super) fn is_past_grace(&self) -> bool {
        self.worker.is_past_grace() || self.listener.is_past_grace()
    }

    /// How long a head may take.
    pub(super) fn header_timeout(&self) -> Duration {
        self.listener.settings().spec.header_timeout.duration()
    }

    /// Notes how the connection is secured.
    pub(super) fn secure(&self, secured: Secured) {
        // A connection is secured once.
        let _ = self.secured.set(secured);
    }

    /// How the connection is secured, if it is.
    pub(crate) fn secured(&self) -> Option<&Secured> {
        self.secured.get()
    }

    /// What servers are told of the client, where that is the same for all its requests: made by `make` for the first one.
    pub(crate) fn introduction(&self, make: impl FnOnce() -> Box<[u8]>) -> &[u8] {
        self.introduction.get_or_init(make)
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// A head is waited for. A new connection has as long for its first byte as for a whole head.
    pub(super) fn await_first_byte(&self) {
        self.deadline.set(self.worker.after(self.header_timeout()));
    }

    /// The first byte of a head has arrived (HTTP/1).
    pub(super) fn head_began(&self) {
        self.phase.set(Phase::Head);
        self.await_first_byte();
    }

    /// The client has `stall` to take what was handed over.
    pub(crate) fn await_room(&self, stall: Duration) {
        self.stall.set(stall);
        self.watches.set(false);
        self.deadline.set(self.worker.after(stall));
    }

    /// The client has taken part of what was handed over, and has as long again for more of it (HTTP/1).
    pub(super) fn await_more_room(&self) {
        self.await_room(self.stall.get());
    }

    /// A server is waited for: nothing is read from the client meanwhile, so that it is looked after now and then.
    pub(crate) fn watch(&self) {
        self.watches.set(true);
        self.deadline.set(self.worker.after(WATCH));
    }

    /// A request waits for room at an upstream.
    pub(crate) fn waits(&self) {
        self.waiting.set(self.waiting.get() + 1);
    }

    /// A request does not wait for room any more.
    pub(crate) fn waits_no_more(&self) {
        self.waiting.set(self.waiting.get().saturating_sub(1));
    }

    /// Whether a request waits for room.
    pub(super) fn is_waiting(&self) -> bool {
        self.waiting.get() > 0
    }

    /// Whether it is time to look after the client.
    pub(super) fn is_watch_due(&self) -> bool {
        self.watches.get() && self.phase.get() == Phase::Exchange && self.deadline.has_passed()
    }

    /// A request has begun.
    pub(crate) fn exchange_began(&self) {
        self.began();
        self.watch();
        let counters = self.worker.listener();
        counters.requests.add(1);
        counters.requests_active.add(1);
        self.listener.count(&self.worker, |counters| counters.requests.add(1));
    }

    /// A request, or a tunnel, has begun.
    pub(super) fn began(&self) {
        self.phase.set(Phase::Exchange);
        self.exchanges.set(self.exchanges.get() + 1);
    }

    /// A request has ended, with its response sent or given up.
    pub(crate) fn exchange_ended(&self) {
        self.worker.listener().requests_active.sub(1);
        self.ended();
    }

    /// A request, or a tunnel, has ended.
    pub(super) fn ended(&self) {
        let left = self.exchanges.get().saturating_sub(1);
        self.exchanges.set(left);
        if left == 0 {
            self.phase.set(Phase::Idle);
            self.rest();
        }
    }

    /// Nothing is under way: the next request is waited for.
    pub(super) fn rest(&self) {
        self.await_for(self.idle_timeout());
    }

    /// The next request is waited for, for so long.
    pub(super) fn await_for(&self, time: Duration) {
        self.deadline.set(self.worker.after(time));
    }

    /// How long the next request is waited for.
    pub(super) fn idle_timeout(&self) -> Duration {
        self.listener.settings().spec.idle_timeout.duration()
    }

    /// Joins the connection with `switched` when the answer that says so is sent.
    pub(crate) fn switch(&self, switched: Box<Switched>) {
        self.switched.set(Some(switched));
    }

    /// A stream is about to become a connection, which ends as `end` says.
    pub(crate) fn open(&self, end: Rc<StreamEnd>) {
        self.opening.set(Some(end));
    }

    /// How the stream that is about to become a connection is to end.
    pub(super) fn take_opening(&self) -> Option<Rc<StreamEnd>> {
        self.opening.take()
    }

    /// The server's connection that this one is to be joined with.
    pub(super) fn take_switched(&self) -> Option<Box<Switched>> {
        self.switched.take()
    }

    /// Sends the client of an HTTP/1.1 request an interim response. What it is too slow to take is left out: it is worth
    /// something only early. Over HTTP/2 the library has no way to send one.
    pub(crate) fn relay_interim(&self, version: Version, status: StatusCode, fields: &HeaderMap) {
        let mut interim = self.interim.borrow_mut();
        if version != Version::HTTP_11 || interim.len() > MOST_INTERIM {
            return;
        }
        let reason = status.canonical_reason().unwrap_or("Interim");
        interim.extend_from_slice(format!("HTTP/1.1 {} {reason}\r\n", status.as_u16()).as_bytes());
        for (name, value) in fields {
            write_field(&mut interim, name.as_str().as_bytes(), value.as_bytes());
        }
        interim.extend_from_slice(b"\r\n");
    }

    /// Tells the client that the body of its request is wanted (RFC 9110 §10.1.1).
    pub(super) fn relay_continue(&self) {
        self.interim.borrow_mut().extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
    }

    /// Interim responses that are to be sent (HTTP/1).
    pub(super) fn interim(&self) -> &RefCell<Vec<u8>> {
        &self.interim
    }
}
