//! What was sent of a request's body, kept so that it can be sent again.
//!
//! Bounded: a longer body is sent once and never again, rather than held in memory for a retry that will hardly happen.

use bytes::Bytes;

/// Most bytes kept of one body (NGINX's default client body buffer is 16 KiB; Traefik keeps up to 2 MB).
const MOST_BYTES: usize = 64 * 1024;
/// Most pieces kept, so that a body arriving byte by byte cannot cost more in bookkeeping than in content.
const MOST_PIECES: usize = 256;

/// The pieces of a body sent so far.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    pieces: Vec<Bytes>,
    bytes: usize,
    next: usize,
    is_incomplete: bool,
}

impl Replay {
    /// Keeps a piece about to be sent.
    pub(crate) fn keep(&mut self, piece: &Bytes) {
        if self.is_incomplete {
            return;
        }
        if self.bytes + piece.len() > MOST_BYTES || self.pieces.len() == MOST_PIECES {
            self.give_up();
            return;
        }
        self.bytes += piece.len();
        self.pieces.push(piece.clone());
        self.next = self.pieces.len();
    }

    /// Lets go of everything: the body cannot be sent again.
    pub(crate) fn give_up(&mut self) {
        *self = Self { is_incomplete: true, ..Self::default() };
    }

    /// Goes back to the first piece. Answers whether everything sent so far can be sent again.
    pub(crate) fn rewind(&mut self) -> bool {
        self.next = 0;
        !self.is_incomplete
    }

    /// Whether the rest comes from the client.
    pub(crate) fn is_at_end(&self) -> bool {
        self.next >= self.pieces.len()
    }

    /// The next piece to send again; `None` when the rest comes from the client.
    pub(crate) fn next(&mut self) -> Option<Bytes> {
        let piece = self.pieces.get(self.next)?;
        self.next += 1;
        Some(piece.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_is_replayed_in_order() {
        let mut replay = Replay::default();
        replay.keep(&Bytes::from_static(b"a"));
        replay.keep(&Bytes::from_static(b"b"));
        assert_eq!(replay.next(), None);
        assert!(replay.rewind());
        assert_eq!(replay.next().as_deref(), Some(&b"a"[..]));
        assert_eq!(replay.next().as_deref(), Some(&b"b"[..]));
        assert_eq!(replay.next(), None);
        replay.keep(&Bytes::from_static(b"c"));
        assert_eq!(replay.next(), None, "the new piece has just been sent");
    }

    #[test]
    fn a_long_or_scattered_body_is_not_kept() {
        let mut replay = Replay::default();
        replay.keep(&Bytes::from(vec![0; MOST_BYTES]));
        assert!(replay.rewind());
        replay.keep(&Bytes::from_static(b"x"));
        assert!(!replay.rewind() && replay.pieces.is_empty());
        let mut replay = Replay::default();
        for _ in 0..=MOST_PIECES {
            replay.keep(&Bytes::from_static(b"x"));
        }
        assert!(!replay.rewind());
    }
}
