//! The server of gRPC the benchmark puts behind every proxy: every call is answered with one message, rendered in advance.
//!
//! One thread, HTTP/2 without TLS by prior knowledge. `bench-grpc-origin PORT` listens on 127.0.0.1.

use std::{
    error::Error,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use bytes::Bytes;
use h2::{RecvStream, server::SendResponse};
use http::{HeaderMap, HeaderValue, Request, Response};
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinSet, LocalSet, spawn_local},
};

/// Streams that a proxy may have open at once on one connection.
const STREAMS: u32 = 1024;
/// Bytes of an answer, its prefix of five among them.
const ANSWER_BYTES: usize = 1024;
/// Pause after a failed accept: out of descriptors, an immediate retry would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

fn main() -> Result<(), Box<dyn Error>> {
    let port: u16 = std::env::args().nth(1).ok_or("usage: bench-grpc-origin PORT")?.parse()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
        let mut connections = JoinSet::new();
        loop {
            match listener.accept().await {
                // A proxy that goes away in the middle of a call ends its connection: nothing to report.
                Ok((stream, _)) => drop(connections.spawn_local(async move { serve(stream).await.is_ok() })),
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
            while connections.try_join_next().is_some() {}
        }
    })
}

async fn serve(stream: TcpStream) -> Result<(), h2::Error> {
    // Best effort: a socket that cannot turn Nagle's algorithm off still works.
    let _ = stream.set_nodelay(true);
    let answer = message();
    let mut connection =
        h2::server::Builder::new().max_concurrent_streams(STREAMS).handshake::<_, Bytes>(stream).await?;
    while let Some(call) = connection.accept().await {
        let (request, respond) = call?;
        let answer = answer.clone();
        // Ends with its stream.
        spawn_local(async move { reply(request, respond, answer).await.is_ok() });
    }
    Ok(())
}

async fn reply(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    answer: Bytes,
) -> Result<(), h2::Error> {
    let mut body = request.into_body();
    while let Some(data) = body.data().await {
        let length = data?.len();
        body.flow_control().release_capacity(length)?;
    }
    let mut head = Response::new(());
    head.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    let mut stream = respond.send_response(head, false)?;
    stream.send_data(answer, false)?;
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    stream.send_trailers(trailers)
}

fn message() -> Bytes {
    let mut message = vec![0];
    message.extend(u32::try_from(ANSWER_BYTES - 5).unwrap_or(0).to_be_bytes());
    message.resize(ANSWER_BYTES, b'x');
    Bytes::from(message)
}
