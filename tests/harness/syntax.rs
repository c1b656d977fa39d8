//! HTTP/1.1 message syntax at its strictest, for both directions.
//!
//! Nothing that RFC 9112 only tolerates is accepted: lines end in CRLF alone, no control byte appears anywhere, no line is
//! folded, a chunk carries no extension. What this parser accepts, every parser reads in the same way.
//! Source: RFC 9110 §5, RFC 9112 §2 to §7.

use std::fmt;

/// A breach of the grammar, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation(pub String);

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Returns a violation with this text.
pub fn violation<T>(text: impl Into<String>) -> Result<T, Violation> {
    Err(Violation(text.into()))
}

/// One header or trailer field. Bytes above 0x7f appear as the Latin-1 characters of the same number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// The name as it was sent.
    pub name: String,
    /// The value without surrounding white space.
    pub value: String,
}

/// The fields of one section, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(pub Vec<Field>);

impl Fields {
    /// Every value of the field `name`, in order.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.0
            .iter()
            .filter(|field| field.name.eq_ignore_ascii_case(name))
            .map(|field| field.value.as_str())
            .collect()
    }

    /// The value of the field `name`, when there is exactly one line of it.
    pub fn one(&self, name: &str) -> Option<&str> {
        match self.all(name).as_slice() {
            [value] => Some(value),
            _ => None,
        }
    }

    /// Whether a field of this name is present.
    pub fn has(&self, name: &str) -> bool {
        !self.all(name).is_empty()
    }

    /// The comma-separated members of all lines of `name`, in lower case.
    pub fn list(&self, name: &str) -> Vec<String> {
        self.all(name)
            .iter()
            .flat_map(|value| value.split(','))
            .map(|member| member.trim().to_ascii_lowercase())
            .filter(|member| !member.is_empty())
            .collect()
    }
}

/// Whether `byte` may appear in a token. RFC 9110 §5.6.2.
pub fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Whether `text` is a token.
pub fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| is_token_byte(*byte))
}

/// The bytes as Latin-1 text.
pub fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// The line that starts at `from`, without its CRLF, and where the next one starts; `None` while it is incomplete.
pub fn line(bytes: &[u8], from: usize) -> Result<Option<(&[u8], usize)>, Violation> {
    let rest = &bytes[from..];
    for (index, byte) in rest.iter().enumerate() {
        match byte {
            b'\n' => return violation("a line ends in a bare LF"),
            b'\r' => {
                return match rest.get(index + 1) {
                    Some(b'\n') => Ok(Some((&rest[..index], from + index + 2))),
                    Some(_) => violation("a bare CR inside a line"),
                    None => Ok(None),
                };
            }
            _ => {}
        }
    }
    Ok(None)
}

/// The field section that starts at `from`, and where the content starts; `None` while it is incomplete.
pub fn fields(bytes: &[u8], from: usize) -> Result<Option<(Fields, usize)>, Violation> {
    let mut found = Fields::default();
    let mut at = from;
    loop {
        let Some((text, next)) = line(bytes, at)? else { return Ok(None) };
        at = next;
        if text.is_empty() {
            return Ok(Some((found, at)));
        }
        found.0.push(field(text)?);
    }
}

/// One field line. RFC 9112 §5, RFC 9110 §5.5.
fn field(text: &[u8]) -> Result<Field, Violation> {
    let shown = latin1(text);
    if text.starts_with(b" ") || text.starts_with(b"\t") {
        return violation(format!("a folded line: {shown:?}"));
    }
    let Some(colon) = text.iter().position(|byte| *byte == b':') else {
        return violation(format!("a field line without a colon: {shown:?}"));
    };
    let (name, value) = (&text[..colon], &text[colon + 1..]);
    if !is_token(name) {
        return violation(format!("a field name that is no token: {shown:?}"));
    }
    if value.iter().any(|byte| (*byte < 0x20 && *byte != b'\t') || *byte == 0x7f) {
        return violation(format!("a control byte in a field value: {shown:?}"));
    }
    let value = latin1(value);
    Ok(Field { name: latin1(name), value: value.trim_matches([' ', '\t']).to_owned() })
}

/// The length that the Content-Length lines give, when there are any: one line of digits and nothing else.
pub fn content_length(fields: &Fields) -> Result<Option<u64>, Violation> {
    match fields.all("content-length").as_slice() {
        [] => Ok(None),
        [value] if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) => {
            value.parse().map(Some).or_else(|_| violation(format!("Content-Length {value:?} is too large")))
        }
        values => violation(format!("Content-Length is not one number: {values:?}")),
    }
}

/// Whether the message is chunked; any other transfer coding is a violation.
pub fn is_chunked(fields: &Fields) -> Result<bool, Violation> {
    match fields.all("transfer-encoding").as_slice() {
        [] => Ok(false),
        [value] if value.eq_ignore_ascii_case("chunked") => Ok(true),
        values => violation(format!("Transfer-Encoding is not \"chunked\" once: {values:?}")),
    }
}

/// A chunked body that has arrived whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunked {
    /// The content of all chunks.
    pub body: Vec<u8>,
    /// The trailer section.
    pub trailers: Fields,
    /// Where the next message starts.
    pub end: usize,
}

/// The chunked body that starts at `from`; `None` while it is incomplete. RFC 9112 §7.1.
pub fn chunked(bytes: &[u8], from: usize) -> Result<Option<Chunked>, Violation> {
    let mut body = Vec::new();
    let mut at = from;
    loop {
        let Some((text, next)) = line(bytes, at)? else { return Ok(None) };
        let size = chunk_size(text)?;
        if size == 0 {
            let Some((trailers, end)) = fields(bytes, next)? else { return Ok(None) };
            for name in ["content-length", "transfer-encoding", "host", "connection", "trailer"] {
                if trailers.has(name) {
                    return violation(format!("{name} in a trailer section"));
                }
            }
            return Ok(Some(Chunked { body, trailers, end }));
        }
        let Some(content) = bytes.get(next..next + size) else { return Ok(None) };
        body.extend_from_slice(content);
        match bytes.get(next + size..next + size + 2) {
            Some(b"\r\n") => at = next + size + 2,
            Some(_) => return violation("a chunk does not end in CRLF"),
            None => return Ok(None),
        }
    }
}

fn chunk_size(text: &[u8]) -> Result<usize, Violation> {
    let shown = latin1(text);
    if text.is_empty() || text.len() > 15 || !text.iter().all(u8::is_ascii_hexdigit) {
        return violation(format!("a chunk size that is not plain hexadecimal: {shown:?}"));
    }
    usize::from_str_radix(&shown, 16).or_else(|_| violation(format!("a chunk size out of range: {shown:?}")))
}
