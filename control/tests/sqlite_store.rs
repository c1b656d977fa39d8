//! What the embedded store does beyond the contract all stores share.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed helper fails its test"
)]

use tempfile::TempDir;
use weir_control::store::{Commit, CommitMeta, KEPT_REVISIONS, Kind, Op, Sqlite, Store, StoreError};
use weir_shared::id::{Epoch, Revision};

/// A store and its folder.
struct Subject {
    store: Sqlite,
    folder: TempDir,
}

impl Subject {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Sqlite::open(&folder.path().join("state.db")).unwrap();
        store.initialise(Epoch("abc123".into())).await.unwrap();
        Self { store, folder }
    }

    async fn commit(&self, base: u64, ops: Vec<Op>) {
        let commit = Commit { base: Revision(base), ops, meta: CommitMeta::default() };
        self.store.commit(commit).await.unwrap();
    }
}

fn put(id: &str, json: &str) -> Op {
    Op::Put { kind: Kind::Upstream, id: id.into(), json: json.into() }
}

#[tokio::test]
async fn the_history_of_the_last_commits_is_kept() {
    let subject = Subject::new().await;
    let last = KEPT_REVISIONS + 3;
    for base in 0..last {
        subject.commit(base, vec![put("a", &base.to_string())]).await;
    }
    let path = subject.folder.path().join("state.db");
    let connection = rusqlite::Connection::open(path).unwrap();
    let row = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap().unsigned_abs();
    assert_eq!(row("SELECT count(*) FROM revisions"), KEPT_REVISIONS);
    assert_eq!(row("SELECT max(n) FROM revisions"), last);
    assert_eq!(row("SELECT min(n) FROM revisions"), last - KEPT_REVISIONS + 1);
    let ops: String = connection
        .query_row("SELECT ops_json FROM revisions ORDER BY n DESC LIMIT 1", [], |row| row.get(0))
        .unwrap();
    let ops: Vec<Op> = serde_json::from_str(&ops).unwrap();
    assert_eq!(ops, [put("a", &(last - 1).to_string())]);
}

#[tokio::test]
async fn damage_is_noticed() {
    let subject = Subject::new().await;
    let ops = (0..2000).map(|n| put(&format!("u{n}"), &"x".repeat(100))).collect();
    subject.commit(0, ops).await;
    let Subject { store, folder } = subject;
    let path = folder.path().join("state.db");
    drop(store);
    let whole = std::fs::read(&path).unwrap();
    for (what, place, length) in [("header", 0, 16), ("middle", whole.len() / 2, 8192)] {
        let mut damaged = whole.clone();
        damaged[place..place + length].fill(0xa5);
        std::fs::write(&path, &damaged).unwrap();
        let outcome = Sqlite::open(&path).map(drop);
        assert!(matches!(outcome, Err(StoreError::Corrupt(_))), "{what}: {outcome:?}");
    }
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let outcome = Sqlite::open(&path).map(drop);
    assert!(matches!(outcome, Err(StoreError::Corrupt(_))), "cut: {outcome:?}");
}

#[tokio::test]
async fn a_newer_schema_is_left_alone() {
    let subject = Subject::new().await;
    let path = subject.folder.path().join("state.db");
    drop(subject.store);
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let outcome = Sqlite::open(&path).map(drop);
    assert!(matches!(outcome, Err(StoreError::Unavailable(_))), "{outcome:?}");
}
