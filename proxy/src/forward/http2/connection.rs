//! A connection to a server that many requests share (RFC 9113 §5).
//!
//! The library's connection runs on a task of its own on the same worker; a request talks to it through its stream, on the
//! request's own task.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use h2::{
    Ping, PingPong, SendStream,
    client::{self, ResponseFuture, SendRequest},
};
use http::Request;
use tokio::io::{AsyncRead, AsyncWrite};
use weir_shared::{state::ServerState, time::Moment, tls::OutgoingTls};

use super::{
    fault,
    wire::{Socket, Wire},
};
use crate::{error::ProxyError, worker::Worker};

/// Streams at once on one connection, if the server allows as many: one socket is one queue, and one lost packet stops all
/// of them.
pub(super) const MAX_STREAMS: usize = 128;
/// Flow-control window of one stream: 100 MB/s at 2.5 ms.
const STREAM_WINDOW: u32 = 256 * 1024;
/// Flow-control window of the connection: all streams' together, so that clients who do not read stop nobody else.
const CONNECTION_WINDOW: u32 = 128 * STREAM_WINDOW;
/// Request bytes buffered for one stream.
const SEND_BUFFER: usize = 128 * 1024;
/// Largest header section of a response, as over HTTP/1.1; the library counts 32 bytes more for each field.
const MAX_HEADER_LIST: u32 = 64 * 1024;
/// Time without a byte from the server, with requests under way, after which it is asked for a sign of life. Servers of
/// gRPC take more than two pings within five minutes for an attack.
const SIGN_OF_LIFE: Duration = Duration::from_secs(301);
/// How long the server has to give it.
const PING_PATIENCE: Duration = Duration::from_secs(20);

/// A connection that is being served, as its streams and the pool see it.
pub(super) struct Connection {
    sender: SendRequest<Bytes>,
    opened: Moment,
    /// As what it was secured; `None`: it is not.
    tls: Option<Arc<OutgoingTls>>,
    shared: Rc<Shared>,
    /// Whether a request was sent on it.
    has_served: Cell<bool>,
    /// Since when no request is under way; set by a sweep.
    idle_since: Cell<Option<Moment>>,
    /// Whether no further request may be sent on it.
    is_retired: Cell<bool>,
}

/// What the connection's task shares with the others.
struct Shared {
    /// Bytes that have left, as the task has last seen.
    written: Cell<u64>,
    /// Bytes that have come, as the task has last seen.
    read: Cell<u64>,
    streams: Cell<usize>,
}

/// One request's place on a connection, given back when dropped.
pub(super) struct Place {
    connection: Rc<Connection>,
    /// What was written before the request.
    written: u64,
    /// What was read before the request.
    read: u64,
    /// Whether the request found the connection in use before, and at rest.
    was_idle: bool,
}

/// A request on a connection.
pub(super) struct Stream {
    pub(super) place: Place,
    pub(super) response: ResponseFuture,
    pub(super) sender: SendStream<Bytes>,
}

/// A connection that is ready for requests, and what has to be run for it.
pub(super) struct Opened<S> {
    pub(super) connection: Rc<Connection>,
    driver: Driver<S>,
}

/// The library's end of a connection, and its socket.
struct Driver<S> {
    library: client::Connection<Wire<S>, Bytes>,
    socket: Rc<RefCell<Socket<S>>>,
}

