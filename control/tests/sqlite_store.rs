//! What the embedded store does beyond the contract all stores share.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed helper fails its test"
)]

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tempfile::TempDir;
use tokio::task::JoinSet;
use weir_control::store::{Commit, CommitMeta, Kind, Op, Page, Sqlite, Store, StoreError};
use weir_shared::{
    id::{Epoch, Revision},
    time::Timestamp,
};

/// A store and its folder.
struct Subject {
    store: Arc<Sqlite>,
    folder: TempDir,
}

impl Subject {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Sqlite::open(&folder.path().join("state.db")).unwrap());
        store.initialise(Epoch("abc123".into())).await.unwrap();
        Self { store, folder }
    }

    async fn commit(&self, base: u64, ops: Vec<Op>) {
        let commit = Commit { base: Revision(base), ops, records: vec![], meta: CommitMeta::default() };
        self.store.commit(commit).await.unwrap();
    }
}

fn put(id: &str, json: &str) -> Op {
    Op::Put { kind: Kind::Upstream, id: id.into(), json: json.into() }
}

/// The tables of the first release, with a commit in them.
const FIRST_RELEASE: &str = "
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
    INSERT INTO meta (key, value) VALUES ('epoch', 'abc123'), ('revision', '2');
    INSERT INTO objects (kind, id, json, touched) VALUES ('upstream', 'a', '1', 1), ('upstream', 'b', '2', 2);
    INSERT INTO revisions VALUES (1, '2026-11-22T21:40:00.000Z', 'api', 'one', 'r1', '[]'),
                                 (2, '2026-11-22T21:40:00.123Z', 'api', 'two', 'r2', '[]');
    PRAGMA user_version = 1;
";

#[tokio::test]
async fn tables_of_the_first_release_are_brought_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    rusqlite::Connection::open(&path).unwrap().execute_batch(FIRST_RELEASE).unwrap();
    let store = Sqlite::open(&path).unwrap();
    let snapshot = store.load().await.unwrap();
    assert_eq!((snapshot.revision, snapshot.committed_at), (Revision(2), Some(Timestamp(1_795_383_600_123))));
    assert_eq!(snapshot.objects.len(), 2);
    assert_eq!(store.load_at(Revision(1)).await, Ok(None));
    let subject = Subject { store: Arc::new(store), folder };
    subject.commit(2, vec![put("a", "3")]).await;
    let before = subject.store.load_at(Revision(2)).await.unwrap().unwrap();
    assert_eq!(before.objects[0].json, "1");
    drop(subject.store);
    Sqlite::open(&path).unwrap();
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

#[tokio::test]
async fn a_commit_does_not_wait_for_whoever_reads_the_history() {
    const READERS: usize = 40;
    let subject = Subject::new().await;
    let many: Vec<Op> = (0..10_000).map(|n| put(&format!("u{n}"), &"x".repeat(100))).collect();
    subject.commit(0, many).await;
    subject.commit(1, vec![put("u0", "1")]).await;
    let read = Arc::new(AtomicUsize::new(0));
    let mut readers = JoinSet::new();
    for _ in 0..READERS {
        let (store, read) = (Arc::clone(&subject.store), Arc::clone(&read));
        readers.spawn(async move {
            let snapshot = store.load_at(Revision(1)).await.unwrap().unwrap();
            read.fetch_add(1, Ordering::Relaxed);
            snapshot.objects.len()
        });
    }
    // All of the readers ask first.
    tokio::task::yield_now().await;
    subject.commit(2, vec![put("u0", "2")]).await;
    let before = read.load(Ordering::Relaxed);
    assert!(before < READERS, "the commit came after all readers");
    assert!(readers.join_all().await.into_iter().all(|count| count == 10_000));
    let last = subject.store.revisions(Page { below: u64::MAX, limit: 1 }).await.unwrap();
    assert_eq!(last[0].revision, Revision(3), "who reads after a commit sees it");
}
