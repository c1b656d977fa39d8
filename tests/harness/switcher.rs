//! A server that switches protocols: it reads one head, answers by script, and then repeats every byte it gets.
//!
//! The heads it got are kept as they came, because what is asked of a server is what these tests are about.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

/// What is said after the other side has ended, so that a test sees one direction outlive the other.
pub const FAREWELL: &[u8] = b"and goodbye";

/// A server that switches protocols. Dropping it closes everything.
#[derive(Debug)]
pub struct Switcher {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

type Script = dyn Fn(&str) -> Vec<u8> + Send + Sync;

struct Shared {
    script: Box<Script>,
    heads: Mutex<Vec<String>>,
    streams: Mutex<Vec<TcpStream>>,
    open: AtomicUsize,
    is_stopped: AtomicBool,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Shared").field("heads", &self.heads).finish_non_exhaustive()
    }
}

impl Switcher {
    /// A server that answers a head with what `script` makes of it.
    pub fn start(script: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            script: Box::new(script),
            heads: Mutex::default(),
            streams: Mutex::default(),
            open: AtomicUsize::new(0),
            is_stopped: AtomicBool::new(false),
        });
        let accepting = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || accept(&listener, &shared))
        };
        Self { address, shared, accepting: Some(accepting) }
    }

    /// A server that switches to the first protocol it is offered.
    pub fn willing() -> Self {
        Self::start(|head| switching(field(head, "upgrade").unwrap_or("none"), &[]))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The heads that have arrived.
    pub fn heads(&self) -> Vec<String> {
        self.shared.heads.lock().unwrap().clone()
    }

    /// The only head so far.
    ///
    /// # Panics
    /// When there was none, or more than one.
    pub fn only(&self) -> String {
        let heads = self.heads();
        assert_eq!(heads.len(), 1, "one request should have arrived: {heads:#?}");
        heads[0].clone()
    }

    /// Connections open now.
    pub fn open(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }
}

impl Drop for Switcher {
    fn drop(&mut self) {
        self.shared.is_stopped.store(true, Ordering::SeqCst);
        // Wakes the accept loop, which then sees the flag; a refusal means that it has ended already.
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            accepting.join().unwrap();
        }
        for stream in self.shared.streams.lock().unwrap().iter() {
            // One that has ended already cannot be shut down, which is as good.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// The value of a field of `head`, its name in small letters.
pub fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::trim))
}

/// An answer that switches to `protocol`, with these field lines on top.
pub fn switching(protocol: &str, fields: &[&str]) -> Vec<u8> {
    let mut text =
        format!("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n");
    for field in fields {
        text.push_str(field);
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    text.into_bytes()
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    loop {
        let Ok((stream, _)) = listener.accept() else { return };
        if shared.is_stopped.load(Ordering::SeqCst) {
            return;
        }
        shared.streams.lock().unwrap().push(stream.try_clone().unwrap());
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            shared.open.fetch_add(1, Ordering::SeqCst);
            // An error here is the peer's going away, which the test sees from its own side.
            let _ = serve(stream, &shared);
            shared.open.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

fn serve(mut stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::new();
    let mut piece = vec![0; 65_536];
    let end = loop {
        if let Some(end) = buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break end + 4;
        }
        match stream.read(&mut piece)? {
            0 => return Ok(()),
            count => buffer.extend_from_slice(&piece[..count]),
        }
    };
    let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
    let answer = (shared.script)(&head);
    shared.heads.lock().unwrap().push(head);
    stream.write_all(&answer)?;
    stream.write_all(&buffer[end..])?;
    loop {
        match stream.read(&mut piece)? {
            0 => break,
            count => stream.write_all(&piece[..count])?,
        }
    }
    stream.write_all(FAREWELL)?;
    stream.shutdown(Shutdown::Both)
}

/// What a WebSocket server answers to this key. RFC 6455 §4.2.2.
pub fn websocket_accept(key: &str) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
    // 20 bytes: 26 digits of six bits, four bits in a last one, and one sign of padding.
    let bit = |place: usize| digest.as_ref().get(place / 8).map_or(0, |byte| byte >> (7 - place % 8) & 1);
    let digit =
        |place: usize| (0..6).fold(0, |value, offset| value << 1 | usize::from(bit(place * 6 + offset)));
    (0..27).map(|place| char::from(DIGITS[digit(place)])).chain(['=']).collect()
}

#[cfg(test)]
mod tests {
    use super::websocket_accept;

    #[test]
    fn the_example_of_the_rfc() {
        assert_eq!(websocket_accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
