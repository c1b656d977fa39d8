//! The tables, and what leads to them from those of earlier releases.

use rusqlite::{Connection, Transaction};

use crate::store::{RecordKind, StoreError};

/// Version of the tables, kept in `user_version`. A file with a higher one is from a newer release and left alone.
const VERSION: i64 = 2;

/// `past` holds each object as it was from revision `touched` until before revision `until`.
const OBJECTS: &str = "
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE objects (
        place INTEGER PRIMARY KEY AUTOINCREMENT,
        kind TEXT NOT NULL, id TEXT NOT NULL, json TEXT NOT NULL, touched INTEGER NOT NULL,
        UNIQUE (kind, id)
    );
";

const HISTORY: &str = "
    CREATE TABLE past (
        place INTEGER NOT NULL, kind TEXT NOT NULL, id TEXT NOT NULL, json TEXT NOT NULL,
        touched INTEGER NOT NULL, until INTEGER NOT NULL
    );
    CREATE INDEX past_until ON past (until);
    CREATE TABLE revisions (
        n INTEGER PRIMARY KEY, at INTEGER NOT NULL, actor TEXT NOT NULL, message TEXT NOT NULL,
        request_id TEXT NOT NULL, changes TEXT NOT NULL
    );
";

/// Creates all tables.
pub(super) fn create(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute_batch(OBJECTS)?;
    transaction.execute_batch(HISTORY)?;
    create_records(transaction)?;
    transaction.execute_batch(
        "INSERT INTO meta (key, value) VALUES ('revision', '0'), ('floor', '0'), ('past_bytes', '0')",
    )?;
    transaction.pragma_update(None, "user_version", VERSION)
}

fn create_records(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    for kind in RecordKind::ALL {
        let name = kind.as_str();
        transaction.execute_batch(&format!(
            "CREATE TABLE record_{name} (
                number INTEGER PRIMARY KEY AUTOINCREMENT,
                id TEXT NOT NULL UNIQUE, json TEXT NOT NULL, at INTEGER NOT NULL
            );
            CREATE INDEX record_{name}_at ON record_{name} (at);"
        ))?;
    }
    Ok(())
}

/// Brings the tables of an earlier release up to date. A file without tables is left alone.
///
/// # Errors
/// When the file is from a newer release, or cannot be written.
pub(super) fn upgrade(connection: &mut Connection) -> Result<(), StoreError> {
    let version: i64 =
        connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(super::store_error)?;
    match version {
        0 | VERSION => Ok(()),
        1 => from_1(connection).map_err(super::store_error),
        newer => Err(StoreError::Unavailable(format!("it was written by a newer release (schema {newer})"))),
    }
}

/// Version 1 kept operations instead of contents: what was before the last revision cannot be read from them.
fn from_1(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    transaction.execute_batch("ALTER TABLE revisions RENAME TO revisions_1")?;
    transaction.execute_batch(HISTORY)?;
    transaction.execute_batch(
        "INSERT INTO revisions (n, at, actor, message, request_id, changes)
         SELECT n, CAST(round((julianday(at) - 2440587.5) * 86400000) AS INTEGER), actor, message, request_id, ''
         FROM revisions_1 ORDER BY n DESC LIMIT 1;
         DROP TABLE revisions_1;
         INSERT INTO meta (key, value) SELECT 'floor', value FROM meta WHERE key = 'revision';
         INSERT INTO meta (key, value) VALUES ('past_bytes', '0');",
    )?;
    create_records(&transaction)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()
}
