//! A server inside the test: it keeps the raw bytes of every request and answers by script.
//!
//! One thread per connection. What reached the server is judged by [`strict`]; a breach is recorded and the
//! connection closed, as a suspicious server would do.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};

use crate::reply::{self, Reply, Step};
use crate::strict::{self, Head, Request};

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its place among all requests to this server, from 0.
    pub nth: usize,
    /// The connection it came on, from 0.
    pub connection: usize,
    /// Its place on that connection, from 0.
    pub nth_on_connection: usize,
    /// Its bytes.
    pub raw: Vec<u8>,
    /// Its bytes, understood.
    pub request: Request,
}

/// What a server does as soon as a request's head is there, before the body.
#[derive(Clone, Debug)]
pub enum AtHead {
    /// Takes these steps, then reads the body and answers by script.
    Go(Reply),
    /// Takes these steps as the whole answer; a body that still comes is read and dropped.
    Answer(Reply),
}

type Script = dyn Fn(&Seen) -> Reply + Send + Sync;
type HeadScript = dyn Fn(&Head) -> AtHead + Send + Sync;

/// A scripted server on a loopback port. Dropping it closes everything.
#[derive(Debug)]
pub struct Origin {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    script: Box<Script>,
    at_head: Box<HeadScript>,
    seen: Mutex<Vec<Seen>>,
    violations: Mutex<Vec<String>>,
    streams: Mutex<HashMap<usize, TcpStream>>,
    requests: AtomicUsize,
    connections: AtomicUsize,
    received: AtomicU64,
    sent: AtomicU64,
    is_stopped: AtomicBool,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Shared").field("seen", &self.seen).finish_non_exhaustive()
    }
}

impl Origin {
    /// A server that answers every request with 200 and its own `name`.
    pub fn named(name: &str) -> Self {
        let name = name.to_owned();
        Self::script(move |_| reply::ok(&name))
    }

    /// A server that answers by `script`.
    pub fn script(script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::with_head(|_| AtHead::Go(Vec::new()), script)
    }

    /// A server that acts at the head of a request by `at_head` and then answers by `script`.
    pub fn with_head(
        at_head: impl Fn(&Head) -> AtHead + Send + Sync + 'static,
        script: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::listen("127.0.0.1:0".parse().unwrap(), Box::new(at_head), Box::new(script))
    }

    /// A server that takes the place of one that has gone: same address, answers with `name`.
    pub fn named_at(address: SocketAddr, name: &str) -> Self {
        let name = name.to_owned();
        Self::listen(address, Box::new(|_| AtHead::Go(Vec::new())), Box::new(move |_| reply::ok(&name)))
    }

    fn listen(address: SocketAddr, at_head: Box<HeadScript>, script: Box<Script>) -> Self {
        let listener =
            crate::eventually::eventually("the server's port is free", || TcpListener::bind(address).ok());
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            script,
            at_head,
            seen: Mutex::default(),
            violations: Mutex::default(),
            streams: Mutex::default(),
            requests: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            is_stopped: AtomicBool::new(false),
        });
        let accepting = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || accept(&listener, &shared))
        };
        Self { address, shared, accepting: Some(accepting) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Every request so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// The targets of all requests so far.
    pub fn targets(&self) -> Vec<String> {
        self.shared.seen.lock().unwrap().iter().map(|seen| seen.request.head.target.clone()).collect()
    }

    /// The only request so far.
    ///
    /// # Panics
    /// When there was none, or more than one.
    pub fn only(&self) -> Seen {
        let seen = self.seen();
        assert_eq!(seen.len(), 1, "one request should have arrived: {:?}", self.targets());
        seen[0].clone()
    }

    /// How many requests have arrived whole.
    pub fn count(&self) -> usize {
        self.shared.seen.lock().unwrap().len()
    }

    /// Every breach of the strict grammar so far.
    pub fn violations(&self) -> Vec<String> {
        self.shared.violations.lock().unwrap().clone()
    }

    /// How many bytes it has read.
    pub fn received(&self) -> u64 {
        self.shared.received.load(Ordering::SeqCst)
    }

    /// How many bytes it has written.
    pub fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::SeqCst)
    }

    /// How many connections are open to it now.
    pub fn open_connections(&self) -> usize {
        self.shared.streams.lock().unwrap().len()
    }

    /// Closes every open connection in order and keeps listening.
    pub fn close_connections(&self) {
        for stream in self.shared.streams.lock().unwrap().values() {
            // A connection that the peer has closed already cannot be shut down, which is as good.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.shared.is_stopped.store(true, Ordering::SeqCst);
        // Wakes the accept loop, which then sees the flag; a refusal means that it has ended already.
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            // From here on a connection is refused.
            accepting.join().unwrap();
        }
        self.close_connections();
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    loop {
        let Ok((stream, _)) = listener.accept() else { return };
        if shared.is_stopped.load(Ordering::SeqCst) {
            return;
        }
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            let id = shared.connections.fetch_add(1, Ordering::SeqCst);
            shared.streams.lock().unwrap().insert(id, stream.try_clone().unwrap());
            // An error here is the peer's going away, which the test sees from its own side.
            let _ = Connection { stream, shared: &shared, id, buffer: Vec::new() }.run();
            shared.streams.lock().unwrap().remove(&id);
        });
    }
}

