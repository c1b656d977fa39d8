//! Bytes on their way to a client or a server: what was written here, and parts of a body that lie where they were read, in one
//! system call where possible.

use std::{
    collections::VecDeque,
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
/// Parts that are not copied, at most.
const MOST_PARTS: usize = 8;

/// What is to be sent next.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    /// Heads, the framing of chunks and small parts.
    written: Vec<u8>,
    /// How much of `written` is sent.
    sent: usize,
    /// What goes in between, from where it was read.
    parts: VecDeque<Part>,
    /// Bytes sent so far.
    total: u64,
}

/// A part of a body.
#[derive(Debug)]
struct Part {
    /// Goes behind so many bytes of what was written.
    at: usize,
    data: Bytes,
}

impl Outgoing {
    /// Begins with `head`.
    pub(crate) fn new(head: Vec<u8>) -> Self {
        Self { written: head, ..Self::default() }
    }

    /// Takes over room to write into.
    pub(crate) fn take_room(&mut self, room: Vec<u8>) {
        if self.written.is_empty() && self.parts.is_empty() {
            self.written = room;
            self.written.clear();
            self.sent = 0;
        }
    }

    /// Gives back the room that was written into. Everything has been sent.
    pub(crate) fn give_back_room(&mut self) -> Vec<u8> {
        self.sent = 0;
        // A connection at rest keeps nothing.
        self.parts = VecDeque::new();
        std::mem::take(&mut self.written)
    }

    /// Whether everything put in is sent.
    pub(crate) fn is_empty(&self) -> bool {
        self.sent == self.written.len() && self.parts.is_empty()
    }

    /// Whether another part of a body can be put in. One that was read already takes no more memory for that, but one that has
    /// to be read first would.
    pub(crate) fn has_room(&self, at_hand: AtHand) -> bool {
        let most = match at_hand {
            AtHand::Yes => MOST_PARTS,
            AtHand::No => 1,
        };
        self.parts.len() < most && self.written.len() < ENOUGH
    }

    /// Bytes that are still to be sent.
    pub(crate) fn left(&self) -> usize {
        self.written.len() - self.sent + self.parts.iter().map(|part| part.data.len()).sum::<usize>()
    }

    /// Bytes sent so far.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// Where to write what comes next.
    pub(crate) fn writer(&mut self) -> &mut Vec<u8> {
        &mut self.written
    }

    /// Adds content as it is. There is room.
    pub(crate) fn put(&mut self, data: Bytes) {
        if data.len() <= COPIED {
            self.written.extend_from_slice(&data);
        } else {
            self.parts.push_back(Part { at: self.written.len(), data });
        }
    }

    /// Adds content as a chunk (RFC 9112 §7.1). There is room.
    pub(crate) fn put_chunk(&mut self, data: Bytes) {
        if data.is_empty() {
            return;
        }
        // Writing into a vector cannot fail.
        let _ = write!(self.writer(), "{:x}\r\n", data.len());
        self.put(data);
        self.written.extend_from_slice(b"\r\n");
    }

    /// Adds the last chunk, if the trailer section is empty.
    pub(crate) fn put_last_chunk(&mut self) {
        self.writer().extend_from_slice(b"0\r\n\r\n");
    }

