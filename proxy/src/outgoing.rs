//! Bytes on their way to a client or a server: what was written here, then one part of a body, in one system call where possible.

use std::{
    io::{self, IoSlice, Write},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

/// Parts of a body up to this size are copied behind the head: cheaper than telling the kernel of two places.
const COPIED: usize = 4 * 1024;
/// Copied bytes beyond which they are sent before more is put in.
const ENOUGH: usize = 16 * 1024;

/// What is to be sent next: `head`, then `data`, then `tail`.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    head: Vec<u8>,
    /// How much of `head` is sent.
    sent: usize,
    data: Bytes,
    /// The line end behind a chunk.
    tail: &'static [u8],
    /// Bytes sent so far.
    total: u64,
}

impl Outgoing {
    /// Begins with `head`.
    pub(crate) fn new(head: Vec<u8>) -> Self {
        Self { head, ..Self::default() }
    }

    /// Takes over room to write into.
    pub(crate) fn take_room(&mut self, room: Vec<u8>) {
        if self.head.is_empty() {
            self.head = room;
            self.head.clear();
            self.sent = 0;
        }
    }

    /// Gives back the room that was written into. Everything has been sent.
    pub(crate) fn give_back_room(&mut self) -> Vec<u8> {
        self.sent = 0;
        std::mem::take(&mut self.head)
    }

    /// Whether everything put in is sent.
    pub(crate) fn is_empty(&self) -> bool {
        self.sent == self.head.len() && self.data.is_empty() && self.tail.is_empty()
    }

    /// Whether another part of a body can be put in.
    pub(crate) fn has_room(&self) -> bool {
        self.data.is_empty() && self.tail.is_empty() && self.head.len() < ENOUGH
    }

    /// Bytes that are still to be sent.
    pub(crate) fn left(&self) -> usize {
        self.head.len() - self.sent + self.data.len() + self.tail.len()
    }

    /// Bytes sent so far.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// Where to write what comes next. There is room.
    pub(crate) fn writer(&mut self) -> &mut Vec<u8> {
        if self.sent == self.head.len() {
            self.head.clear();
            self.sent = 0;
        }
        &mut self.head
    }

    /// Adds content as it is.
    pub(crate) fn put(&mut self, data: Bytes) {
        if data.len() <= COPIED { self.writer().extend_from_slice(&data) } else { self.data = data }
    }

    /// Adds content as a chunk (RFC 9112 §7.1).
    pub(crate) fn put_chunk(&mut self, data: Bytes) {
        if data.is_empty() {
            return;
        }
        // Writing into a vector cannot fail.
        let _ = write!(self.writer(), "{:x}\r\n", data.len());
        if data.len() <= COPIED {
            self.head.extend_from_slice(&data);
            self.head.extend_from_slice(b"\r\n");
        } else {
            self.data = data;
            self.tail = b"\r\n";
        }
    }

    /// Adds the last chunk, if the trailer section is empty.
    pub(crate) fn put_last_chunk(&mut self) {
        if self.tail.is_empty() {
            self.writer().extend_from_slice(b"0\r\n\r\n");
        } else {
            self.tail = b"\r\n0\r\n\r\n";
        }
    }

    /// Adds the last chunk and the trailer section (RFC 9112 §7.1.2), which `trailers` writes, each field with its line end.
    /// There is room.
    pub(crate) fn put_trailers(&mut self, trailers: impl FnOnce(&mut Vec<u8>)) {
        let out = self.writer();
        out.extend_from_slice(b"0\r\n");
        trailers(out);
        out.extend_from_slice(b"\r\n");
    }

    /// Sends as much as is taken. Ready when nothing is left.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            let head = self.head.get(self.sent..).unwrap_or_default();
            let stream = Pin::new(&mut *stream);
            let written = if self.data.is_empty() && self.tail.is_empty() {
                stream.poll_write(cx, head)
            } else {
                let parts = [IoSlice::new(head), IoSlice::new(&self.data), IoSlice::new(self.tail)];
                let from = usize::from(head.is_empty());
                stream.poll_write_vectored(cx, parts.get(from..).unwrap_or(&parts))
            };
            match ready!(written)? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.advance(written),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, written: usize) {
        self.total += written as u64;
        let of_head = written.min(self.head.len() - self.sent);
        self.sent += of_head;
        let of_data = (written - of_head).min(self.data.len());
        self.data.advance(of_data);
        if self.data.is_empty() {
            // Even an empty part holds the buffer that it was read into.
            self.data = Bytes::new();
        }
        self.tail = self.tail.get(written - of_head - of_data..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is sent, when so many bytes are taken at once.
    fn sent(outgoing: &mut Outgoing, step: usize) -> Vec<u8> {
        let mut sent = Vec::new();
        while !outgoing.is_empty() {
            let all = [outgoing.head.get(outgoing.sent..).unwrap(), &outgoing.data, outgoing.tail].concat();
            let count = step.min(all.len());
            sent.extend_from_slice(&all[..count]);
            outgoing.advance(count);
        }
        sent
    }

    #[test]
    fn what_is_sent_is_not_kept() {
        let large = Bytes::from(vec![b'x'; COPIED + 1]);
        let mut outgoing = Outgoing::default();
        outgoing.put(large.clone());
        assert_eq!(sent(&mut outgoing, 1000), large);
        assert!(large.is_unique());
    }

    #[test]
    fn parts_go_out_in_order_however_they_are_taken() {
        let large = vec![b'x'; COPIED + 1];
        let expected =
            [b"head\r\n\r\n2\r\nab\r\n1001\r\n".as_slice(), &large, b"\r\n0\r\n\r\n", b"next"].concat();
        for step in [1, 3, 7, 100, 5000, 100_000] {
            let mut outgoing = Outgoing::default();
            outgoing.writer().extend_from_slice(b"head\r\n\r\n");
            outgoing.put_chunk(Bytes::from_static(b"ab"));
            outgoing.put_chunk(Bytes::new());
            outgoing.put_chunk(Bytes::from(large.clone()));
            assert!(!outgoing.has_room());
            outgoing.put_last_chunk();
            let mut all = sent(&mut outgoing, step);
            outgoing.put(Bytes::from_static(b"next"));
            assert_eq!(outgoing.left(), 4);
            all.extend(sent(&mut outgoing, step));
            assert!(all == expected, "in steps of {step}");
        }
    }
}
