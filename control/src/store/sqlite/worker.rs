//! A thread that owns a connection and makes calls on it, one after the other: SQLite blocks.

use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::checkpoint::Checkpointer;
use crate::store::StoreError;

/// Calls that may wait for the thread. More callers than this wait for room.
const MAX_WAITING: usize = 64;

/// A call, as made on the thread.
type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// The thread.
#[derive(Debug)]
pub(super) struct Worker {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// A thread named `name` for `connection`, which tells `checkpointer` when it has written something.
    pub(super) fn start(
        name: &str,
        connection: Connection,
        checkpointer: Option<Checkpointer>,
    ) -> Result<Self, StoreError> {
        let (jobs, waiting) = mpsc::channel(MAX_WAITING);
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || work(connection, waiting, checkpointer))
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Has `call` made, even when nobody waits for its answer any more. `None`: the thread is gone, or its answer lost.
    pub(super) async fn make<T: Send + 'static>(
        &self,
        call: impl FnOnce(&mut Connection) -> T + Send + 'static,
    ) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |connection| drop(reply.send(call(connection))));
        self.jobs.as_ref()?.send(job).await.ok()?;
        answer.await.ok()
    }

    /// The same, but for what only answers: it is left out when nobody waits any more once its turn has come.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        call: impl FnOnce(&mut Connection) -> T + Send + 'static,
    ) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            if !reply.is_closed() {
                drop(reply.send(call(connection)));
            }
        });
        self.jobs.as_ref()?.send(job).await.ok()?;
        answer.await.ok()
    }
}

impl Drop for Worker {
    /// Waits for the thread, so that a commit under way is finished and the file is closed.
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("a thread of the store had panicked");
        }
    }
}

/// Makes calls until every handle is gone.
fn work(mut connection: Connection, mut jobs: mpsc::Receiver<Job>, checkpointer: Option<Checkpointer>) {
    while let Some(job) = jobs.blocking_recv() {
        let changes = connection.total_changes();
        job(&mut connection);
        if let Some(checkpointer) = &checkpointer
            && connection.total_changes() != changes
        {
            checkpointer.note();
        }
    }
    // Whoever closes the file last writes the log into it.
    drop(checkpointer);
    drop(connection);
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        sync::mpsc::channel,
        task::{Context, Waker},
    };

    use super::*;

    #[tokio::test]
    async fn what_nobody_waits_for_is_not_asked_but_is_made() {
        let connection = Connection::open_in_memory().expect("a database");
        let worker = Worker::start("test", connection, None).expect("a thread");
        let (release, held) = channel::<()>();
        let (told, done) = channel();
        let mut context = Context::from_waker(Waker::noop());
        let mut blocking = pin!(worker.ask(move |_| held.recv().is_ok()));
        assert!(blocking.as_mut().poll(&mut context).is_pending());
        {
            let (asked, made) = (told.clone(), told);
            let mut asks = pin!(worker.ask(move |_| asked.send("asked").is_ok()));
            let mut makes = pin!(worker.make(move |_| made.send("made").is_ok()));
            assert!(asks.as_mut().poll(&mut context).is_pending());
            assert!(makes.as_mut().poll(&mut context).is_pending());
        }
        release.send(()).expect("somebody waits");
        assert_eq!(blocking.await, Some(true));
        worker.ask(|_| ()).await.expect("an answer");
        assert_eq!(done.try_iter().collect::<Vec<_>>(), ["made"]);
    }
}
