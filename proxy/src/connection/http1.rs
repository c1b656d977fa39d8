//! Serves HTTP/1 on one connection.

use std::{future::poll_fn, pin::Pin, rc::Rc, task::Poll, time::Duration};

use http::StatusCode;
use hyper::{
    body::{Body, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use super::{Client, OpenTunnel, client::Phase, io::ClientIo};
use crate::{error::ProxyError, exchange::ExchangeGuard, pipeline, problem, stream::ClientStream};

/// hyper's own limit on fields when none is set; setting one costs an allocation per request.
const HYPER_MAX_HEADERS: u32 = 100;
/// Longest target hyper takes in.
const MAX_TARGET: usize = 64 * 1024;
/// Read buffer of one connection at most. Heads have a limit of their own below it.
const MAX_BUFFER: usize = 128 * 1024;
/// How long a last answer may take to be read by a client that is still sending (RFC 9112 §9.6).
const LINGER: Duration = Duration::from_secs(2);

/// Why a connection is ended before hyper ends it.
enum Ended {
    /// By hyper: closed by either side, or the answer that switches protocols is sent.
    Done,
    /// By hyper: broken.
    Broken,
    /// Nothing came in time, or nothing is taken off in time.
    Idle,
    /// A head began and did not end in time.
    HeadTimeout,
}

fn builder(client: &Client) -> http1::Builder {
    let (max_header_bytes, max_headers) = {
        let settings = client.listener.settings();
        (settings.spec.max_header_bytes, settings.spec.max_headers)
    };
    let mut builder = http1::Builder::new();
    // Only what is far beyond both limits is cut off here; the target and the fields each have a check, and an answer, of
    // their own.
    let largest_head = MAX_TARGET + to_usize(max_header_bytes);
    builder.max_header_size(largest_head);
    builder.max_buf_size(MAX_BUFFER.max(largest_head + 8192));
    // A client that has sent its request may close its sending side and still wait for the answer.
    builder.half_close(true);
    if max_headers != HYPER_MAX_HEADERS {
        builder.max_headers(to_usize(max_headers));
    }
    builder
}

/// Serves requests until the connection ends.
pub(super) async fn serve(client: Rc<Client>, stream: ClientStream) {
    let service = service_fn(|request: http::Request<Incoming>| {
        client.head_ended(request.body().size_hint().exact());
        let guard = ExchangeGuard::begin(&client);
        // Boxed, so that a connection at rest keeps no room for a request, and the library moves a pointer around instead of
        // all that a request may need.
        Box::pin(pipeline::handle(guard, request))
    });
    let io = TokioIo::new(ClientIo::new(stream, Rc::clone(&client)));
    let mut connection = Box::pin(builder(&client).serve_connection(io, service));
    let mut told_to_close = false;
    let ended = poll_fn(|cx| {
        if client.is_past_grace() && client.phase() == Phase::Idle && !told_to_close {
            told_to_close = true;
            connection.as_mut().graceful_shutdown();
        }
        if let Poll::Ready(result) = connection.as_mut().poll(cx) {
            return Poll::Ready(if result.is_ok() { Ended::Done } else { Ended::Broken });
        }
        if client.deadline.poll(cx).is_pending() {
            return Poll::Pending;
        }
        match client.phase() {
            Phase::Head if client.is_flushed() => Poll::Ready(Ended::HeadTimeout),
            // An answer would be taken for a part of the response that is not taken off yet.
            Phase::Head | Phase::Idle => Poll::Ready(Ended::Idle),
            Phase::Exchange if client.is_watch_due() => {
                // Part of an earlier response waits to be written: writing tells of a client that has gone.
                client.watch();
                client.deadline.poll(cx).map(|()| Ended::Done)
            }
            Phase::Exchange => {
                client.worker.listener().client_timeouts.add(1);
                Poll::Ready(Ended::Idle)
            }
        }
    })
    .await;
    match ended {
        Ended::Done => {
            if let Some(switched) = client.take_switched() {
                let tunnel = OpenTunnel::count(&client);
                let parts = Pin::into_inner(connection).into_parts();
                let stream = parts.io.into_inner().stream;
                // Boxed, so that no other connection keeps room for it.
                Box::pin(switched.carry(tunnel, stream, parts.read_buf)).await;
            }
        }
        Ended::Broken | Ended::Idle => drop(client.take_switched()),
        Ended::HeadTimeout => {
            client.worker.listener().client_timeouts.add(1);
            let connection = Pin::into_inner(connection);
            answer_last(connection.into_parts().io.into_inner().stream).await;
        }
    }
}

/// Answers 408 to a head that did not arrive in time, and closes without resetting what the client is still sending.
async fn answer_last(mut stream: ClientStream) {
    let answer = problem::raw(StatusCode::REQUEST_TIMEOUT, ProxyError::ClientTimeout);
    let send_and_drain = async {
        stream.write_all(&answer).await?;
        stream.shutdown().await?;
        let mut rest = [0; 1024];
        while stream.read(&mut rest).await? > 0 {}
        Ok::<_, std::io::Error>(())
    };
    // However it ends, the connection is over.
    let _ = timeout(LINGER, send_and_drain).await;
}

fn to_usize(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
