//! A server behind Weir that speaks HTTP/1.1 and HTTP/2 over TLS, as was agreed on, and says which. It knows gRPC's health
//! protocol, and WebSockets as far as switching to them.

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;
use weir_tests::switcher::websocket_accept;

use crate::pki::Identity;

/// The server. Dropping it ends it.
pub(crate) struct Speaker {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    /// What it takes of what it is offered.
    config: Mutex<Arc<ServerConfig>>,
    http1: AtomicUsize,
    http2: AtomicUsize,
}

type Body = UnsyncBoxBody<Bytes, std::convert::Infallible>;

impl Speaker {
    /// Shows `identity`, and takes of what it is offered the first of `alpn`.
    pub(crate) fn start(identity: &Identity, alpn: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Self::on(listener, identity, alpn)
    }

    fn on(listener: TcpListener, identity: &Identity, alpn: &[&str]) -> Self {
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let config = Mutex::new(config(identity, alpn));
        let shared = Arc::new(Shared { config, http1: AtomicUsize::new(0), http2: AtomicUsize::new(0) });
        let (stop, stopped) = oneshot::channel();
        let own = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                tokio::select! {
                    () = accept(listener, own) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { address, shared, stop: Some(stop), thread: Some(thread) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes another of what it is offered on connections from now on.
    pub(crate) fn take(&self, identity: &Identity, alpn: &[&str]) {
        *self.shared.config.lock().unwrap() = config(identity, alpn);
    }

    /// Connections over HTTP/1.1 and over HTTP/2, those of checks included.
    pub(crate) fn connections(&self) -> (usize, usize) {
        (self.shared.http1.load(Ordering::SeqCst), self.shared.http2.load(Ordering::SeqCst))
    }
}

impl Drop for Speaker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported already.
            let _ = thread.join();
        }
    }
}

fn config(identity: &Identity, alpn: &[&str]) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config =
        builder.with_no_client_auth().with_single_cert(vec![identity.chain()], identity.der_key()).unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    config.ignore_client_order = true;
    Arc::new(config)
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(serve(stream, Arc::clone(&shared)));
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let config = Arc::clone(&shared.config.lock().unwrap());
    // Whoever does not like the certificate ends the handshake.
    let Ok(stream) = TlsAcceptor::from(config).accept(stream).await else { return };
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let count = if is_http2 { &shared.http2 } else { &shared.http1 };
    count.fetch_add(1, Ordering::SeqCst);
    let stream = TokioIo::new(stream);
    // A connection that is broken off is no matter of the test's.
    let _ = if is_http2 {
        let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        server.serve_connection(stream, service_fn(answer)).await
    } else {
        let server = hyper::server::conn::http1::Builder::new();
        server.serve_connection(stream, service_fn(answer)).with_upgrades().await
    };
}

async fn answer(request: Request<Incoming>) -> Result<Response<Body>, hyper::Error> {
    if request.uri().path() == "/grpc.health.v1.Health/Check" {
        return Ok(serving());
    }
    if let Some(key) = request.headers().get("sec-websocket-key") {
        return Ok(switching(key));
    }
    let version = if request.version() == Version::HTTP_2 { "h2" } else { "h1" };
    let length = request.into_body().collect().await?.to_bytes().len();
    Ok(Response::new(Full::new(Bytes::from(format!("{version} {length}"))).boxed_unsync()))
}

fn serving() -> Response<Body> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let message = Bytes::from_static(&[0, 0, 0, 0, 2, 8, 1]);
    let body = Full::new(message).with_trailers(async { Some(Ok(trailers)) }).boxed_unsync();
    let mut response = Response::new(body);
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    response
}

fn switching(key: &HeaderValue) -> Response<Body> {
    let mut response = Response::new(Full::default().boxed_unsync());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let accept = websocket_accept(key.to_str().unwrap());
    let headers = response.headers_mut();
    headers.insert("connection", HeaderValue::from_static("upgrade"));
    headers.insert("upgrade", HeaderValue::from_static("websocket"));
    headers.insert("sec-websocket-accept", HeaderValue::try_from(accept).unwrap());
    response
}
