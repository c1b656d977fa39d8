//! Answers that are sent when they are due.
//!
//! By a thread that sleeps until the next one: an async runtime's timers count in milliseconds, a tenth of what the work
//! takes here.

use std::{
    cmp::Ordering,
    collections::BinaryHeap,
    io::{self, Write},
    net::TcpStream,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// An answer: `bytes`, `to` whom, at `due`.
pub(crate) struct Reply {
    pub(crate) due: Instant,
    pub(crate) bytes: Vec<u8>,
    pub(crate) to: Arc<TcpStream>,
}

impl PartialEq for Reply {
    fn eq(&self, other: &Self) -> bool {
        self.due == other.due
    }
}

impl Eq for Reply {}

impl PartialOrd for Reply {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Reply {
    /// The one due first is the greatest, and so on top of a heap.
    fn cmp(&self, other: &Self) -> Ordering {
        other.due.cmp(&self.due)
    }
}

/// The answers still to be sent.
pub(crate) struct Replies(Arc<(Mutex<BinaryHeap<Reply>>, Condvar)>);

impl Replies {
    /// Starts the thread that sends them.
    pub(crate) fn start() -> io::Result<Self> {
        let shared = Arc::new((Mutex::new(BinaryHeap::new()), Condvar::new()));
        let sender = Self(Arc::clone(&shared));
        thread::Builder::new().name("replies".to_owned()).spawn(move || sender.run())?;
        Ok(Self(shared))
    }

    pub(crate) fn send(&self, reply: Reply) {
        let (heap, changed) = &*self.0;
        let mut heap = heap.lock().unwrap_or_else(PoisonError::into_inner);
        let is_next = heap.peek().is_none_or(|next| reply.due < next.due);
        heap.push(reply);
        drop(heap);
        if is_next {
            changed.notify_one();
        }
    }

    fn run(&self) {
        const LONG: Duration = Duration::from_secs(3600);
        let (heap, changed) = &*self.0;
        let mut heap = heap.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let wait = heap.peek().map_or(LONG, |next| next.due.saturating_duration_since(Instant::now()));
            if !wait.is_zero() {
                heap = changed.wait_timeout(heap, wait).unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            if let Some(reply) = heap.pop() {
                drop(heap);
                // A hundred bytes always fit the socket's buffer; a peer that has gone needs no answer.
                let _ = (&*reply.to).write_all(&reply.bytes);
                heap = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}
