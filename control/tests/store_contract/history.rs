//! Revisions before the last.

use super::*;

contract! {
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
}
