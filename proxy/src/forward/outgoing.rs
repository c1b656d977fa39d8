//! Bytes on their way to a server: framing of our own, then data of the client's, in one system call where possible.

use std::{
    io::{self, Write},
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};

use super::stream::Stream;

/// What is to be sent next.
pub(super) struct Outgoing {
    /// The request head, later the framing of a chunk.
    head: Vec<u8>,
    /// How much of `head` is sent.
    sent: usize,
    /// Content of the request, sent after `head`.
    data: Bytes,
    /// The line end after a chunk's data is still to be sent, with whatever comes next.
    owes_line_end: bool,
    total: u64,
}

impl Outgoing {
    /// Begins with a request head.
    pub(super) fn new(head: Vec<u8>) -> Self {
        Self { head, sent: 0, data: Bytes::new(), owes_line_end: false, total: 0 }
    }

    /// Whether everything put in is sent.
    pub(super) fn is_empty(&self) -> bool {
        self.sent == self.head.len() && self.data.is_empty()
    }

    /// Whether data can be put in.
    pub(super) fn has_room(&self) -> bool {
        self.data.is_empty()
    }

    /// Bytes sent so far.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// Adds content as it is.
    pub(super) fn put(&mut self, data: Bytes) {
        self.compact();
        self.data = data;
    }

    /// Adds content as a chunk (RFC 9112 §7.1).
    pub(super) fn put_chunk(&mut self, data: Bytes) {
        self.compact();
        self.end_line();
        // Writing into a vector cannot fail.
        let _ = write!(self.head, "{:x}\r\n", data.len());
        self.data = data;
        self.owes_line_end = true;
    }

    /// Adds the last chunk and the trailer section, which `trailers` writes, each field with its line end.
    pub(super) fn put_last_chunk(&mut self, trailers: impl FnOnce(&mut Vec<u8>)) {
        self.compact();
        self.end_line();
        self.head.extend_from_slice(b"0\r\n");
        trailers(&mut self.head);
        self.head.extend_from_slice(b"\r\n");
    }

    /// Sends as much as is taken. Ready when nothing is left.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, stream: &mut Stream) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            let head = self.head.get(self.sent..).unwrap_or_default();
            match ready!(stream.poll_send(cx, head, &self.data))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.advance(written),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, written: usize) {
        let of_head = written.min(self.head.len() - self.sent);
        self.sent += of_head;
        self.data.advance(written - of_head);
        self.total += written as u64;
    }

    fn end_line(&mut self) {
        if std::mem::take(&mut self.owes_line_end) {
            self.head.extend_from_slice(b"\r\n");
        }
    }

    /// Forgets what is sent, so that framing does not pile up over a long body.
    fn compact(&mut self) {
        if self.sent == self.head.len() {
            self.head.clear();
            self.sent = 0;
        }
    }
}
