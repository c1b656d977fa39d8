//! As much of a request head as the origin needs: what is asked for, how the body ends, whether to go on.
//!
//! Framing follows RFC 9112 §6, for the well-formed messages a proxy sends; it does not look for the others.

use std::io;

/// A head longer than this is not one of the benchmark's.
pub(crate) const MAX_HEAD_BYTES: usize = 64 * 1024;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Other,
}

/// How the request body ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body {
    Length(usize),
    Chunked,
}

/// What happens to the connection after the answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    KeepAlive,
    Close,
}

/// One request head at the start of the input.
pub(crate) struct Request<'a> {
    pub(crate) method: Method,
    pub(crate) path: &'a [u8],
    pub(crate) body: Body,
    pub(crate) after: After,
    pub(crate) head_bytes: usize,
}

impl<'a> Request<'a> {
    /// Reads the head at the start of `input`; `None` while its end has not arrived.
    ///
    /// # Errors
    /// On a request line or a length that is none.
    pub(crate) fn parse(input: &'a [u8]) -> io::Result<Option<Self>> {
        let Some(end) = input.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { return Ok(None) };
        let mut lines = input.split(|byte| *byte == b'\n');
        let mut first = lines.next().unwrap_or_default().trim_ascii_end().split(|byte| *byte == b' ');
        let (Some(method), Some(path), Some(version)) = (first.next(), first.next(), first.next()) else {
            return Err(malformed());
        };
        let mut request = Self {
            method: if method == b"GET" { Method::Get } else { Method::Other },
            path,
            body: Body::Length(0),
            after: if version == b"HTTP/1.1" { After::KeepAlive } else { After::Close },
            head_bytes: end + 4,
        };
        for line in lines {
            let line = line.trim_ascii_end();
            if line.is_empty() {
                break;
            }
            request.field(line)?;
        }
        Ok(Some(request))
    }

    fn field(&mut self, line: &[u8]) -> io::Result<()> {
        // The first letter rules out most fields before any comparison.
        if !matches!(line.first(), Some(b'c' | b'C' | b't' | b'T')) {
            return Ok(());
        }
        let colon = line.iter().position(|byte| *byte == b':').ok_or_else(malformed)?;
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if name.eq_ignore_ascii_case(b"content-length") {
            self.body = Body::Length(number(value, 10)?);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.body = Body::Chunked;
        } else if name.eq_ignore_ascii_case(b"connection") && value.eq_ignore_ascii_case(b"close") {
            self.after = After::Close;
        }
        Ok(())
    }
}

/// Reads the size from a chunk's first line, leaving its extensions aside (RFC 9112 §7.1).
///
/// # Errors
/// When the line does not start with a hexadecimal number.
pub(crate) fn chunk_bytes(line: &[u8]) -> io::Result<usize> {
    number(line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii(), 16)
}

fn number(text: &[u8], radix: u32) -> io::Result<usize> {
    let text = std::str::from_utf8(text).map_err(|_| malformed())?;
    usize::from_str_radix(text, radix).map_err(|_| malformed())
}

fn malformed() -> io::Error {
    io::ErrorKind::InvalidData.into()
}
