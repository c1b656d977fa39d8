//! Follows the frames of one direction of an HTTP/2 connection (RFC 9113 §4.1), without reading what is in them.
//!
//! Hot path: no allocation; of each frame its nine first bytes are looked at.

/// RFC 9113 §3.4: what a client sends before its first frame.
const PREFACE: u32 = 24;
const HEAD: usize = 9;

/// Frame types (RFC 9113 §6).
pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const GOAWAY: u8 = 7;
pub(super) const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    /// Bytes that follow.
    pub(super) length: u32,
    pub(super) stream: u32,
}

impl Frame {
    fn read(head: [u8; HEAD]) -> Self {
        let [length @ .., kind, flags, a, b, c, d] = head;
        Self {
            kind,
            flags,
            length: u32::from_be_bytes([0, length[0], length[1], length[2]]),
            stream: u32::from_be_bytes([a & 0x7f, b, c, d]),
        }
    }

    /// Whether it is the last one of its stream.
    pub(super) fn ends_stream(self) -> bool {
        matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0
    }

    /// Whether it carries content, and not only the frame of it.
    pub(super) fn has_content(self) -> bool {
        self.kind == DATA && self.length > 0 && self.flags & PADDED == 0
    }

    /// Whether more of the block of fields has to follow (RFC 9113 §4.3).
    fn leaves_block_open(self) -> bool {
        matches!(self.kind, HEADERS | CONTINUATION) && self.flags & END_HEADERS == 0
    }
}

/// Where in a connection the bytes are that pass.
#[derive(Debug)]
pub(super) struct Frames {
    /// Bytes of the preface that are still to come.
    preface: u32,
    head: [u8; HEAD],
    /// How much of `head` is there.
    filled: usize,
    /// Bytes of the current frame that are still to come.
    left: u32,
    /// The type of the current frame.
    kind: u8,
    /// Whether a block of fields goes on in the next frame.
    is_block_open: bool,
}

impl Frames {
    /// What a client sends.
    pub(super) fn of_client() -> Self {
        Self { preface: PREFACE, ..Self::of_server() }
    }

    /// What a server sends.
    pub(super) fn of_server() -> Self {
        Self { preface: 0, head: [0; HEAD], filled: 0, left: 0, kind: DATA, is_block_open: false }
    }

    /// `bytes` pass. Tells the frames that begin in them.
    pub(super) fn pass(&mut self, mut bytes: &[u8], mut begins: impl FnMut(Frame)) {
        bytes = skip(&mut self.preface, bytes);
        loop {
            bytes = skip(&mut self.left, bytes);
            if bytes.is_empty() {
                return;
            }
            let missing = self.head.get_mut(self.filled..).unwrap_or_default();
            let count = missing.len().min(bytes.len());
            let (head, rest) = bytes.split_at(count);
            for (to, from) in missing.iter_mut().zip(head) {
                *to = *from;
            }
            self.filled += count;
            bytes = rest;
            if self.filled == HEAD {
                let frame = Frame::read(self.head);
                self.filled = 0;
                self.left = frame.length;
                self.kind = frame.kind;
                self.is_block_open = frame.leaves_block_open();
                begins(frame);
            }
        }
    }

    /// Whether a frame has begun and not ended.
    pub(super) fn is_within(&self) -> bool {
        self.filled > 0 || self.left > 0
    }

    /// Whether something has begun that the other end should soon end: the preface, a block of fields, or any frame but one
    /// of content, which has the time a body has.
    pub(super) fn owes_rest(&self) -> bool {
        self.preface > 0 || self.is_block_open || self.filled > 0 || (self.left > 0 && self.kind != DATA)
    }
}

/// Takes from the front of `bytes` as many as are `left`.
fn skip<'b>(left: &mut u32, bytes: &'b [u8]) -> &'b [u8] {
    let count = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
    *left -= u32::try_from(count).unwrap_or(*left);
    bytes.get(count..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample::Index};

    use super::*;

    const PRI: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut bytes = vec![length[1], length[2], length[3], kind, flags];
        bytes.extend(stream.to_be_bytes());
        bytes.extend(payload);
        bytes
    }

    fn passed(frames: &mut Frames, pieces: &[&[u8]]) -> Vec<Frame> {
        let mut seen = Vec::new();
        pieces.iter().for_each(|piece| frames.pass(piece, |frame| seen.push(frame)));
        seen
    }

    #[test]
    fn frames_are_told_apart_by_their_heads() {
        let bytes =
            [PRI, &frame(SETTINGS, 0, 0, &[0; 12]), &frame(DATA, END_STREAM, 0x8000_0003, b"hello")].concat();
        let mut frames = Frames::of_client();
        let seen = passed(&mut frames, &[&bytes]);
        assert_eq!(seen[0], Frame { kind: SETTINGS, flags: 0, length: 12, stream: 0 });
        assert_eq!(seen[1], Frame { kind: DATA, flags: END_STREAM, length: 5, stream: 3 });
        assert!(seen[1].ends_stream() && seen[1].has_content() && !frames.is_within());
    }

    #[test]
    fn what_is_owed_ends_with_the_frame_or_the_block() {
        let mut frames = Frames::of_client();
        let mut owes = |bytes: &[u8]| {
            passed(&mut frames, &[bytes]);
            frames.owes_rest()
        };
        assert!(owes(&PRI[..23]) && !owes(&PRI[23..]));
        assert!(owes(&frame(HEADERS, 0, 1, b"ab")), "a block is open");
        assert!(owes(&frame(CONTINUATION, 0, 1, b"")));
        assert!(!owes(&frame(CONTINUATION, END_HEADERS, 1, b"")));
        let ping = frame(6, 0, 0, &[0; 8]);
        assert!(owes(&ping[..3]) && owes(&ping[3..12]) && !owes(&ping[12..]));
        let data = frame(DATA, 0, 1, b"hello");
        assert!(!owes(&data[..10]) && !owes(&data[10..]), "a body has the time a body has");
    }

    proptest! {
        #[test]
        fn how_the_bytes_are_split_makes_no_difference(
            kinds in proptest::collection::vec((0..12_u8, any::<u8>(), 0..40_usize), 0..8),
            cuts in proptest::collection::vec(any::<Index>(), 0..8),
        ) {
            let mut bytes = PRI.to_vec();
            for (kind, flags, length) in &kinds {
                bytes.extend(frame(*kind, *flags, 1, &vec![7; *length]));
            }
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect();
            let (mut whole, mut split) = (Frames::of_client(), Frames::of_client());
            prop_assert_eq!(passed(&mut whole, &[&bytes]), passed(&mut split, &pieces));
            prop_assert_eq!(whole.owes_rest(), split.owes_rest());
            prop_assert_eq!(whole.is_within(), split.is_within());
        }
    }
}