/// Begins HTTP/2 on `stream`, and waits until the server has said what it allows: before that it may be no server of
/// HTTP/2 at all, and nothing may be sent to it that cannot be sent elsewhere. `tls` is as what `stream` was secured.
pub(super) async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
    worker: &Worker,
    stream: S,
    tls: Option<Arc<OutgoingTls>>,
) -> Result<Opened<S>, ProxyError> {
    let wire = Wire::new(stream);
    let socket = wire.socket();
    let begun = client::Builder::new()
        .enable_push(false)
        // Until the server has spoken: none.
        .initial_max_send_streams(0)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(MAX_HEADER_LIST)
        .max_send_buffer_size(SEND_BUFFER)
        .handshake(wire)
        .await;
    let (sender, library) = begun.map_err(|error| fault::while_opening(&error))?;
    let mut driver = Driver { library, socket };
    poll_fn(|cx| match driver.poll(cx) {
        Poll::Ready(Ok(())) => Poll::Ready(Err(ProxyError::ConnectionFailed)),
        Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
        Poll::Pending if driver.library.max_concurrent_send_streams() > 0 => Poll::Ready(Ok(())),
        Poll::Pending => Poll::Pending,
    })
    .await?;
    let (written, read) = driver.traffic();
    let shared =
        Rc::new(Shared { written: Cell::new(written), read: Cell::new(read), streams: Cell::new(0) });
    let connection = Rc::new(Connection {
        sender,
        opened: worker.clock.moment(),
        tls,
        shared,
        has_served: Cell::new(false),
        idle_since: Cell::new(None),
        is_retired: Cell::new(false),
    });
    Ok(Opened { connection, driver })
}

impl<S: AsyncRead + AsyncWrite + Unpin + 'static> Opened<S> {
    /// Runs the connection until it ends: by itself, or when nobody has a use for it any more.
    pub(super) fn spawn(self, worker: &Rc<Worker>, state: &Arc<ServerState>) {
        let Self { connection, driver } = self;
        // Without the sender in it: the library ends a connection that nobody can send on.
        let (worker, state, shared) = (Rc::clone(worker), Arc::clone(state), Rc::clone(&connection.shared));
        // Owned by the worker's local set, which ends with the worker.
        tokio::task::spawn_local(async move { drive(&worker, &state, &shared, driver).await });
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Driver<S> {
    /// Ready when the connection has ended; with the error, if it was not in order.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ProxyError>> {
        let ended = Pin::new(&mut self.library).poll(cx);
        // If it has ended, as much as fits of what there was to say about that.
        let sent = self.socket.borrow_mut().poll_send(cx);
        match (ended, sent) {
            (Poll::Ready(Ok(())), _) => Poll::Ready(Ok(())),
            (Poll::Ready(Err(error)), _) => {
                tracing::debug!(%error, "connection to a server ended");
                Poll::Ready(Err(fault::while_opening(&error)))
            }
            (Poll::Pending, Poll::Ready(Err(error))) => {
                tracing::debug!(%error, "connection to a server ended");
                Poll::Ready(Err(ProxyError::ConnectionFailed))
            }
            (Poll::Pending, _) => Poll::Pending,
        }
    }

    /// Bytes that have left, and bytes that have come.
    fn traffic(&self) -> (u64, u64) {
        let socket = self.socket.borrow();
        (socket.written(), socket.read())
    }
}

async fn drive<S: AsyncRead + AsyncWrite + Unpin>(
    worker: &Worker,
    state: &ServerState,
    shared: &Shared,
    mut driver: Driver<S>,
) {
    let counters = state.counters.of(worker.id);
    counters.bytes_sent.add(shared.written.get());
    counters.bytes_received.add(shared.read.get());
    let mut watch = Watch { pings: driver.library.ping_pong(), read: 0, is_asked: false };
    let deadline = worker.deadline();
    deadline.set(worker.after(SIGN_OF_LIFE));
    poll_fn(|cx| {
        let ended = driver.poll(cx);
        let (written, read) = driver.traffic();
        counters.bytes_sent.add(written - shared.written.replace(written));
        counters.bytes_received.add(read - shared.read.replace(read));
        if ended.is_ready() {
            return Poll::Ready(());
        }
        while deadline.poll(cx).is_ready() {
            let Some(patience) = watch.look(shared) else { return Poll::Ready(()) };
            deadline.set(worker.after(patience));
            // What was put in has to be sent.
            cx.waker().wake_by_ref();
        }
        if shared.streams.get() == 0 {
            driver.socket.borrow_mut().rest();
        }
        Poll::Pending
    })
    .await;
}

/// Looks whether the server is still there.
struct Watch {
    pings: Option<PingPong>,
    /// What had been read at the last look.
    read: u64,
    is_asked: bool,
}