struct Connection<'a> {
    stream: TcpStream,
    shared: &'a Shared,
    id: usize,
    buffer: Vec<u8>,
}

enum Next {
    Keep,
    End,
}

impl Connection<'_> {
    fn run(mut self) -> std::io::Result<()> {
        self.stream.set_nodelay(true)?;
        for nth_on_connection in 0.. {
            let Some(head) = self.read_until(strict::head)? else { return Ok(()) };
            let steps = match (self.shared.at_head)(&head) {
                AtHead::Go(steps) => steps,
                AtHead::Answer(steps) => {
                    self.take(steps)?;
                    return self.drain();
                }
            };
            if let Next::End = self.take(steps)? {
                return Ok(());
            }
            let Some(request) = self.read_until(strict::request)? else { return Ok(()) };
            let raw: Vec<u8> = self.buffer.drain(..request.length).collect();
            let nth = self.shared.requests.fetch_add(1, Ordering::SeqCst);
            let seen = Seen { nth, connection: self.id, nth_on_connection, raw, request };
            self.shared.seen.lock().unwrap().push(seen.clone());
            let steps = (self.shared.script)(&seen);
            if let Next::End = self.take(steps)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Reads until `parse` is satisfied; `None` at the end of the stream or at a breach.
    fn read_until<T>(
        &mut self,
        parse: impl Fn(&[u8]) -> Result<Option<T>, crate::syntax::Violation>,
    ) -> std::io::Result<Option<T>> {
        let mut piece = vec![0; 65_536];
        loop {
            match parse(&self.buffer) {
                Ok(Some(parsed)) => return Ok(Some(parsed)),
                Ok(None) => {}
                Err(broken) => {
                    let text = format!("{broken} in {:?}", String::from_utf8_lossy(&self.buffer));
                    self.shared.violations.lock().unwrap().push(text);
                    return Ok(None);
                }
            }
            let count = self.stream.read(&mut piece)?;
            if count == 0 {
                return Ok(None);
            }
            self.shared.received.fetch_add(count as u64, Ordering::SeqCst);
            self.buffer.extend_from_slice(&piece[..count]);
        }
    }

    fn take(&mut self, steps: Reply) -> std::io::Result<Next> {
        for step in steps {
            match step {
                Step::Send(bytes) => self.write(&bytes)?,
                Step::Fill(total) => {
                    let piece = vec![b'x'; 65_536];
                    let mut left = total;
                    while left > 0 {
                        let size = left.min(piece.len() as u64);
                        self.write(&piece[..size as usize])?;
                        left -= size;
                    }
                }
                Step::Pause(time) => thread::sleep(time),
                Step::Wait(gate) => gate.pass(),
                Step::EndlessHeader => loop {
                    self.write(b"X-More: and more\r\n")?;
                },
                Step::Hold => {
                    self.hold();
                    return Ok(Next::End);
                }
                Step::HalfClose => self.stream.shutdown(Shutdown::Write)?,
                Step::Close => return Ok(Next::End),
                Step::Reset => {
                    SockRef::from(&self.stream).set_linger(Some(Duration::ZERO))?;
                    // Both handles must go before the kernel sends the reset.
                    self.shared.streams.lock().unwrap().remove(&self.id);
                    return Ok(Next::End);
                }
            }
        }
        Ok(Next::Keep)
    }

    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let mut left = bytes;
        while !left.is_empty() {
            let count = self.stream.write(left)?;
            if count == 0 {
                return Err(ErrorKind::WriteZero.into());
            }
            self.shared.sent.fetch_add(count as u64, Ordering::SeqCst);
            left = &left[count..];
        }
        Ok(())
    }

    /// Waits until the peer closes, without reading: what it has sent stays in the socket.
    fn hold(&self) {
        let mut byte = [0; 1];
        while !self.shared.is_stopped.load(Ordering::SeqCst) {
            match self.stream.peek(&mut byte) {
                Ok(0) | Err(_) => return,
                Ok(_) => thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    fn drain(mut self) -> std::io::Result<()> {
        let mut piece = vec![0; 65_536];
        loop {
            let count = self.stream.read(&mut piece)?;
            if count == 0 {
                return Ok(());
            }
            self.shared.received.fetch_add(count as u64, Ordering::SeqCst);
        }
    }
}

/// A loopback port that refuses connections and that nobody else can get: bound, but not listening.
#[derive(Debug)]
pub struct Refusing(Socket);

impl Refusing {
    /// Reserves the port.
    pub fn start() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        socket.bind(&any.into()).unwrap();
        Self(socket)
    }

    /// The address that refuses.
    pub fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap().as_socket().unwrap()
    }
}
