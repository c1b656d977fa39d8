//! The connections of one worker to one server that speaks HTTP/2, and who waits for the next one.
//!
//! A request takes the first connection with room, so that those a burst has needed fall idle and are closed. Requests that
//! come while a connection is being opened wait for it, as many as it will probably take. There are as many connections as
//! the requests under way need, and no other bound.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    rc::Rc,
    task::{Poll, Waker},
    time::Duration,
};

use http::Request;
use weir_shared::{
    table::{Server, Upstream},
    time::Moment,
    tls::Offer,
};

use super::connection::{self, Connection, End, MAX_STREAMS, Stream};
use crate::{
    error::ProxyError,
    forward::{connect, lease::Lease},
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
            None => open(worker, upstream, server, lease).await?,
        }
    }
    Err(ProxyError::ConnectionTimeout)
}

/// Opens one more connection.
async fn open(
    worker: &Rc<Worker>,
    upstream: &Upstream,
    server: &Server,
    lease: &Lease,
) -> Result<(), ProxyError> {
    let pool = lease.http2();
    let announced = pool.announce();
    let opening = async {
        let stream = connect::open(worker, upstream, server, Offer::Http2).await?;
        connection::handshake(worker, stream, upstream.tls.clone()).await
    };
    match connect::within(worker, upstream, lease, opening).await {
        Ok(opened) => {
            pool.expected.set(Some(opened.connection.capacity()));
            pool.connections.borrow_mut().push(Rc::clone(&opened.connection));
            opened.spawn(worker, &server.state);
            announced.settle(Outcome::Opened);
            Ok(())
        }
        Err(error) => {
            announced.settle(Outcome::Failed(error));
            Err(error)
        }
    }
}
