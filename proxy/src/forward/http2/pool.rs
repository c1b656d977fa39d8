//! The connections of one worker to one server that speaks HTTP/2, and who waits for the next one.
//!
//! A request takes the first connection with room, so that those a burst has needed fall idle and are closed. Requests that
//! come while a connection is being opened wait for it, as many as it will probably take. There are as many connections as
//! the requests under way need, and no other bound.
//!
//! Where a server may choose what is spoken (`protocol: auto`), the first connection asks it, the others follow.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    rc::Rc,
    sync::Arc,
    task::{Poll, Waker},
    time::Duration,
};

use http::Request;
use weir_shared::{
    table::{Server, Upstream},
    time::Moment,
    tls::{Offer, OutgoingTls},
};

use super::connection::{self, Connection, End, MAX_STREAMS, Opened, Stream};
use crate::{
    error::ProxyError,
    forward::{connect, connection::ServerConnection, lease::Lease, stream::Stream as ServerStream},
    worker::Worker,
};

/// Connections waited for by one request: each of the others was filled by requests that came before it.
const MAX_ROUNDS: usize = 16;

/// Connections to one server.
#[derive(Default)]
pub(in crate::forward) struct Pool {
    connections: RefCell<Vec<Rc<Connection>>>,
    openings: RefCell<Vec<Rc<Opening>>>,
    /// Streams the last connection had room for.
    expected: Cell<Option<usize>>,
    /// What a server that may choose has chosen.
    agreed: RefCell<Option<Agreed>>,
}

/// What was agreed on with a server.
struct Agreed {
    is_http2: bool,
    at: Moment,
    /// As what the connection was secured.
    tls: Arc<OutgoingTls>,
}

/// A connection just opened.
enum Fresh {
    Http1(ServerConnection),
    Http2(Box<Opened<ServerStream>>),
}

/// A connection being opened.
#[derive(Default)]
struct Opening {
    outcome: Cell<Option<Outcome>>,
    waiting: RefCell<Vec<Waker>>,
    /// Requests it is meant for.
    meant_for: Cell<usize>,
}

#[derive(Clone, Copy)]
enum Outcome {
    Opened,
    Failed(ProxyError),
    /// Whoever opened it has gone.
    Abandoned,
}

impl Pool {
    /// Closes connections that are idle for `idle`, and takes out those older than `age`, which close with their last request.
    pub(in crate::forward) fn sweep(&self, idle: Duration, age: Duration, now: Moment) {
        self.connections.borrow_mut().retain(|connection| connection.is_worth_keeping(idle, age, now));
    }

    /// Takes out all connections; those with requests close with the last one.
    pub(in crate::forward) fn clear(&self) {
        self.connections.borrow_mut().clear();
    }

    /// Whether there is no connection.
    pub(in crate::forward) fn is_empty(&self) -> bool {
        self.connections.borrow().is_empty()
    }

    /// Connections without a request.
    pub(in crate::forward) fn idle_count(&self) -> usize {
        self.connections.borrow().iter().filter(|connection| connection.is_idle()).count()
    }

    /// Asks the server again what it speaks, before the next request.
    pub(in crate::forward) fn forget(&self) {
        self.agreed.take();
    }

    /// Whether the server has chosen HTTP/2; `None`: it has to be asked.
    fn agreed(&self, upstream: &Upstream, now: Moment) -> Option<bool> {
        let agreed = self.agreed.borrow();
        let agreed = agreed.as_ref()?;
        let is_current = upstream.tls.as_ref().is_some_and(|tls| Arc::ptr_eq(tls, &agreed.tls))
            && now.since(agreed.at) < upstream.keepalive_time;
        is_current.then_some(agreed.is_http2)
    }

    /// One with room that is secured as `upstream` says now.
    fn find(&self, upstream: &Upstream, now: Moment) -> Option<Rc<Connection>> {
        let is_usable = |connection: &&Rc<Connection>| {
            connection.is_secured_as(upstream.tls.as_ref())
                && connection.has_room(upstream.keepalive_time, now)
        };
        self.connections.borrow().iter().find(is_usable).cloned()
    }

    /// A connection being opened that will probably have room for one more.
    fn opening(&self) -> Option<Rc<Opening>> {
        let room = self.expected.get().unwrap_or(MAX_STREAMS);
        let openings = self.openings.borrow();
        let opening = openings.iter().find(|opening| opening.meant_for.get() < room)?;
        opening.meant_for.set(opening.meant_for.get() + 1);
        Some(Rc::clone(opening))
    }

    fn announce(&self) -> Announced<'_> {
        let opening = Rc::new(Opening::default());
        opening.meant_for.set(1);
        self.openings.borrow_mut().push(Rc::clone(&opening));
        Announced { pool: self, opening }
    }
}

