//! One client connection: which protocol it speaks, and serving it until it ends.

mod allowance;
mod client;
mod client_body;
mod frames;
mod http1;
mod http2;
mod http2_io;
mod preface;
mod tcp;
mod tls;
mod tunnel;

use std::{future::poll_fn, net::SocketAddr, pin::pin, rc::Rc, sync::Arc, task::Poll};

use bytes::BytesMut;
pub(crate) use client::Client;
pub(crate) use client_body::ClientBody;
pub(crate) use http1::Scratch;
pub(crate) use tls::Secured;
pub(crate) use tunnel::{OpenTunnel, StreamEnd};
use weir_shared::model::{AlpnProtocol, ListenerProtocol};

use crate::{
    listener::{Handle, Seat},
    proxy_header,
    stream::ClientStream,
    worker::Worker,
};

/// Who is at the ends of a client's connection, as far as is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    /// The client. That of a unix socket is 127.0.0.1 and has port 0.
    pub(crate) peer: SocketAddr,
    /// What it connected to; `None` for a unix socket.
    pub(crate) local: Option<SocketAddr>,
}

/// Serves `stream` on a task of its own, which ends with the connection and then gives its `seat` back.
pub(crate) fn spawn(worker: &Rc<Worker>, handle: &Rc<Handle>, stream: ClientStream, ends: Ends, seat: Seat) {
    let open = Open::count(worker, handle, seat);
    // Owned by the worker's local set, which ends with the worker.
    tokio::task::spawn_local(async move {
        let (worker, handle) = (Rc::clone(&open.worker), Rc::clone(&open.handle));
        let mut serving = pin!(serve(worker, Rc::clone(&handle), stream, ends));
        // Asked afterwards: whoever can has then told its client that this is no end in order.
        poll_fn(|cx| {
            let served = serving.as_mut().poll(cx);
            if handle.is_over() || open.worker.is_over() { Poll::Ready(()) } else { served }
        })
        .await;
    });
}

/// Waits for `future`, or answers `None` when what is under way is broken off first.
async fn unless_over<F: Future>(worker: &Worker, handle: &Handle, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        if handle.is_over() || worker.is_over() {
            Poll::Ready(None)
        } else {
            future.as_mut().poll(cx).map(Some)
        }
    })
    .await
}

async fn serve(worker: Rc<Worker>, handle: Rc<Handle>, mut stream: ClientStream, own: Ends) {
    let Some(ends) = proxy_header::receive(&worker, &handle, &mut stream, own).await else {
        return;
    };
    let protocol = handle.settings().spec.protocol;
    if protocol == ListenerProtocol::Tcp {
        // Boxed, as whatever else follows, so that no connection keeps room for what another one needs.
        return Box::pin(tcp::serve(&worker, &handle, stream, ends)).await;
    }
    let client = Rc::new(Client::new(&worker, &handle, ends));
    if protocol == ListenerProtocol::Https {
        return match Box::pin(secure(&client, stream)).await {
            Some((AlpnProtocol::H2, stream)) => Box::pin(http2::serve(client, stream, BytesMut::new())).await,
            Some((AlpnProtocol::Http11, stream)) => http1::serve(client, stream, BytesMut::new()).await,
            None => {}
        };
    }
    let Some((protocol, input)) = preface::detect(&client, &mut stream).await else { return };
    match protocol {
        preface::Protocol::Http2 if handle.settings().spec.http2 => {
            Box::pin(http2::serve(client, stream, input)).await
        }
        // Without HTTP/2 its preface is a malformed request.
        preface::Protocol::Http1 | preface::Protocol::Http2 => http1::serve(client, stream, input).await,
    }
}

/// Makes the handshake, with the certificates in force now. Answers what was agreed on.
async fn secure(client: &Rc<Client>, stream: ClientStream) -> Option<(AlpnProtocol, ClientStream)> {
    let (worker, handle) = (&client.worker, &client.listener);
    let in_force = worker.table().0.listener(handle.id.as_str()).and_then(|listener| listener.tls.clone());
    // A listener that was just deleted has settings of its own left.
    let settings = in_force.or_else(|| handle.settings().tls.clone())?;
    let state = Arc::clone(&handle.settings().state);
    let counters = &state.counters.of(worker.id).tls;
    let (stream, secured) = tls::handshake(client, &settings, stream, counters).await?;
    let protocol = secured.protocol();
    client.secure(secured);
    Some((protocol, ClientStream::Tls(Box::new(stream))))
}

/// Counts a connection while it is open, however it ends.
struct Open {
    worker: Rc<Worker>,
    handle: Rc<Handle>,
    /// Given back after the worker has heard of it: whoever waits for a place looks later than that.
    _seat: Seat,
}

impl Open {
    fn count(worker: &Rc<Worker>, handle: &Rc<Handle>, seat: Seat) -> Self {
        worker.connection_opened();
        handle.count(worker, |counters| {
            counters.connections_accepted.add(1);
            counters.connections_active.add(1);
        });
        Self { worker: Rc::clone(worker), handle: Rc::clone(handle), _seat: seat }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.worker.listener().panics.add(1);
        }
        self.handle.count(&self.worker, |counters| counters.connections_active.sub(1));
        self.worker.connection_closed();
    }
}
