//! What every store promises, tried on each of them.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed helper fails its test"
)]

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

/// Runs each case on each store.
macro_rules! contract {
    ($($(#[$doc:meta])* async fn $name:ident($subject:ident: Subject) $body:block)*) => {
        mod cases {
            use super::*;
            $($(#[$doc])* pub(super) async fn $name($subject: Subject) $body)*
        }
        mod memory {
            use super::*;
            $(#[tokio::test] async fn $name() { cases::$name(Subject::memory()).await; })*
        }
        mod sqlite {
            use super::*;
            $(#[tokio::test] async fn $name() { cases::$name(Subject::sqlite()).await; })*
        }
    };
}

contract! {
    async fn a_new_store_is_not_initialised_which_is_not_empty(subject: Subject) {
        assert_eq!(subject.store.load().await, Err(StoreError::NotInitialised));
    }

    async fn a_store_that_is_not_initialised_takes_no_commit(subject: Subject) {
        let outcome = subject.commit(0, vec![put("a", "{}")]).await;
        assert!(outcome.is_err(), "{outcome:?}");
        assert_eq!(subject.store.load().await, Err(StoreError::NotInitialised));
    }

    async fn an_initialised_store_is_empty_at_revision_0(subject: Subject) {
        let subject = subject.ready().await;
        let snapshot = subject.store.load().await.unwrap();
        assert_eq!((snapshot.epoch, snapshot.revision), (epoch("abc123"), Revision(0)));
        assert_eq!((snapshot.committed_at, snapshot.objects), (None, vec![]));
    }

    async fn a_store_is_initialised_once(subject: Subject) {
        let subject = subject.ready().await;
        assert_eq!(subject.store.initialise(epoch("other1")).await, Err(StoreError::AlreadyInitialised));
        assert_eq!(subject.store.load().await.unwrap().epoch, epoch("abc123"));
    }

    async fn what_is_committed_is_loaded(subject: Subject) {
        let subject = subject.ready().await;
        assert_eq!(subject.commit(0, vec![put("a", "{\"x\":1}")]).await, Ok(1));
        let expected =
            Object { kind: Kind::Upstream, id: "a".into(), json: "{\"x\":1}".into(), touched: Revision(1) };
        assert_eq!(subject.objects().await, [expected]);
    }

    async fn text_is_kept_byte_for_byte(subject: Subject) {
        let subject = subject.ready().await;
        let json = "{ \"ä\\u0000\" : [1.50, \"'; DROP TABLE objects; --\", \"😀\"] }";
        subject.commit(0, vec![put("a", json)]).await.unwrap();
        assert_eq!(subject.objects().await[0].json, json);
    }

    async fn revisions_have_no_gaps(subject: Subject) {
        let subject = subject.ready().await;
        for base in 0..20 {
            assert_eq!(subject.commit(base, vec![put("a", &base.to_string())]).await, Ok(base + 1));
        }
        assert_eq!(subject.store.load().await.unwrap().revision, Revision(20));
    }

    async fn a_refused_commit_takes_no_number(subject: Subject) {
        let subject = subject.ready().await;
        assert!(subject.commit(7, vec![put("a", "{}")]).await.is_err());
        assert_eq!(subject.commit(0, vec![put("a", "{}")]).await, Ok(1));
    }

    async fn a_commit_on_an_old_revision_conflicts(subject: Subject) {
        let subject = subject.ready().await;
        subject.commit(0, vec![put("a", "1")]).await.unwrap();
        subject.commit(1, vec![put("a", "2")]).await.unwrap();
        let head = Revision(2);
        assert_eq!(subject.commit(1, vec![put("a", "3")]).await, Err(CommitError::Conflict { head }));
        assert_eq!(subject.commit(0, vec![put("a", "3")]).await, Err(CommitError::Conflict { head }));
        assert_eq!(subject.objects().await[0].json, "2");
    }

    async fn a_commit_on_a_future_revision_conflicts(subject: Subject) {
        let subject = subject.ready().await;
        let head = Revision(0);
        assert_eq!(subject.commit(1, vec![put("a", "1")]).await, Err(CommitError::Conflict { head }));
        assert_eq!(subject.objects().await, []);
    }

    async fn a_conflict_changes_nothing_of_a_larger_commit(subject: Subject) {
        let subject = subject.ready().await;
        subject.commit(0, vec![put("a", "1"), put("b", "1")]).await.unwrap();
        let before = subject.store.load().await.unwrap();
        let ops = vec![delete("a"), put("b", "2"), put("c", "2")];
        assert!(subject.commit(0, ops).await.is_err());
        assert_eq!(subject.store.load().await.unwrap(), before);
    }

    async fn all_operations_of_a_commit_are_made(subject: Subject) {
        let subject = subject.ready().await;
        subject.commit(0, vec![put("a", "1"), put("b", "1")]).await.unwrap();
        subject.commit(1, vec![delete("a"), put("b", "2"), put("c", "2")]).await.unwrap();
        assert_eq!(subject.names().await, ["b", "c"]);
        assert!(subject.objects().await.iter().all(|object| object.json == "2"));
    }

    async fn an_empty_commit_is_a_revision(subject: Subject) {
        let subject = subject.ready().await;
        assert_eq!(subject.commit(0, vec![]).await, Ok(1));
        assert_eq!(subject.store.load().await.unwrap().revision, Revision(1));
    }

    async fn only_what_was_put_is_touched(subject: Subject) {
        let subject = subject.ready().await;
        subject.commit(0, vec![put("a", "1"), put("b", "1")]).await.unwrap();
        subject.commit(1, vec![put("b", "2")]).await.unwrap();
        let touched: Vec<u64> = subject.objects().await.iter().map(|object| object.touched.0).collect();
        assert_eq!(touched, [1, 2]);
    }

    async fn objects_come_in_the_order_of_their_creation(subject: Subject) {
        let subject = subject.ready().await;
        subject.commit(0, vec![put("c", "1"), put("a", "1")]).await.unwrap();
        subject.commit(1, vec![put("b", "1")]).await.unwrap();
        assert_eq!(subject.names().await, ["c", "a", "b"]);
    }

    async fn a_replaced_object_keeps_its_place(subject: Subject) {
        let subject = subject.ready().await;
        subject.commit(0, vec![put("a", "1"), put("b", "1")]).await.unwrap();
        subject.commit(1, vec![put("a", "2")]).await.unwrap();
        assert_eq!(subject.names().await, ["a", "b"]);
    }

    async fn an_object_put_anew_comes_last(subject: Subject) {
        let subject = subject.ready().await;
        subject.commit(0, vec![put("a", "1"), put("b", "1")]).await.unwrap();
        subject.commit(1, vec![delete("a"), put("a", "2")]).await.unwrap();
        assert_eq!(subject.names().await, ["b", "a"]);
        let subject = subject.reopen();
        assert_eq!(subject.names().await, ["b", "a"]);
    }

    async fn operations_are_made_in_order(subject: Subject) {
        let subject = subject.ready().await;
        subject.commit(0, vec![put("a", "1"), put("a", "2"), delete("b"), put("b", "1")]).await.unwrap();
        subject.commit(1, vec![put("c", "1"), delete("c")]).await.unwrap();
        assert_eq!(subject.names().await, ["a", "b"]);
        assert_eq!(subject.objects().await[0].json, "2");
    }

    async fn deleting_what_is_not_there_is_no_error(subject: Subject) {
        let subject = subject.ready().await;
        assert_eq!(subject.commit(0, vec![delete("a")]).await, Ok(1));
        assert_eq!(subject.objects().await, []);
    }

    async fn a_deleted_object_stays_deleted(subject: Subject) {
        let subject = subject.ready().await;
        subject.commit(0, vec![put("a", "1")]).await.unwrap();
        subject.commit(1, vec![delete("a")]).await.unwrap();
        let subject = subject.reopen();
        assert_eq!(subject.objects().await, []);
    }

    async fn kinds_are_apart(subject: Subject) {
        let subject = subject.ready().await;
        let put = |kind| Op::Put { kind, id: "x".into(), json: "1".into() };
        subject.commit(0, vec![put(Kind::Upstream), put(Kind::Server), put(Kind::Route)]).await.unwrap();
        subject.commit(1, vec![Op::Delete { kind: Kind::Server, id: "x".into() }]).await.unwrap();
        let kinds: Vec<Kind> = subject.objects().await.iter().map(|object| object.kind).collect();
        assert_eq!(kinds, [Kind::Upstream, Kind::Route]);
    }

    async fn ids_are_told_apart_exactly(subject: Subject) {
        let subject = subject.ready().await;
        subject.commit(0, vec![put("a", "1"), put("A", "2"), put("a ", "3"), put("", "4")]).await.unwrap();
        assert_eq!(subject.objects().await.len(), 4);
    }

    async fn the_time_of_the_last_commit_is_kept(subject: Subject) {
        let subject = subject.ready().await;
        subject.commit(0, vec![]).await.unwrap();
        subject.commit(1, vec![]).await.unwrap();
        let subject = subject.reopen();
        assert_eq!(subject.store.load().await.unwrap().committed_at, Some(Timestamp(1001)));
    }

    async fn everything_is_there_after_reopening(subject: Subject) {
        let subject = subject.ready().await;
        for base in 0..5 {
            subject.commit(base, vec![put(&format!("u{base}"), "1")]).await.unwrap();
        }
        let before = subject.store.load().await.unwrap();
        let subject = subject.reopen();
        assert_eq!(subject.store.load().await.unwrap(), before);
        assert_eq!(subject.commit(5, vec![]).await, Ok(6));
    }

    async fn the_epoch_outlives_reopening(subject: Subject) {
        let subject = subject.ready().await.reopen();
        assert_eq!(subject.store.load().await.unwrap().epoch, epoch("abc123"));
        assert_eq!(subject.store.initialise(epoch("other1")).await, Err(StoreError::AlreadyInitialised));
    }

    async fn a_renewed_epoch_outlives_reopening_and_changes_nothing_else(subject: Subject) {
        let subject = subject.ready().await;
        subject.commit(0, vec![put("a", "1")]).await.unwrap();
        let before = subject.store.load().await.unwrap();
        assert_eq!(subject.store.renew(epoch("def456")).await, Ok(()));
        let subject = subject.reopen();
        let after = subject.store.load().await.unwrap();
        assert_eq!(after, Snapshot { epoch: epoch("def456"), ..before });
        assert_eq!(subject.commit(1, vec![put("b", "2")]).await, Ok(2));
    }

    async fn a_store_that_is_not_initialised_has_no_epoch_to_renew(subject: Subject) {
        assert_eq!(subject.store.renew(epoch("def456")).await, Err(StoreError::NotInitialised));
        assert_eq!(subject.store.load().await, Err(StoreError::NotInitialised));
    }

    async fn not_initialised_outlives_reopening(subject: Subject) {
        let subject = subject.reopen();
        assert_eq!(subject.store.load().await, Err(StoreError::NotInitialised));
    }

    async fn a_large_commit_is_one_revision(subject: Subject) {
        let subject = subject.ready().await;
        let ops = (0..10_000).map(|n| put(&format!("u{n}"), "{\"some\":\"text\"}")).collect();
        assert_eq!(subject.commit(0, ops).await, Ok(1));
        let ops = (0..10_000).map(|n| delete(&format!("u{n}"))).collect();
        assert_eq!(subject.objects().await.len(), 10_000);
        assert_eq!(subject.commit(1, ops).await, Ok(2));
        assert_eq!(subject.objects().await, []);
    }

    async fn a_large_object_is_kept(subject: Subject) {
        let subject = subject.ready().await;
        let json = "x".repeat(2 * 1024 * 1024);
        subject.commit(0, vec![put("a", &json)]).await.unwrap();
        assert!(subject.reopen().objects().await[0].json == json);
    }

    async fn of_many_writers_on_one_revision_one_wins(subject: Subject) {
        let subject = Arc::new(subject.ready().await);
        let mut writers = tokio::task::JoinSet::new();
        for n in 0..8 {
            let subject = Arc::clone(&subject);
            writers.spawn(async move { subject.commit(0, vec![put(&format!("u{n}"), "1")]).await });
        }
        let outcomes = writers.join_all().await;
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{outcomes:?}");
        assert_eq!(subject.objects().await.len(), 1);
    }

    async fn writers_that_retry_lose_nothing(subject: Subject) {
        let subject = Arc::new(subject.ready().await);
        let mut writers = tokio::task::JoinSet::new();
        for n in 0..8 {
            let subject = Arc::clone(&subject);
            writers.spawn(async move {
                let mut base = 0;
                loop {
                    match subject.commit(base, vec![put(&format!("u{n}"), "1")]).await {
                        Ok(revision) => return revision,
                        Err(CommitError::Conflict { head }) => base = head.0,
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
        let mut revisions = writers.join_all().await;
        revisions.sort_unstable();
        assert_eq!(revisions, (1..=8).collect::<Vec<u64>>());
        assert_eq!(subject.objects().await.len(), 8);
    }

    async fn a_load_sees_whole_commits_only(subject: Subject) {
        let subject = Arc::new(subject.ready().await);
        let mut writer = tokio::task::JoinSet::new();
        let writing = Arc::clone(&subject);
        writer.spawn(async move {
            for base in 0..50 {
                let ops = (0..10).map(|n| put(&format!("u{n}"), &base.to_string())).collect();
                writing.commit(base, ops).await.unwrap();
            }
        });
        let mut last = Revision(0);
        while last < Revision(50) {
            // A store in memory answers without ever giving way to the writer.
            tokio::task::yield_now().await;
            let snapshot = subject.store.load().await.unwrap();
            assert!(snapshot.revision >= last, "backwards");
            last = snapshot.revision;
            let mut values = BTreeMap::new();
            for object in &snapshot.objects {
                *values.entry(&object.json).or_insert(0) += 1;
            }
            assert!(values.len() <= 1, "{values:?}");
        }
        writer.join_all().await;
    }

    async fn a_dropped_answer_leaves_a_whole_store(subject: Subject) {
        let subject = subject.ready().await;
        let ops = vec![put("a", "1"), put("b", "1")];
        let commit = Commit { base: Revision(0), ops, records: vec![], meta: CommitMeta::default() };
        drop(subject.store.commit(commit));
        let snapshot = subject.store.load().await.unwrap();
        let whole = matches!((snapshot.revision.0, snapshot.objects.len()), (0, 0) | (1, 2));
        assert!(whole, "{snapshot:?}");
    }

    async fn every_kept_revision_can_be_read(subject: Subject) {
        let subject = subject.ready().await;
        subject.commit(0, vec![put("a", "1"), put("b", "1")]).await.unwrap();
        subject.commit(1, vec![put("a", "2")]).await.unwrap();
        subject.commit(2, vec![delete("b"), put("c", "1")]).await.unwrap();
        subject.commit(3, vec![delete("a"), put("a", "3")]).await.unwrap();
        let subject = subject.reopen();
        assert_eq!(subject.contents_at(0).await, Some(vec![]));
        assert_eq!(subject.contents_at(1).await, Some(pairs(&[("a", "1"), ("b", "1")])));
        assert_eq!(subject.contents_at(2).await, Some(pairs(&[("a", "2"), ("b", "1")])));
        assert_eq!(subject.contents_at(3).await, Some(pairs(&[("a", "2"), ("c", "1")])));
        assert_eq!(subject.contents_at(4).await, Some(pairs(&[("c", "1"), ("a", "3")])));
        assert_eq!(subject.contents_at(5).await, None);
    }

    async fn the_last_revision_is_the_same_however_read(subject: Subject) {
        let subject = subject.ready().await;
        subject.commit(0, vec![put("a", "1")]).await.unwrap();
        subject.commit(1, vec![put("b", "1")]).await.unwrap();
        let head = subject.store.load().await.unwrap();
        assert_eq!(subject.store.load_at(Revision(2)).await.unwrap(), Some(head));
    }

    async fn what_came_and_went_within_one_commit_was_in_no_revision(subject: Subject) {
        let subject = subject.ready().await;
        subject.commit(0, vec![put("a", "1"), put("a", "2"), put("b", "1"), delete("b")]).await.unwrap();
        subject.commit(1, vec![put("a", "3"), put("a", "4")]).await.unwrap();
        assert_eq!(subject.contents_at(1).await, Some(pairs(&[("a", "2")])));
        assert_eq!(subject.contents_at(2).await, Some(pairs(&[("a", "4")])));
    }

    async fn an_older_revision_tells_who_touched_what_when(subject: Subject) {
        let subject = subject.ready().await;
        subject.commit(0, vec![put("a", "1")]).await.unwrap();
        subject.commit(1, vec![put("a", "2")]).await.unwrap();
        let snapshot = subject.store.load_at(Revision(1)).await.unwrap().unwrap();
        assert_eq!((snapshot.objects[0].touched, snapshot.committed_at), (Revision(1), Some(Timestamp(1000))));
    }

    async fn the_history_tells_of_each_commit_newest_first(subject: Subject) {
        let subject = subject.ready().await;
        for base in 0..5 {
            subject.commit(base, vec![]).await.unwrap();
        }
        let subject = subject.reopen();
        assert_eq!(subject.kept_revisions(Page::ALL).await, [5, 4, 3, 2, 1]);
        assert_eq!(subject.kept_revisions(Page { below: 4, limit: 2 }).await, [3, 2]);
        let entry = subject.store.revisions(Page { below: 3, limit: 1 }).await.unwrap().remove(0);
        assert_eq!((entry.revision, entry.meta), (Revision(2), meta(1001)));
    }

    async fn the_oldest_revisions_are_forgotten_by_number(subject: Subject) {
        let subject = subject.ready().await;
        let last = KEPT_REVISIONS + 3;
        for base in 0..last {
            subject.commit(base, vec![put("a", &base.to_string())]).await.unwrap();
        }
        let kept = subject.kept_revisions(Page::ALL).await;
        assert_eq!((kept.len() as u64, kept[0]), (KEPT_REVISIONS, last));
        let first = last - KEPT_REVISIONS + 1;
        assert_eq!(kept.last(), Some(&first));
        assert_eq!(subject.contents_at(first - 1).await, None);
        assert_eq!(subject.contents_at(first).await, Some(pairs(&[("a", &(first - 1).to_string())])));
    }

    async fn revisions_are_forgotten_when_replaced_long_ago(subject: Subject) {
        const DAY: i64 = 24 * 3600 * 1000;
        let subject = subject.ready().await;
        for (base, day) in [(0, 0), (1, 10), (2, 200), (3, 250)] {
            let ops = vec![put("a", &base.to_string())];
            subject.commit_at(day * DAY, base, ops, vec![]).await.unwrap();
        }
        // On day 250: 1 was replaced on day 10, 2 on day 200.
        assert_eq!(subject.kept_revisions(Page::ALL).await, [4, 3, 2]);
        assert_eq!(subject.contents_at(1).await, None);
        assert_eq!(subject.contents_at(2).await, Some(pairs(&[("a", "1")])));
        subject.commit_at(10_000 * DAY, 4, vec![put("a", "4")], vec![]).await.unwrap();
        assert_eq!(subject.kept_revisions(Page::ALL).await, [5, 4]);
    }

    async fn the_history_is_bounded_in_bytes(subject: Subject) {
        let subject = subject.ready().await;
        let large = "x".repeat(64 * 1024 * 1024);
        for base in 0..7 {
            subject.commit(base, vec![put("a", &large)]).await.unwrap();
        }
        // Four of them fit beside the last.
        assert_eq!(subject.kept_revisions(Page::ALL).await, [7, 6, 5, 4, 3]);
        assert_eq!(subject.contents_at(2).await, None);
        assert!(subject.contents_at(3).await.is_some());
        assert!(subject.contents_at(7).await.is_some());
    }

    async fn records_are_kept_beside_a_commit(subject: Subject) {
        let subject = subject.ready().await;
        let records = vec![keep(RecordKind::Audit, "1", "x"), keep(RecordKind::Token, "t", "y")];
        subject.commit_at(1000, 0, vec![put("a", "1")], records).await.unwrap();
        let subject = subject.reopen();
        assert_eq!(subject.records(RecordKind::Audit).await, pairs(&[("1", "x")]));
        assert_eq!(subject.records(RecordKind::Token).await, pairs(&[("t", "y")]));
        assert_eq!(subject.records(RecordKind::Drain).await, []);
    }

    async fn a_refused_commit_keeps_no_record(subject: Subject) {
        let subject = subject.ready().await;
        let records = vec![keep(RecordKind::Audit, "1", "x")];
        assert!(subject.commit_at(1000, 7, vec![], records).await.is_err());
        assert_eq!(subject.records(RecordKind::Audit).await, []);
    }

    async fn records_make_no_revision(subject: Subject) {
        let subject = subject.ready().await;
        subject.record(vec![keep(RecordKind::Token, "t", "y")]).await;
        assert_eq!(subject.store.load().await.unwrap().revision, Revision(0));
        assert_eq!(subject.commit(0, vec![]).await, Ok(1));
    }

    async fn a_record_put_anew_is_the_newest(subject: Subject) {
        let subject = subject.ready().await;
        let kind = RecordKind::Drain;
        subject.record(vec![keep(kind, "a", "1"), keep(kind, "b", "1"), keep(kind, "a", "2")]).await;
        assert_eq!(subject.records(kind).await, pairs(&[("a", "2"), ("b", "1")]));
        let first = subject.store.find_record(kind, "a").await.unwrap().unwrap();
        subject.record(vec![drop_record(kind, "a"), keep(kind, "a", "3")]).await;
        let subject = subject.reopen();
        let second = subject.store.find_record(kind, "a").await.unwrap().unwrap();
        assert!(second.number > first.number, "{second:?}");
        assert_eq!((second.json.as_str(), second.at), ("3", Timestamp(1000)));
        assert_eq!(subject.store.find_record(kind, "c").await, Ok(None));
        let page = Page { below: second.number, limit: 1 };
        assert_eq!(subject.store.records(kind, page).await.unwrap()[0].id, "b");
    }

    async fn records_are_bounded_in_age_and_number(subject: Subject) {
        const DAY: i64 = 24 * 3600 * 1000;
        let subject = subject.ready().await;
        let at = |id: &str, at| RecordOp::Put {
            kind: RecordKind::Answer, id: id.into(), json: "x".into(), at: Timestamp(at),
        };
        subject.record(vec![at("a", 0), at("b", DAY / 2), at("c", DAY + 1)]).await;
        assert_eq!(subject.records(RecordKind::Answer).await, pairs(&[("c", "x"), ("b", "x")]));
        let many = (0..10_001).map(|n| at(&n.to_string(), DAY + 2)).collect();
        subject.record(many).await;
        let kept = subject.records(RecordKind::Answer).await;
        assert_eq!((kept.len(), kept[0].0.as_str(), kept[9999].0.as_str()), (10_000, "10000", "1"));
    }

    async fn tokens_are_kept_however_old(subject: Subject) {
        let subject = subject.ready().await;
        let at = |id: &str, at| RecordOp::Put {
            kind: RecordKind::Token, id: id.into(), json: "x".into(), at: Timestamp(at),
        };
        subject.record(vec![at("a", 0), at("b", i64::MAX)]).await;
        assert_eq!(subject.records(RecordKind::Token).await.len(), 2);
    }

    async fn a_store_that_is_not_initialised_has_no_history_and_no_records(subject: Subject) {
        assert_eq!(subject.store.revisions(Page::ALL).await, Err(StoreError::NotInitialised));
        assert_eq!(subject.store.load_at(Revision(0)).await, Err(StoreError::NotInitialised));
        assert_eq!(subject.store.records(RecordKind::Token, Page::ALL).await, Err(StoreError::NotInitialised));
        assert_eq!(subject.store.find_record(RecordKind::Token, "t").await, Err(StoreError::NotInitialised));
        assert!(subject.store.record(vec![keep(RecordKind::Token, "t", "y")]).await.is_err());
    }
}
