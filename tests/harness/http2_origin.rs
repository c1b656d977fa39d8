//! A server of HTTP/2 without TLS that keeps what it was asked and answers by script.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::thread::{self, JoinHandle};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, request};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::oneshot;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its head.
    pub head: Arc<request::Parts>,
    /// Its content.
    pub body: Bytes,
    /// What came after the content.
    pub trailers: Option<HeaderMap>,
    /// The connection it came on, from 0.
    pub connection: usize,
}

/// A body of parts, all at hand.
#[derive(Debug, Default)]
pub struct Parts(VecDeque<Frame<Bytes>>);

impl Parts {
    /// This content, and nothing after it.
    pub fn of(content: impl Into<Bytes>) -> Self {
        Self([Frame::data(content.into())].into())
    }

    /// With these trailers after it.
    #[must_use]
    pub fn then(mut self, trailers: HeaderMap) -> Self {
        self.0.push_back(Frame::trailers(trailers));
        self
    }
}

impl Body for Parts {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }
}

type Script = dyn Fn(&Seen) -> Response<Parts> + Send + Sync;

/// A server that runs until it is dropped.
#[derive(Debug)]
pub struct Http2Origin {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Http2Origin {
    /// A server that answers every request with 200 and its own `name`.
    pub fn named(name: &'static str) -> Self {
        Self::script(move |_| Response::new(Parts::of(name)))
    }

    /// A server that reads each request to its end and answers by `script`.
    pub fn script(script: impl Fn(&Seen) -> Response<Parts> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let (kept, script) = (Arc::clone(&seen), Arc::new(script));
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                tokio::select! {
                    () = accept(listener, script, kept) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { address, seen, stop: Some(stop), thread: Some(thread) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Every request so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The only request so far.
    pub fn only(&self) -> Seen {
        let seen = self.seen();
        assert_eq!(seen.len(), 1, "one request should have arrived: {seen:?}");
        seen[0].clone()
    }
}

impl Drop for Http2Origin {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported already.
            let _ = thread.join();
        }
    }
}

async fn accept(listener: TcpListener, script: Arc<Script>, seen: Arc<Mutex<Vec<Seen>>>) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    let mut connections = tokio::task::JoinSet::new();
    for connection in 0.. {
        let Ok((stream, _)) = listener.accept().await else { return };
        let (script, seen) = (Arc::clone(&script), Arc::clone(&seen));
        let answer = service_fn(move |request: Request<Incoming>| {
            let (script, seen) = (Arc::clone(&script), Arc::clone(&seen));
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await?;
                let trailers = body.trailers().cloned();
                let one = Seen { head: Arc::new(head), body: body.to_bytes(), trailers, connection };
                seen.lock().unwrap().push(one.clone());
                Ok::<_, hyper::Error>(script(&one))
            }
        });
        let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        connections.spawn(server.serve_connection(TokioIo::new(stream), answer));
    }
}
