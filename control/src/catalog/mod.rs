//! What the API can do, free of HTTP: read the configuration in force, and change it.
//!
//! A change is planned, compiled, committed and published by one writer, one after the other, and only then answered:
//! whoever gets the answer sees the change, and so does the proxy's next request. The writer is a task of its own, so that
//! a caller who goes away in the middle leaves nothing half done.

pub mod address;
pub mod certificate;
pub mod change;
pub mod diff;
pub mod document;
mod faults;
mod history;
pub mod listener_flags;
mod merge;
pub mod plan;
pub mod precondition;
mod prepared;
mod report;
pub mod submitted;
#[cfg(test)]
mod tests;
mod timing;
pub mod warning;
mod writer;

use std::{any::Any, fmt, sync::Arc};

pub use report::StoreReport;
pub use timing::{ApplyTimes, Step};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch},
    task::spawn_blocking,
};
use weir_shared::{
    id::Revision,
    model::Config,
    table::{Compiler, TableReader},
};
pub use writer::Writer;

use self::{
    change::{Change, Outcome},
    diff::Summary,
    precondition::Precondition,
    prepared::Prepared,
};
use crate::{
    clock::Clock,
    drains::{Drain, Drains},
    error::CatalogError,
    events::Bus,
    store::{Page, RecordKind, RecordOp, Store},
};

/// Changes that may wait for the writer. More callers than this wait for room; the API lets in no more than that.
const MAX_WAITING: usize = 64;

/// How often a whole configuration is worked out apart from the writer when others are faster. After that the writer does it,
/// and the others wait.
const MAX_PREPARATIONS: usize = 3;

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
    /// Why, in the caller's words; a summary of the change when there are none.
    pub message: Option<String>,
    /// What to store beside the change, in the same transaction.
    pub beside: Beside,
    /// Kept as long as anybody works at the change, the caller or not: the place of a large document.
    pub held: Held,
}

/// What is only held; what it is, is the caller's.
pub type Held = Option<Arc<dyn Any + Send + Sync>>;

/// Makes the records that are stored in the same transaction as a change, from what will have come of it. They are not
/// asked about a change that is only tried or changes nothing.
#[derive(Clone, Default)]
pub struct Beside(Vec<Arc<MakeRecords>>);

type MakeRecords = dyn Fn(&Applied) -> Vec<RecordOp> + Send + Sync;

impl Beside {
    /// Asks `make` as well.
    pub fn add(&mut self, make: impl Fn(&Applied) -> Vec<RecordOp> + Send + Sync + 'static) {
        self.0.push(Arc::new(make));
    }

    fn records(&self, applied: &Applied) -> Vec<RecordOp> {
        self.0.iter().flat_map(|make| make(applied)).collect()
    }
}

impl fmt::Debug for Beside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Beside").field(&self.0.len()).finish()
    }
}

/// A change that was made, or would have been.
#[derive(Clone, Debug)]
pub struct Applied {
    /// The configuration before.
    pub before: Arc<Config>,
    /// The configuration with the change.
    pub config: Arc<Config>,
    /// What came of it.
    pub outcome: Outcome,
    /// The places it made different; none when it was only tried.
    pub changes: Arc<Summary>,
    /// The drain that began with it.
    pub drain: Option<Arc<Drain>>,
}

#[derive(Debug)]
struct Job {
    request: Request,
    /// The same worked out, if that was done beforehand.
    prepared: Option<Box<Prepared>>,
    /// Held until the answer where the change is of everything.
    turn: Option<Turn>,
    reply: oneshot::Sender<Answer>,
}

/// What the writer answers.
#[derive(Debug)]
enum Answer {
    /// The change was made, or not.
    Settled(Box<Result<Applied, CatalogError>>),
    /// Something else was changed since it was worked out, and nothing was done.
    Stale(Box<Request>, Box<Prepared>),
}

impl Answer {
    /// What came of a change that was not worked out beforehand.
    fn settled(self) -> Result<Applied, CatalogError> {
        match self {
            Self::Settled(applied) => *applied,
            Self::Stale(..) => Err(CatalogError::Contention),
        }
    }
}

/// The right to work out a change of everything: what is made of one takes hundreds of megabytes, so that one is in the
/// making at a time.
type Turn = Arc<OwnedSemaphorePermit>;

