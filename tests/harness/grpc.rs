//! A server of the gRPC health protocol, over HTTP/2 without TLS, whose service can be told to stop serving.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};
use std::thread::{self, JoinHandle};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::oneshot;

/// What a server says of its service, with the number of the protocol.
#[derive(Clone, Copy, Debug)]
pub enum Serving {
    /// It can be used.
    Yes = 1,
    /// It cannot.
    No = 2,
}

/// A server that runs until it is dropped.
#[derive(Debug)]
pub struct HealthServer {
    address: SocketAddr,
    said: Arc<AtomicU8>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl HealthServer {
    /// A server that has one `service`, which is serving.
    ///
    /// # Panics
    /// When there is no port or no thread to be had.
    pub fn start(service: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let said = Arc::new(AtomicU8::new(Serving::Yes as u8));
        let saying = Arc::clone(&said);
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                tokio::select! {
                    () = accept(listener, service, saying) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { address, said, stop: Some(stop), thread: Some(thread) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Has it say this from now on.
    pub fn say(&self, serving: Serving) {
        self.said.store(serving as u8, Ordering::SeqCst);
    }
}

impl Drop for HealthServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported already.
            let _ = thread.join();
        }
    }
}

async fn accept(listener: tokio::net::TcpListener, service: &'static str, said: Arc<AtomicU8>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let said = Arc::clone(&said);
        let answer = service_fn(move |request| answer(request, service, said.load(Ordering::SeqCst)));
        let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        connections.spawn(server.serve_connection(TokioIo::new(stream), answer));
    }
}

type Answer = Response<http_body_util::combinators::UnsyncBoxBody<Bytes, Infallible>>;

async fn answer(request: Request<Incoming>, service: &'static str, said: u8) -> Result<Answer, hyper::Error> {
    let is_health = request.uri().path() == "/grpc.health.v1.Health/Check";
    let message = request.into_body().collect().await?.to_bytes();
    // Five bytes of prefix, then field 1 as tag, length and text.
    let asked = message.get(7..).unwrap_or_default();
    let (status, body) = match (is_health, asked == service.as_bytes()) {
        (false, _) => ("12", Bytes::new()),
        (true, false) => ("5", Bytes::new()),
        (true, true) => ("0", Bytes::from(vec![0, 0, 0, 0, 2, 8, said])),
    };
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static(status));
    let body = Full::new(body).with_trailers(async { Some(Ok(trailers)) }).boxed_unsync();
    let mut response = Response::new(body);
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    Ok(response)
}
