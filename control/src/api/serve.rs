//! The admin port: connections in, the router behind them, all of it bounded.

use std::{
    convert::Infallible,
    future::pending,
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
    server::graceful::GracefulShutdown,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
};
use tower::ServiceExt;

use crate::{access::principal::Peer, events::MAX_CONSUMERS};

/// Connections at once, beside those that carry events. Further ones wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 1024;

/// What a connection that carries events has to end in order once the process stops. Events end at once; only a listener
/// that does not read takes longer.
const LAST_EVENTS: Duration = Duration::from_millis(500);

/// Time for a request's header section.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

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

/// Serves `router` on `listener` until `stop` says so; then finishes the requests under way.
///
/// # Cancel safety
/// Dropping this closes every connection.
pub(crate) async fn run(listener: TcpListener, router: Router, mut stop: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS + MAX_CONSUMERS));
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    let stopped = stop.clone();
    loop {
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            Some(_) = connections.join_next() => {}
            accepted = accept(&listener, &places) => {
                if let Some((stream, peer, place)) = accepted {
                    let connection = serve(stream, peer, router.clone(), &graceful, stopped.clone());
                    connections.spawn(async move {
                        let _place = place;
                        connection.await;
                    });
                }
            }
        }
    }
    drop(listener);
    graceful.shutdown().await;
    while connections.join_next().await.is_some() {}
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, Peer, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, remote)) => {
            let peer = Peer::Tcp { remote: Some(remote), certificate: None };
            Some((stream, peer, place))
        }
        Err(error) => {
            tracing::warn!(%error, "the admin port could not accept a connection");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

fn serve(
    stream: TcpStream,
    peer: Peer,
    router: Router,
    graceful: &GracefulShutdown,
    stop: watch::Receiver<bool>,
) -> impl Future<Output = ()> + Send + use<> {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "an admin connection was gone before it was served");
    }
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
        .serve_connection(TokioIo::new(stream), service);
    let connection = graceful.watch(connection);
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
