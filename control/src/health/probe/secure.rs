//! Checks over TLS, with the settings that requests have.

use std::sync::Arc;

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;
use weir_shared::{
    model::{AlpnProtocol, ServerProtocol, address::Address},
    tls::{HandshakeFault, Offer, OutgoingTls},
};

/// Bytes both ways, secured or not.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

/// A connection of a check, which is made so seldom that a box costs nothing.
pub(super) type Stream = Box<dyn Duplex>;

/// Makes the handshake with the server at `address`. Answers what was agreed on as well.
///
/// # Errors
/// Why it failed, for a person.
pub(super) async fn handshake(
    stream: TcpStream,
    tls: &Arc<OutgoingTls>,
    address: &Address,
    offer: Offer,
) -> Result<(Stream, ServerProtocol), String> {
    let name = tls.server_name(address).ok_or("no certificate has that name")?;
    let connector = TlsConnector::from(Arc::clone(tls.config(offer)));
    match connector.connect(name, stream).await {
        Ok(stream) => {
            let is_http2 = stream.get_ref().1.alpn_protocol() == Some(AlpnProtocol::H2.as_bytes());
            let agreed = if is_http2 { ServerProtocol::Http2 } else { ServerProtocol::Http1 };
            Ok((Box::new(stream), agreed))
        }
        Err(error) => Err(match HandshakeFault::of(&error) {
            HandshakeFault::Certificate(what) => format!("the certificate is not accepted: {what}"),
            HandshakeFault::Alert(what) => format!("the server ended it: {what}"),
            HandshakeFault::Protocol => format!("no TLS that is spoken here: {error}"),
            HandshakeFault::Connection => format!("the connection ended: {error}"),
        }),
    }
}
