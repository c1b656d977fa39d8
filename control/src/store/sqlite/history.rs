//! What older revisions held: see the head of `store/history.rs`.

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use weir_shared::{id::Revision, time::Timestamp};

use super::{bounded, meta_number, number, set_meta, store_error};
use crate::store::{CommitMeta, KEPT_BYTES, KEPT_FOR, KEPT_REVISIONS, Kind, Page, RevisionEntry, StoreError};

/// Keeps the object about to be replaced or deleted for the revisions it was part of. Answers the bytes kept.
pub(super) fn move_aside(
    transaction: &Transaction<'_>,
    kind: Kind,
    id: &str,
    until: Revision,
) -> rusqlite::Result<u64> {
    // Two statements and no RETURNING, for which SQLite makes a table of its own each time: it took most of the time of a
    // commit of everything.
    let bytes: Option<i64> = transaction
        .prepare_cached(
            "SELECT octet_length(json) FROM objects WHERE kind = ?1 AND id = ?2 AND touched < ?3",
        )?
        .query_row(params![kind.as_str(), id, bounded(until.0)], |row| row.get(0))
        .optional()?;
    let Some(bytes) = bytes else { return Ok(0) };
    transaction
        .prepare_cached(
            "INSERT INTO past (place, kind, id, json, touched, until)
             SELECT place, kind, id, json, touched, ?3 FROM objects WHERE kind = ?1 AND id = ?2",
        )?
        .execute(params![kind.as_str(), id, bounded(until.0)])?;
    Ok(number(bytes))
}

/// Notes who made `revision`.
pub(super) fn note(
    transaction: &Transaction<'_>,
    revision: Revision,
    meta: &CommitMeta,
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO revisions (n, at, actor, message, request_id, changes) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            bounded(revision.0),
            meta.at.0,
            meta.actor,
            meta.message,
            meta.request_id,
            meta.changes
        ])?;
    Ok(())
}

/// Forgets what is beyond the bounds once `head` is the last revision, made `now`. `added` bytes were moved aside for it.
pub(super) fn forget(
    transaction: &Transaction<'_>,
    head: Revision,
    now: Timestamp,
    added: u64,
) -> Result<(), StoreError> {
    let mut bytes = meta_number(transaction, "past_bytes")? + added;
    let before = meta_number(transaction, "floor")?;
    let since = now.0.saturating_sub(Timestamp(0).plus(KEPT_FOR).0);
    // The revision before the first young one was in force until then.
    let young: Option<i64> = transaction
        .prepare_cached("SELECT min(n) FROM revisions WHERE at >= ?1")
        .and_then(|mut statement| statement.query_row([since], |row| row.get(0)))
        .map_err(store_error)?;
    let by_age = young.map_or(head.0, |young| number(young).saturating_sub(1));
    let by_count = (head.0 + 1).saturating_sub(KEPT_REVISIONS);
    let mut floor = before.max(by_age).max(by_count);
    if floor > before {
        bytes = bytes.saturating_sub(drop_until(transaction, floor).map_err(store_error)?);
    }
    while bytes > KEPT_BYTES {
        let oldest: Option<i64> = transaction
            .query_row("SELECT min(until) FROM past", [], |row| row.get(0))
            .map_err(store_error)?;
        let Some(oldest) = oldest else { break };
        floor = number(oldest);
        bytes = bytes.saturating_sub(drop_until(transaction, floor).map_err(store_error)?);
    }
    transaction
        .prepare_cached("DELETE FROM revisions WHERE n < ?1")
        .and_then(|mut statement| statement.execute([bounded(floor)]))
        .map_err(store_error)?;
    set_meta(transaction, "floor", floor).map_err(store_error)?;
    set_meta(transaction, "past_bytes", bytes).map_err(store_error)
}

/// Drops what no revision from `floor` on holds. Answers the bytes dropped.
fn drop_until(transaction: &Transaction<'_>, floor: u64) -> rusqlite::Result<u64> {
    let bytes: i64 = transaction
        .prepare_cached("SELECT coalesce(sum(octet_length(json)), 0) FROM past WHERE until <= ?1")?
        .query_row([bounded(floor)], |row| row.get(0))?;
    transaction.prepare_cached("DELETE FROM past WHERE until <= ?1")?.execute([bounded(floor)])?;
    Ok(number(bytes))
}

/// The revisions that are kept, newest first.
pub(super) fn read(connection: &Connection, page: Page) -> rusqlite::Result<Vec<RevisionEntry>> {
    let mut statement = connection.prepare_cached(
        "SELECT n, at, actor, message, request_id, changes FROM revisions WHERE n < ?1 ORDER BY n DESC LIMIT ?2",
    )?;
    let rows = statement.query_map(params![bounded(page.below), page.limit], |row| {
        let meta = CommitMeta {
            at: Timestamp(row.get(1)?),
            actor: row.get(2)?,
            message: row.get(3)?,
            request_id: row.get(4)?,
            changes: row.get(5)?,
        };
        Ok(RevisionEntry { revision: Revision(number(row.get(0)?)), meta })
    })?;
    rows.collect()
}
