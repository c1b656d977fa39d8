//! A socket whose small writes are gathered.
//!
//! The library of HTTP/2 writes each frame with content by itself. What it writes while it is polled once is gathered here,
//! and whoever polls it has it sent then: the frames of streams that are ready together are one write, and one record of TLS.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BytesMut};
use tokio::io::AsyncWrite;

/// Most bytes gathered before they are sent: a record of TLS. What is larger by itself is not copied for it.
const MOST_GATHERED: usize = 16 * 1024;

/// Whether what was sent may wait further down, as with TLS.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flush {
    Done,
    Owed,
}

/// A socket, and what was written and not sent.
pub(crate) struct Gathering<S> {
    pub(crate) stream: S,
    gathered: BytesMut,
    flush: Flush,
    /// Bytes the socket has taken.
    sent: u64,
}

impl<S> Gathering<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, gathered: BytesMut::new(), flush: Flush::Done, sent: 0 }
    }

    /// Bytes the socket has taken so far.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// Keeps no room for what may have to be sent: for connections at rest. Nothing is lost.
    pub(crate) fn rest(&mut self) {
        if self.gathered.is_empty() {
            self.gathered = BytesMut::new();
        }
    }
}

impl<S: AsyncWrite + Unpin> Gathering<S> {
    /// Sends what was gathered. Ready when the system has all of it.
    ///
    /// # Errors
    /// The other end is gone.
    pub(crate) fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.gathered.is_empty() {
            self.flush = Flush::Owed;
            match ready!(Pin::new(&mut self.stream).poll_write(cx, &self.gathered))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => {
                    self.gathered.advance(count);
                    self.sent += count as u64;
                }
            }
        }
        if self.flush == Flush::Owed {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.flush = Flush::Done;
        }
        Poll::Ready(Ok(()))
    }

    /// Takes in what is written. Answers how much of it.
    pub(crate) fn poll_gather(
        &mut self,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let count: usize = buffers.iter().map(|buffer| buffer.len()).sum();
        if self.gathered.len() + count > MOST_GATHERED {
            ready!(self.poll_send(cx))?;
        }
        if count > MOST_GATHERED {
            self.flush = Flush::Owed;
            let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, buffers))?;
            self.sent += written as u64;
            return Poll::Ready(Ok(written));
        }
        if self.gathered.is_empty() {
            self.gathered.reserve(MOST_GATHERED);
        }
        buffers.iter().for_each(|buffer| self.gathered.extend_from_slice(buffer));
        Poll::Ready(Ok(count))
    }

    /// Sends what was gathered, and ends it.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

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

    fn gathering(room: usize) -> Gathering<Taker> {
        Gathering::new(Taker { room, writes: Vec::new() })
    }

    fn write(gathering: &mut Gathering<Taker>, size: usize) -> Poll<io::Result<usize>> {
        let cx = &mut Context::from_waker(Waker::noop());
        gathering.poll_gather(cx, &[IoSlice::new(&vec![0; size])])
    }

    /// What becomes of writes of these sizes, and whether all of it is sent at the end.
    fn writes(gathering: &mut Gathering<Taker>, sizes: &[usize]) -> (Vec<usize>, bool) {
        for size in sizes {
            assert!(matches!(write(gathering, *size), Poll::Ready(Ok(count)) if count == *size));
        }
        let is_sent = gathering.poll_send(&mut Context::from_waker(Waker::noop())).is_ready();
        (std::mem::take(&mut gathering.stream.writes), is_sent)
    }

    #[test]
    fn frames_that_are_ready_together_are_one_write() {
        let gathering = &mut gathering(usize::MAX);
        assert_eq!(writes(gathering, &[100, 1000, 30]), (vec![1130], true));
        assert_eq!(writes(gathering, &[]), (vec![], true), "nothing is sent twice");
        let most = MOST_GATHERED;
        assert_eq!(writes(gathering, &[most - 1, 1, 1]), (vec![most, 1], true));
        assert_eq!(writes(gathering, &[9, most + 1, 9]), (vec![9, most + 1, 9], true), "in their order");
    }

    #[test]
    fn what_the_other_end_does_not_take_holds_up_who_writes() {
        let gathering = &mut gathering(10);
        assert_eq!(writes(gathering, &[MOST_GATHERED]), (vec![10], false));
        assert_eq!(gathering.sent(), 10, "what waits here has not left");
        assert!(write(gathering, 11).is_pending());
        assert!(write(gathering, 10).is_ready(), "as much as there was room for");
        gathering.rest();
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(gathering.poll_shutdown(cx).is_pending(), "what was gathered goes first");
        gathering.stream.room = usize::MAX;
        assert!(gathering.poll_shutdown(cx).is_ready());
        assert_eq!(gathering.stream.writes, [MOST_GATHERED]);
        assert_eq!(gathering.sent(), MOST_GATHERED as u64 + 10);
    }
}
