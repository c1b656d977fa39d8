//! Opens connections to servers.

use std::{io, net::SocketAddr};

use tokio::{net::TcpStream, time::timeout};
use weir_shared::{
    model::address::Address,
    table::{Server, Upstream},
};

use super::{connection::ServerConnection, lease::Lease};
use crate::{error::ProxyError, worker::Worker};

/// Opens a connection to `server` for HTTP/1.1 within the upstream's connect timeout, name resolution included.
pub(super) async fn connect(
    worker: &Worker,
    upstream: &Upstream,
    server: &Server,
    lease: &Lease,
) -> Result<ServerConnection, ProxyError> {
    let stream = within(worker, upstream, lease, open(worker, server)).await?;
    Ok(ServerConnection {
        stream,
        buffer: worker.pools.buffer(),
        opened: worker.clock.moment(),
        served: 0,
        may_be_reused: true,
    })
}

/// Has `opening` done within the upstream's connect timeout, and counts what comes of it.
pub(super) async fn within<T>(
    worker: &Worker,
    upstream: &Upstream,
    lease: &Lease,
    opening: impl Future<Output = Result<T, ProxyError>>,
) -> Result<T, ProxyError> {
    let began = worker.clock.moment();
    let opened = match timeout(upstream.connect_timeout, opening).await {
        Ok(opened) => opened,
        Err(_) => Err(ProxyError::ConnectionTimeout),
    };
    let counters = lease.counters();
    let opened =
        opened.inspect_err(|error| counters.connect_errors.add(u64::from(error.server_fault().is_some())))?;
    counters.connections_opened.add(1);
    counters.connect_latency.record(worker.clock.moment().since(began));
    Ok(opened)
}

/// Opens a socket to `server`.
pub(super) async fn open(worker: &Worker, server: &Server) -> Result<TcpStream, ProxyError> {
    let stream = match &server.address {
        Address::Socket(address) => TcpStream::connect(address).await.map_err(|error| classify(&error))?,
        Address::Name { host, port } => {
            let addresses = worker.pools.resolver.resolve(worker, host, *port).await?;
            server.state.resolved.note(addresses.iter().map(SocketAddr::ip));
            open_any(addresses).await?
        }
    };
    // Best effort: a socket that cannot turn Nagle's algorithm off still works.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

/// Tries the addresses of a name in turn.
async fn open_any(addresses: Vec<SocketAddr>) -> Result<TcpStream, ProxyError> {
    let mut last = ProxyError::DnsError;
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = classify(&error),
        }
    }
    Err(last)
}

fn classify(error: &io::Error) -> ProxyError {
    // EMFILE, ENFILE, ENOBUFS, ENOMEM, EADDRNOTAVAIL on Linux: our own lack, which says nothing of the server.
    if matches!(error.raw_os_error(), Some(24 | 23 | 105 | 12 | 99)) {
        return ProxyError::Exhausted;
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused => ProxyError::ConnectionRefused,
        io::ErrorKind::TimedOut => ProxyError::ConnectionTimeout,
        _ => ProxyError::ConnectionFailed,
    }
}
