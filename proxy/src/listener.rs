//! Where clients connect: one socket per worker on the same address.
//!
//! With `SO_REUSEPORT` the kernel spreads connections over the workers, so that no worker waits for another to accept.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    rc::Rc,
    time::Duration,
};

use http::StatusCode;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::time::{Instant, sleep};

use crate::{connection, error::ProxyError, problem, worker::Worker};

/// Connections the kernel keeps waiting for one worker. Linux caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;
/// Pause after a failed accept: out of files or memory, which an immediate retry would only turn into a spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Least time between two log lines about failed accepts.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Binds `address` once for each of `workers`. Port 0 takes a free port, the same for all.
///
/// # Errors
/// The address is taken, or may not be bound.
pub(crate) fn bind(address: SocketAddr, workers: usize) -> io::Result<Vec<TcpListener>> {
    if address.port() != 0 {
        // `SO_REUSEPORT` would let a second process of the same user share the port unnoticed, each getting some of the
        // clients; a socket without it cannot.
        open(address)?.bind(&address.into())?;
    }
    let first = listen(address)?;
    let address = first.local_addr()?;
    let mut sockets = vec![first];
    for _ in 1..workers {
        sockets.push(listen(address)?);
    }
    Ok(sockets)
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = open(address)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn open(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // [::] serves IPv4 clients too, whatever the system's default is.
        socket.set_only_v6(false)?;
    }
    Ok(socket)
}

/// Refuses a connection with an answer that its first request would get. What it sends is not read: there is no memory for
/// it.
fn shed(worker: &Worker, stream: &tokio::net::TcpStream) {
    worker.listener().connections_shed.add(1);
    // A new connection has room for a few bytes; if not, its end tells enough.
    let _ = stream.try_write(&problem::raw(StatusCode::SERVICE_UNAVAILABLE, ProxyError::Exhausted));
}

/// Accepts connections until the process drains, then whatever is already waiting, so that no client is reset.
pub(crate) async fn accept(worker: Rc<Worker>, socket: tokio::net::TcpListener) {
    let mut last_logged: Option<Instant> = None;
    while let Some(accepted) = worker.until_drained(socket.accept()).await {
        match accepted {
            Ok((stream, peer)) => {
                if worker.is_short_of_memory() {
                    shed(&worker, &stream);
                    continue;
                }
                // Waits with the connection in hand: whether there is room is only known when one comes. Further ones wait
                // in the kernel's queue.
                let place = worker.place().await;
                connection::spawn(&worker, stream, peer, place);
            }
            Err(error) => {
                worker.listener().accept_errors.add(1);
                if last_logged.is_none_or(|at| at.elapsed() > LOG_INTERVAL) {
                    last_logged = Some(Instant::now());
                    tracing::warn!(%error, "cannot accept connections");
                }
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    let Ok(socket) = socket.into_std() else { return };
    // These only learn that the process ends: no limit makes them wait for that.
    while let Ok((stream, peer)) = socket.accept() {
        let stream = stream.set_nonblocking(true).and_then(|()| tokio::net::TcpStream::from_std(stream));
        if let Ok(stream) = stream {
            connection::spawn(&worker, stream, peer, worker.place().await);
        }
    }
}
