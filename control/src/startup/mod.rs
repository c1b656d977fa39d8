//! Which configuration a process starts with: never an empty one by accident.
//!
//! | store | last-good.json | starts with | store then |
//! |---|---|---|---|
//! | whole | any | the store's | ok |
//! | never set up, nothing was ever here | none | nothing, as a new installation | ok, new epoch |
//! | damaged, missing, not readable | good | last-good.json | read_only |
//! | damaged, missing, not readable | none or damaged | nothing, and not ready | read_only |
//!
//! "Nothing was ever here" means: no last-good.json, readable or not, and no file that was set aside. Damaged files are
//! set aside under another name, never deleted, and while one is there a missing store is a lost one and not a new one.
//! A whole store that is older than last-good.json was put back by somebody: it is obeyed, under a new epoch, so that no
//! ETag from before matches, and the newer last-good.json is kept under another name.
//! A write-ahead log without its database is damage as well, found before SQLite sees it, which would delete the log.

pub mod data_dir;

use std::{path::Path, sync::Arc};

use data_dir::{DataDir, DataDirError};
use rand::RngExt;
use weir_shared::{
    error::Invalid,
    id::Epoch,
    model::Config,
    table::{Compiler, Table},
    time::Timestamp,
};

use crate::{
    catalog::StoreReport,
    clock::Clock,
    last_good::{self, LastGood, LastGoodError},
    store::{Memory, Snapshot, Sqlite, Store, StoreError, codec},
};

/// Where the configuration a process started with is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The store.
    Store,
    /// A new store, which holds nothing yet.
    New,
    /// The copy of the last good configuration.
    LastGood,
    /// There was none to be had.
    None,
}

/// What a process starts with.
#[derive(Debug)]
pub struct Started {
    /// The first table.
    pub table: Table,
    /// Where its configuration is from.
    pub source: Source,
    /// The store, if it takes writes.
    pub store: Option<Arc<dyn Store>>,
    /// How the configuration is kept.
    pub report: StoreReport,
    /// The folder, if there is one, claimed for this process.
    pub data_dir: Option<DataDir>,
}

/// Why a process cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// A new store cannot be set up.
    #[error("cannot set up the store: {0}")]
    Store(#[source] StoreError),
}

/// Starts with a store in memory.
///
/// # Errors
/// None that can be expected.
pub async fn in_memory(compiler: &Compiler, clock: &Clock) -> Result<Started, StartError> {
    let store = Memory::default();
    let epoch = new_epoch();
    store.initialise(epoch.clone()).await.map_err(StartError::Store)?;
    let report = StoreReport::new(store.engine(), None, None);
    let table = empty(compiler, epoch, clock);
    Ok(Started { table, source: Source::New, store: Some(Arc::new(store)), report, data_dir: None })
}

/// Starts with what is in the folder at `path`.
///
/// # Errors
/// When the folder cannot be used or a new store cannot be set up. A damaged store is no error.
pub async fn in_folder(path: &Path, compiler: &Compiler, clock: &Clock) -> Result<Started, StartError> {
    let folder = DataDir::claim(path)?;
    let last_good = read_last_good(&folder, clock);
    let trouble = match open(&folder, &last_good, compiler, clock).await {
        Ok(Opened::Whole { store, snapshot_at, table }) => {
            if let LastGoodFile::Good(known) = &last_good
                && known.config.epoch == table.config().epoch
            {
                last_good::restore(&table, &known.health, clock);
            }
            let report = StoreReport::new(store.engine(), None, snapshot_at);
            let (source, store) = (Source::Store, Some(store));
            return Ok(Started { table, source, store, report, data_dir: Some(folder) });
        }
        Ok(Opened::New(store)) if matches!(last_good, LastGoodFile::Absent) && !folder.has_set_aside() => {
            return initialise(store, folder, compiler, clock).await;
        }
        Ok(Opened::New(_)) => Trouble::Missing,
        Err(trouble) => trouble,
    };
    if matches!(trouble, Trouble::Damaged(_)) {
        set_aside(&folder, &folder.database(), clock);
    }
    Ok(without_store(trouble, last_good, folder, compiler, clock))
}

