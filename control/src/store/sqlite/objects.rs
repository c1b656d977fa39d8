//! Objects as they are now and as they were at a kept revision.

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use weir_shared::{
    id::{Epoch, Revision},
    time::Timestamp,
};

use super::{bounded, demand_initialised, history, meta, meta_number, number, revision, store_error};
use crate::store::{Kind, Object, Op, Snapshot, StoreError};

/// Makes `ops` as part of `next`. Answers the bytes moved aside.
pub(super) fn write(transaction: &Transaction<'_>, ops: &[Op], next: Revision) -> rusqlite::Result<u64> {
    let mut moved = 0;
    for op in ops {
        match op {
            Op::Put { kind, id, json } => {
                moved += history::move_aside(transaction, *kind, id, next)?;
                transaction
                    .prepare_cached(
                        "INSERT INTO objects (kind, id, json, touched) VALUES (?1, ?2, ?3, ?4)
                         ON CONFLICT (kind, id) DO UPDATE SET json = excluded.json, touched = excluded.touched",
                    )?
                    .execute(params![kind.as_str(), id, json, bounded(next.0)])?;
            }
            Op::Delete { kind, id } => {
                moved += history::move_aside(transaction, *kind, id, next)?;
                transaction
                    .prepare_cached("DELETE FROM objects WHERE kind = ?1 AND id = ?2")?
                    .execute(params![kind.as_str(), id])?;
            }
        }
    }
    Ok(moved)
}

/// Everything at revision `at` (`None`: the last). Answers `None` when that cannot be read any more, or yet.
pub(super) fn load(
    connection: &mut Connection,
    at: Option<Revision>,
) -> Result<Option<Snapshot>, StoreError> {
    // One read transaction, so that all of it is of one revision.
    let transaction = connection.transaction().map_err(store_error)?;
    demand_initialised(&transaction)?;
    let head = revision(&transaction)?;
    let floor = Revision(meta_number(&transaction, "floor")?);
    let revision = at.unwrap_or(head);
    if revision < floor || revision > head {
        return Ok(None);
    }
    let epoch = Epoch(meta(&transaction, "epoch")?.into());
    let committed_at: Option<i64> = transaction
        .query_row("SELECT at FROM revisions WHERE n = ?1", [bounded(revision.0)], |row| row.get(0))
        .optional()
        .map_err(store_error)?;
    let objects = if revision == head {
        read(&transaction, "SELECT kind, id, json, touched FROM objects ORDER BY place", revision)
    } else {
        read(
            &transaction,
            "SELECT kind, id, json, touched FROM (
                SELECT place, kind, id, json, touched FROM objects WHERE touched <= ?1
                UNION ALL
                SELECT place, kind, id, json, touched FROM past WHERE until > ?1 AND touched <= ?1
             ) ORDER BY place",
            revision,
        )
    };
    let objects = objects.map_err(store_error)?;
    Ok(Some(Snapshot { epoch, revision, committed_at: committed_at.map(Timestamp), objects }))
}

fn read(transaction: &Transaction<'_>, sql: &str, revision: Revision) -> rusqlite::Result<Vec<Object>> {
    let mut statement = transaction.prepare_cached(sql)?;
    let values = [bounded(revision.0)];
    let values = values.iter().take(statement.parameter_count());
    let rows = statement.query_map(rusqlite::params_from_iter(values), object)?;
    // A kind of a later release is left alone.
    rows.filter_map(Result::transpose).collect()
}

fn object(row: &Row<'_>) -> rusqlite::Result<Option<Object>> {
    let Some(kind) = Kind::from_word(row.get_ref(0)?.as_str()?) else { return Ok(None) };
    Ok(Some(Object { kind, id: row.get(1)?, json: row.get(2)?, touched: Revision(number(row.get(3)?)) }))
}
