//! A steady keep-alive load that counts what happens to every single request.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::client::{Response, Wire, WireError};
use crate::eventually::eventually;
use crate::tally::{Failure, Kind, Tally};

/// What each client connection sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mix {
    /// GETs only.
    Gets,
    /// A GET and a POST in turn.
    GetsAndPosts,
}

/// What a client does after a response that announced the close of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterClose {
    /// Connects anew.
    Reconnect,
    /// Ends.
    End,
}

/// The shape of a load.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Where it goes.
    pub target: SocketAddr,
    /// How many connections at once.
    pub connections: usize,
    /// The time from one request to the next on a connection, when the answers come faster than that.
    pub pace: Duration,
    /// What is sent.
    pub mix: Mix,
    /// What happens after an announced close.
    pub after_close: AfterClose,
}

impl Plan {
    /// Eight connections with fifty GETs a second each.
    pub fn gets(target: SocketAddr) -> Self {
        Self {
            target,
            connections: 8,
            pace: Duration::from_millis(20),
            mix: Mix::Gets,
            after_close: AfterClose::Reconnect,
        }
    }
}

/// A running load.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    plan: Plan,
    started: Instant,
    is_stopping: AtomicBool,
    ok: AtomicUsize,
    tally: Mutex<Tally>,
}

impl Load {
    /// Starts the load and waits until every client has had an answer.
    pub fn start(plan: Plan) -> Self {
        let shared = Arc::new(Shared {
            plan,
            started: Instant::now(),
            is_stopping: AtomicBool::new(false),
            ok: AtomicUsize::new(0),
            tally: Mutex::default(),
        });
        let clients = (0..plan.connections)
            .map(|number| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || Client { shared: &shared, number, wire: None }.run())
            })
            .collect();
        let load = Self { shared, clients };
        eventually("the load flows", || (load.ok() >= plan.connections).then_some(()));
        load
    }

    /// How many requests have succeeded so far.
    pub fn ok(&self) -> usize {
        self.shared.ok.load(Ordering::SeqCst)
    }

    /// Lets the load run for this long.
    pub fn run_for(&self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Lets every client finish its request, and returns the counts.
    ///
    /// # Panics
    /// When a client has panicked.
    pub fn stop(self) -> Tally {
        self.shared.is_stopping.store(true, Ordering::SeqCst);
        self.join()
    }

    /// Waits until every client has ended by itself, and returns the counts.
    ///
    /// # Panics
    /// When a client has panicked.
    pub fn join(self) -> Tally {
        for client in self.clients {
            client.join().unwrap();
        }
        self.shared.tally.lock().unwrap().clone()
    }
}

struct Client<'a> {
    shared: &'a Shared,
    number: usize,
    wire: Option<Wire>,
}

impl Client<'_> {
    fn run(mut self) {
        let pace = self.shared.plan.pace;
        // Spread over one period, so that the requests do not come in bursts.
        let offset = pace * self.number as u32 / self.shared.plan.connections as u32;
        let mut next = self.shared.started + offset;
        for turn in 0.. {
            thread::sleep(next.saturating_duration_since(Instant::now()));
            next = (next + pace).max(Instant::now());
            if self.shared.is_stopping.load(Ordering::SeqCst) {
                return;
            }
            let is_post = self.shared.plan.mix == Mix::GetsAndPosts && turn % 2 == 1;
            let kind = if is_post { Kind::Post } else { Kind::Get };
            let is_over = self.one(kind, &format!("{}-{turn}", self.number));
            if is_over {
                return;
            }
        }
    }

    /// Sends one request and counts it; returns whether this client has ended.
    fn one(&mut self, kind: Kind, id: &str) -> bool {
        if self.wire.as_ref().is_some_and(|wire| !wire.is_idle()) {
            self.wire = None;
            self.shared.tally.lock().unwrap().closed_unannounced += 1;
        }
        let result = self.exchange(kind, id);
        let mut tally = self.shared.tally.lock().unwrap();
        match result {
            Ok(response) if response.status == 200 => {
                match kind {
                    Kind::Get => tally.gets += 1,
                    Kind::Post => tally.posted.push(id.to_owned()),
                }
                tally.successes.push(Instant::now());
                self.shared.ok.fetch_add(1, Ordering::SeqCst);
                if response.announces_close() {
                    tally.closed_announced += 1;
                    self.wire = None;
                    return self.shared.plan.after_close == AfterClose::End;
                }
            }
            other => {
                let what = match other {
                    Ok(response) => {
                        if response.announces_close() {
                            self.wire = None;
                        }
                        format!("{} {}", response.status, response.text())
                    }
                    Err(error) => {
                        self.wire = None;
                        tally.closed_unannounced += 1;
                        format!("{error:?}")
                    }
                };
                let at = self.shared.started.elapsed();
                tally.failures.push(Failure { kind, id: id.to_owned(), what, at });
            }
        }
        false
    }

    fn exchange(&mut self, kind: Kind, id: &str) -> Result<Response, WireError> {
        if self.wire.is_none() {
            self.wire = Some(Wire::try_connect(self.shared.plan.target).map_err(|_| WireError::Closed)?);
        }
        let wire = self.wire.as_mut().expect("connected above");
        let request = match kind {
            Kind::Get => format!("GET /{id} HTTP/1.1\r\nHost: weir.test\r\n\r\n"),
            Kind::Post => {
                format!("POST /{id} HTTP/1.1\r\nHost: weir.test\r\nContent-Length: {}\r\n\r\n{id}", id.len())
            }
        };
        // A write that fails is a close, which reading reports.
        wire.send(request);
        wire.response("GET")
    }
}