async fn initialise(
    store: Arc<dyn Store>,
    folder: DataDir,
    compiler: &Compiler,
    clock: &Clock,
) -> Result<Started, StartError> {
    let epoch = new_epoch();
    store.initialise(epoch.clone()).await.map_err(StartError::Store)?;
    let report = StoreReport::new(store.engine(), None, None);
    let table = empty(compiler, epoch, clock);
    Ok(Started { table, source: Source::New, store: Some(store), report, data_dir: Some(folder) })
}

/// Starts read-only, with the last good configuration if there is one.
fn without_store(
    trouble: Trouble,
    last_good: LastGoodFile,
    folder: DataDir,
    compiler: &Compiler,
    clock: &Clock,
) -> Started {
    let loaded = match last_good {
        LastGoodFile::Good(known) => load_last_good(*known, compiler, clock),
        LastGoodFile::Absent | LastGoodFile::Lost => None,
    };
    let (table, source) = match loaded {
        Some(table) => (table, Source::LastGood),
        None => (empty(compiler, new_epoch(), clock), Source::None),
    };
    let served = match source {
        Source::LastGood => {
            format!("traffic goes on with last-good.json (revision {})", table.revision())
        }
        Source::Store | Source::New | Source::None => {
            "there is no good last-good.json, so that nothing is served".to_owned()
        }
    };
    let reason = format!("{trouble}; {served}. {}", trouble.advice(folder.path()));
    tracing::error!(reason, "the store is read-only");
    let report = StoreReport::new("sqlite", Some(reason.into()), None);
    Started { table, source, store: None, report, data_dir: Some(folder) }
}

fn load_last_good(known: LastGood, compiler: &Compiler, clock: &Clock) -> Option<Table> {
    match compiler.compile(Arc::new(known.config), None, clock.now()) {
        Ok(table) => {
            last_good::restore(&table, &known.health, clock);
            Some(table)
        }
        Err(Invalid(errors)) => {
            let first = errors.first().map(ToString::to_string).unwrap_or_default();
            tracing::error!(first, "last-good.json holds a configuration this release refuses");
            None
        }
    }
}

/// What became of last-good.json.
enum LastGoodFile {
    /// There is none.
    Absent,
    /// It can be used.
    Good(Box<LastGood>),
    /// There is or was one, which cannot be used.
    Lost,
}

enum Opened {
    Whole { store: Arc<dyn Store>, snapshot_at: Option<Timestamp>, table: Table },
    New(Arc<dyn Store>),
}

/// Why there is no store.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("state.db is missing or was never set up")]
    Missing,
    #[error("state.db is damaged ({0})")]
    Damaged(String),
    /// It is whole, and not for this release.
    #[error("state.db cannot be used ({0})")]
    Refused(String),
    /// It may be whole: a lock, a permission, a disk that does not answer.
    #[error("state.db cannot be opened at the moment ({0})")]
    Unavailable(String),
}

impl Trouble {
    /// What helps. Only a store that is lost for certain may be given up.
    fn advice(&self, folder: &Path) -> String {
        let path = folder.display();
        match self {
            Self::Missing | Self::Damaged(_) => format!(
                "Stop Weir, put a whole state.db back into {path}, or move everything out of it to begin anew"
            ),
            Self::Refused(_) => {
                format!("Start the release that wrote it, or stop Weir and put another state.db into {path}")
            }
            Self::Unavailable(_) => {
                format!("Leave {path} as it is, see to the cause, and restart to try again")
            }
        }
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Corrupt(detail) => Self::Damaged(detail),
            error @ (StoreError::NotInitialised
            | StoreError::AlreadyInitialised
            | StoreError::Unavailable(_)) => Self::Unavailable(error.to_string()),
        }
    }
}

