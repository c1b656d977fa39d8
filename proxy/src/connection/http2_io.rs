//! A client's socket under HTTP/2, watched: what a client sends in excess, or begins and does not end, ends the connection.
//!
//! The library writes each frame with content by itself. Here what it writes while it is polled once is gathered, and whoever
//! polls it has it sent then: the answers of streams that are ready together are one write, and one record of TLS.

use std::{
    cell::RefCell,
    io::{self, IoSlice},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    Client,
    allowance::{Allowance, Exceeded},
    client::Phase,
    frames::{Frames, GOAWAY, HEADERS},
};
use crate::deadline::Deadline;

/// RFC 9113 §7.
const ENHANCE_YOUR_CALM: u32 = 0xb;

/// Most bytes gathered before they are sent: a record of TLS. What is larger by itself is not copied for it.
const MOST_GATHERED: usize = 16 * 1024;

/// Whether what was sent may wait further down, as with TLS.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flush {
    Done,
    Owed,
}

/// A client's socket as the library has it.
pub(super) struct Http2Io<S>(Rc<RefCell<Watched<S>>>);

/// A client's socket.
pub(super) struct Watched<S> {
    stream: S,
    /// What the library has written and was not sent.
    gathered: BytesMut,
    flush: Flush,
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
            stream,
            gathered: BytesMut::new(),
            flush: Flush::Done,
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
        while !self.gathered.is_empty() {
            self.flush = Flush::Owed;
            match ready!(Pin::new(&mut self.stream).poll_write(cx, &self.gathered))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.gathered.advance(count),
            }
        }
        if self.flush == Flush::Owed {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.flush = Flush::Done;
        }
        if self.client.phase() != Phase::Exchange {
            // A connection at rest keeps no room for what it may have to send.
            self.gathered = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }

    /// Takes in what the library writes. Answers how much of it.
    fn poll_gather(&mut self, cx: &mut Context<'_>, buffers: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let count: usize = buffers.iter().map(|buffer| buffer.len()).sum();
        if self.gathered.len() + count > MOST_GATHERED {
            ready!(self.poll_send(cx))?;
        }
        if count > MOST_GATHERED {
            self.flush = Flush::Owed;
            return Pin::new(&mut self.stream).poll_write_vectored(cx, buffers);
        }
        if self.gathered.is_empty() {
            self.gathered.reserve(MOST_GATHERED);
        }
        buffers.iter().for_each(|buffer| self.gathered.extend_from_slice(buffer));
        Poll::Ready(Ok(count))
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
            let _ = Pin::new(&mut self.stream).poll_write(cx, &farewell);
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
        let socket = &mut *self.0.borrow_mut();
        let before = buffer.filled().len();
        if socket.ahead.is_empty() {
            ready!(Pin::new(&mut socket.stream).poll_read(cx, buffer))?;
        } else {
            let count = socket.ahead.len().min(buffer.remaining());
            buffer.put_slice(&socket.ahead.split_to(count));
        }
        let arrived = buffer.filled().get(before..).unwrap_or_default();
        match socket.take_in(arrived) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(Exceeded) => Poll::Ready(Err(socket.end(cx))),
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
        let socket = &mut *self.0.borrow_mut();
        let written = ready!(socket.poll_gather(cx, buffers))?;
        socket.wrote(written, buffers.iter().map(|buffer| &**buffer));
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
        let socket = &mut *self.0.borrow_mut();
        ready!(socket.poll_send(cx))?;
        Pin::new(&mut socket.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;
    use crate::{
        connection::Ends,
        listener::{Handle, Places},
        worker::Worker,
    };

    /// A socket that takes so many bytes at most and notes each write.
    struct Taker {
        room: usize,
        writes: Vec<usize>,
    }

    impl AsyncWrite for Taker {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let count = bytes.len().min(self.room);
            if count == 0 {
                return Poll::Pending;
            }
            self.room -= count;
            self.writes.push(count);
            Poll::Ready(Ok(count))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn io(room: usize) -> Http2Io<Taker> {
        let worker = Worker::alone(weir_shared::model::Document::default(), &[]);
        let listener = worker.table().0.listener("default").unwrap().clone();
        let handle = Rc::new(Handle::new(listener, Places::new(0)));
        let peer = ([192, 0, 2, 9], 1).into();
        let client = Rc::new(Client::new(&worker, &handle, Ends { peer, local: None }));
        let owed = Rc::new(worker.deadline());
        Http2Io::new(Taker { room, writes: Vec::new() }, BytesMut::new(), client, owed)
    }

    /// What `io` makes of writes of these sizes, and whether all of it is sent at the end.
    fn writes(io: &mut Http2Io<Taker>, sizes: &[usize]) -> (Vec<usize>, bool) {
        let cx = &mut Context::from_waker(Waker::noop());
        for size in sizes {
            assert!(
                matches!(Pin::new(&mut *io).poll_write(cx, &vec![0; *size]), Poll::Ready(Ok(count)) if count == *size)
            );
            assert!(Pin::new(&mut *io).poll_flush(cx).is_ready());
        }
        let is_sent = io.socket().borrow_mut().poll_send(cx).is_ready();
        (std::mem::take(&mut io.0.borrow_mut().stream.writes), is_sent)
    }

    #[test]
    fn frames_that_are_ready_together_are_one_write() {
        let io = &mut io(usize::MAX);
        assert_eq!(writes(io, &[100, 1000, 30]), (vec![1130], true));
        assert_eq!(writes(io, &[]), (vec![], true), "nothing is sent twice");
        let most = MOST_GATHERED;
        assert_eq!(writes(io, &[most - 1, 1, 1]), (vec![most, 1], true));
        assert_eq!(writes(io, &[9, most + 1, 9]), (vec![9, most + 1, 9], true), "in their order");
    }

    #[test]
    fn a_client_that_takes_nothing_holds_up_who_writes() {
        let io = &mut io(10);
        assert_eq!(writes(io, &[MOST_GATHERED]), (vec![10], false));
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut *io).poll_write(cx, &[0; 11]).is_pending());
        assert!(Pin::new(&mut *io).poll_write(cx, &[0; 10]).is_ready(), "as much as there was room for");
        assert!(Pin::new(&mut *io).poll_shutdown(cx).is_pending(), "what was gathered goes first");
        io.0.borrow_mut().stream.room = usize::MAX;
        assert!(Pin::new(&mut *io).poll_shutdown(cx).is_ready());
        assert_eq!(io.0.borrow().stream.writes, [MOST_GATHERED]);
    }
}
