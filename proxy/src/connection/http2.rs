//! Serves HTTP/2 with prior knowledge on one connection.

use std::{
    cell::Cell, convert::Infallible, error::Error as _, future::poll_fn, pin::pin, rc::Rc, task::Poll,
    time::Duration,
};

use bytes::BytesMut;
use hyper::{body::Incoming, rt::Executor, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};

use super::{Client, ClientBody, client::Phase, http2_io::Http2Io};
use crate::{
    deadline::Deadline, exchange::ExchangeGuard, header::join_cookies, pipeline, stream::ClientStream,
    worker::Worker,
};

/// Streams a client may have open at once (NGINX 128, HAProxy 100).
const MAX_STREAMS: u32 = 128;
/// Flow-control window of one stream: enough for 100 MB/s at 10 ms, little enough for 128 of them.
const STREAM_WINDOW: u32 = 1024 * 1024;
/// Flow-control window of the connection.
const CONNECTION_WINDOW: u32 = 2 * 1024 * 1024;
/// Response bytes buffered for one stream.
const SEND_BUFFER: usize = 256 * 1024;
/// Streams reset by the client before they were served; more end the connection (CVE-2023-44487).
const MAX_PENDING_RESETS: usize = 20;
/// Streams reset or refused by Weir for what is wrong with them, in the life of a connection; more end it (CVE-2025-8671).
/// Clients that have not heard yet how many streams they may open send about a hundred at once.
const MAX_ERROR_RESETS: usize = 256;
/// Time without a frame from the client after which it is asked for a sign of life, and how long it has for it. Long: a
/// client that does not read for a while is a matter of the upstream's `stream_idle_timeout`, not of this.
const SIGN_OF_LIFE: Duration = Duration::from_secs(60);

/// Serves requests until the connection ends. `input` was read already.
pub(super) async fn serve(client: Rc<Client>, stream: ClientStream, input: BytesMut) {
    let max_header_bytes = client.listener.settings().spec.max_header_bytes;
    let executor = LocalExecutor { client: Rc::clone(&client), next: Rc::default() };
    let builder = builder(executor.clone(), max_header_bytes);
    let service = service_fn(|request: http::Request<Incoming>| {
        let stalled = Rc::new(client.worker.deadline());
        executor.next.set(Some(Rc::clone(&stalled)));
        let guard = ExchangeGuard::begin_stream(&client, stalled);
        async move {
            let (mut head, body) = request.into_parts();
            join_cookies(&mut head.headers);
            Ok::<_, Infallible>(pipeline::handle(guard, &head, ClientBody::Http2(body)).await)
        }
    });
    let owed = Rc::new(client.worker.deadline());
    let io = Http2Io::new(stream, input, Rc::clone(&client), Rc::clone(&owed));
    let socket = io.socket();
    let mut connection = Box::pin(builder.serve_connection(TokioIo::new(io), service));
    let mut told_to_close = false;
    poll_fn(|cx| {
        let is_idle_too_long = client.phase() != Phase::Exchange && client.deadline.has_passed();
        let is_over = client.is_draining() || is_idle_too_long;
        if is_over && !told_to_close {
            told_to_close = true;
            if client.phase() != Phase::Exchange {
                // Time for the client to see it, and for streams that cross it to be served.
                client.deadline.set(client.worker.after(client.header_timeout()));
            }
            // GOAWAY: streams under way finish, no new ones are taken (RFC 9113 §6.8).
            connection.as_mut().graceful_shutdown();
        }
        if let Poll::Ready(result) = connection.as_mut().poll(cx) {
            // Answers that were ready before: as many as fit.
            let _ = socket.borrow_mut().poll_send(cx);
            let is_flood = result.is_err_and(|error| is_flood(&error));
            client.worker.listener().floods.add(u64::from(is_flood));
            return Poll::Ready(());
        }
        if matches!(socket.borrow_mut().poll_send(cx), Poll::Ready(Err(_))) {
            return Poll::Ready(());
        }
        if owed.poll(cx).is_ready() {
            client.worker.listener().client_timeouts.add(1);
            return Poll::Ready(());
        }
        // Registers for the sweep. A peer that does not end the connection after GOAWAY is cut off at the next deadline.
        match client.deadline.poll(cx) {
            Poll::Ready(()) if client.phase() != Phase::Exchange && told_to_close => Poll::Ready(()),
            Poll::Ready(()) => {
                // Streams have deadlines of their own; this one is for a connection without any.
                client.deadline.clear();
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Pending => Poll::Pending,
        }
    })
    .await;
}

/// The library with our settings.
fn builder(executor: LocalExecutor, max_header_bytes: u32) -> http2::Builder<LocalExecutor> {
    let mut builder = http2::Builder::new(executor);
    builder
        .timer(TokioTimer::new())
        .enable_connect_protocol()
        .keep_alive_interval(SIGN_OF_LIFE)
        .keep_alive_timeout(SIGN_OF_LIFE)
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(max_header_bytes)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(MAX_ERROR_RESETS);
    builder
}

/// Whether the library has ended the connection for what the client did in excess.
fn is_flood(error: &hyper::Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<h2::Error>());
    cause.and_then(h2::Error::reason) == Some(h2::Reason::ENHANCE_YOUR_CALM)
}

/// Counts a stream ended by a fault of ours. The connection and its other streams go on.
struct Faults(Rc<Worker>);

impl Drop for Faults {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.listener().panics.add(1);
        }
    }
}

/// Runs hyper's stream tasks on this worker, each with the deadline of its exchange.
///
/// While hyper waits for the client to open a stream's window it polls neither the response body nor anything else of
/// ours, so the deadline has to be watched from outside the stream.
#[derive(Clone)]
struct LocalExecutor {
    client: Rc<Client>,
    /// The deadline of the exchange begun last: hyper hands over a stream's task right after it has called the service.
    next: Rc<Cell<Option<Rc<Deadline>>>>,
}

impl<F: Future<Output = ()> + 'static> Executor<F> for LocalExecutor {
    fn execute(&self, stream: F) {
        let (worker, deadline) = (Rc::clone(&self.client.worker), self.next.take());
        // The same for a stream that has become a connection: its task comes right after its answer.
        let end = self.client.take_opening();
        // Ends with its stream, or with the worker's local set.
        tokio::task::spawn_local(async move {
            let worker = Faults(worker);
            let mut stream = pin!(stream);
            poll_fn(|cx| {
                // Dropped before it has ended, a stream is reset.
                let is_broken = end.as_ref().is_some_and(|end| end.is_broken());
                if is_broken || stream.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(());
                }
                let Some(deadline) = &deadline else { return Poll::Pending };
                if deadline.poll(cx).is_pending() {
                    return Poll::Pending;
                }
                worker.0.listener().client_timeouts.add(1);
                Poll::Ready(())
            })
            .await;
        });
    }
}
