//! Reads the body of a message, a client's request or a server's response (RFC 9112 §6 and §7.1).
//!
//! As strict as either side needs: every line ends in CRLF, and what nobody needs is bounded. Works on whatever part of the
//! body has been read, and cuts content out of the buffer without copying it.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::header::is_forbidden_trailer;

/// Longest line of chunk framing, extensions included: nobody uses extensions for anything but attacks.
const MAX_LINE: usize = 256;
/// Most bytes of extensions in one body. Without it a byte of content could cost 256 of them (CVE-2023-39326).
const MAX_EXTENSIONS: u32 = 16 * 1024;
/// Largest trailer section.
const MAX_TRAILERS: usize = 16 * 1024;
/// Most trailer fields.
const MAX_TRAILER_FIELDS: usize = 32;

/// Room made for one read of a large body: 64 KiB and a head, so that a response of that size takes one system call.
pub(crate) const LARGE_READ: usize = 68 * 1024;

/// How the body of a message is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyFraming {
    /// By its length.
    Length(u64),
    /// By chunks.
    Chunked,
    /// By the end of the connection: a response's alone.
    UntilClose,
}

/// The body breaks the rules of its framing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// A step in reading a body.
#[derive(Debug)]
pub(crate) enum Step {
    /// Content.
    Data(Bytes),
    /// Fields after the content.
    Trailers(HeaderMap),
    /// More has to be read first.
    NeedsMore,
    /// The body is complete.
    End,
}

/// Reads one body.
#[derive(Debug)]
pub(crate) struct Decoder {
    state: State,
    /// Bytes of chunk extensions that may still come.
    extensions: u32,
}

#[derive(Debug)]
enum State {
    /// So many bytes are left.
    Length(u64),
    /// A chunk's size line comes next.
    ChunkSize,
    /// So many bytes of a chunk are left.
    ChunkData(u64),
    /// The line end after a chunk comes next.
    ChunkEnd,
    /// The trailer section comes next.
    Trailers,
    /// Everything until the end of the connection.
    UntilClose,
    /// Nothing is left.
    Done,
    /// What came broke the rules: what comes behind it is not to be read as if it had not.
    Broken,
}

impl Decoder {
    pub(crate) fn new(framing: BodyFraming) -> Self {
        let state = match framing {
            BodyFraming::Length(0) => State::Done,
            BodyFraming::Length(length) => State::Length(length),
            BodyFraming::Chunked => State::ChunkSize,
            BodyFraming::UntilClose => State::UntilClose,
        };
        Self { state, extensions: MAX_EXTENSIONS }
    }

    /// Whether the body is complete.
    pub(crate) fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Content bytes left, if that is known.
    pub(crate) fn left(&self) -> Option<u64> {
        match self.state {
            State::Length(left) => Some(left),
            State::Done => Some(0),
            _ => None,
        }
    }

    /// How much to make room for before reading on: what is left, as far as that is known.
    pub(crate) fn read_size(&self) -> usize {
        match self.state {
            State::Length(left) => usize::try_from(left).map_or(LARGE_READ, |left| left.min(LARGE_READ)),
            _ => LARGE_READ,
        }
    }

    /// Whether a step can be taken with `buffer` as it is: content is there, or a whole line of framing and what follows it.
    pub(crate) fn is_at_hand(&self, buffer: &[u8]) -> bool {
        let lines = match self.state {
            State::Done | State::Broken => return false,
            State::Length(_) | State::ChunkData(_) | State::UntilClose => return !buffer.is_empty(),
            State::ChunkEnd => buffer.get(2..).unwrap_or_default(),
            State::ChunkSize | State::Trailers => buffer,
        };
        memchr::memchr(b'\n', lines).is_some_and(|end| end + 1 < lines.len())
    }

    /// The connection has ended. Answers whether that ends the body as it should.
    pub(crate) fn close(&mut self) -> bool {
        let is_end = matches!(self.state, State::UntilClose | State::Done);
        if is_end {
            self.state = State::Done;
        }
        is_end
    }

    /// Takes the next step off the front of `buffer`.
    pub(crate) fn step(&mut self, buffer: &mut BytesMut) -> Result<Step, Malformed> {
        let step = self.advance(buffer);
        if step.is_err() {
            self.state = State::Broken;
        }
        step
    }

