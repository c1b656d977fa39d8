//! A connection to a server that many requests share (RFC 9113 §5).
//!
//! The library's connection runs on a task of its own on the same worker; a request talks to it through its stream, on the
//! request's own task.

use std::{
    cell::Cell,
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
    wire::{Traffic, Wire},
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
#[derive(Default)]
struct Shared {
    traffic: Rc<Traffic>,
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
    driver: client::Connection<Wire<S>, Bytes>,
}

/// Begins HTTP/2 on `stream`, and waits until the server has said what it allows: before that it may be no server of
/// HTTP/2 at all, and nothing may be sent to it that cannot be sent elsewhere. `tls` is as what `stream` was secured.
pub(super) async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
    worker: &Worker,
    stream: S,
    tls: Option<Arc<OutgoingTls>>,
) -> Result<Opened<S>, ProxyError> {
    let shared = Rc::new(Shared::default());
    let wire = Wire::new(stream, Rc::clone(&shared.traffic));
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
    let (sender, mut driver) = begun.map_err(|error| fault::while_opening(&error))?;
    poll_fn(|cx| match Pin::new(&mut driver).poll(cx) {
        Poll::Ready(Ok(())) => Poll::Ready(Err(ProxyError::ConnectionFailed)),
        Poll::Ready(Err(error)) => Poll::Ready(Err(fault::while_opening(&error))),
        Poll::Pending if driver.max_concurrent_send_streams() > 0 => Poll::Ready(Ok(())),
        Poll::Pending => Poll::Pending,
    })
    .await?;
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

async fn drive<S: AsyncRead + AsyncWrite + Unpin>(
    worker: &Worker,
    state: &ServerState,
    shared: &Shared,
    mut driver: client::Connection<Wire<S>, Bytes>,
) {
    let counters = state.counters.of(worker.id);
    let (mut written, mut read) = (0, 0);
    let mut watch = Watch { pings: driver.ping_pong(), read: 0, is_asked: false };
    let deadline = worker.deadline();
    deadline.set(worker.after(SIGN_OF_LIFE));
    poll_fn(|cx| {
        let ended = Pin::new(&mut driver).poll(cx);
        let traffic = &shared.traffic;
        counters
            .bytes_sent
            .add(traffic.written.get() - std::mem::replace(&mut written, traffic.written.get()));
        counters.bytes_received.add(traffic.read.get() - std::mem::replace(&mut read, traffic.read.get()));
        if let Poll::Ready(ended) = ended {
            if let Err(error) = ended {
                tracing::debug!(%error, "connection to a server ended");
            }
            return Poll::Ready(());
        }
        while deadline.poll(cx).is_ready() {
            let Some(patience) = watch.look(shared) else { return Poll::Ready(()) };
            deadline.set(worker.after(patience));
            // What was put in has to be sent.
            cx.waker().wake_by_ref();
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
        let is_quiet = std::mem::replace(&mut self.read, shared.traffic.read.get()) == self.read;
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
            written: self.shared.traffic.written.get(),
            read: self.shared.traffic.read.get(),
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
        self.connection.shared.traffic.written.get() != self.written
    }

    /// Whether the connection was at rest before the request, and has ended: perhaps for its age.
    pub(super) fn is_stale(&self) -> bool {
        self.was_idle && !self.connection.is_open()
    }

    /// Nothing came of the request in time. If nothing came at all, no further one is sent there.
    pub(super) fn timed_out(&self) {
        if self.connection.shared.traffic.read.get() == self.read {
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
