//! The embedded store: one SQLite file, one connection, one thread that owns it.
//!
//! Write-ahead log with `synchronous=FULL`, because with `NORMAL` a power cut may take back commits already answered.
//! SQLite blocks, so that all of it happens on a thread of its own; callers wait for a message.
//!
//! Source: SQLite documentation, "Write-Ahead Logging" and "PRAGMA synchronous".

use std::{
    fs::OpenOptions,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    thread::JoinHandle,
    time::Duration,
};

use rusqlite::{
    Connection, ErrorCode, OptionalExtension, Transaction, TransactionBehavior, config::DbConfig, params,
};
use tokio::sync::{mpsc, oneshot};
use weir_shared::{
    id::{Epoch, Revision},
    time::Timestamp,
};

use super::{Commit, CommitError, KEPT_REVISIONS, Kind, Object, Op, Pending, Snapshot, Store, StoreError};

/// Version of the tables, kept in `user_version`. A file with a higher one is from a newer release and left alone.
const SCHEMA_VERSION: i64 = 1;

/// Jobs that may wait for the thread. More callers than this wait for room.
const MAX_WAITING: usize = 64;

/// How long another process that reads the file (a backup, a person with a shell) may hold it.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

const SCHEMA: &str = "
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE objects (
        place INTEGER PRIMARY KEY AUTOINCREMENT,
        kind TEXT NOT NULL, id TEXT NOT NULL, json TEXT NOT NULL, touched INTEGER NOT NULL,
        UNIQUE (kind, id)
    );
    CREATE TABLE revisions (
        n INTEGER PRIMARY KEY, at TEXT NOT NULL, actor TEXT NOT NULL, message TEXT NOT NULL,
        request_id TEXT NOT NULL, ops_json TEXT NOT NULL
    );
";

/// A store in one SQLite file.
#[derive(Debug)]
pub struct Sqlite {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    path: PathBuf,
}

enum Job {
    Initialise(Epoch, oneshot::Sender<Result<(), StoreError>>),
    Renew(Epoch, oneshot::Sender<Result<(), StoreError>>),
    Load(oneshot::Sender<Result<Snapshot, StoreError>>),
    Commit(Commit, oneshot::Sender<Result<Revision, CommitError>>),
}

impl Sqlite {
    /// Opens the file at `path`, making it when it is not there, and checks that it is whole. Blocks for a moment.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when the file is damaged, [`StoreError::Unavailable`] when it cannot be used.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let connection = open(path).map_err(store_error)?;
        let version: i64 =
            connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(store_error)?;
        if version > SCHEMA_VERSION {
            let detail = format!("{} was written by a newer release (schema {version})", path.display());
            return Err(StoreError::Unavailable(detail));
        }
        check(&connection)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false).map_err(store_error)?;
        let (jobs, waiting) = mpsc::channel(MAX_WAITING);
        let thread = std::thread::Builder::new()
            .name("weir-store".to_owned())
            .spawn(move || work(connection, waiting))
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread), path: path.to_owned() })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    async fn ask<T>(&self, job: impl FnOnce(oneshot::Sender<T>) -> Job + Send) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.jobs.as_ref()?.send(job(reply)).await.ok()?;
        answer.await.ok()
    }
}

impl Drop for Sqlite {
    /// Waits for the thread, so that a commit under way is finished and the file is closed.
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the store's thread had panicked");
        }
    }
}

impl Store for Sqlite {
    fn engine(&self) -> &'static str {
        "sqlite"
    }

    fn initialise(&self, epoch: Epoch) -> Pending<'_, (), StoreError> {
        Box::pin(async {
            self.ask(|reply| Job::Initialise(epoch, reply)).await.unwrap_or_else(|| Err(gone()))
        })
    }

    fn renew(&self, epoch: Epoch) -> Pending<'_, (), StoreError> {
        Box::pin(async { self.ask(|reply| Job::Renew(epoch, reply)).await.unwrap_or_else(|| Err(gone())) })
    }

    fn load(&self) -> Pending<'_, Snapshot, StoreError> {
        Box::pin(async { self.ask(Job::Load).await.unwrap_or_else(|| Err(gone())) })
    }

    fn commit(&self, commit: Commit) -> Pending<'_, Revision, CommitError> {
        Box::pin(async {
            // A lost answer may belong to a commit that was made.
            let lost = || Err(CommitError::Unknown("the store's thread has ended".to_owned()));
            self.ask(|reply| Job::Commit(commit, reply)).await.unwrap_or_else(lost)
        })
    }
}

fn gone() -> StoreError {
    StoreError::Unavailable("the store's thread has ended".to_owned())
}