    fn advance(&mut self, buffer: &mut BytesMut) -> Result<Step, Malformed> {
        let state = &mut self.state;
        loop {
            match state {
                State::Done => return Ok(Step::End),
                State::Broken => return Err(Malformed),
                State::Length(_) | State::ChunkData(_) | State::UntilClose if buffer.is_empty() => {
                    return Ok(Step::NeedsMore);
                }
                State::UntilClose => return Ok(Step::Data(buffer.split().freeze())),
                State::Length(left) => {
                    let data = cut(buffer, left);
                    if *left == 0 {
                        *state = State::Done;
                    }
                    return Ok(Step::Data(data));
                }
                State::ChunkData(left) => {
                    let data = cut(buffer, left);
                    if *left == 0 {
                        *state = State::ChunkEnd;
                    }
                    return Ok(Step::Data(data));
                }
                State::ChunkSize => match take_line(buffer)? {
                    None => return Ok(Step::NeedsMore),
                    Some(line) => match chunk_size(&line, &mut self.extensions)? {
                        0 => *state = State::Trailers,
                        size => *state = State::ChunkData(size),
                    },
                },
                State::ChunkEnd => match buffer.get(..2) {
                    None if !b"\r\n".starts_with(buffer) => return Err(Malformed),
                    None => return Ok(Step::NeedsMore),
                    Some(b"\r\n") => {
                        drop(buffer.split_to(2));
                        *state = State::ChunkSize;
                    }
                    Some(_) => return Err(Malformed),
                },
                State::Trailers => {
                    let Some(trailers) = take_trailers(buffer)? else { return Ok(Step::NeedsMore) };
                    *state = State::Done;
                    return Ok(if trailers.is_empty() { Step::End } else { Step::Trailers(trailers) });
                }
            }
        }
    }
}

fn cut(buffer: &mut BytesMut, left: &mut u64) -> Bytes {
    let length = usize::try_from(*left).map_or(buffer.len(), |left| left.min(buffer.len()));
    *left -= length as u64;
    buffer.split_to(length).freeze()
}

/// A line ending in CRLF, without it.
fn take_line(buffer: &mut BytesMut) -> Result<Option<Bytes>, Malformed> {
    match memchr::memchr(b'\n', buffer) {
        None if buffer.len() > MAX_LINE => Err(Malformed),
        None => Ok(None),
        Some(end) => {
            let mut line = buffer.split_to(end + 1).freeze();
            if line.len() > MAX_LINE || !line.ends_with(b"\r\n") {
                return Err(Malformed);
            }
            line.truncate(end - 1);
            if line.contains(&b'\r') { Err(Malformed) } else { Ok(Some(line)) }
        }
    }
}

/// RFC 9112 §7.1: hexadecimal digits; extensions are passed over, at most `extensions` bytes of them.
fn chunk_size(line: &[u8], extensions: &mut u32) -> Result<u64, Malformed> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (size, rest) = line.split_at_checked(digits).ok_or(Malformed)?;
    let rest_is_extension =
        rest.iter().find(|byte| !matches!(byte, b' ' | b'\t')).is_none_or(|byte| *byte == b';');
    if digits == 0 || digits > 16 || !rest_is_extension {
        return Err(Malformed);
    }
    // White space is no extension: some servers pad every size to one width.
    let length = u32::try_from(rest.trim_ascii_start().len()).map_err(|_| Malformed)?;
    *extensions = extensions.checked_sub(length).ok_or(Malformed)?;
    let size = std::str::from_utf8(size).map_err(|_| Malformed)?;
    u64::from_str_radix(size, 16).map_err(|_| Malformed)
}

