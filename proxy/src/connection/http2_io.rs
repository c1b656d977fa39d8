//! A client's socket under HTTP/2, watched: what a client sends in excess, or begins and does not end, ends the connection.

use std::{
    cell::RefCell,
    io::{self, IoSlice},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    Client,
    allowance::{Allowance, Exceeded},
    client::Phase,
    frames::{Frames, GOAWAY, HEADERS},
};
use crate::{deadline::Deadline, gathering::Gathering};

/// RFC 9113 §7.
const ENHANCE_YOUR_CALM: u32 = 0xb;

/// A client's socket as the library has it.
pub(super) struct Http2Io<S>(Rc<RefCell<Watched<S>>>);

/// A client's socket.
pub(super) struct Watched<S> {
    socket: Gathering<S>,
    /// What was read before it was known to be HTTP/2.
    ahead: BytesMut,
    client: Rc<Client>,
    received: Frames,
    sent: Frames,
    allowance: Allowance,
    /// When a client that has begun something must have ended it.
    owed: Rc<Deadline>,
    /// Whether the client owes the rest of something.
    owes: bool,
    /// The last stream a client has opened.
    last_stream: u32,
}

impl<S> Http2Io<S> {
    /// A second hold on the socket, for whoever has it send what was gathered.
    pub(super) fn socket(&self) -> Rc<RefCell<Watched<S>>> {
        Rc::clone(&self.0)
    }
}

impl<S: AsyncWrite + Unpin> Http2Io<S> {
    /// The socket of a new connection, of which `ahead` was read already. At `owed`, whoever holds the other end of it is to give
    /// the client up.
    pub(super) fn new(stream: S, ahead: BytesMut, client: Rc<Client>, owed: Rc<Deadline>) -> Self {
        let worker = &client.worker;
        owed.set(worker.after(client.header_timeout()));
        let allowance = Allowance::new(worker.coarse_moment());
        let (received, sent) = (Frames::of_client(), Frames::of_server());
        Self(Rc::new(RefCell::new(Watched {
            socket: Gathering::new(stream),
            ahead,
            client,
            received,
            sent,
            allowance,
            owed,
            owes: true,
            last_stream: 0,
        })))
    }
}

impl<S: AsyncWrite + Unpin> Watched<S> {
    /// Sends what was gathered. Ready when the system has all of it.
    ///
    /// # Errors
    /// The client is gone.
    pub(super) fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.socket.poll_send(cx))?;
        if self.client.phase() != Phase::Exchange {
            self.socket.rest();
        }
        Poll::Ready(Ok(()))
    }

    fn take_in(&mut self, bytes: &[u8]) -> Result<(), Exceeded> {
        let Self { received, allowance, last_stream, client, .. } = self;
        allowance.refill(client.worker.coarse_moment());
        let mut outcome = Ok(());
        received.pass(bytes, |frame| {
            if frame.kind == HEADERS {
                *last_stream = frame.stream.max(*last_stream);
            }
            if outcome.is_ok() {
                outcome = allowance.received(frame);
            }
        });
        if received.owes_rest() != self.owes {
            self.owes = !self.owes;
            if self.owes {
                self.owed.set(client.worker.after(client.header_timeout()));
            } else {
                self.owed.clear();
            }
        }
        outcome
    }

    /// The client has sent too much that carries nothing: it is told why, if there is room, and no more is read.
    fn end(&mut self, cx: &mut Context<'_>) -> io::Error {
        self.client.worker.listener().floods.add(1);
        tracing::debug!(peer = %self.client.peer, "HTTP/2 connection ended: too many frames that carry nothing");
        if matches!(self.poll_send(cx), Poll::Ready(Ok(()))) && !self.sent.is_within() {
            let [a, b, c, d] = self.last_stream.to_be_bytes();
            let [e, f, g, h] = ENHANCE_YOUR_CALM.to_be_bytes();
            let farewell = [0, 0, 8, GOAWAY, 0, 0, 0, 0, 0, a, b, c, d, e, f, g, h];
            // Nothing is owed to a client that does not even take this.
            let _ = Pin::new(&mut self.socket.stream).poll_write(cx, &farewell);
        }
        io::ErrorKind::ConnectionAborted.into()
    }

    fn wrote<'b>(&mut self, count: usize, buffers: impl IntoIterator<Item = &'b [u8]>) {
        let Self { sent, allowance, .. } = self;
        let mut left = count;
        for buffer in buffers {
            let part = buffer.get(..left).unwrap_or(buffer);
            sent.pass(part, |frame| allowance.sent(frame));
            left -= part.len();
            if left == 0 {
                return;
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Http2Io<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let watched = &mut *self.0.borrow_mut();
        let before = buffer.filled().len();
        if watched.ahead.is_empty() {
            ready!(Pin::new(&mut watched.socket.stream).poll_read(cx, buffer))?;
        } else {
            let count = watched.ahead.len().min(buffer.remaining());
            buffer.put_slice(&watched.ahead.split_to(count));
        }
        let arrived = buffer.filled().get(before..).unwrap_or_default();
        match watched.take_in(arrived) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(Exceeded) => Poll::Ready(Err(watched.end(cx))),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Http2Io<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buffer)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let watched = &mut *self.0.borrow_mut();
        let written = ready!(watched.socket.poll_gather(cx, buffers))?;
        watched.wrote(written, buffers.iter().map(|buffer| &**buffer));
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// The library asks for this between any two frames with content: it goes on, and what was gathered is sent when it is done.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().socket.poll_shutdown(cx)
    }
}
