//! A client's connection, whatever it came by.
//!
//! An enum and not a trait object, so that the usual case, TCP in plain text, costs one branch.

use std::{
    io::{self, IoSlice},
    pin::{Pin, pin},
    task::{Context, Poll, ready},
    time::Duration,
};

use socket2::SockRef;
use tokio::{
    io::{AsyncBufRead, AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::server::TlsStream;

/// Bytes taken off a connection in one go to be thrown away.
const DISCARD: usize = 512;

/// A client's connection.
#[derive(Debug)]
pub(crate) enum ClientStream {
    Tcp(TcpStream),
    Unix(UnixClient),
    /// Either of them, secured.
    Tls(Box<TlsStream<Self>>),
}

/// A connection by a unix socket, with what was looked at and not read yet: the runtime cannot look at what arrives there
/// without taking it.
#[derive(Debug)]
pub(crate) struct UnixClient {
    stream: UnixStream,
    ahead: Vec<u8>,
}

impl UnixClient {
    pub(crate) fn new(stream: UnixStream) -> Self {
        Self { stream, ahead: Vec::new() }
    }
}

impl ClientStream {
    /// The error the kernel holds for the connection, if it has failed.
    pub(crate) fn take_error(&self) -> io::Result<Option<io::Error>> {
        match self {
            Self::Tcp(stream) => stream.take_error(),
            Self::Unix(client) => client.stream.take_error(),
            Self::Tls(stream) => stream.get_ref().0.take_error(),
        }
    }

    /// Writes what the kernel takes at once.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_write(bytes),
            Self::Unix(client) => client.stream.try_write(bytes),
            // Nothing that is secured is written without waiting.
            Self::Tls(_) => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Lets the client's end of the connection fail instead of ending in order when this one is dropped.
    pub(crate) fn reset_on_drop(&self) {
        match self {
            // Best effort: a connection that ends in order instead is still at its end.
            Self::Tcp(stream) => drop(SockRef::from(stream).set_linger(Some(Duration::ZERO))),
            Self::Unix(_) => {}
            Self::Tls(stream) => stream.get_ref().0.reset_on_drop(),
        }
    }

    /// Ready when there is something to read, or the end of it. Takes nothing, and without TLS asks nobody.
    pub(crate) fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // An error is told by the read that follows.
        match self {
            Self::Tcp(stream) => stream.poll_read_ready(cx).map(|_| ()),
            Self::Unix(client) if client.ahead.is_empty() => client.stream.poll_read_ready(cx).map(|_| ()),
            Self::Unix(_) => Poll::Ready(()),
            Self::Tls(stream) => Pin::new(stream).poll_fill_buf(cx).map(|_| ()),
        }
    }

    /// Whether it has an end of its own to be told: with TLS it has.
    pub(crate) fn has_farewell(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// Looks at what is there, as far as it fits, without taking it. 0 bytes: the client has closed its side.
    pub(crate) fn poll_peek(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(stream) => stream.poll_peek(cx, &mut ReadBuf::new(buffer)),
            Self::Unix(UnixClient { stream, ahead }) => {
                if ahead.is_empty() {
                    ahead.reserve(buffer.len());
                    // The future keeps no state between polls, so that a new one each time loses nothing.
                    ready!(pin!(stream.read_buf(ahead)).poll(cx))?;
                }
                let count = ahead.len().min(buffer.len());
                for (to, from) in buffer.iter_mut().zip(ahead.iter()) {
                    *to = *from;
                }
                Poll::Ready(Ok(count))
            }
            Self::Tls(stream) => {
                let there = match ready!(Pin::new(stream).poll_fill_buf(cx)) {
                    Ok(there) => there,
                    // Closed without a word of TLS.
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => &[],
                    Err(error) => return Poll::Ready(Err(error)),
                };
                let count = there.len().min(buffer.len());
                for (to, from) in buffer.iter_mut().zip(there) {
                    *to = *from;
                }
                Poll::Ready(Ok(count))
            }
        }
    }

    /// Takes `count` bytes off that were looked at before.
    pub(crate) fn discard(&mut self, mut count: usize) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => {
                let mut scratch = [0; DISCARD];
                while count > 0 {
                    let part = scratch.get_mut(..count.min(DISCARD)).unwrap_or_default();
                    match stream.try_read(part)? {
                        0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                        taken => count -= taken,
                    }
                }
            }
            Self::Unix(client) => drop(client.ahead.drain(..count.min(client.ahead.len()))),
            Self::Tls(stream) => Pin::new(stream).consume(count),
        }
        Ok(())
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Unix(UnixClient { stream, ahead }) if ahead.is_empty() => {
                Pin::new(stream).poll_read(cx, buffer)
            }
            Self::Unix(UnixClient { ahead, .. }) => {
                let count = ahead.len().min(buffer.remaining());
                buffer.put_slice(ahead.get(..count).unwrap_or_default());
                ahead.drain(..count);
                Poll::Ready(Ok(()))
            }
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Unix(client) => Pin::new(&mut client.stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, buffers),
            Self::Unix(client) => Pin::new(&mut client.stream).poll_write_vectored(cx, buffers),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, buffers),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(client) => Pin::new(&mut client.stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(client) => Pin::new(&mut client.stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