fn take_trailers(buffer: &mut BytesMut) -> Result<Option<HeaderMap>, Malformed> {
    if buffer.starts_with(b"\r\n") {
        drop(buffer.split_to(2));
        return Ok(Some(HeaderMap::new()));
    }
    let mut fields = [httparse::EMPTY_HEADER; MAX_TRAILER_FIELDS];
    let (length, trailers) = match httparse::parse_headers(buffer, &mut fields) {
        Err(_) => return Err(Malformed),
        Ok(httparse::Status::Partial) if buffer.len() > MAX_TRAILERS => return Err(Malformed),
        Ok(httparse::Status::Partial) => return Ok(None),
        Ok(httparse::Status::Complete((length, _))) if length > MAX_TRAILERS => return Err(Malformed),
        Ok(httparse::Status::Complete((length, fields))) => {
            let section = buffer.get(..length).unwrap_or_default();
            if memchr::memchr_iter(b'\n', section)
                .any(|end| !section.get(..end).is_some_and(|line| line.ends_with(b"\r")))
            {
                return Err(Malformed);
            }
            let mut trailers = HeaderMap::with_capacity(fields.len());
            for field in fields {
                let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| Malformed)?;
                let value = HeaderValue::from_bytes(field.value).map_err(|_| Malformed)?;
                if !is_forbidden_trailer(&name) {
                    trailers.append(name, value);
                }
            }
            (length, trailers)
        }
    };
    drop(buffer.split_to(length));
    Ok(Some(trailers))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `bytes` in pieces of `size`; the content, the trailers' count, and how it ended.
    fn decode(framing: BodyFraming, bytes: &[u8], size: usize) -> (Vec<u8>, usize, Result<bool, Malformed>) {
        let (mut decoder, mut buffer) = (Decoder::new(framing), BytesMut::new());
        let (mut content, mut fields) = (Vec::new(), 0);
        let mut pieces = bytes.chunks(size);
        loop {
            match decoder.step(&mut buffer) {
                Err(malformed) => return (content, fields, Err(malformed)),
                Ok(Step::Data(data)) => content.extend_from_slice(&data),
                Ok(Step::Trailers(trailers)) => fields += trailers.len(),
                Ok(Step::End) => return (content, fields, Ok(buffer.is_empty() && pieces.next().is_none())),
                Ok(Step::NeedsMore) => match pieces.next() {
                    Some(piece) => buffer.extend_from_slice(piece),
                    None => return (content, fields, Ok(decoder.close())),
                },
            }
        }
    }

    #[test]
    fn bodies_are_read_the_same_however_they_arrive() {
        let chunked = b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nx-sum: 1\r\n\r\n";
        for size in 1..=chunked.len() {
            let (content, fields, end) = decode(BodyFraming::Chunked, chunked, size);
            assert_eq!(
                (content.as_slice(), fields, end),
                (&b"hello world"[..], 1, Ok(true)),
                "in pieces of {size}"
            );
            let (content, _, end) = decode(BodyFraming::Length(5), b"hello", size);
            assert_eq!((content.as_slice(), end), (&b"hello"[..], Ok(true)));
            let (content, _, end) = decode(BodyFraming::UntilClose, b"hello", size);
            assert_eq!((content.as_slice(), end), (&b"hello"[..], Ok(true)));
        }
    }

    #[test]
    fn broken_framing_is_refused_or_incomplete() {
        for bad in [
            &b"x\r\n"[..],
            b"\r\n",
            b"5\nhello\r\n0\r\n\r\n",
            b"5\r\nhelloX0\r\n\r\n",
            b"5\r\nhello\n0\r\n\r\n",
            b"-1\r\n",
            b"0x5\r\n",
            b"11111111111111111\r\n",
            b"5 5\r\nhello",
            b"0\r\nbad header\r\n\r\n",
            b"0\r\n a: b\r\n\r\n",
            b"0\r\na: b\n\r\n",
            b"0\r\na: b\r\n\n",
            &[b'1'; 400],
        ] {
            assert_eq!(
                decode(BodyFraming::Chunked, bad, 1000).2,
                Err(Malformed),
                "{:?}",
                String::from_utf8_lossy(bad)
            );
        }
        for short in [&b"5\r\nhel"[..], b"5\r\nhello\r\n", b"5\r\nhello\r\n0\r\n", b""] {
            assert_eq!(
                decode(BodyFraming::Chunked, short, 1000).2,
                Ok(false),
                "{:?}",
                String::from_utf8_lossy(short)
            );
        }
        let extended = format!("1;{}\r\nx\r\n", "e".repeat(200));
        let many = [extended.repeat(82).as_str(), "0\r\n\r\n"].concat();
        assert_eq!(decode(BodyFraming::Chunked, many.as_bytes(), 1000).2, Err(Malformed));
        assert_eq!(decode(BodyFraming::Length(9), b"hello", 1000).2, Ok(false));
        assert_eq!(decode(BodyFraming::Length(5), b"hello and more", 1000).2, Ok(false));
    }

    #[test]
    fn framing_alone_is_nothing_at_hand() {
        let mut decoder = Decoder::new(BodyFraming::Chunked);
        assert!(!decoder.is_at_hand(b"4\r\n"));
        assert!(decoder.is_at_hand(b"4\r\nx"));
        let mut buffer = BytesMut::from("1\r\nx");
        assert!(matches!(decoder.step(&mut buffer), Ok(Step::Data(_))));
        for framing in ["", "\r\n", "\r\n4", "\r\n4\r\n", "\r\n0\r\n"] {
            assert!(!decoder.is_at_hand(framing.as_bytes()), "{framing:?}");
        }
        for next in ["\r\n4\r\nx", "\r\n0\r\n\r\n"] {
            assert!(decoder.is_at_hand(next.as_bytes()), "{next:?}");
        }
        assert!(Decoder::new(BodyFraming::Length(1)).is_at_hand(b"x"));
        assert!(!Decoder::new(BodyFraming::Length(0)).is_at_hand(b"next"));
    }
}