/// Reads and changes the configuration. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Catalog {
    jobs: mpsc::Sender<Job>,
    reader: TableReader,
    report: StoreReport,
    published: watch::Receiver<Revision>,
    drains: Drains,
    times: Arc<ApplyTimes>,
    /// `None`: there is none, and nothing can be changed.
    store: Option<Arc<dyn Store>>,
    events: Bus,
    compiler: Compiler,
    clock: Clock,
    /// The one [`Turn`].
    turns: Arc<Semaphore>,
    /// Held by whoever brings an earlier revision back into memory.
    past: Arc<Semaphore>,
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

    /// Waits until `revision` or a later one is in force; answers `false` when there will be none any more.
    pub async fn reaches(&self, revision: Revision) -> bool {
        self.published.clone().wait_for(|present| *present >= revision).await.is_ok()
    }

    /// How the configuration is kept.
    #[must_use]
    pub fn report(&self) -> &StoreReport {
        &self.report
    }

    /// Where changes are told of, and whatever else happens.
    #[must_use]
    pub fn events(&self) -> &Bus {
        &self.events
    }

    /// How long changes take.
    #[must_use]
    pub fn times(&self) -> &ApplyTimes {
        &self.times
    }

    /// The drains of servers.
    #[must_use]
    pub fn drains(&self) -> &Drains {
        &self.drains
    }

    /// Takes up the drains that the process before left. Call it once, before anything can change.
    pub async fn load_drains(&self, clock: &Clock) {
        let Some(store) = &self.store else { return };
        let stale = match store.records(RecordKind::Drain, Page::ALL).await {
            Ok(records) => self.drains.load(records, &self.config(), clock.now()),
            Err(error) => {
                tracing::error!(%error, "drains under way cannot be read");
                return;
            }
        };
        if !stale.is_empty()
            && let Err(error) = store.record(stale).await
        {
            tracing::warn!(%error, "drains that are void cannot be deleted");
        }
    }

    /// Where the configuration is kept: history and records are read there.
    ///
    /// # Errors
    /// [`CatalogError::Unavailable`] when there is none.
    pub fn store(&self) -> Result<&Arc<dyn Store>, CatalogError> {
        let missing = || CatalogError::Unavailable(self.report.read_only().unwrap_or_default().to_string());
        self.store.as_ref().ok_or_else(missing)
    }

    /// Makes a change, or tries it. When this answers, the change is durable and in force.
    ///
    /// # Errors
    /// Why the change was not made.
    ///
    /// # Cancel safety
    /// Nothing is left half done when the answer is dropped. A change that was handed to the writer is made all the same, but
    /// for one of everything that others have overtaken by then.
    pub async fn apply(&self, request: Request) -> Result<Applied, CatalogError> {
        if !matches!(request.change, Change::PutConfig { .. } | Change::RollBack { .. }) {
            return self.hand_over(request, None, None).await?.settled();
        }
        // Fails only once it is closed, which it never is.
        let turn = Arc::clone(&self.turns).acquire_owned().await.map(Arc::new).ok();
        let mut request = request;
        for _ in 0..MAX_PREPARATIONS {
            let (whole, prepared) = self.prepare(request, turn.clone()).await?;
            if prepared.table.is_none() || whole.mode == Mode::DryRun {
                return Ok(prepared.untouched());
            }
            match self.hand_over(whole, Some(prepared), turn.clone()).await? {
                Answer::Settled(applied) => return *applied,
                Answer::Stale(again, outdated) => {
                    request = *again;
                    // That is work as well, and neither the writer's nor that of the threads that answer others.
                    drop(spawn_blocking(move || drop(outdated)));
                }
            }
        }
        self.hand_over(request, None, turn).await?.settled()
    }

    /// Has the writer make `request`.
    async fn hand_over(
        &self,
        request: Request,
        prepared: Option<Box<Prepared>>,
        turn: Option<Turn>,
    ) -> Result<Answer, CatalogError> {
        let (reply, answer) = oneshot::channel();
        let stopping = || CatalogError::Unavailable("Weir is stopping".to_owned());
        self.jobs.send(Job { request, prepared, turn, reply }).await.map_err(|_| stopping())?;
        let lost = |_| CatalogError::Unknown("the writer stopped before it answered".to_owned());
        answer.await.map_err(lost)
    }

    /// Works `request` out, apart from whatever else is done. The turn is the work's: a caller who goes away does not end it.
    async fn prepare(
        &self,
        request: Request,
        turn: Option<Turn>,
    ) -> Result<(Request, Box<Prepared>), CatalogError> {
        let (compiler, base, now) = (self.compiler.clone(), self.reader.snapshot(), self.clock.now());
        let work = spawn_blocking(move || {
            let prepared = Prepared::new(&compiler, &request, &request.change, base, now, || ());
            drop(turn);
            Ok((request, Box::new(prepared?)))
        });
        work.await.unwrap_or_else(|error| Err(CatalogError::Unavailable(error.to_string())))
    }
}
