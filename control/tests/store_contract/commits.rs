//! Commits: whole, durable, in order, each once.

use super::*;

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
}
