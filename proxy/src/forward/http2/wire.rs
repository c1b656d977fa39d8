//! A socket whose bytes are counted, and whose small writes are gathered.
//!
//! The library does not tell what it has sent of which request. That nothing at all has left since a request was handed
//! over proves that the server has not seen it; that nothing has come for long is a sign that nobody is there.

use std::{
    cell::RefCell,
    io::{self, IoSlice},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::gathering::Gathering;

/// A socket as the library has it.
pub(super) struct Wire<S>(Rc<RefCell<Socket<S>>>);

/// A socket and its count.
pub(super) struct Socket<S> {
    gathering: Gathering<S>,
    read: u64,
}

impl<S> Wire<S> {
    pub(super) fn new(stream: S) -> Self {
        Self(Rc::new(RefCell::new(Socket { gathering: Gathering::new(stream), read: 0 })))
    }

    /// A second hold on the socket, for whoever has it send what was gathered.
    pub(super) fn socket(&self) -> Rc<RefCell<Socket<S>>> {
        Rc::clone(&self.0)
    }
}

impl<S> Socket<S> {
    /// Bytes that have left.
    pub(super) fn written(&self) -> u64 {
        self.gathering.sent()
    }

    /// Bytes that have come.
    pub(super) fn read(&self) -> u64 {
        self.read
    }

    /// Keeps no room for what may have to be sent.
    pub(super) fn rest(&mut self) {
        self.gathering.rest();
    }
}

impl<S: AsyncWrite + Unpin> Socket<S> {
    /// Sends what was gathered. Ready when the system has all of it.
    ///
    /// # Errors
    /// The server is gone.
    pub(super) fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.gathering.poll_send(cx)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let socket = &mut *self.0.borrow_mut();
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut socket.gathering.stream).poll_read(cx, buffer));
        socket.read += (buffer.filled().len() - before) as u64;
        Poll::Ready(read)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().gathering.poll_gather(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// The library asks for this between any two frames with content: it goes on, and what was gathered is sent when it is done.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().gathering.poll_shutdown(cx)
    }
}
