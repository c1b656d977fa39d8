//! What the API can do, free of HTTP: read the configuration in force, and change it.
//!
//! A change is planned, compiled, committed and published by one writer, one after the other, and only then answered:
//! whoever gets the answer sees the change, and so does the proxy's next request. The writer is a task of its own, so that
//! a caller who goes away in the middle leaves nothing half done.

pub mod address;
pub mod change;
mod merge;
pub mod plan;
pub mod precondition;
pub mod submitted;
mod writer;

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot};
use weir_shared::{model::Config, table::TableReader, time::Timestamp};
pub use writer::Writer;

use self::{
    change::{Change, Outcome},
    precondition::Precondition,
};
use crate::{
    error::CatalogError,
    status::{StoreState, StoreView},
};

/// Changes that may wait for the writer. More callers than this wait for room; the API lets in no more than that.
const MAX_WAITING: usize = 64;

/// Whether a change is made or only tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Make it.
    Commit,
    /// Do everything but commit and publish.
    DryRun,
}

/// A change with what belongs to it.
#[derive(Clone, Debug)]
pub struct Request {
    /// What to change.
    pub change: Change,
    /// What must hold before.
    pub precondition: Precondition,
    /// Whether it is only tried.
    pub mode: Mode,
    /// Who asks, for the history.
    pub actor: String,
    /// The API request, for the history.
    pub request_id: String,
}

/// A change that was made, or would have been.
#[derive(Clone, Debug)]
pub struct Applied {
    /// The configuration with the change.
    pub config: Arc<Config>,
    /// What came of it.
    pub outcome: Outcome,
}

#[derive(Debug)]
struct Job {
    request: Request,
    reply: oneshot::Sender<Result<Applied, CatalogError>>,
}

/// How the configuration is kept, as last seen by the writer.
#[derive(Clone, Debug)]
pub struct StoreReport {
    engine: &'static str,
    /// Why nothing can be written, if so.
    read_only: Option<Arc<str>>,
    /// Held for a copy.
    last_commit_at: Arc<Mutex<Option<Timestamp>>>,
}

impl StoreReport {
    /// A report on a store that works, or on one that takes no writes for the reason `read_only`.
    #[must_use]
    pub fn new(engine: &'static str, read_only: Option<Arc<str>>, last_commit_at: Option<Timestamp>) -> Self {
        Self { engine, read_only, last_commit_at: Arc::new(Mutex::new(last_commit_at)) }
    }

    /// Why nothing can be written; `None` when writes are taken.
    #[must_use]
    pub fn read_only(&self) -> Option<&str> {
        self.read_only.as_deref()
    }

    /// The report as the API shows it.
    #[must_use]
    pub fn view(&self) -> StoreView {
        StoreView {
            kind: self.engine.to_owned(),
            state: if self.read_only.is_some() { StoreState::ReadOnly } else { StoreState::Ok },
            last_commit_at: *self.last_commit_at.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    fn committed(&self, at: Timestamp) {
        *self.last_commit_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(at);
    }
}

/// Reads and changes the configuration. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Catalog {
    jobs: mpsc::Sender<Job>,
    reader: TableReader,
    store: StoreReport,
}

impl Catalog {
    /// The configuration in force.
    #[must_use]
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(self.reader.snapshot().config())
    }

    /// The tables in force.
    #[must_use]
    pub fn reader(&self) -> &TableReader {
        &self.reader
    }

    /// How the configuration is kept.
    #[must_use]
    pub fn store(&self) -> &StoreReport {
        &self.store
    }

    /// Makes a change, or tries it. When this answers, the change is durable and in force.
    ///
    /// # Errors
    /// Why the change was not made.
    ///
    /// # Cancel safety
    /// A change that was handed to the writer is made even when the answer is dropped.
    pub async fn apply(&self, request: Request) -> Result<Applied, CatalogError> {
        let (reply, answer) = oneshot::channel();
        let stopping = || CatalogError::Unavailable("Weir is stopping".to_owned());
        self.jobs.send(Job { request, reply }).await.map_err(|_| stopping())?;
        let lost = |_| CatalogError::Unknown("the writer stopped before it answered".to_owned());
        answer.await.unwrap_or_else(|error| Err(lost(error)))
    }
}
