//! Accepting connections.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    rc::Rc,
    time::Duration,
};

use http::StatusCode;
use tokio::{
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    time::{Instant, sleep},
};

use super::{
    Handle, Place, WorkerSocket,
    handle::{Done, Stop},
};
use crate::{
    connection::{self, Ends},
    error::ProxyError,
    problem,
    stream::{ClientStream, UnixClient},
    worker::Worker,
};

/// Pause after a failed accept: out of files or memory, which an immediate retry would only turn into a spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Least time between two log lines about failed accepts.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// A worker's socket at work.
#[derive(Debug)]
pub(crate) enum Acceptor {
    /// The address is what every client connects to; `None`: it may be any of the system's.
    Tcp(TcpListener, Option<SocketAddr>),
    Unix(UnixListener),
}

/// A connection's places: among all of the process's, and among the listener's.
#[derive(Debug)]
pub(crate) struct Seat {
    _process: Place,
    _listener: Place,
}

impl Acceptor {
    /// Registers `socket` with the runtime of this thread.
    pub(crate) fn new(socket: WorkerSocket) -> io::Result<Self> {
        Ok(match socket {
            WorkerSocket::Tcp(socket) => {
                let address = socket.local_addr()?;
                Self::Tcp(
                    TcpListener::from_std(socket)?,
                    Some(address).filter(|address| !address.ip().is_unspecified()),
                )
            }
            WorkerSocket::Unix(socket) => Self::Unix(UnixListener::from_std(socket)?),
        })
    }

    /// Starts accepting for `handle`. The loop that did so before is asked to stop; `done` is dropped when it has.
    pub(crate) fn start(self, worker: &Rc<Worker>, handle: &Rc<Handle>, done: Done) {
        let stop = Rc::new(Stop::default());
        if let Some(before) = handle.accept_until(Rc::clone(&stop)) {
            before.ask(done);
        }
        // Owned by the worker's local set, which ends with the worker.
        tokio::task::spawn_local(self.run(Rc::clone(worker), Rc::clone(handle), stop));
    }

    /// Accepts connections until it is told to stop, or the process drains; then whatever is already waiting, so that no
    /// client is reset.
    async fn run(self, worker: Rc<Worker>, handle: Rc<Handle>, stop: Rc<Stop>) {
        let mut last_logged: Option<Instant> = None;
        while let Some(Some(accepted)) = worker.until_drained(stop.unless_asked(self.accept())).await {
            match accepted {
                Ok((stream, ends)) => {
                    if worker.is_short_of_memory() {
                        shed(&worker, &stream);
                        continue;
                    }
                    // Waits with the connection in hand: whether there is room is only known when one comes. Further ones
                    // wait in the kernel's queue.
                    let seat = seat(&worker, &handle, &stop).await;
                    connection::spawn(&worker, &handle, stream, ends, seat);
                }
                Err(error) => {
                    worker.listener().accept_errors.add(1);
                    handle.count(&worker, |counters| counters.accept_errors.add(1));
                    if last_logged.is_none_or(|at| at.elapsed() > LOG_INTERVAL) {
                        last_logged = Some(Instant::now());
                        tracing::warn!(%error, listener = %handle.id, "cannot accept connections");
                    }
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        // These only learn that the listener ends: no limit makes them wait for that.
        while let Ok((stream, ends)) = self.accept_waiting() {
            let process = worker.places().take_beyond_limit();
            let seat = Seat { _process: process, _listener: handle.places.take_beyond_limit() };
            connection::spawn(&worker, &handle, stream, ends, seat);
        }
        // The socket is closed before those are told who wait for it, whichever order the fields would be dropped in.
        drop(self);
        drop(stop);
    }

    async fn accept(&self) -> io::Result<(ClientStream, Ends)> {
        match self {
            Self::Tcp(socket, address) => {
                let (stream, peer) = socket.accept().await?;
                Ok(tcp(stream, peer, *address))
            }
            Self::Unix(socket) => Ok(unix(socket.accept().await?.0)),
        }
    }

    /// A connection that waits already, asked of the kernel and not of the runtime, which may not have heard of it.
    fn accept_waiting(&self) -> io::Result<(ClientStream, Ends)> {
        match self {
            Self::Tcp(socket, address) => {
                let (stream, peer) = socket2::SockRef::from(socket).accept()?;
                stream.set_nonblocking(true)?;
                let peer = peer.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
                Ok(tcp(TcpStream::from_std(stream.into())?, peer, *address))
            }
            Self::Unix(socket) => {
                let (stream, _) = socket2::SockRef::from(socket).accept()?;
                stream.set_nonblocking(true)?;
                Ok(unix(UnixStream::from_std(stream.into())?))
            }
        }
    }
}

/// A connection of `peer` to `address`, or where the system says if that may be any.
fn tcp(stream: TcpStream, peer: SocketAddr, address: Option<SocketAddr>) -> (ClientStream, Ends) {
    let local = address.or_else(|| stream.local_addr().ok());
    (ClientStream::Tcp(stream), Ends { peer, local })
}

fn unix(stream: UnixStream) -> (ClientStream, Ends) {
    let unnamed = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    (ClientStream::Unix(UnixClient::new(stream)), Ends { peer: unnamed, local: None })
}

/// A place for one more connection of `handle`. Waits while there is none; when the listener or the process ends, the limits
/// no longer hold.
async fn seat(worker: &Worker, handle: &Handle, stop: &Stop) -> Seat {
    loop {
        if let Some(listener) = handle.places.take()
            && let Some(process) = worker.places().take()
        {
            return Seat { _process: process, _listener: listener };
        }
        if worker.is_draining() || stop.is_asked() {
            let process = worker.places().take_beyond_limit();
            return Seat { _process: process, _listener: handle.places.take_beyond_limit() };
        }
        worker.room().await;
    }
}

/// Refuses a connection with an answer that its first request would get. What it sends is not read: there is no memory for
/// it.
fn shed(worker: &Worker, stream: &ClientStream) {
    worker.listener().connections_shed.add(1);
    // A new connection has room for a few bytes; if not, its end tells enough.
    let _ = stream.try_write(&problem::raw(StatusCode::SERVICE_UNAVAILABLE, ProxyError::Exhausted));
}