async fn open(
    folder: &DataDir,
    last_good: &LastGoodFile,
    compiler: &Compiler,
    clock: &Clock,
) -> Result<Opened, Trouble> {
    match folder.has_stray_log() {
        Ok(false) => {}
        Ok(true) => {
            let detail = "it is missing or empty beside a write-ahead log that is not";
            return Err(Trouble::Damaged(detail.to_owned()));
        }
        Err(error) => return Err(Trouble::Unavailable(error.to_string())),
    }
    let path = folder.database();
    // Opening may wait for the disk, and for a reader of the file.
    let opened = tokio::task::spawn_blocking(move || Sqlite::open(&path)).await;
    let store = opened.map_err(|error| Trouble::Unavailable(error.to_string()))??;
    let mut snapshot: Snapshot = match store.load().await {
        Ok(snapshot) => snapshot,
        Err(StoreError::NotInitialised) => return Ok(Opened::New(Arc::new(store))),
        Err(error) => return Err(error.into()),
    };
    if let LastGoodFile::Good(known) = last_good
        && known.config.epoch == snapshot.epoch
        && known.config.revision > snapshot.revision
    {
        let old = format!("{} instead of {}", snapshot.revision, known.config.revision);
        snapshot.epoch = renew(&store, &old, folder, clock).await?;
    }
    let snapshot_at = snapshot.committed_at;
    // The file is whole, so that it is left where it is: a newer release may be able to read it.
    let config = codec::decode(snapshot).map_err(|error| Trouble::Refused(error.to_string()))?;
    let table = compiler.compile(Arc::new(config), None, clock.now()).map_err(|Invalid(errors)| {
        let first = errors.first().map(ToString::to_string).unwrap_or_default();
        Trouble::Refused(format!("it holds a configuration this release refuses: {first}"))
    })?;
    Ok(Opened::Whole { store: Arc::new(store), snapshot_at, table })
}

/// Begins a new life of a store that was put back to an older revision: its next revisions are not those that clients
/// have seen under the same numbers, and what they ask on the condition of those must not be done.
async fn renew(store: &Sqlite, old: &str, folder: &DataDir, clock: &Clock) -> Result<Epoch, Trouble> {
    // First, because last-good.json is written over as soon as the store is in use.
    let kept = folder.keep_newer(clock.now().wall).map_err(|error| {
        Trouble::Unavailable(format!("it is at revision {old}, and last-good.json cannot be kept: {error}"))
    })?;
    let epoch = new_epoch();
    store.renew(epoch.clone()).await?;
    tracing::error!(
        revision = old,
        %epoch,
        newer = %kept.display(),
        "state.db is older than what was in force last; it is obeyed, under a new epoch"
    );
    Ok(epoch)
}

fn read_last_good(folder: &DataDir, clock: &Clock) -> LastGoodFile {
    let path = folder.last_good();
    match last_good::read(&path) {
        Ok(Some(known)) => LastGoodFile::Good(Box::new(known)),
        Ok(None) => LastGoodFile::Absent,
        Err(error @ LastGoodError::Damaged { .. }) => {
            tracing::error!(%error, "the last good configuration is set aside");
            set_aside(folder, &path, clock);
            LastGoodFile::Lost
        }
        Err(error @ LastGoodError::Unreadable { .. }) => {
            tracing::error!(%error, "the last good configuration is left alone");
            LastGoodFile::Lost
        }
    }
}

fn set_aside(folder: &DataDir, path: &Path, clock: &Clock) {
    match folder.set_aside(path, clock.now().wall) {
        Ok(renamed) => tracing::error!(path = %renamed.display(), "a damaged file was set aside"),
        Err(error) => tracing::error!(%error, path = %path.display(), "a damaged file cannot be set aside"),
    }
}

fn empty(compiler: &Compiler, epoch: Epoch, clock: &Clock) -> Table {
    compiler
        .compile(Arc::new(Config::empty(epoch)), None, clock.now())
        .expect("a configuration without upstreams is valid")
}

fn new_epoch() -> Epoch {
    Epoch(format!("{:06x}", rand::rng().random_range(0..1_u32 << 24)).into())
}
