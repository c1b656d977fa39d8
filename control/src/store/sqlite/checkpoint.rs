//! Takes over into the file what is in the log, on a thread and a connection of its own.
//!
//! SQLite does that in the commit that finds the log long enough: some thousand reads and writes and two flushes, for which
//! one change in a hundred waited. A checkpoint that lets others write ("passive") waits for nobody and nobody for it. The
//! connection that commits still makes one when the log has grown far beyond what this one should have left.
//!
//! Source: SQLite documentation, "Write-Ahead Logging", "PRAGMA wal_checkpoint".

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use rusqlite::Connection;

/// Time between two checkpoints.
const PAUSE: Duration = Duration::from_secs(1);

/// Pages in the log at which the connection that commits does it itself: 32 MiB.
pub(super) const LAST_RESORT_PAGES: u32 = 8192;

/// How often it is done again at once, for what was written meanwhile: only a log that was taken over to its end is begun
/// anew.
const ROUNDS: usize = 3;

/// The thread.
#[derive(Debug)]
pub(super) struct Checkpointer {
    /// Whether something was written since the last checkpoint.
    is_due: Arc<AtomicBool>,
    /// Ends the thread when dropped.
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    /// A thread for the file at `path`, which another connection has open. `None` when that cannot be: then that connection
    /// does it in the end.
    pub(super) fn start(path: &Path) -> Option<Self> {
        let connection = Connection::open(path).ok()?;
        let is_due = Arc::new(AtomicBool::new(false));
        let (end, ended) = channel();
        let due = Arc::clone(&is_due);
        let thread = std::thread::Builder::new()
            .name("weir-checkpoint".to_owned())
            .spawn(move || work(&connection, &due, &ended))
            .ok()?;
        Some(Self { is_due, end: Some(end), thread: Some(thread) })
    }

    /// Says that something was written.
    pub(super) fn note(&self) {
        self.is_due.store(true, Ordering::Relaxed);
    }
}

impl Drop for Checkpointer {
    /// Waits for the thread, so that the other connection is the last one and leaves the file without a log.
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of checkpoints had panicked");
        }
    }
}

fn work(connection: &Connection, is_due: &AtomicBool, ended: &Receiver<()>) {
    while ended.recv_timeout(PAUSE) == Err(RecvTimeoutError::Timeout) {
        if !is_due.swap(false, Ordering::Relaxed) {
            continue;
        }
        for _ in 0..ROUNDS {
            match checkpoint(connection) {
                Ok((log, taken)) if taken < log => {}
                Ok(_) => break,
                // Nothing is lost: what is in the log is read from there.
                Err(error) => {
                    tracing::debug!(%error, "the log cannot be taken over");
                    break;
                }
            }
        }
    }
}

/// Pages in the log, and how many of them are in the file by now.
fn checkpoint(connection: &Connection) -> rusqlite::Result<(i64, i64)> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| Ok((row.get(1)?, row.get(2)?)))
}
