//! The embedded store: one SQLite file, one connection that commits, one that reads what may be long, each with a thread that
//! owns it (`worker.rs`). Another thread takes the log over into the file (`checkpoint.rs`).
//!
//! No commit waits for whoever reads the history: with a write-ahead log readers and the writer do not wait for each other.
//! Nor does whoever reads a commit's answer and then the history miss the commit: a reader sees what was committed before it
//! begins.
//!
//! Write-ahead log with `synchronous=FULL`, because with `NORMAL` a power cut may take back commits already answered.
//! SQLite blocks, so that all of it happens on a thread of its own; callers wait for a message.
//!
//! Source: SQLite documentation, "Write-Ahead Logging" and "PRAGMA synchronous".

mod checkpoint;
mod history;
mod objects;
mod records;
mod schema;
mod worker;

use std::{
    fs::OpenOptions,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{
    Connection, ErrorCode, OptionalExtension, Transaction, TransactionBehavior, config::DbConfig, ffi, params,
};
use weir_shared::id::{Epoch, Revision};

use self::{
    checkpoint::{Checkpointer, LAST_RESORT_PAGES},
    worker::Worker,
};
use super::{
    Commit, CommitError, Page, Pending, Record, RecordKind, RecordOp, RevisionEntry, Snapshot, Store,
    StoreError,
};

/// How long another process that reads the file (a backup, a person with a shell) may hold it.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// A store in one SQLite file.
#[derive(Debug)]
pub struct Sqlite {
    /// For what may be long. Dropped before the other, which closes the file last.
    reader: Worker,
    /// For commits, and what is quick.
    writer: Worker,
    path: PathBuf,
}

impl Sqlite {
    /// Opens the file at `path`, making it when it is not there, and checks that it is whole. Blocks for a moment.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when the file is damaged, [`StoreError::Unavailable`] when it cannot be used.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let mut connection = open(path).map_err(store_error)?;
        check(&connection)?;
        schema::upgrade(&mut connection)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false).map_err(store_error)?;
        let writer = Worker::start("weir-store", connection, Checkpointer::start(path))?;
        let reader = Worker::start("weir-history", open_to_read(path).map_err(store_error)?, None)?;
        Ok(Self { reader, writer, path: path.to_owned() })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Has something read that may be long.
    fn read<T: Send + 'static>(
        &self,
        call: impl FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Pending<'_, T, StoreError> {
        Box::pin(async move { self.reader.ask(call).await.unwrap_or_else(|| Err(gone())) })
    }

    /// Has something read by the connection that commits, which knows what came of that.
    fn read_here<T: Send + 'static>(
        &self,
        call: impl FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Pending<'_, T, StoreError> {
        Box::pin(async move { self.writer.ask(call).await.unwrap_or_else(|| Err(gone())) })
    }

    fn write<T: Send + 'static>(
        &self,
        call: impl FnOnce(&mut Connection) -> Result<T, CommitError> + Send + 'static,
    ) -> Pending<'_, T, CommitError> {
        // A lost answer may belong to a commit that was made.
        let lost = || Err(CommitError::Unknown("the store's thread has ended".to_owned()));
        Box::pin(async move { self.writer.make(call).await.unwrap_or_else(lost) })
    }
}

