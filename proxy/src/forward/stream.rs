//! Bytes to and from a server: over TCP as they are, or secured with TLS.

use std::{
    future::Future,
    io::{self, IoSlice},
    mem::MaybeUninit,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use weir_shared::{
    model::{AlpnProtocol, address::Address},
    tls::{HandshakeFault, Offer, OutgoingTls},
};

use crate::error::ProxyError;

/// A connection to a server.
pub(crate) enum Stream {
    /// As it is.
    Plain(TcpStream),
    /// With TLS.
    Tls(Box<Secured>),
}

/// A connection secured with TLS.
pub(crate) struct Secured {
    stream: TlsStream<TcpStream>,
    /// As what it was secured.
    settings: Arc<OutgoingTls>,
}

/// Makes the handshake on `stream`, which leads to the server at `address`, offering the protocols of `offer`.
pub(super) async fn secure(
    stream: TcpStream,
    settings: &Arc<OutgoingTls>,
    address: &Address,
    offer: Offer,
) -> Result<Stream, ProxyError> {
    let name =
        settings.server_name(address).ok_or(ProxyError::TlsCertificate("no certificate has that name"))?;
    let connector = TlsConnector::from(Arc::clone(settings.config(offer)));
    let stream = connector
        .connect(name, stream)
        .await
        .map_err(|error| failed(&error, ProxyError::ConnectionFailed))?;
    Ok(Stream::Tls(Box::new(Secured { stream, settings: Arc::clone(settings) })))
}

/// What TLS had against the connection, or `otherwise`.
pub(super) fn failed(error: &io::Error, otherwise: ProxyError) -> ProxyError {
    match HandshakeFault::of(error) {
        HandshakeFault::Certificate(what) => ProxyError::TlsCertificate(what),
        HandshakeFault::Alert(what) => ProxyError::TlsAlert(what),
        HandshakeFault::Protocol => ProxyError::TlsProtocol,
        HandshakeFault::Connection => otherwise,
    }
}

impl Stream {
    /// Whether HTTP/2 was agreed on.
    pub(super) fn is_http2(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(secured) => {
                secured.stream.get_ref().1.alpn_protocol() == Some(AlpnProtocol::H2.as_bytes())
            }
        }
    }

    /// Whether it is secured as `settings` say, or not at all without.
    pub(super) fn is_secured_as(&self, settings: Option<&Arc<OutgoingTls>>) -> bool {
        match (self, settings) {
            (Self::Plain(_), None) => true,
            (Self::Tls(secured), Some(settings)) => Arc::ptr_eq(&secured.settings, settings),
            _ => false,
        }
    }

    /// Reads what there is behind what is in `buffer`.
    pub(super) fn poll_read_buf(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut bytes::BytesMut,
    ) -> Poll<io::Result<usize>> {
        // The futures keep no state between polls, so that a new one each time loses nothing.
        match self {
            Self::Plain(stream) => pin!(stream.read_buf(buffer)).poll(cx),
            Self::Tls(secured) => pin!(secured.stream.read_buf(buffer)).poll(cx),
        }
    }

    /// Sends what was taken and kept back. Costs nothing without TLS.
    pub(super) fn poll_send_rest(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(_) => Poll::Ready(Ok(())),
            Self::Tls(secured) => Pin::new(&mut secured.stream).poll_flush(cx),
        }
    }

    /// Lets the server's end of the connection fail instead of ending in order when this one is dropped.
    pub(crate) fn reset_on_drop(&self) {
        // Best effort: a connection that ends in order instead is still at its end.
        let _ = SockRef::from(self.socket()).set_linger(Some(Duration::ZERO));
    }

    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(secured) => secured.stream.get_ref().0,
        }
    }

    /// Whether the server has neither closed the connection nor sent anything unasked, as far as the runtime knows. Costs
    /// a system call only when something has happened.
    pub(super) fn is_quiet(&mut self) -> bool {
        let mut byte = [0];
        match self {
            Self::Plain(stream) => {
                matches!(stream.try_read(&mut byte), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
            }
            // What a server may send at any time, as tickets for later, is taken in on the way.
            Self::Tls(secured) => {
                let mut cx = Context::from_waker(Waker::noop());
                let mut buffer = ReadBuf::new(&mut byte);
                Pin::new(&mut secured.stream).poll_read(&mut cx, &mut buffer).is_pending()
            }
        }
    }

    /// The same, asked of the kernel now. For requests that must not be sent into a connection just closed.
    pub(super) fn is_quiet_now(&self) -> bool {
        let mut byte = [MaybeUninit::uninit()];
        matches!(SockRef::from(self.socket()).peek(&mut byte), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(secured) => Pin::new(&mut secured.stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(secured) => Pin::new(&mut secured.stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
            Self::Tls(secured) => Pin::new(&mut secured.stream).poll_write_vectored(cx, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_send_rest(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(secured) => Pin::new(&mut secured.stream).poll_shutdown(cx),
        }
    }
}