impl Watch {
    /// How long to wait until the next look; `None`: the server is gone.
    fn look(&mut self, shared: &Shared) -> Option<Duration> {
        let is_quiet = std::mem::replace(&mut self.read, shared.read.get()) == self.read;
        if !is_quiet || shared.streams.get() == 0 {
            self.is_asked = false;
            return Some(SIGN_OF_LIFE);
        }
        if std::mem::replace(&mut self.is_asked, true) {
            return None;
        }
        // One that is still under way does as well.
        let _ = self.pings.as_mut()?.send_ping(Ping::opaque());
        Some(PING_PATIENCE)
    }
}

impl Connection {
    /// Whether it is secured as `tls` says, or not at all without.
    pub(super) fn is_secured_as(&self, tls: Option<&Arc<OutgoingTls>>) -> bool {
        self.tls.as_ref().map(Arc::as_ptr) == tls.map(Arc::as_ptr)
    }

    /// Streams the server lets be open at once, as far as we would.
    pub(super) fn capacity(&self) -> usize {
        self.sender.current_max_send_streams().min(MAX_STREAMS)
    }

    /// Whether another request can be sent at once on a connection younger than `age`.
    pub(super) fn has_room(&self, age: Duration, now: Moment) -> bool {
        self.is_open() && now.since(self.opened) < age && self.shared.streams.get() < self.capacity()
    }

    /// Whether nothing has been heard of its end, which a server may announce while it still answers.
    fn is_open(&self) -> bool {
        // A fresh handle waits for nothing, so that this only asks.
        let mut cx = Context::from_waker(Waker::noop());
        !self.is_retired.get() && matches!(self.sender.clone().poll_ready(&mut cx), Poll::Ready(Ok(())))
    }

    /// Whether it was used, and no request is under way.
    pub(super) fn is_resting(&self) -> bool {
        self.shared.streams.get() == 0 && self.has_served.get()
    }

    /// Whether no request is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.shared.streams.get() == 0
    }

    /// Whether it is to be kept: open, younger than `age`, and not idle for `idle`.
    pub(super) fn is_worth_keeping(&self, idle: Duration, age: Duration, now: Moment) -> bool {
        if !self.is_idle() {
            self.idle_since.set(None);
            return self.is_open() && now.since(self.opened) < age;
        }
        let since = self.idle_since.get().unwrap_or(now);
        self.idle_since.set(Some(since));
        self.is_open() && now.since(self.opened) < age && now.since(since) < idle
    }

    /// Sends the head of a request, and no more if it `ends` with that.
    pub(super) fn begin(self: &Rc<Self>, request: Request<()>, ends: End) -> Result<Stream, ProxyError> {
        let place = Place {
            connection: Rc::clone(self),
            written: self.shared.written.get(),
            read: self.shared.read.get(),
            was_idle: self.is_resting(),
        };
        self.shared.streams.set(self.shared.streams.get() + 1);
        self.has_served.set(true);
        self.idle_since.set(None);
        let (response, sender) = self
            .sender
            .clone()
            .send_request(request, ends == End::WithHead)
            .map_err(|error| fault::before_response(&error))?;
        Ok(Stream { place, response, sender })
    }
}

/// Where a request ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It is a head and nothing else.
    WithHead,
    /// A body follows, or trailers.
    Later,
}

impl Place {
    /// Whether anything was sent since the request was handed over: if not, nothing of it was.
    pub(super) fn may_be_sent(&self) -> bool {
        self.connection.shared.written.get() != self.written
    }

    /// Whether the connection was at rest before the request, and has ended: perhaps for its age.
    pub(super) fn is_stale(&self) -> bool {
        self.was_idle && !self.connection.is_open()
    }

    /// Nothing came of the request in time. If nothing came at all, no further one is sent there.
    pub(super) fn timed_out(&self) {
        if self.connection.shared.read.get() == self.read {
            self.connection.is_retired.set(true);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let streams = &self.connection.shared.streams;
        streams.set(streams.get().saturating_sub(1));
    }
}
