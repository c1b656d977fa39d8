//! What every store promises, tried on each of them.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed helper fails its test"
)]

/// Runs each case on each store.
macro_rules! contract {
    ($($(#[$doc:meta])* async fn $name:ident($subject:ident: Subject) $body:block)*) => {
        mod cases {
            use super::*;
            $($(#[$doc])* pub(super) async fn $name($subject: Subject) $body)*
        }
        mod memory {
            use super::{cases, Subject};
            $(#[tokio::test] async fn $name() { cases::$name(Subject::memory()).await; })*
        }
        mod sqlite {
            use super::{cases, Subject};
            $(#[tokio::test] async fn $name() { cases::$name(Subject::sqlite()).await; })*
        }
    };
}

mod commits;
mod history;
mod records;

use std::{collections::BTreeMap, sync::Arc};

use tempfile::TempDir;
use weir_control::store::{
    Commit, CommitError, CommitMeta, KEPT_REVISIONS, Kind, Memory, Object, Op, Page, RecordKind, RecordOp,
    Snapshot, Sqlite, Store, StoreError,
};
use weir_shared::{
    id::{Epoch, Revision},
    time::Timestamp,
};

/// A store and what keeps it alive.
struct Subject {
    store: Arc<dyn Store>,
    folder: Option<TempDir>,
}

impl Subject {
    fn memory() -> Self {
        Self { store: Arc::new(Memory::default()), folder: None }
    }

    fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Sqlite::open(&folder.path().join("state.db")).unwrap();
        Self { store: Arc::new(store), folder: Some(folder) }
    }

    async fn ready(self) -> Self {
        self.store.initialise(epoch("abc123")).await.unwrap();
        self
    }

    /// Closes the store and opens it again, if it outlives its process at all.
    fn reopen(self) -> Self {
        let Self { store, folder } = self;
        let Some(folder) = folder else { return Self { store, folder } };
        drop(store);
        let store = Sqlite::open(&folder.path().join("state.db")).unwrap();
        Self { store: Arc::new(store), folder: Some(folder) }
    }

    async fn commit(&self, base: u64, ops: Vec<Op>) -> Result<u64, CommitError> {
        self.commit_at(1000 + i64::try_from(base).unwrap(), base, ops, vec![]).await
    }

    async fn commit_at(
        &self,
        at: i64,
        base: u64,
        ops: Vec<Op>,
        records: Vec<RecordOp>,
    ) -> Result<u64, CommitError> {
        let commit = Commit { base: Revision(base), ops, records, meta: meta(at) };
        self.store.commit(commit).await.map(|revision| revision.0)
    }

    /// Ids and contents at a revision; `None` when it cannot be read.
    async fn contents_at(&self, revision: u64) -> Option<Vec<(String, String)>> {
        let snapshot = self.store.load_at(Revision(revision)).await.unwrap()?;
        assert_eq!(snapshot.revision, Revision(revision));
        Some(snapshot.objects.into_iter().map(|object| (object.id, object.json)).collect())
    }

    async fn kept_revisions(&self, page: Page) -> Vec<u64> {
        let entries = self.store.revisions(page).await.unwrap();
        entries.into_iter().map(|entry| entry.revision.0).collect()
    }

    async fn record(&self, ops: Vec<RecordOp>) {
        self.store.record(ops).await.unwrap();
    }

    /// Ids and contents of the records of a kind, newest first.
    async fn records(&self, kind: RecordKind) -> Vec<(String, String)> {
        let records = self.store.records(kind, Page::ALL).await.unwrap();
        records.into_iter().map(|record| (record.id, record.json)).collect()
    }

    async fn objects(&self) -> Vec<Object> {
        self.store.load().await.unwrap().objects
    }

    async fn names(&self) -> Vec<String> {
        self.objects().await.into_iter().map(|object| object.id).collect()
    }
}

fn epoch(text: &str) -> Epoch {
    Epoch(text.into())
}

fn meta(at: i64) -> CommitMeta {
    CommitMeta {
        at: Timestamp(at),
        actor: "tester".into(),
        message: "because".into(),
        request_id: "r".into(),
        changes: "{}".into(),
    }
}

fn keep(kind: RecordKind, id: &str, json: &str) -> RecordOp {
    RecordOp::Put { kind, id: id.into(), json: json.into(), at: Timestamp(1000) }
}

fn drop_record(kind: RecordKind, id: &str) -> RecordOp {
    RecordOp::Delete { kind, id: id.into() }
}

fn pairs(of: &[(&str, &str)]) -> Vec<(String, String)> {
    of.iter().map(|(id, json)| ((*id).into(), (*json).into())).collect()
}

fn put(id: &str, json: &str) -> Op {
    Op::Put { kind: Kind::Upstream, id: id.into(), json: json.into() }
}

fn delete(id: &str) -> Op {
    Op::Delete { kind: Kind::Upstream, id: id.into() }
}
