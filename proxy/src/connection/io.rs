//! A client's socket, watched: arriving bytes start the clock of a head, and the library's bare answers to heads it
//! cannot parse get Weir's form.
//!
//! hyper answers an unparsable head by itself, with a status and nothing else, and offers no hook. Such an answer is
//! recognised by being written while no request is under way and no response is left to write, and by its exact shape.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Client, client::Phase};
use crate::{error::ProxyError, problem, stream::ClientStream};

/// Longest answer hyper makes by itself: status line, length, connection and date.
const LONGEST_BARE_ANSWER: usize = 160;

/// A client's socket.
pub(super) struct ClientIo {
    pub(super) stream: ClientStream,
    client: Rc<Client>,
    /// What is written in place of hyper's bare answer, as far as it is not sent yet.
    replacement: Bytes,
    /// How much of the interim responses at hand is sent.
    interim_sent: usize,
    /// Whether the library has written all that it wants to write: nothing may be put in the middle of that.
    is_clean: bool,
}

impl ClientIo {
    pub(super) fn new(stream: ClientStream, client: Rc<Client>) -> Self {
        Self { stream, client, replacement: Bytes::new(), interim_sent: 0, is_clean: true }
    }

    /// Whether the client has closed its side.
    fn has_ended(&mut self, cx: &mut Context<'_>) -> bool {
        matches!(self.stream.poll_peek(cx, &mut [0; 1]), Poll::Ready(Ok(0)))
    }

    /// Sends the interim responses at hand. They go out between messages: before what the library is about to begin, or not
    /// at all.
    fn poll_interim(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut interim = self.client.interim().borrow_mut();
        if !self.is_clean && self.interim_sent == 0 {
            interim.clear();
        }
        while let Some(rest @ [_, ..]) = interim.get(self.interim_sent..) {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => self.interim_sent += sent,
            }
        }
        interim.clear();
        self.interim_sent = 0;
        Poll::Ready(Ok(()))
    }

    fn has_interim(&self) -> bool {
        !self.client.interim().borrow().is_empty()
    }

    fn poll_replaced(&mut self, cx: &mut Context<'_>, bare: &[u8]) -> Option<Poll<io::Result<usize>>> {
        if self.replacement.is_empty() {
            if self.client.phase() == Phase::Exchange || !self.client.is_flushed() {
                return None;
            }
            self.replacement = replacement(bare)?;
            self.client.worker.listener().requests_refused.add(1);
        }
        while !self.replacement.is_empty() {
            match Pin::new(&mut self.stream).poll_write(cx, &self.replacement) {
                Poll::Ready(Ok(sent)) => self.replacement.advance(sent),
                Poll::Ready(Err(error)) => return Some(Poll::Ready(Err(error))),
                Poll::Pending => return Some(Poll::Pending),
            }
        }
        Some(Poll::Ready(Ok(bare.len())))
    }
}

/// Weir's form of `bare`, if that is an answer hyper made by itself.
fn replacement(bare: &[u8]) -> Option<Bytes> {
    let is_bare = bare.len() <= LONGEST_BARE_ANSWER
        && bare.starts_with(b"HTTP/1.1 4")
        && bare.ends_with(b"\r\n\r\n")
        && memchr::memmem::find(bare, b"content-length: 0\r\n").is_some();
    if !is_bare {
        return None;
    }
    let status = StatusCode::from_bytes(bare.get(9..12)?).ok()?;
    let error = match status {
        StatusCode::URI_TOO_LONG => ProxyError::UriTooLong,
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => ProxyError::HeaderTooLarge,
        _ => ProxyError::BadRequest("the request is not valid HTTP"),
    };
    Some(problem::raw(status, error))
}

impl AsyncRead for ClientIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        if let Some(arrived @ [_, ..]) = buffer.filled().get(before..) {
            self.client.received(arrived);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ClientIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        if self.has_interim() {
            ready!(self.poll_interim(cx))?;
        }
        self.is_clean = false;
        match self.poll_replaced(cx, buffer) {
            Some(written) => written,
            None => {
                let written = ready!(Pin::new(&mut self.stream).poll_write(cx, buffer));
                self.client.wrote();
                Poll::Ready(written)
            }
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.has_interim() {
            ready!(self.poll_interim(cx))?;
        }
        self.is_clean = false;
        if let [only] = buffers
            && let Some(written) = self.poll_replaced(cx, only)
        {
            return written;
        }
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, buffers));
        self.client.wrote();
        Poll::Ready(written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The library flushes when its own buffer is empty.
        self.client.flushed();
        self.is_clean = true;
        if self.has_interim() {
            ready!(self.poll_interim(cx))?;
        }
        if self.client.is_watch_due() {
            self.client.watch();
            if let Some(error) = self.stream.take_error()? {
                return Poll::Ready(Err(error));
            }
            if self.client.is_waiting() && self.has_ended(cx) {
                // Nothing was done for it yet, and most who close while they wait have gone. One that still wants an answer
                // keeps its side open.
                return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
            }
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
