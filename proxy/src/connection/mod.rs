//! One client connection: which protocol it speaks, and serving it until it ends.

mod arrival;
mod client;
mod http1;
mod http2;
mod io;
mod preface;

use std::{net::SocketAddr, rc::Rc};

pub(crate) use arrival::Changed;
pub(crate) use client::Client;
use tokio::net::TcpStream;

use crate::{places::Place, worker::Worker};

/// Serves `stream` on a task of its own, which ends with the connection and then gives `place` back.
pub(crate) fn spawn(worker: &Rc<Worker>, stream: TcpStream, peer: SocketAddr, place: Place) {
    let open = Open::count(worker, place);
    // Owned by the worker's local set, which ends with the worker.
    tokio::task::spawn_local(async move {
        let worker = Rc::clone(&open.worker);
        // Best effort: a socket that cannot turn Nagle's algorithm off still works.
        let _ = stream.set_nodelay(true);
        let client = Rc::new(Client::new(&worker, peer.ip().to_canonical()));
        match preface::detect(&client, &stream).await {
            preface::Protocol::Http1 => http1::serve(client, stream).await,
            preface::Protocol::Http2 => http2::serve(client, stream).await,
            preface::Protocol::Closed => {}
        }
    });
}

/// Counts a connection while it is open, however it ends.
struct Open {
    worker: Rc<Worker>,
    /// Given back after the worker has heard of it: whoever waits for a place looks later than that.
    _place: Place,
}

impl Open {
    fn count(worker: &Rc<Worker>, place: Place) -> Self {
        worker.connection_opened();
        Self { worker: Rc::clone(worker), _place: place }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.worker.listener().panics.add(1);
        }
        self.worker.connection_closed();
    }
}
