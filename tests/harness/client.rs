//! A client that writes raw bytes and reads responses by the strict grammar.
//!
//! Source: RFC 9112 §4 and §6.3 for where a response ends.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use crate::eventually::PATIENCE;
use crate::syntax::{self, Chunked, Fields, Violation};

/// Why there is no response.
#[derive(Debug)]
pub enum WireError {
    /// Nothing came in time.
    Timeout,
    /// The peer closed, or reset the connection, before the first byte of a response.
    Closed,
    /// The peer closed, or reset the connection, inside a response of which these bytes had come.
    Truncated(Vec<u8>),
    /// The response breaks the grammar.
    Malformed(Violation),
}

/// Where the end of a response body was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The response has no body by its nature.
    NoBody,
    /// After a counted number of bytes.
    Length,
    /// After the last chunk.
    Chunked,
    /// With the connection.
    Close,
}

/// A response.
#[derive(Clone, Debug)]
pub struct Response {
    /// The minor version: 0 or 1.
    pub minor: u8,
    /// The status code.
    pub status: u16,
    /// The header section.
    pub fields: Fields,
    /// The content, decoded.
    pub body: Vec<u8>,
    /// The trailer section.
    pub trailers: Fields,
    /// How the body was framed.
    pub ending: Ending,
    /// The status codes of the interim responses that came before.
    pub interim: Vec<u16>,
}

impl Response {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Whether the peer says that it will close.
    pub fn announces_close(&self) -> bool {
        let options = self.fields.list("connection");
        options.iter().any(|option| option == "close")
            || (self.minor == 0 && !options.iter().any(|option| option == "keep-alive"))
            || self.ending == Ending::Close
    }
}

