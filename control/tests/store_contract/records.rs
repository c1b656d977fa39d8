//! What is kept beside the configuration.

use super::*;

contract! {
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
