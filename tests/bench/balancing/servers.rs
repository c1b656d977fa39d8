//! Ten servers of different characters, for measuring what a balancer makes of them.
//!
//! `balancing-servers FIRST_PORT mixed|failing SEED` listens on 127.0.0.1 on ten ports in a row. Each server works on four
//! requests at once and queues the rest in order; how long its n-th request takes is the n-th number of a sequence of its
//! own, the same in every run. When something is done is computed when the request arrives, in the server's own time, so
//! that a timer that fires late delays an answer by as much and the work behind it not at all.
//!
//! `GET /work` is work; `GET /begin` sets clocks and sequences back to the start; `GET /counts` tells how many requests each
//! server has had since then. Everything else, such as a health check, is answered without taking a slot.
#![allow(clippy::disallowed_methods, reason = "a program that measures real time")]

mod replies;

use std::{
    error::Error,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncReadExt, Interest},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use weir_tests::{
    character::{Character, SLOTS},
    random::Random,
};

use crate::replies::{Replies, Reply};

const USAGE: &str = "usage: balancing-servers FIRST_PORT mixed|failing SEED";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok";
const FAILED: &[u8] =
    b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\nfailed";

/// A request head longer than this is not one of the benchmark's.
const MOST_HEAD_BYTES: usize = 64 * 1024;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let first: u16 = arguments.next().ok_or(USAGE)?.parse()?;
    let characters = match arguments.next().as_deref() {
        Some("mixed") => Character::mixed(),
        Some("failing") => Character::failing(),
        _ => return Err(USAGE.into()),
    };
    let seed: u64 = arguments.next().ok_or(USAGE)?.parse()?;
    let ports = (0..characters.len()).map(|n| first.checked_add(u16::try_from(n).ok()?)).collect::<Vec<_>>();
    let fleet = Arc::new(Fleet {
        seed,
        servers: Mutex::new(Servers::new(&characters, seed)),
        characters,
        replies: Replies::start()?,
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut listeners = JoinSet::new();
        for (index, port) in ports.into_iter().enumerate() {
            let port = port.ok_or("the ports go past 65535")?;
            let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
            listeners.spawn(accept(listener, index, Arc::clone(&fleet)));
        }
        while listeners.join_next().await.is_some() {}
        Ok(())
    })
}

/// All servers, and the thread that answers for them.
struct Fleet {
    seed: u64,
    characters: Vec<Character>,
    servers: Mutex<Servers>,
    replies: Replies,
}

/// What the servers are doing, since the last beginning.
struct Servers {
    began: Instant,
    each: Vec<Server>,
}

struct Server {
    /// When each slot is free, in milliseconds since the beginning.
    free: [f64; SLOTS],
    lengths: Random,
    requests: u64,
}

impl Servers {
    fn new(characters: &[Character], seed: u64) -> Self {
        let server = |(index, _)| Server {
            free: [0.0; SLOTS],
            lengths: Random::new(seed.wrapping_mul(1000).wrapping_add(index)),
            requests: 0,
        };
        Self { began: Instant::now(), each: (0_u64..).zip(characters).map(server).collect() }
    }
}

impl Fleet {
    fn servers(&self) -> std::sync::MutexGuard<'_, Servers> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When the server at `index` answers what arrives now, and with what.
    fn answer(&self, index: usize, path: &[u8]) -> (Instant, Vec<u8>) {
        let mut servers = self.servers();
        let began = servers.began;
        let now = began.elapsed().as_secs_f64() * 1000.0;
        let at = |ms: f64| began + Duration::from_secs_f64(ms / 1000.0);
        let (Some(character), Some(server)) = (self.characters.get(index), servers.each.get_mut(index))
        else {
            return (Instant::now(), OK.to_vec());
        };
        match path {
            b"/work" => {
                server.requests += 1;
                if character.fails(now) {
                    return (at(now), FAILED.to_vec());
                }
                let length = server.lengths.exponential(character.mean_ms);
                // First come, first served: the slot that is free first takes the next in the queue.
                let Some(slot) = server.free.iter_mut().min_by(|one, other| one.total_cmp(other)) else {
                    return (at(now), FAILED.to_vec());
                };
                *slot = character.done(slot.max(now), length);
                (at(*slot), OK.to_vec())
            }
            b"/begin" => {
                *servers = Servers::new(&self.characters, self.seed);
                (Instant::now(), OK.to_vec())
            }
            b"/counts" => {
                let counts: Vec<u64> = servers.each.iter().map(|server| server.requests).collect();
                let body = format!("{counts:?}");
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                (Instant::now(), head.into_bytes())
            }
            // Whatever stalls the server stalls this too.
            _ => (at(character.done(now, 0.0)), OK.to_vec()),
        }
    }
}

/// Accepts connections for ever.
async fn accept(listener: TcpListener, index: usize, fleet: Arc<Fleet>) {
    let mut connections = JoinSet::new();
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            let fleet = Arc::clone(&fleet);
            // A proxy that goes away in the middle of an exchange ends its connection: nothing to report.
            drop(connections.spawn(async move { serve(stream, index, &fleet).await.is_ok() }));
        }
        while connections.try_join_next().is_some() {}
    }
}

/// Takes the requests of one connection in; another thread answers them when they are due.
async fn serve(stream: TcpStream, index: usize, fleet: &Fleet) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let stream = stream.into_std()?;
    let writer = Arc::new(stream.try_clone()?);
    let mut stream = TcpStream::from_std(stream)?;
    let mut input = BytesMut::with_capacity(4096);
    loop {
        while let Some(end) = input.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let head = input.get(..end).unwrap_or_default();
            let path = head.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
            let path = path.split(|byte| *byte == b'?').next().unwrap_or_default();
            let (due, bytes) = fleet.answer(index, path);
            fleet.replies.send(Reply { due, bytes, to: Arc::clone(&writer) });
            input.advance(end + 4);
        }
        if input.len() > MOST_HEAD_BYTES {
            return Err(io::ErrorKind::InvalidData.into());
        }
        stream.ready(Interest::READABLE).await?;
        if stream.read_buf(&mut input).await? == 0 {
            return Ok(());
        }
    }
}
