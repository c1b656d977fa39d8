//! A client of HTTP/2 with prior knowledge: one connection, so that one worker serves all of its requests.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, Version, response};
use http_body_util::{BodyExt, combinators::BoxBody};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::http2_origin::Parts;

/// A response, whole.
#[derive(Debug)]
pub struct Answer {
    /// Its head.
    pub head: response::Parts,
    /// Its content.
    pub body: Bytes,
    /// What came after the content.
    pub trailers: Option<HeaderMap>,
}

impl Answer {
    /// A field of the head or a trailer, as text.
    ///
    /// # Panics
    /// When there is none.
    pub fn said(&self, name: &str) -> &str {
        let trailer = self.trailers.as_ref().and_then(|trailers| trailers.get(name));
        let value = self.head.headers.get(name).or(trailer);
        value.unwrap_or_else(|| panic!("no {name} in {self:?}")).to_str().unwrap()
    }
}

/// A connection.
#[derive(Debug)]
pub struct Http2Client {
    sender: SendRequest<BoxBody<Bytes, std::convert::Infallible>>,
    _driver: JoinSet<()>,
}

impl Http2Client {
    /// Connects.
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let settings = Builder::new(TokioExecutor::new());
        let (sender, connection) = settings.handshake(TokioIo::new(stream)).await.unwrap();
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            // The connection ends with the test.
            let _ = connection.await;
        });
        Self { sender, _driver: driver }
    }

    /// Sends a request and waits for the head of its response.
    ///
    /// # Errors
    /// The stream or the connection ended before.
    pub async fn begin(&self, request: Request<Parts>) -> hyper::Result<Response<Incoming>> {
        let request = request.map(|body| body.boxed());
        self.sender.clone().send_request(request).await
    }

    /// Sends a request and reads the whole of its response.
    ///
    /// # Errors
    /// The stream or the connection ended before.
    pub async fn send(&self, request: Request<Parts>) -> hyper::Result<Answer> {
        let (head, body) = self.begin(request).await?.into_parts();
        let body = body.collect().await?;
        let trailers = body.trailers().cloned();
        Ok(Answer { head, body: body.to_bytes(), trailers })
    }
}

/// A request for `path` of `shop.test`.
pub fn request(method: &str, path: &str, body: &'static str) -> Request<Parts> {
    let uri = format!("http://shop.test{path}");
    let body = if body.is_empty() { Parts::default() } else { Parts::of(body) };
    Request::builder().method(method).uri(uri).version(Version::HTTP_2).body(body).unwrap()
}

/// Runs `test` to its end.
pub fn block_on<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}