    /// Adds the last chunk and the trailer section (RFC 9112 §7.1.2), which `trailers` writes, each field with its line end.
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
            let stream = Pin::new(&mut *stream);
            let written = if self.parts.is_empty() {
                stream.poll_write(cx, self.written.get(self.sent..).unwrap_or_default())
            } else {
                let mut slices = [IoSlice::new(&[]); 2 * MOST_PARTS + 1];
                let count = self.gather(&mut slices);
                stream.poll_write_vectored(cx, slices.get(..count).unwrap_or(&slices))
            };
            match ready!(written)? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.advance(written),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Puts what is to be sent into `slices`, in order, as far as they reach. Answers how many are filled.
    fn gather<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let (mut from, mut count) = (self.sent, 0);
        let mut free = slices.iter_mut();
        let mut fill = |bytes: &'a [u8]| {
            if !bytes.is_empty()
                && let Some(slice) = free.next()
            {
                *slice = IoSlice::new(bytes);
                count += 1;
            }
        };
        for part in &self.parts {
            fill(self.written.get(from..part.at).unwrap_or_default());
            fill(&part.data);
            from = part.at;
        }
        fill(self.written.get(from..).unwrap_or_default());
        count
    }

    fn advance(&mut self, count: usize) {
        self.total += count as u64;
        self.pass(count);
        if self.is_empty() {
            // What is sent takes no room from what comes next.
            self.written.clear();
            self.sent = 0;
        }
    }

    fn pass(&mut self, mut count: usize) {
        loop {
            let until = self.parts.front().map_or(self.written.len(), |part| part.at);
            let step = count.min(until.saturating_sub(self.sent));
            self.sent += step;
            count -= step;
            let Some(part) = self.parts.front_mut() else { return };
            let step = count.min(part.data.len());
            part.data.advance(step);
            count -= step;
            if !part.data.is_empty() {
                return;
            }
            // Even an empty part holds the buffer that it was read into.
            self.parts.pop_front();
        }
    }
}

/// Whether the next part of a body has been read already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AtHand {
    Yes,
    No,
}

impl From<bool> for AtHand {
    fn from(is_at_hand: bool) -> Self {
        if is_at_hand { Self::Yes } else { Self::No }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is sent, when so many bytes are taken at once.
    fn sent(outgoing: &mut Outgoing, step: usize) -> Vec<u8> {
        let mut sent = Vec::new();
        while !outgoing.is_empty() {
            let mut slices = [IoSlice::new(&[]); 2 * MOST_PARTS + 1];
            let filled = outgoing.gather(&mut slices);
            let all: Vec<u8> = slices[..filled].iter().flat_map(|slice| slice.to_vec()).collect();
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
    fn parts_and_copies_are_bounded() {
        let mut outgoing = Outgoing::default();
        for _ in 0..MOST_PARTS {
            assert!(outgoing.has_room(AtHand::Yes));
            outgoing.put(Bytes::from(vec![b'x'; COPIED + 1]));
        }
        assert!(!outgoing.has_room(AtHand::Yes));
        let mut outgoing = Outgoing::default();
        outgoing.put(Bytes::from_static(b"small"));
        assert!(outgoing.has_room(AtHand::No));
        outgoing.writer().resize(ENOUGH, b'x');
        assert!(!outgoing.has_room(AtHand::Yes));
        outgoing.advance(ENOUGH - 1);
        assert!(!outgoing.has_room(AtHand::Yes));
        outgoing.advance(1);
        assert!(outgoing.has_room(AtHand::No), "what is sent takes no room");
    }

    #[test]
    fn parts_go_out_in_order_however_they_are_taken() {
        let large = vec![b'x'; COPIED + 1];
        let expected = [
            b"head\r\n\r\n2\r\nab\r\n1001\r\n".as_slice(),
            &large,
            b"\r\n1001\r\n",
            &large,
            b"\r\n0\r\n\r\n",
            b"next",
        ]
        .concat();
        for step in [1, 3, 7, 100, 5000, 100_000] {
            let mut outgoing = Outgoing::default();
            outgoing.writer().extend_from_slice(b"head\r\n\r\n");
            outgoing.put_chunk(Bytes::from_static(b"ab"));
            outgoing.put_chunk(Bytes::new());
            outgoing.put_chunk(Bytes::from(large.clone()));
            assert!(!outgoing.has_room(AtHand::No));
            assert!(outgoing.has_room(AtHand::Yes));
            outgoing.put_chunk(Bytes::from(large.clone()));
            outgoing.put_last_chunk();
            let mut all = sent(&mut outgoing, step);
            outgoing.put(Bytes::from_static(b"next"));
            assert_eq!(outgoing.left(), 4);
            all.extend(sent(&mut outgoing, step));
            assert!(all == expected, "in steps of {step}");
        }
    }
}