/// Serves jobs until every handle is gone. An answer nobody waits for any more is dropped.
fn work(mut connection: Connection, mut jobs: mpsc::Receiver<Job>) {
    while let Some(job) = jobs.blocking_recv() {
        match job {
            Job::Initialise(epoch, reply) => drop(reply.send(initialise(&mut connection, &epoch))),
            Job::Renew(epoch, reply) => drop(reply.send(renew(&mut connection, &epoch))),
            Job::Load(reply) => drop(reply.send(load(&mut connection))),
            Job::Commit(commit, reply) => drop(reply.send(commit_or_settle(&mut connection, &commit))),
        }
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
    Ok(connection)
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
        transaction.execute_batch(SCHEMA)?;
        transaction.execute(
            "INSERT INTO meta (key, value) VALUES ('epoch', ?1), ('revision', '0')",
            [epoch.0.as_ref()],
        )?;
        transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
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
    if !is_initialised(&transaction).map_err(store_error)? {
        return Err(StoreError::NotInitialised);
    }
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

fn load(connection: &mut Connection) -> Result<Snapshot, StoreError> {
    // One read transaction, so that all of it is of one revision.
    let transaction = connection.transaction().map_err(store_error)?;
    if !is_initialised(&transaction).map_err(store_error)? {
        return Err(StoreError::NotInitialised);
    }
    let epoch = meta(&transaction, "epoch")?;
    let revision = revision(&transaction)?;
    let at: Option<String> = transaction
        .query_row("SELECT at FROM revisions WHERE n = ?1", [signed(revision)], |row| row.get(0))
        .optional()
        .map_err(store_error)?;
    let committed_at = at.map(|at| timestamp(&at)).transpose()?;
    let mut statement = transaction
        .prepare("SELECT kind, id, json, touched FROM objects ORDER BY place")
        .map_err(store_error)?;
    let rows = statement
        .query_map([], |row| Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?, row.get::<_, i64>(3)?)))
        .map_err(store_error)?;
    let mut objects = Vec::new();
    for row in rows {
        let (kind, id, json, touched) = row.map_err(store_error)?;
        // A kind of a later release: it is left alone.
        if let Some(kind) = Kind::from_word(&kind) {
            objects.push(Object { kind, id, json, touched: unsigned(touched) });
        }
    }
    Ok(Snapshot { epoch: Epoch(epoch.into()), revision, committed_at, objects })
}

/// Commits. When that fails half-way, looks what the file says, because an error may come after the commit was made.
fn commit_or_settle(connection: &mut Connection, commit: &Commit) -> Result<Revision, CommitError> {
    let error = match make(connection, commit) {
        Ok(outcome) => return outcome,
        Err(error) => error,
    };
    match revision(connection) {
        Ok(head) if head == commit.base => Err(CommitError::Unavailable(error.to_string())),
        Ok(head) if head.0 == commit.base.0 + 1 => Ok(head),
        _ => Err(CommitError::Unknown(error.to_string())),
    }
}

fn make(connection: &mut Connection, commit: &Commit) -> Result<Result<Revision, CommitError>, StoreError> {
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(store_error)?;
    let head = revision(&transaction)?;
    if head != commit.base {
        return Ok(Err(CommitError::Conflict { head }));
    }
    let next = Revision(head.0 + 1);
    write(&transaction, commit, next).map_err(store_error)?;
    transaction.commit().map_err(store_error)?;
    Ok(Ok(next))
}

fn write(transaction: &Transaction<'_>, commit: &Commit, next: Revision) -> rusqlite::Result<()> {
    for op in &commit.ops {
        match op {
            Op::Put { kind, id, json } => transaction
                .prepare_cached(
                    "INSERT INTO objects (kind, id, json, touched) VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT (kind, id) DO UPDATE SET json = excluded.json, touched = excluded.touched",
                )?
                .execute(params![kind.as_str(), id, json, signed(next)])?,
            Op::Delete { kind, id } => transaction
                .prepare_cached("DELETE FROM objects WHERE kind = ?1 AND id = ?2")?
                .execute(params![kind.as_str(), id])?,
        };
    }
    let ops_json = serde_json::to_string(&commit.ops)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    let meta = &commit.meta;
    transaction
        .prepare_cached(
            "INSERT INTO revisions (n, at, actor, message, request_id, ops_json)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            signed(next),
            meta.at.to_string(),
            meta.actor,
            meta.message,
            meta.request_id,
            ops_json
        ])?;
    transaction
        .prepare_cached("DELETE FROM revisions WHERE n <= ?1")?
        .execute([signed(next) - signed(Revision(KEPT_REVISIONS))])?;
    transaction
        .prepare_cached("UPDATE meta SET value = ?1 WHERE key = 'revision'")?
        .execute([next.to_string()])?;
    Ok(())
}

fn revision(connection: &Connection) -> Result<Revision, StoreError> {
    let text = meta(connection, "revision")?;
    text.parse()
        .map(Revision)
        .map_err(|_| StoreError::Corrupt(format!("\"{text}\" is not a revision number")))
}

fn meta(connection: &Connection, key: &str) -> Result<String, StoreError> {
    connection
        .prepare_cached("SELECT value FROM meta WHERE key = ?1")
        .and_then(|mut statement| statement.query_row([key], |row| row.get(0)).optional())
        .map_err(store_error)?
        .ok_or_else(|| StoreError::Corrupt(format!("\"{key}\" is missing")))
}

fn timestamp(text: &str) -> Result<Timestamp, StoreError> {
    serde_json::from_value(serde_json::Value::from(text))
        .map_err(|error| StoreError::Corrupt(format!("\"{text}\" is not a time: {error}")))
}

/// SQLite's integers are signed; a revision never gets near the limit.
fn signed(revision: Revision) -> i64 {
    i64::try_from(revision.0).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> Revision {
    Revision(u64::try_from(number).unwrap_or(0))
}

#[expect(clippy::needless_pass_by_value, reason = "the form map_err takes")]
fn store_error(error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Corrupt(error.to_string()),
        _ => StoreError::Unavailable(error.to_string()),
    }
}
