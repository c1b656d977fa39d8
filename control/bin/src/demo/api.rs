//! One call of the REST API, as a client makes it.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// The API is in this process and idle: what takes longer is broken.
const PATIENCE: Duration = Duration::from_secs(10);

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
}

/// Sends `document` to `path` and returns the answer, or why there was none.
pub(super) async fn send(
    admin: SocketAddr,
    method: &str,
    path: &str,
    document: &Value,
) -> Result<Answer, String> {
    match tokio::time::timeout(PATIENCE, exchange(admin, method, path, document)).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("the API did not answer in {} s", PATIENCE.as_secs())),
    }
}

async fn exchange(
    admin: SocketAddr,
    method: &str,
    path: &str,
    document: &Value,
) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
    let stream = TcpStream::connect(admin).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, admin.to_string())
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::<Bytes>::from(document.to_string()))?;
    let call = async {
        let response = sender.send_request(request).await?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await?.to_bytes();
        Ok(Answer { status, body: String::from_utf8_lossy(&body).into_owned() })
    };
    let mut call = std::pin::pin!(call);
    tokio::select! {
        answer = &mut call => answer,
        // The connection may be over as soon as the last byte is in; the answer is then complete.
        ended = connection => { ended?; call.await }
    }
}
