//! HTTP/2 in raw frames (RFC 9113 §4.1): a server that says exactly what its script says, however wrong.
//!
//! It reads no header compression, because its scripts need not know what is asked, and writes fields literally.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};
use std::thread::{self, JoinHandle};

use crate::eventually::PATIENCE;

/// Frame types, RFC 9113 §6.
pub const DATA: u8 = 0;
/// `HEADERS`.
pub const HEADERS: u8 = 1;
/// `RST_STREAM`.
pub const RST_STREAM: u8 = 3;
/// `SETTINGS`.
pub const SETTINGS: u8 = 4;
/// `PING`.
pub const PING: u8 = 6;
/// `GOAWAY`.
pub const GOAWAY: u8 = 7;
/// `WINDOW_UPDATE`.
pub const WINDOW_UPDATE: u8 = 8;
/// `CONTINUATION`.
pub const CONTINUATION: u8 = 9;

/// The flag `END_STREAM` (of `SETTINGS` and `PING`: `ACK`).
pub const END_STREAM: u8 = 1;
/// The flag `END_HEADERS`.
pub const END_HEADERS: u8 = 4;

/// The error codes used here, RFC 9113 §7.
pub const NO_ERROR: u32 = 0;
/// `INTERNAL_ERROR`.
pub const INTERNAL_ERROR: u32 = 2;
/// `REFUSED_STREAM`.
pub const REFUSED_STREAM: u32 = 7;
/// `CANCEL`.
pub const CANCEL: u32 = 8;

/// The setting `MAX_CONCURRENT_STREAMS`.
pub const MAX_CONCURRENT_STREAMS: u16 = 3;
/// The setting `INITIAL_WINDOW_SIZE`.
pub const INITIAL_WINDOW_SIZE: u16 = 4;

/// A frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its type.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its stream; 0 is the connection.
    pub stream: u32,
    /// What it says.
    pub payload: Vec<u8>,
}

impl Frame {
    /// The number at `place` of the payload.
    pub fn number(&self, place: usize) -> u32 {
        u32::from_be_bytes(self.payload[place..place + 4].try_into().unwrap())
    }
}

/// A server's end of a connection.
#[derive(Debug)]
pub struct Peer {
    stream: TcpStream,
}

impl Peer {
    /// Reads the client's preface.
    pub fn preface(&mut self) {
        let mut preface = [0; 24];
        self.stream.read_exact(&mut preface).unwrap();
        assert_eq!(&preface, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    }

    /// Reads the client's preface and answers it with these settings.
    pub fn greet(&mut self, settings: &[(u16, u32)]) {
        self.preface();
        let payload: Vec<u8> = settings
            .iter()
            .flat_map(|(name, value)| name.to_be_bytes().into_iter().chain(value.to_be_bytes()))
            .collect();
        self.send(SETTINGS, 0, 0, &payload);
    }

    /// The next frame; `None` at the end of the connection.
    pub fn frame(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload).ok()?;
        let stream = u32::from_be_bytes(head[5..].try_into().unwrap()) & (u32::MAX >> 1);
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// The next frame of this type. Settings and pings before it are confirmed, anything else is passed over.
    pub fn next(&mut self, kind: u8) -> Option<Frame> {
        loop {
            let frame = self.frame()?;
            if frame.kind == kind {
                return Some(frame);
            }
            if matches!(frame.kind, SETTINGS | PING) && frame.flags & END_STREAM == 0 {
                let payload = if frame.kind == PING { frame.payload } else { Vec::new() };
                self.send(frame.kind, END_STREAM, 0, &payload);
            }
        }
    }

    /// The stream of the next request, whose head has come.
    pub fn request(&mut self) -> Option<u32> {
        self.next(HEADERS).map(|frame| frame.stream)
    }

    /// Sends a frame. That the other end has gone shows when reading.
    pub fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        bytes.extend([kind, flags]);
        bytes.extend(stream.to_be_bytes());
        bytes.extend(payload);
        self.write(&bytes);
    }

    /// Sends bytes.
    pub fn write(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// Answers 200 with `body`.
    pub fn answer(&mut self, stream: u32, body: &str) {
        self.send(HEADERS, END_HEADERS, stream, &fields(&[(":status", "200")]));
        self.send(DATA, END_STREAM, stream, body.as_bytes());
    }

    /// Ends a stream with `code`.
    pub fn reset(&mut self, stream: u32, code: u32) {
        self.send(RST_STREAM, 0, stream, &code.to_be_bytes());
    }

    /// Says that streams after `last` are not taken.
    pub fn go_away(&mut self, last: u32, code: u32) {
        self.send(GOAWAY, 0, 0, &[last.to_be_bytes(), code.to_be_bytes()].concat());
    }

    /// Answers every request with `body` until the connection ends.
    pub fn answer_all(&mut self, body: &str) {
        while let Some(stream) = self.request() {
            self.answer(stream, body);
        }
    }

    /// Reads until the other end closes.
    pub fn drain(&mut self) -> Vec<Frame> {
        std::iter::from_fn(|| self.frame()).collect()
    }
}

/// A header section, each field a literal that is not indexed (RFC 7541 §6.2.2).
pub fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            assert!(text.len() < 127, "a length of one byte");
            block.push(text.len() as u8);
            block.extend(text.as_bytes());
        }
    }
    block
}

/// A server that has each connection handled by a script, with its number from 0.
#[derive(Debug)]
pub struct FrameServer {
    address: SocketAddr,
    streams: Arc<Mutex<Vec<TcpStream>>>,
    closed: Arc<AtomicUsize>,
    is_stopped: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl FrameServer {
    /// Starts it.
    pub fn start(script: impl Fn(usize, &mut Peer) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let streams: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
        let (kept, script) = (Arc::clone(&streams), Arc::new(script));
        let closed = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&closed);
        let is_stopped = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&is_stopped);
        let accepting = thread::spawn(move || {
            for number in 0.. {
                let Ok((stream, _)) = listener.accept() else { return };
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                kept.lock().unwrap().push(stream.try_clone().unwrap());
                stream.set_nodelay(true).unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                let (script, closed) = (Arc::clone(&script), Arc::clone(&count));
                thread::spawn(move || {
                    let mut peer = Peer { stream };
                    script(number, &mut peer);
                    // The clone that is kept would hold the connection open.
                    let _ = peer.stream.shutdown(Shutdown::Both);
                    closed.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, streams, closed, is_stopped, accepting: Some(accepting) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections that it has closed.
    pub fn closed(&self) -> usize {
        self.closed.load(Ordering::SeqCst)
    }

    /// Connections so far.
    pub fn connections(&self) -> usize {
        self.streams.lock().unwrap().len()
    }
}

impl Drop for FrameServer {
    fn drop(&mut self) {
        self.is_stopped.store(true, Ordering::SeqCst);
        // Wakes the accept loop, which then sees the flag.
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
        for stream in self.streams.lock().unwrap().drain(..) {
            // One that has ended already cannot be shut down.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}
