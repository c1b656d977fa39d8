//! A small HTTP server for one demo character.

use std::{
    convert::Infallible,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Request, Response, StatusCode, body::Incoming, header, server::conn::http1, service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use super::character::{Character, HEALTH_PATH};

/// Connections served at once; the proxy's pools stay far below, further ones wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 1024;

/// A bound demo server.
#[derive(Debug)]
pub(super) struct DemoServer {
    character: Character,
    listener: TcpListener,
    address: SocketAddr,
    requests: Arc<AtomicU64>,
}

impl DemoServer {
    /// Binds it to a free port of loopback.
    ///
    /// # Errors
    /// When the operating system has no port to give.
    pub(super) async fn bind(character: Character) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        Ok(Self { character, listener, address, requests: Arc::default() })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until dropped.
    pub(super) async fn serve(self) {
        let mut connections = JoinSet::new();
        loop {
            while connections.len() >= MAX_CONNECTIONS {
                connections.join_next().await;
            }
            tokio::select! {
                // A connection that broke before it was accepted is its client's to repeat.
                Ok((stream, _)) = self.listener.accept() => {
                    connections.spawn(connection(self.character, stream, Arc::clone(&self.requests)));
                }
                Some(_) = connections.join_next() => {}
                else => tokio::task::yield_now().await,
            }
        }
    }
}

async fn connection(character: Character, stream: TcpStream, requests: Arc<AtomicU64>) {
    let service = service_fn(move |request| {
        let requests = Arc::clone(&requests);
        async move { Ok::<_, Infallible>(answer(character, &request, &requests).await) }
    });
    // The other side closing early is how these connections end.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(
    character: Character,
    request: &Request<Incoming>,
    requests: &AtomicU64,
) -> Response<Full<Bytes>> {
    let name = character.id();
    let reaction = character.reaction(requests.fetch_add(1, Ordering::Relaxed));
    if request.uri().path() != HEALTH_PATH {
        tokio::time::sleep(reaction.delay).await;
    }
    if reaction.status == 200 {
        text(StatusCode::OK, format!("hello from {name}\n"))
    } else {
        text(StatusCode::INTERNAL_SERVER_ERROR, format!("{name} failed on purpose\n"))
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