impl Store for Sqlite {
    fn engine(&self) -> &'static str {
        "sqlite"
    }

    fn initialise(&self, epoch: Epoch) -> Pending<'_, (), StoreError> {
        Box::pin(async move {
            self.writer
                .make(move |connection| initialise(connection, &epoch))
                .await
                .unwrap_or_else(|| Err(gone()))
        })
    }

    fn renew(&self, epoch: Epoch) -> Pending<'_, (), StoreError> {
        Box::pin(async move {
            self.writer.make(move |connection| renew(connection, &epoch)).await.unwrap_or_else(|| Err(gone()))
        })
    }

    fn load(&self) -> Pending<'_, Snapshot, StoreError> {
        let missing = |snapshot: Option<_>| snapshot.ok_or(StoreError::NotInitialised);
        self.read_here(move |connection| objects::load(connection, None).and_then(missing))
    }

    fn load_at(&self, revision: Revision) -> Pending<'_, Option<Snapshot>, StoreError> {
        self.read(move |connection| objects::load(connection, Some(revision)))
    }

    fn revisions(&self, page: Page) -> Pending<'_, Vec<RevisionEntry>, StoreError> {
        self.read(move |connection| {
            demand_initialised(connection)?;
            history::read(connection, page).map_err(store_error)
        })
    }

    fn commit(&self, commit: Commit) -> Pending<'_, Revision, CommitError> {
        self.write(move |connection| commit_or_settle(connection, &commit))
    }

    fn record(&self, ops: Vec<RecordOp>) -> Pending<'_, (), CommitError> {
        self.write(move |connection| record(connection, &ops))
    }

    fn records(&self, kind: RecordKind, page: Page) -> Pending<'_, Vec<Record>, StoreError> {
        self.read(move |connection| {
            demand_initialised(connection)?;
            records::read(connection, kind, page).map_err(store_error)
        })
    }

    fn find_record(&self, kind: RecordKind, id: &str) -> Pending<'_, Option<Record>, StoreError> {
        let id = id.to_owned();
        self.read_here(move |connection| {
            demand_initialised(connection)?;
            records::find(connection, kind, &id).map_err(store_error)
        })
    }
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    // SQLite would let everybody read a file it makes, and gives the log what the file has. Whatever goes wrong here,
    // SQLite meets as well and names better.
    drop(OpenOptions::new().create_new(true).write(true).mode(0o600).open(path));
    let connection = Connection::open(path)?;
    // Until it is known to be whole, closing it must not write the log into it and delete the log.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // Answers the mode in force, which is not an error to rusqlite even when it is another one.
    connection.query_row("PRAGMA journal_mode=WAL", [], |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", LAST_RESORT_PAGES)?;
    Ok(connection)
}

/// A connection that only reads, to a file that another one has open.
fn open_to_read(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

fn gone() -> StoreError {
    StoreError::Unavailable("the store's thread has ended".to_owned())
}

fn check(connection: &Connection) -> Result<(), StoreError> {
    let verdict: String =
        connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(store_error)?;
    if verdict == "ok" { Ok(()) } else { Err(StoreError::Corrupt(verdict)) }
}

fn initialise(connection: &mut Connection, epoch: &Epoch) -> Result<(), StoreError> {
    let attempt = |connection: &mut Connection| {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if is_initialised(&transaction)? {
            return Ok(false);
        }
        schema::create(&transaction)?;
        transaction.execute("INSERT INTO meta (key, value) VALUES ('epoch', ?1)", [epoch.0.as_ref()])?;
        transaction.commit()?;
        Ok(true)
    };
    match attempt(connection).map_err(store_error)? {
        true => Ok(()),
        false => Err(StoreError::AlreadyInitialised),
    }
}

fn renew(connection: &mut Connection, epoch: &Epoch) -> Result<(), StoreError> {
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(store_error)?;
    demand_initialised(&transaction)?;
    transaction
        .execute("UPDATE meta SET value = ?1 WHERE key = 'epoch'", [epoch.0.as_ref()])
        .map_err(store_error)?;
    transaction.commit().map_err(store_error)
}

fn is_initialised(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT count(*) FROM sqlite_master WHERE name = 'meta'", [], |row| {
        row.get::<_, i64>(0).map(|count| count > 0)
    })
}

fn demand_initialised(connection: &Connection) -> Result<(), StoreError> {
    if is_initialised(connection).map_err(store_error)? { Ok(()) } else { Err(StoreError::NotInitialised) }
}