impl Opening {
    /// Waits until it is open.
    async fn wait(&self) -> Result<(), ProxyError> {
        poll_fn(|cx| match self.outcome.get() {
            Some(Outcome::Opened | Outcome::Abandoned) => Poll::Ready(Ok(())),
            Some(Outcome::Failed(error)) => Poll::Ready(Err(error)),
            None => {
                self.waiting.borrow_mut().push(cx.waker().clone());
                Poll::Pending
            }
        })
        .await
    }
}

/// Tells those who wait when the opening ends, also when whoever opens it gives up.
struct Announced<'p> {
    pool: &'p Pool,
    opening: Rc<Opening>,
}

impl Announced<'_> {
    fn settle(&self, outcome: Outcome) {
        self.opening.outcome.set(Some(outcome));
    }
}

impl Drop for Announced<'_> {
    fn drop(&mut self) {
        if self.opening.outcome.get().is_none() {
            self.settle(Outcome::Abandoned);
        }
        self.pool.openings.borrow_mut().retain(|opening| !Rc::ptr_eq(opening, &self.opening));
        self.opening.waiting.borrow_mut().drain(..).for_each(Waker::wake);
    }
}

/// Sends the head `request` to `server`, on a connection that has room, or on a new one.
pub(super) async fn begin(
    worker: &Rc<Worker>,
    upstream: &Upstream,
    server: &Server,
    lease: &Lease,
    request: Request<()>,
    ends: End,
) -> Result<Stream, ProxyError> {
    let pool = lease.http2();
    let mut has_looked = request.method().is_idempotent();
    for _ in 0..MAX_ROUNDS {
        if let Some(connection) = pool.find(upstream, worker.coarse_moment()) {
            if has_looked || !connection.is_resting() {
                return connection.begin(request, ends);
            }
            // A request that may not be repeated is not sent into a connection just closed: the runtime looks at its sockets
            // first, and the connection's task at what they say.
            has_looked = true;
            tokio::task::yield_now().await;
            continue;
        }
        match pool.opening() {
            Some(opening) => opening.wait().await?,
            None => open(worker, upstream, server, lease, Offer::Http2).await?,
        }
    }
    Err(ProxyError::ConnectionTimeout)
}

/// Whether `server`, which may choose, has chosen HTTP/2. Who asks first opens a connection for it, which stays for whoever needs
/// one first; the others wait.
pub(in crate::forward) async fn is_agreed(
    worker: &Rc<Worker>,
    upstream: &Upstream,
    server: &Server,
    lease: &Lease,
) -> Result<bool, ProxyError> {
    let pool = lease.http2();
    if let Some(is_http2) = pool.agreed(upstream, worker.coarse_moment()) {
        return Ok(is_http2);
    }
    // Boxed, so that requests that need not ask carry no room for it.
    Box::pin(agree(worker, upstream, server, lease)).await
}

async fn agree(
    worker: &Rc<Worker>,
    upstream: &Upstream,
    server: &Server,
    lease: &Lease,
) -> Result<bool, ProxyError> {
    let pool = lease.http2();
    for _ in 0..MAX_ROUNDS {
        if let Some(is_http2) = pool.agreed(upstream, worker.coarse_moment()) {
            return Ok(is_http2);
        }
        let opening = pool.openings.borrow().first().cloned();
        match opening {
            Some(opening) => opening.wait().await?,
            None => open(worker, upstream, server, lease, Offer::Both).await?,
        }
    }
    Err(ProxyError::ConnectionTimeout)
}

/// Opens one more connection, over which what is offered is spoken.
async fn open(
    worker: &Rc<Worker>,
    upstream: &Upstream,
    server: &Server,
    lease: &Lease,
    offer: Offer,
) -> Result<(), ProxyError> {
    let pool = lease.http2();
    let announced = pool.announce();
    let opening = async {
        let stream = connect::open(worker, upstream, server, offer).await?;
        if offer == Offer::Both && !stream.is_http2() {
            return Ok(Fresh::Http1(ServerConnection::new(worker, stream)));
        }
        let opened = connection::handshake(worker, stream, upstream.tls.clone()).await?;
        Ok(Fresh::Http2(Box::new(opened)))
    };
    match connect::within(worker, upstream, lease, opening).await {
        Ok(fresh) => {
            let is_http2 = matches!(fresh, Fresh::Http2(_));
            let at = worker.clock.moment();
            *pool.agreed.borrow_mut() = upstream.tls.clone().map(|tls| Agreed { is_http2, at, tls });
            match fresh {
                Fresh::Http1(connection) => lease.give_back(connection, at),
                Fresh::Http2(opened) => {
                    pool.expected.set(Some(opened.connection.capacity()));
                    pool.connections.borrow_mut().push(Rc::clone(&opened.connection));
                    opened.spawn(worker, &server.state);
                }
            }
            announced.settle(Outcome::Opened);
            Ok(())
        }
        Err(error) => {
            announced.settle(Outcome::Failed(error));
            Err(error)
        }
    }
}
