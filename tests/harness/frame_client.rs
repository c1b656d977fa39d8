//! HTTP/2 by hand, frame by frame: a client that can say what no library would let it say. RFC 9113 §4 and §6, RFC 7541 §6.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::eventually::PATIENCE;

/// Frame types.
pub const DATA: u8 = 0;
/// Opens a stream.
pub const HEADERS: u8 = 1;
/// Obsolete.
pub const PRIORITY: u8 = 2;
/// Gives a stream up.
pub const RST_STREAM: u8 = 3;
/// What the sender can take.
pub const SETTINGS: u8 = 4;
/// To be answered.
pub const PING: u8 = 6;
/// The connection is to end.
pub const GOAWAY: u8 = 7;
/// More may be sent.
pub const WINDOW_UPDATE: u8 = 8;
/// The rest of a block of fields.
pub const CONTINUATION: u8 = 9;

/// Flags.
pub const END_STREAM: u8 = 0x1;
/// An answer to SETTINGS or PING.
pub const ACK: u8 = 0x1;
/// The block of fields is complete.
pub const END_HEADERS: u8 = 0x4;
/// With padding.
pub const PADDED: u8 = 0x8;

/// What a client sends first.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A field: name and value.
pub type Field<'f> = (&'f [u8], &'f [u8]);

/// A frame that has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its type.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its stream.
    pub stream: u32,
    /// Its content.
    pub payload: Vec<u8>,
}

/// The bytes of a frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A block of fields, none of them indexed or compressed.
pub fn block(fields: &[Field<'_>]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            number(&mut block, text.len());
            block.extend_from_slice(text);
        }
    }
    block
}

/// RFC 7541 §5.1 with a prefix of seven bits, the eighth being 0.
fn number(out: &mut Vec<u8>, mut value: usize) {
    if value < 127 {
        out.push(value as u8);
        return;
    }
    out.push(127);
    value -= 127;
    while value >= 128 {
        out.push((value % 128 + 128) as u8);
        value /= 128;
    }
    out.push(value as u8);
}

/// The fields that make a GET for `path`.
pub fn get(path: &str) -> [Field<'_>; 4] {
    [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"weir.test"), (b":path", path.as_bytes())]
}

/// One connection.
#[derive(Debug)]
pub struct Frames {
    stream: TcpStream,
}

impl Frames {
    /// Connects and says nothing.
    ///
    /// # Panics
    /// When the peer does not accept.
    pub fn silent(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream }
    }

    /// Connects and sends the preface with these settings, each with its number.
    pub fn connect(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let mut this = Self::silent(address);
        let payload: Vec<u8> = settings
            .iter()
            .flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
            .collect();
        this.send([PREFACE, &frame(SETTINGS, 0, 0, &payload), &frame(SETTINGS, ACK, 0, &[])].concat());
        this
    }

    /// Writes bytes. Answers whether the peer takes them.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// Sends a frame. Answers whether the peer takes it.
    pub fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        self.send(frame(kind, flags, stream, payload))
    }

    /// Sends a whole request without a body.
    pub fn request(&mut self, stream: u32, fields: &[Field<'_>]) -> bool {
        self.frame(HEADERS, END_HEADERS | END_STREAM, stream, &block(fields))
    }

    /// The next frame; none when the peer has closed, a reset included.
    ///
    /// # Panics
    /// When nothing comes in time.
    pub fn read(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.fill(&mut head)?;
        let [a, b, c, kind, flags, rest @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.fill(&mut payload)?;
        Some(Frame { kind, flags, stream: u32::from_be_bytes(rest), payload })
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Option<()> {
        match self.stream.read_exact(bytes) {
            Ok(()) => Some(()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("nothing came within {PATIENCE:?}")
            }
            Err(_) => None,
        }
    }

    /// Reads until a frame pleases, or the peer closes.
    pub fn until(&mut self, mut pleases: impl FnMut(&Frame) -> bool) -> Option<Frame> {
        loop {
            let frame = self.read()?;
            if pleases(&frame) {
                return Some(frame);
            }
        }
    }

    /// What the peer says of a stream first: a response's head, or that it is given up. None when it closes instead.
    pub fn answer(&mut self, stream: u32) -> Option<Frame> {
        self.until(|frame| frame.stream == stream && matches!(frame.kind, HEADERS | RST_STREAM))
    }

    /// Sends a GET on this stream and says whether it is answered 200.
    pub fn is_served(&mut self, stream: u32) -> bool {
        self.request(stream, &get("/")) && self.answer(stream).is_some_and(|answer| is_ok(&answer))
    }

    /// Waits until the peer has taken in everything sent so far; answers whether it has. Costs a PING.
    pub fn sync(&mut self) -> bool {
        self.frame(PING, 0, 0, b"in-sync?")
            && self.until(|frame| frame.kind == PING && frame.flags == ACK).is_some()
    }

    /// Reads until the peer has closed, and answers the error codes of the GOAWAY frames that came.
    pub fn farewells(&mut self) -> Vec<u32> {
        let mut codes = Vec::new();
        while let Some(frame) = self.read() {
            if frame.kind == GOAWAY {
                codes.push(u32::from_be_bytes(frame.payload[4..8].try_into().unwrap()));
            }
        }
        codes
    }

    /// Waits this long for bytes, and for room to write.
    #[must_use]
    pub fn patience(self, limit: Duration) -> Self {
        self.stream.set_read_timeout(Some(limit)).unwrap();
        self.stream.set_write_timeout(Some(limit)).unwrap();
        self
    }
}

/// Whether a response's head says 200: the first field, from the static table (RFC 7541 appendix A).
pub fn is_ok(frame: &Frame) -> bool {
    frame.kind == HEADERS && frame.payload.first() == Some(&0x88)
}
