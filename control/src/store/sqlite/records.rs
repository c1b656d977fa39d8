//! Records: one table per kind, because each kind is numbered and bounded by itself.

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use weir_shared::time::Timestamp;

use super::{bounded, number};
use crate::store::{Page, Record, RecordKind, RecordOp};

/// Makes `ops`, and forgets what is beyond the bounds.
pub(super) fn write(transaction: &Transaction<'_>, ops: &[RecordOp]) -> rusqlite::Result<()> {
    for op in ops {
        match op {
            RecordOp::Put { kind, id, json, at } => {
                let name = kind.as_str();
                // Replacing deletes the row and inserts another, which gets the next number.
                transaction
                    .prepare_cached(&format!(
                        "REPLACE INTO record_{name} (id, json, at) VALUES (?1, ?2, ?3)"
                    ))?
                    .execute(params![id, json, at.0])?;
                forget(transaction, *kind, *at)?;
            }
            RecordOp::Delete { kind, id } => {
                transaction
                    .prepare_cached(&format!("DELETE FROM record_{} WHERE id = ?1", kind.as_str()))?
                    .execute([id])?;
            }
        }
    }
    Ok(())
}

/// Numbers have gaps where records were replaced, so that a bit less may be kept than the count.
fn forget(transaction: &Transaction<'_>, kind: RecordKind, now: Timestamp) -> rusqlite::Result<()> {
    let Some(kept) = kind.kept() else { return Ok(()) };
    let last = transaction.last_insert_rowid();
    let since = now.0.saturating_sub(Timestamp(0).plus(kept.age).0);
    transaction
        .prepare_cached(&format!("DELETE FROM record_{} WHERE number <= ?1 OR at < ?2", kind.as_str()))?
        .execute(params![last.saturating_sub(bounded(kept.count)), since])?;
    Ok(())
}

/// The records of `kind`, newest first.
pub(super) fn read(connection: &Connection, kind: RecordKind, page: Page) -> rusqlite::Result<Vec<Record>> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT number, id, json, at FROM record_{} WHERE number < ?1 ORDER BY number DESC LIMIT ?2",
        kind.as_str()
    ))?;
    let rows = statement.query_map(params![bounded(page.below), page.limit], record)?;
    rows.collect()
}

/// The record of `kind` named `id`.
pub(super) fn find(connection: &Connection, kind: RecordKind, id: &str) -> rusqlite::Result<Option<Record>> {
    connection
        .prepare_cached(&format!("SELECT number, id, json, at FROM record_{} WHERE id = ?1", kind.as_str()))?
        .query_row([id], record)
        .optional()
}

fn record(row: &Row<'_>) -> rusqlite::Result<Record> {
    Ok(Record { number: number(row.get(0)?), id: row.get(1)?, json: row.get(2)?, at: Timestamp(row.get(3)?) })
}