/// Commits. When that fails half-way, looks what the file says, because an error may come after the commit was made.
fn commit_or_settle(connection: &mut Connection, commit: &Commit) -> Result<Revision, CommitError> {
    let failure = match make(connection, commit) {
        Ok(outcome) => return outcome,
        Err(failure) => failure,
    };
    let is_undone = match &failure {
        Failure::Written(_) => overwrite(connection).is_ok(),
        Failure::Unwritten(_) => true,
    };
    let (Failure::Written(error) | Failure::Unwritten(error)) = failure;
    match revision(connection) {
        Ok(head) if head == commit.base && is_undone => Err(CommitError::Unavailable(error.to_string())),
        Ok(head) if head.0 == commit.base.0 + 1 => Ok(head),
        _ => Err(CommitError::Unknown(error.to_string())),
    }
}

/// How a commit failed.
enum Failure {
    /// Before it was in the log as a whole.
    Unwritten(StoreError),
    /// When it was to be made durable. All of it may be in the log: this connection goes by what was there before, but after
    /// a crash the log is read again, and the commit would count.
    Written(StoreError),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Unwritten(error)
    }
}

/// Writes something else to where a commit that failed may be in the log.
fn overwrite(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Something new each time: what is there already would not be written.
    transaction
        .execute("INSERT OR REPLACE INTO meta (key, value) VALUES ('overwritten', hex(randomblob(8)))", [])?;
    transaction.commit()
}

fn make(connection: &mut Connection, commit: &Commit) -> Result<Result<Revision, CommitError>, Failure> {
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(store_error)?;
    let head = revision(&transaction)?;
    if head != commit.base {
        return Ok(Err(CommitError::Conflict { head }));
    }
    let next = Revision(head.0 + 1);
    let moved = objects::write(&transaction, &commit.ops, next).map_err(store_error)?;
    history::note(&transaction, next, &commit.meta).map_err(store_error)?;
    history::forget(&transaction, next, commit.meta.at, moved)?;
    records::write(&transaction, &commit.records).map_err(store_error)?;
    set_meta(&transaction, "revision", next.0).map_err(store_error)?;
    transaction.commit().map_err(|error| match error.sqlite_error().map(|error| error.extended_code) {
        Some(ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC) => Failure::Written(store_error(error)),
        _ => Failure::Unwritten(store_error(error)),
    })?;
    Ok(Ok(next))
}

/// Writes records. An error may come after they were written.
fn record(connection: &mut Connection, ops: &[RecordOp]) -> Result<(), CommitError> {
    let unavailable = |error: StoreError| CommitError::Unavailable(error.to_string());
    demand_initialised(connection).map_err(unavailable)?;
    let begin =
        |connection| Transaction::new(connection, TransactionBehavior::Immediate).map_err(store_error);
    let transaction = begin(connection).map_err(unavailable)?;
    records::write(&transaction, ops).map_err(|error| unavailable(store_error(error)))?;
    transaction.commit().map_err(|error| CommitError::Unknown(error.to_string()))
}

fn revision(connection: &Connection) -> Result<Revision, StoreError> {
    meta_number(connection, "revision").map(Revision)
}

fn meta_number(connection: &Connection, key: &str) -> Result<u64, StoreError> {
    let text = meta(connection, key)?;
    text.parse().map_err(|_| StoreError::Corrupt(format!("\"{text}\" is not a number, as \"{key}\" is")))
}

fn set_meta(connection: &Connection, key: &str, value: u64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE meta SET value = ?2 WHERE key = ?1")?
        .execute(params![key, value.to_string()])
        .map(drop)
}

fn meta(connection: &Connection, key: &str) -> Result<String, StoreError> {
    connection
        .prepare_cached("SELECT value FROM meta WHERE key = ?1")
        .and_then(|mut statement| statement.query_row([key], |row| row.get(0)).optional())
        .map_err(store_error)?
        .ok_or_else(|| StoreError::Corrupt(format!("\"{key}\" is missing")))
}

/// SQLite's integers are signed; no number here gets near the limit but those that stand for "all".
fn bounded(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn number(stored: i64) -> u64 {
    u64::try_from(stored).unwrap_or(0)
}

#[expect(clippy::needless_pass_by_value, reason = "the form map_err takes")]
fn store_error(error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Corrupt(error.to_string()),
        _ => StoreError::Unavailable(error.to_string()),
    }
}
