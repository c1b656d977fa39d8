//! Whether an answer's body holds a text: the beginning of the body, read no further than it takes.
//!
//! Framing by RFC 9112 §6 and §7.1. The decoded bytes are searched, since a text may lie across two chunks.

use memchr::memmem::Finder;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::http::{ExchangeError, Reply};

/// How much of a body is looked at.
pub(super) const MAX_BODY_BYTES: usize = 64 * 1024;
/// Longest line with the size of a chunk.
const MAX_SIZE_LINE: usize = 1024;
/// Most read at once.
const CHUNK_BYTES: usize = 4096;

/// How the end of a body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// So many more bytes.
    Length(u64),
    /// In chunks.
    Chunked(Chunk),
    /// Whatever comes until the connection ends.
    UntilClose,
}

/// Where in a chunked body the next byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunk {
    /// At a chunk's size.
    Size,
    /// In its data, with so much left.
    Data(u64),
    /// At the line break after it.
    Break,
    /// Past the last one.
    Done,
}

/// Whether the first 64 KiB of the body of `reply`, the rest of which comes from `stream`, hold what `finder` looks for.
pub(super) async fn holds(
    stream: &mut (impl AsyncRead + Unpin),
    reply: Reply,
    finder: &Finder<'_>,
) -> Result<bool, ExchangeError> {
    let mut body = Body { framing: reply.framing?, raw: reply.rest, decoded: Vec::new() };
    let mut chunk = [0; CHUNK_BYTES];
    loop {
        let searched = body.decoded.len().saturating_sub(finder.needle().len());
        body.decode()?;
        if body.decoded.get(searched..).is_some_and(|fresh| finder.find(fresh).is_some()) {
            return Ok(true);
        }
        if body.is_done() || body.decoded.len() >= MAX_BODY_BYTES {
            return Ok(false);
        }
        let read = stream.read(&mut chunk).await.map_err(ExchangeError::Io)?;
        if read == 0 {
            return if body.framing == Framing::UntilClose { Ok(false) } else { Err(ExchangeError::Closed) };
        }
        body.raw.extend_from_slice(chunk.get(..read).unwrap_or_default());
    }
}

struct Body {
    framing: Framing,
    /// What has arrived and is not decoded yet.
    raw: Vec<u8>,
    decoded: Vec<u8>,
}

impl Body {
    fn is_done(&self) -> bool {
        matches!(self.framing, Framing::Length(0) | Framing::Chunked(Chunk::Done))
    }

    /// Decodes what has arrived, up to the bound.
    fn decode(&mut self) -> Result<(), ExchangeError> {
        loop {
            let before = (self.framing, self.raw.len());
            match self.framing {
                Framing::UntilClose => {
                    self.take(u64::MAX);
                }
                Framing::Length(left) => self.framing = Framing::Length(left - self.take(left)),
                Framing::Chunked(chunk) => self.framing = Framing::Chunked(self.chunk(chunk)?),
            }
            if (self.framing, self.raw.len()) == before || self.decoded.len() >= MAX_BODY_BYTES {
                return Ok(());
            }
        }
    }

    fn chunk(&mut self, at: Chunk) -> Result<Chunk, ExchangeError> {
        match at {
            Chunk::Size => match httparse::parse_chunk_size(&self.raw) {
                Ok(httparse::Status::Complete((length, size))) => {
                    self.raw.drain(..length);
                    Ok(if size == 0 { Chunk::Done } else { Chunk::Data(size) })
                }
                Ok(httparse::Status::Partial) if self.raw.len() <= MAX_SIZE_LINE => Ok(at),
                _ => Err(ExchangeError::BadChunk),
            },
            Chunk::Data(left) => {
                let left = left - self.take(left);
                Ok(if left == 0 { Chunk::Break } else { Chunk::Data(left) })
            }
            Chunk::Break => match self.raw.get(..2) {
                Some(b"\r\n") => {
                    self.raw.drain(..2);
                    Ok(Chunk::Size)
                }
                Some(_) => Err(ExchangeError::BadChunk),
                None => Ok(at),
            },
            Chunk::Done => Ok(at),
        }
    }

    /// Moves at most `most` bytes from what has arrived to what is decoded. Answers how many.
    fn take(&mut self, most: u64) -> u64 {
        let room = MAX_BODY_BYTES.saturating_sub(self.decoded.len());
        let count = usize::try_from(most).unwrap_or(usize::MAX).min(self.raw.len()).min(room);
        self.decoded.extend(self.raw.drain(..count));
        count as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of these parts of a body, each read by itself.
    async fn search(framing: Framing, parts: &[&str], text: &str) -> Result<bool, String> {
        let mut stream = tokio_test_io(parts);
        let reply = Reply { status: 200, framing: Ok(framing), rest: Vec::new() };
        holds(&mut stream, reply, &Finder::new(text)).await.map_err(|error| error.to_string())
    }

    /// A stream that yields these parts and then ends.
    fn tokio_test_io(parts: &[&str]) -> impl AsyncRead + Unpin + use<> {
        parts.iter().fold(
            Box::new(tokio::io::empty()) as Box<dyn AsyncRead + Unpin>,
            |rest: Box<dyn AsyncRead + Unpin>, part| {
                let part = std::io::Cursor::new(part.as_bytes().to_vec());
                // Built from the end: the last part was put first.
                Box::new(part.chain(rest))
            },
        )
    }

    #[tokio::test]
    async fn a_text_is_found_in_any_framing() {
        let chunked = Framing::Chunked(Chunk::Size);
        for (framing, parts, found) in [
            (Framing::Length(8), vec!["all well"], Ok(true)),
            (Framing::Length(6), vec!["all well"], Ok(false)),
            (Framing::Length(0), vec![], Ok(false)),
            (Framing::UntilClose, vec!["all w", "ell, thanks"], Ok(true)),
            (Framing::UntilClose, vec!["all w"], Ok(false)),
            (chunked, vec!["4\r\nall \r", "\n1;x=y\r\nw\r\n", "3\r\nell\r\n"], Ok(true)),
            (chunked, vec!["4\r\nall \r\n0\r\n\r\n"], Ok(false)),
            (chunked, vec!["4\r\nall \r\n", "5\r\nso so\r\n0\r\n\r\n"], Ok(false)),
        ] {
            let ordered: Vec<&str> = parts.iter().rev().copied().collect();
            assert_eq!(search(framing, &ordered, "all well").await, found, "{parts:?}");
        }
    }

    #[tokio::test]
    async fn a_body_that_is_none_is_a_failure() {
        let chunked = Framing::Chunked(Chunk::Size);
        for (framing, part) in [
            (Framing::Length(9), "all w"),
            (chunked, "4\r\nall "),
            (chunked, "zz\r\nall well\r\n"),
            (chunked, "4\r\nall XX"),
        ] {
            assert!(search(framing, &[part], "all well").await.is_err(), "{part:?}");
        }
        let endless = "0".repeat(MAX_SIZE_LINE + 1);
        assert!(search(chunked, &[&endless], "all well").await.is_err());
    }

    #[tokio::test]
    async fn no_more_is_read_than_the_bound() {
        let long = format!("{}all well", "x".repeat(MAX_BODY_BYTES - 4));
        assert_eq!(search(Framing::UntilClose, &[&long], "all well").await, Ok(false));
        assert_eq!(search(Framing::UntilClose, &[&long], "xall").await, Ok(true));
        assert_eq!(search(Framing::Length(u64::MAX), &[&long], "all well").await, Ok(false));
    }
}