/// One connection.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Wire {
    /// Connects.
    ///
    /// # Panics
    /// When the peer does not accept.
    pub fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).unwrap_or_else(|error| panic!("cannot connect to {address}: {error}"))
    }

    /// Connects, if the peer accepts.
    pub fn try_connect(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream, buffer: Vec::new() })
    }

    /// Waits at most this long for bytes from now on.
    #[must_use]
    pub fn patience(self, limit: Duration) -> Self {
        self.stream.set_read_timeout(Some(limit)).unwrap();
        self
    }

    /// The client's own address.
    pub fn local_address(&self) -> SocketAddr {
        self.stream.local_addr().unwrap()
    }

    /// The socket itself.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Writes bytes; a peer that has closed already is noticed when reading.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.try_send(bytes);
    }

    /// Writes bytes.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// Ends the connection with a reset: nobody is left to take an answer. A mere close looks like [`Self::finish`] to the
    /// other end until it writes.
    pub fn reset(self) {
        socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Ends the sending direction.
    pub fn finish(&self) {
        // Fails only when the peer has gone, which reading shows.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Sends a request and reads its response.
    ///
    /// # Panics
    /// When no well-formed response comes.
    pub fn exchange(&mut self, request: impl AsRef<[u8]>) -> Response {
        let request = request.as_ref();
        self.send(request);
        let method = if request.starts_with(b"HEAD ") { "HEAD" } else { "GET" };
        self.response(method).unwrap_or_else(|error| {
            panic!(
                "no response to {:?}: {error:?}",
                String::from_utf8_lossy(&request[..request.len().min(400)])
            )
        })
    }

    /// Sends a GET for this target and reads the response.
    pub fn get(&mut self, target: &str) -> Response {
        self.exchange(format!("GET {target} HTTP/1.1\r\nHost: weir.test\r\n\r\n"))
    }

    /// Sends a POST with this body and reads the response.
    pub fn post(&mut self, target: &str, body: &str) -> Response {
        self.exchange(format!(
            "POST {target} HTTP/1.1\r\nHost: weir.test\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ))
    }

    /// Reads the next response; `method` is that of its request.
    pub fn response(&mut self, method: &str) -> Result<Response, WireError> {
        let mut interim = Vec::new();
        loop {
            let (minor, status, fields) = self.response_head()?;
            if (100..200).contains(&status) && status != 101 {
                interim.push(status);
                continue;
            }
            let (body, trailers, ending) = self.response_body(method, status, &fields)?;
            return Ok(Response { minor, status, fields, body, trailers, ending, interim });
        }
    }

    /// Reads a status line and header section. RFC 9112 §4.
    pub fn response_head(&mut self) -> Result<(u8, u16, Fields), WireError> {
        loop {
            if let Some((head, length)) = parse_head(&self.buffer).map_err(WireError::Malformed)? {
                self.buffer.drain(..length);
                return Ok(head);
            }
            if self.fill()? == 0 {
                return Err(if self.buffer.is_empty() { WireError::Closed } else { self.truncated() });
            }
        }
    }

    fn response_body(
        &mut self,
        method: &str,
        status: u16,
        fields: &Fields,
    ) -> Result<(Vec<u8>, Fields, Ending), WireError> {
        let is_chunked = syntax::is_chunked(fields).map_err(WireError::Malformed)?;
        let length = syntax::content_length(fields).map_err(WireError::Malformed)?;
        if method == "HEAD" || matches!(status, 101 | 204 | 304) {
            return Ok((Vec::new(), Fields::default(), Ending::NoBody));
        }
        if is_chunked {
            if length.is_some() {
                return Err(WireError::Malformed(Violation(
                    "both Transfer-Encoding and Content-Length".to_owned(),
                )));
            }
            loop {
                let parsed = syntax::chunked(&self.buffer, 0).map_err(WireError::Malformed)?;
                if let Some(Chunked { body, trailers, end }) = parsed {
                    self.buffer.drain(..end);
                    return Ok((body, trailers, Ending::Chunked));
                }
                if self.fill()? == 0 {
                    return Err(self.truncated());
                }
            }
        }
        let Some(length) = length else {
            while self.fill()? > 0 {}
            return Ok((std::mem::take(&mut self.buffer), Fields::default(), Ending::Close));
        };
        while (self.buffer.len() as u64) < length {
            if self.fill()? == 0 {
                return Err(self.truncated());
            }
        }
        Ok((self.buffer.drain(..length as usize).collect(), Fields::default(), Ending::Length))
    }

    /// Reads and drops `count` bytes of a body.
    ///
    /// # Panics
    /// When fewer come.
    pub fn skip(&mut self, count: u64) {
        let mut left = count;
        loop {
            let here = left.min(self.buffer.len() as u64);
            self.buffer.drain(..here as usize);
            left -= here;
            if left == 0 {
                return;
            }
            assert!(self.fill().unwrap() > 0, "the peer closed with {left} bytes to go");
        }
    }

    /// Whether the peer closes the connection, in order or not, without sending another byte.
    pub fn is_closed(&mut self) -> bool {
        self.buffer.is_empty() && matches!(self.fill(), Ok(0))
    }

    /// Whether the connection fails, without another byte, instead of ending in order.
    pub fn is_reset(&mut self) -> bool {
        let read = self.stream.read(&mut [0; 1]);
        self.buffer.is_empty() && read.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset)
    }

    /// Whether the connection stands and nothing waits in it, seen without waiting.
    pub fn is_idle(&self) -> bool {
        self.stream.set_nonblocking(true).unwrap();
        let seen = self.stream.peek(&mut [0; 1]);
        self.stream.set_nonblocking(false).unwrap();
        self.buffer.is_empty() && seen.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }

    /// A connection made elsewhere.
    pub fn of(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream, buffer: Vec::new() }
    }

    /// The next bytes, as they come.
    pub fn some(&mut self) -> Result<Vec<u8>, WireError> {
        if self.buffer.is_empty() && self.fill()? == 0 {
            return Err(WireError::Closed);
        }
        Ok(std::mem::take(&mut self.buffer))
    }

    /// Everything that comes until the peer closes.
    pub fn rest(&mut self) -> Result<Vec<u8>, WireError> {
        while self.fill()? > 0 {}
        Ok(std::mem::take(&mut self.buffer))
    }

    fn truncated(&mut self) -> WireError {
        WireError::Truncated(std::mem::take(&mut self.buffer))
    }

    /// Reads once into the buffer; 0 means that the peer has closed, a reset included.
    fn fill(&mut self) -> Result<usize, WireError> {
        let mut piece = [0; 65_536];
        loop {
            match self.stream.read(&mut piece) {
                Ok(count) => {
                    self.buffer.extend_from_slice(&piece[..count]);
                    return Ok(count);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return Err(WireError::Timeout);
                }
                Err(_) => return Ok(0),
            }
        }
    }
}

type Parsed = ((u8, u16, Fields), usize);

fn parse_head(bytes: &[u8]) -> Result<Option<Parsed>, Violation> {
    let Some((text, next)) = syntax::line(bytes, 0)? else { return Ok(None) };
    let shown = syntax::latin1(text);
    let bad = || Violation(format!("no status line: {shown:?}"));
    let rest = shown.strip_prefix("HTTP/1.").ok_or_else(bad)?;
    let minor = match rest.as_bytes().first() {
        Some(b'0') => 0,
        Some(b'1') => 1,
        _ => return Err(bad()),
    };
    let code = rest.get(1..5).and_then(|code| code.strip_prefix(' ')).ok_or_else(bad)?;
    let status: u16 = code.parse().map_err(|_| bad())?;
    if !(100..600).contains(&status) || !rest.get(5..).is_some_and(|reason| reason.starts_with(' ')) {
        return Err(bad());
    }
    let Some((fields, length)) = syntax::fields(bytes, next)? else { return Ok(None) };
    Ok(Some(((minor, status, fields), length)))
}
