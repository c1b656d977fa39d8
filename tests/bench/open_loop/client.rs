//! One thread that sends requests when they are due and takes in answers as they come.
//!
//! It shares a core with the servers and must be cheap beside them: once it is held up, it measures itself.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    mem::MaybeUninit,
    net::SocketAddr,
    os::fd::AsFd,
    time::{Duration, Instant},
};

use rustix::{
    event::{
        Timespec,
        epoll::{self, CreateFlags, Event, EventData, EventFlags},
    },
    fd::OwnedFd,
};

use crate::{
    connection::{Connection, Seen},
    tally::Tally,
};

/// Who waits longer for ten milliseconds of work has gone.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often those are looked for.
const SWEEP: Duration = Duration::from_millis(100);

const EVENTS: usize = 256;

const READ_BYTES: usize = 64 * 1024;

pub(crate) struct Client {
    proxy: SocketAddr,
    request: Vec<u8>,
    /// Without a limit a moment's stall opens thousands at once, and what is measured is the kernel looking for ports.
    most_connections: usize,
    epoll: OwnedFd,
    /// By number, which no two ever share: an event of one that is gone means nobody.
    connections: BTreeMap<u64, Connection>,
    /// Numbers of those without a request; the last used is used next.
    free: Vec<u64>,
    next_number: u64,
    /// Requests that found no connection, by when they were due.
    waiting: VecDeque<Instant>,
    tally: Tally,
    read: Vec<u8>,
}

impl Client {
    pub(crate) fn new(
        proxy: SocketAddr,
        path: &str,
        most_connections: usize,
        tally: Tally,
    ) -> io::Result<Self> {
        Ok(Self {
            proxy,
            request: format!("GET {path} HTTP/1.1\r\nHost: balancing.test\r\n\r\n").into_bytes(),
            most_connections,
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            connections: BTreeMap::new(),
            free: Vec::new(),
            next_number: 0,
            waiting: VecDeque::new(),
            tally,
            read: vec![0; READ_BYTES],
        })
    }

    /// Sends a request at each of the moments, and waits for the last answer.
    pub(crate) fn run(mut self, schedule: impl Iterator<Item = Instant>) -> io::Result<Tally> {
        let mut schedule = schedule.peekable();
        let mut sweep_at = Instant::now() + SWEEP;
        loop {
            let now = Instant::now();
            while let Some(due) = schedule.next_if(|due| *due <= now) {
                self.waiting.push_back(due);
            }
            self.send_waiting();
            if schedule.peek().is_none()
                && self.waiting.is_empty()
                && self.free.len() == self.connections.len()
            {
                return Ok(self.tally);
            }
            if sweep_at <= now {
                self.sweep(now);
                sweep_at = now + SWEEP;
            }
            let until = schedule.peek().map_or(sweep_at, |due| sweep_at.min(*due));
            self.wait(until.saturating_duration_since(Instant::now()))?;
        }
    }

    fn wait(&mut self, at_most: Duration) -> io::Result<()> {
        let timeout = Timespec::try_from(at_most).map_err(io::Error::other)?;
        let mut room = [MaybeUninit::<Event>::uninit(); EVENTS];
        let (events, _) = match epoll::wait(&self.epoll, &mut room, Some(&timeout)) {
            Err(rustix::io::Errno::INTR) => return Ok(()),
            waited => waited?,
        };
        for event in events {
            self.look(event.data.u64(), event.flags);
        }
        Ok(())
    }

    /// Sends as many of those that wait as there are connections for.
    fn send_waiting(&mut self) {
        while !self.waiting.is_empty() {
            let number = match self.free.pop() {
                Some(number) => Ok(number),
                None if self.connections.len() == self.most_connections => return,
                None => self.connect(),
            };
            let Some(due) = self.waiting.pop_front() else { return };
            match number {
                Ok(number) => self.send(number, due),
                Err(_) => self.tally.lost(due, "no connection"),
            }
        }
    }

    fn connect(&mut self) -> io::Result<u64> {
        let connection = Connection::open(self.proxy)?;
        let number = self.next_number;
        self.next_number += 1;
        epoll::add(&self.epoll, connection.stream.as_fd(), EventData::new_u64(number), EventFlags::IN)?;
        self.connections.insert(number, connection);
        Ok(number)
    }

    fn send(&mut self, number: u64, due: Instant) {
        let Some(connection) = self.connections.get_mut(&number) else { return };
        let is_kept = connection.is_kept;
        match connection.send(&self.request, due) {
            Ok(true) => self.tally.sent(due),
            Ok(false) => self.watch(number, EventFlags::IN | EventFlags::OUT),
            // Closed for its age, as the next read would show.
            Err(_) if is_kept => self.again(number, due),
            Err(_) => self.end(number, "no connection"),
        }
    }

    fn look(&mut self, number: u64, flags: EventFlags) {
        let Some(connection) = self.connections.get_mut(&number) else { return };
        if flags.contains(EventFlags::OUT)
            && let Some(due) = connection.due
        {
            self.watch(number, EventFlags::IN);
            return self.send(number, due);
        }
        let seen = connection.look(&mut self.read);
        match (seen, connection.due) {
            (Seen::Nothing, _) => {}
            (Seen::Answer(whole), Some(due)) => {
                connection.due = None;
                connection.is_kept = true;
                self.tally.answered(due, whole.status);
                if whole.is_last {
                    self.connections.remove(&number);
                } else {
                    self.free.push(number);
                }
            }
            (Seen::Closed, Some(due)) if connection.is_kept => self.again(number, due),
            (_, Some(_)) => self.end(number, "broken off"),
            (_, None) => {
                self.connections.remove(&number);
                self.free.retain(|free| *free != number);
            }
        }
    }

    /// A kept connection was closed before it had the request: every client tries another.
    fn again(&mut self, number: u64, due: Instant) {
        self.connections.remove(&number);
        self.waiting.push_front(due);
    }

    fn end(&mut self, number: u64, why: &'static str) {
        if let Some(due) = self.connections.remove(&number).and_then(|connection| connection.due) {
            self.tally.lost(due, why);
        }
    }

    fn watch(&mut self, number: u64, flags: EventFlags) {
        let Some(connection) = self.connections.get(&number) else { return };
        let watched =
            epoll::modify(&self.epoll, connection.stream.as_fd(), EventData::new_u64(number), flags);
        if watched.is_err() {
            self.end(number, "no connection");
        }
    }

    fn sweep(&mut self, now: Instant) {
        let is_gone = |due: Instant| now.saturating_duration_since(due) > PATIENCE;
        let gone: Vec<u64> = self
            .connections
            .iter()
            .filter(|(_, connection)| connection.due.is_some_and(is_gone))
            .map(|(number, _)| *number)
            .collect();
        for number in gone {
            self.end(number, "no answer");
        }
        while self.waiting.front().copied().is_some_and(is_gone)
            && let Some(due) = self.waiting.pop_front()
        {
            self.tally.lost(due, "no answer");
        }
    }
}
