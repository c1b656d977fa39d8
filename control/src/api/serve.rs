//! The admin port and the unix socket: connections in, the router behind them, all of it bounded.

use std::{
    convert::Infallible,
    future::{Future, pending},
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body};
use http::Request;
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
};
use tower::ServiceExt;

use super::stall::Stalling;
use crate::{access::principal::Peer, events::MAX_CONSUMERS, tls::Acceptor};

/// Connections at once, beside those that carry events; over TCP and over the socket apart. Further ones wait in the
/// kernel's queue.
const MAX_CONNECTIONS: usize = 1024;

/// What a connection that carries events has to end in order once the process stops. Events end at once; only a listener
/// that does not read takes longer.
const LAST_EVENTS: Duration = Duration::from_millis(500);

/// Time for a request's header section, and before it for the handshake of TLS.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// Time in which a caller must take something of its answer.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Pause after a failed accept: out of files, for one, is not over at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Says of a connection that what it carries has no end of its own.
#[derive(Clone, Debug, Default)]
pub(super) struct Lasting(Arc<AtomicBool>);

impl Lasting {
    /// Says it.
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Returns when the process stops and a connection of which it was said had its time.
    async fn overdue(&self, mut stop: watch::Receiver<bool>) {
        // Whoever could say stop is gone only when all is over.
        let _ = stop.wait_for(|stop| *stop).await;
        tokio::time::sleep(LAST_EVENTS).await;
        if !self.0.load(Ordering::Relaxed) {
            pending().await
        }
    }
}

/// Where connections come in.
#[derive(Debug)]
pub(crate) enum Door {
    /// The admin port.
    Port(TcpListener, Option<Acceptor>),
    /// The unix socket.
    Socket(UnixListener),
}

/// A connection that came in.
enum Caller {
    Remote(TcpStream, Peer),
    Secured(TcpStream, Peer, Acceptor),
    Local(UnixStream, Peer),
}

/// Serves `router` at `door` until `stop` says so; then finishes the requests under way.
///
/// # Cancel safety
/// Dropping this closes every connection.
pub(crate) async fn run(door: Door, router: Router, mut stop: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS + MAX_CONSUMERS));
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    let stopped = stop.clone();
    loop {
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            Some(_) = connections.join_next() => {}
            accepted = accept(&door, &places) => {
                if let Some((caller, place)) = accepted {
                    let connection = converse(caller, router.clone(), graceful.watcher(), stopped.clone());
                    connections.spawn(async move {
                        let _place = place;
                        connection.await;
                    });
                }
            }
        }
    }
    drop(door);
    graceful.shutdown().await;
    while connections.join_next().await.is_some() {}
}

async fn accept(door: &Door, places: &Arc<Semaphore>) -> Option<(Caller, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    match door.accept().await {
        Ok(caller) => Some((caller, place)),
        Err(error) => {
            tracing::warn!(%error, "the admin port could not accept a connection");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

impl Door {
    async fn accept(&self) -> io::Result<Caller> {
        match self {
            Self::Port(listener, acceptor) => {
                let (stream, remote) = listener.accept().await?;
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "an admin connection was gone before it was served");
                }
                let peer = Peer::Tcp { remote: Some(remote), certificate: None };
                Ok(match acceptor {
                    Some(acceptor) => Caller::Secured(stream, peer, acceptor.clone()),
                    None => Caller::Remote(stream, peer),
                })
            }
            Self::Socket(listener) => {
                let (stream, _) = listener.accept().await?;
                let uid = stream.peer_cred()?.uid();
                Ok(Caller::Local(stream, Peer::Unix { uid }))
            }
        }
    }
}

async fn converse(caller: Caller, router: Router, watcher: Watcher, stop: watch::Receiver<bool>) {
    match caller {
        Caller::Remote(stream, peer) => serve(stream, peer, router, watcher, stop).await,
        Caller::Local(stream, peer) => serve(stream, peer, router, watcher, stop).await,
        Caller::Secured(stream, Peer::Tcp { remote, .. }, acceptor) => {
            match tokio::time::timeout(HEADER_TIMEOUT, acceptor.accept(stream)).await {
                Ok(Ok((stream, certificate))) => {
                    serve(stream, Peer::Tcp { remote, certificate }, router, watcher, stop).await;
                }
                Ok(Err(error)) => tracing::debug!(%error, "an admin connection could not be secured"),
                Err(_) => tracing::debug!("an admin connection was not secured in time"),
            }
        }
        Caller::Secured(_, Peer::Unix { .. }, _) => {}
    }
}

fn serve<S>(
    stream: S,
    peer: Peer,
    router: Router,
    watcher: Watcher,
    stop: watch::Receiver<bool>,
) -> impl Future<Output = ()> + Send
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let lasting = Lasting::default();
    let given = lasting.clone();
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        let router = router.clone();
        request.extensions_mut().insert(given.clone());
        request.extensions_mut().insert(peer.clone());
        async move {
            Ok::<_, Infallible>(
                router.oneshot(request.map(Body::new)).await.unwrap_or_else(|error| match error {}),
            )
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(Stalling::new(stream, STALL_TIMEOUT)), service);
    let connection = watcher.watch(connection);
    async move {
        tokio::select! {
            ended = connection => if let Err(error) = ended {
                // How a caller's connection ends is the caller's business.
                tracing::debug!(%error, "an admin connection ended with an error");
            },
            () = lasting.overdue(stop) => tracing::debug!("a listener did not read its last events"),
        }
    }
}
