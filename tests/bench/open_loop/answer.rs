//! An answer on its way in, as far as the client cares for it.

use std::io;

/// What has arrived of an answer.
#[derive(Default)]
pub(crate) struct Answer {
    input: Vec<u8>,
    head: Option<Head>,
}

#[derive(Clone, Copy)]
struct Head {
    status: u16,
    bytes: usize,
    /// `None` for a body in chunks.
    length: Option<usize>,
    closes: bool,
}

/// What a whole answer says.
pub(crate) struct Whole {
    pub(crate) status: u16,
    /// Nothing can follow it on its connection.
    pub(crate) is_last: bool,
}

impl Answer {
    pub(crate) fn is_empty(&self) -> bool {
        self.input.is_empty()
    }

    /// Takes in what was read; the answer once it is whole.
    pub(crate) fn take(&mut self, read: &[u8]) -> io::Result<Option<Whole>> {
        self.input.extend_from_slice(read);
        let Some(head) = self.head()? else { return Ok(None) };
        let body = self.input.get(head.bytes..).unwrap_or_default();
        let is_whole =
            head.length.map_or_else(|| body.ends_with(b"0\r\n\r\n"), |length| body.len() >= length);
        if !is_whole {
            return Ok(None);
        }
        let goes_on = head.length.is_some_and(|length| body.len() > length);
        self.input.clear();
        self.head = None;
        Ok(Some(Whole { status: head.status, is_last: head.closes || goes_on }))
    }

    fn head(&mut self) -> io::Result<Option<Head>> {
        if self.head.is_none() {
            self.head = Head::parse(&self.input)?;
        }
        Ok(self.head)
    }
}

impl Head {
    /// The head at the start of `input`; `None` while its end has not arrived.
    fn parse(input: &[u8]) -> io::Result<Option<Self>> {
        let mut head = Self { status: 0, bytes: 0, length: None, closes: false };
        for line in input.split_inclusive(|byte| *byte == b'\n') {
            head.bytes += line.len();
            match line.strip_suffix(b"\r\n") {
                None => return Ok(None),
                Some(b"") => return Ok(Some(head)),
                Some(line) if head.status == 0 => head.status = status(line).ok_or_else(malformed)?,
                Some(line) => head.field(line)?,
            }
        }
        Ok(None)
    }

    fn field(&mut self, line: &[u8]) -> io::Result<()> {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { return Err(malformed()) };
        let (name, value) = line.split_at(colon);
        if name.eq_ignore_ascii_case(b"content-length") {
            self.length = Some(number(value).ok_or_else(malformed)?);
        } else if name.eq_ignore_ascii_case(b"connection") {
            self.closes = value.to_ascii_lowercase().ends_with(b"close");
        }
        Ok(())
    }
}

fn status(line: &[u8]) -> Option<u16> {
    str::from_utf8(line.get(9..12)?).ok()?.parse().ok()
}

/// The number in `: 12`.
fn number(value: &[u8]) -> Option<usize> {
    str::from_utf8(value.get(1..)?).ok()?.trim().parse().ok()
}

fn malformed() -> io::Error {
    io::ErrorKind::InvalidData.into()
}
