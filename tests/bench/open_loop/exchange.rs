//! One request and its answer, on a connection that is kept for the next.

use std::{cell::RefCell, io, net::SocketAddr};

use bytes::BytesMut;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// What came of a request.
pub(crate) enum Outcome {
    Answer { status: u16 },
    Lost(&'static str),
}

/// Connections to one address that are free, and what is asked for on them.
pub(crate) struct Connections {
    address: SocketAddr,
    request: Vec<u8>,
    free: RefCell<Vec<TcpStream>>,
}

/// A message's head, as far as it matters here.
struct Head {
    status: u16,
    bytes: usize,
    length: Option<usize>,
    closes: bool,
}

impl Connections {
    pub(crate) fn new(address: SocketAddr, path: &str) -> Self {
        let request = format!("GET {path} HTTP/1.1\r\nHost: balancing.test\r\n\r\n").into_bytes();
        Self { address, request, free: RefCell::default() }
    }

    pub(crate) async fn get(&self) -> Outcome {
        loop {
            let kept = self.free.borrow_mut().pop();
            let is_kept = kept.is_some();
            let stream = match kept {
                Some(stream) => Ok(stream),
                None => connect(self.address).await,
            };
            let Ok(mut stream) = stream else { return Outcome::Lost("no connection") };
            match exchange(&mut stream, &self.request).await {
                Ok(head) => {
                    if !head.closes {
                        self.free.borrow_mut().push(stream);
                    }
                    return Outcome::Answer { status: head.status };
                }
                // The proxy has closed a connection for its age: no fault, and every client tries again.
                Err(error) if is_kept && error.kind() == io::ErrorKind::NotConnected => {}
                Err(_) => return Outcome::Lost("broken off"),
            }
        }
    }
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Sends `request` and reads its answer. `NotConnected` when the connection ended before the first byte of one.
async fn exchange(stream: &mut TcpStream, request: &[u8]) -> io::Result<Head> {
    stream.write_all(request).await.map_err(|_| io::ErrorKind::NotConnected)?;
    let mut input = BytesMut::with_capacity(1024);
    loop {
        if let Some(mut head) = Head::parse(&input)? {
            let body = input.get(head.bytes..).unwrap_or_default();
            if head.length.is_some_and(|length| body.len() >= length) {
                head.closes |= head.length != Some(body.len());
                return Ok(head);
            }
            if head.length.is_none() && body.ends_with(b"0\r\n\r\n") {
                return Ok(head);
            }
        }
        let was_empty = input.is_empty();
        match stream.read_buf(&mut input).await {
            Ok(0) | Err(_) if was_empty => return Err(io::ErrorKind::NotConnected.into()),
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => {}
            Err(error) => return Err(error),
        }
    }
}

impl Head {
    /// The head at the start of `input`; `None` while its end has not arrived.
    fn parse(input: &[u8]) -> io::Result<Option<Self>> {
        let Some(end) = input.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { return Ok(None) };
        let text = std::str::from_utf8(input.get(..end).unwrap_or_default()).map_err(|_| malformed())?;
        let mut lines = text.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).ok_or_else(malformed)?;
        let status = status.parse().map_err(|_| malformed())?;
        let mut head = Self { status, bytes: end + 4, length: None, closes: false };
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            if name.eq_ignore_ascii_case("content-length") {
                head.length = Some(value.trim().parse().map_err(|_| malformed())?);
            } else if name.eq_ignore_ascii_case("connection") {
                head.closes = value.trim().eq_ignore_ascii_case("close");
            }
        }
        Ok(Some(head))
    }
}

fn malformed() -> io::Error {
    io::ErrorKind::InvalidData.into()
}
