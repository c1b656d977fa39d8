//! Opens connections to servers.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
};

use tokio::{io::AsyncWriteExt, net::TcpStream, time::timeout};
use weir_shared::{
    model::{ProxyVersion, SendProxyProtocol, address::Address},
    proxy_protocol,
    table::{Server, Upstream},
    tls::Offer,
};

use super::{
    connection::ServerConnection,
    lease::Lease,
    stream::{self, Stream},
};
use crate::{connection::Ends, error::ProxyError, worker::Worker};

/// A connection to a server that bytes are passed on to.
pub(crate) struct Tunnel {
    pub(crate) lease: Lease,
    pub(crate) stream: Stream,
}

/// Opens a connection to `server` for one client alone, which is at `ends`.
pub(crate) async fn tunnel(
    worker: &Worker,
    upstream: &Upstream,
    server: &Server,
    lease: Lease,
    ends: Ends,
) -> Result<Tunnel, ProxyError> {
    let connection = Box::pin(connect(worker, upstream, server, &lease, ends, Offer::Nothing)).await?;
    if lease.is_cut() {
        lease.counters().cut.add(1);
        return Err(ProxyError::ServerDrained);
    }
    Ok(Tunnel { lease, stream: connection.stream })
}

/// Opens a connection to `server` for a client at `ends`, within the upstream's connect timeout, name resolution and handshake
/// included.
pub(super) async fn connect(
    worker: &Worker,
    upstream: &Upstream,
    server: &Server,
    lease: &Lease,
    ends: Ends,
    offer: Offer,
) -> Result<ServerConnection, ProxyError> {
    let opening = async {
        let mut stream = socket(worker, server).await?;
        introduce(&mut stream, upstream.send_proxy_protocol, ends).await?;
        secure(stream, upstream, server, offer).await
    };
    let stream = within(worker, upstream, lease, opening).await?;
    let may_be_reused = upstream.send_proxy_protocol == SendProxyProtocol::Off;
    Ok(ServerConnection { may_be_reused, ..ServerConnection::new(worker, stream) })
}

/// Says at the start of a connection who the client is, if that is wanted.
async fn introduce(stream: &mut TcpStream, wanted: SendProxyProtocol, ends: Ends) -> Result<(), ProxyError> {
    let version = match wanted {
        SendProxyProtocol::Off => return Ok(()),
        SendProxyProtocol::V1 => ProxyVersion::V1,
        SendProxyProtocol::V2 => ProxyVersion::V2,
    };
    let told = match ends.local {
        Some(local) => proxy_protocol::Ends::Proxied { source: ends.peer, destination: local },
        // Of a client by a unix socket nothing can be said.
        None if ends.peer == SocketAddr::from((Ipv4Addr::LOCALHOST, 0)) => proxy_protocol::Ends::Own,
        None => proxy_protocol::Ends::Proxied { source: ends.peer, destination: ends.peer },
    };
    let header = proxy_protocol::encode(told, version);
    stream.write_all(&header).await.map_err(|error| classify(&error))
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
    if opened.is_err() {
        lease.http2().forget();
    }
    let opened =
        opened.inspect_err(|error| counters.connect_errors.add(u64::from(error.server_fault().is_some())))?;
    counters.connections_opened.add(1);
    counters.connect_latency.record(worker.clock.moment().since(began));
    Ok(opened)
}

/// Opens a connection to `server`, secured as `upstream` says; with TLS, `offer` is what is offered to speak.
pub(super) async fn open(
    worker: &Worker,
    upstream: &Upstream,
    server: &Server,
    offer: Offer,
) -> Result<Stream, ProxyError> {
    secure(socket(worker, server).await?, upstream, server, offer).await
}

async fn secure(
    stream: TcpStream,
    upstream: &Upstream,
    server: &Server,
    offer: Offer,
) -> Result<Stream, ProxyError> {
    match &upstream.tls {
        Some(settings) => stream::secure(stream, settings, &server.address, offer).await,
        None => Ok(Stream::Plain(stream)),
    }
}

/// Opens a socket to `server`.
async fn socket(worker: &Worker, server: &Server) -> Result<TcpStream, ProxyError> {
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
