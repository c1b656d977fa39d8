//! Writes gathered records, some at a time.

use std::{sync::Arc, time::Duration};

use tokio::{sync::mpsc, time::Instant};

use super::{Entry, Stats};
use crate::store::Store;

/// How long records are gathered: one write to the disk for all that come in the meantime.
const GATHER: Duration = Duration::from_millis(200);

/// Most records in one write.
const MAX_BATCH: usize = 64;

/// How often the log says that records were dropped.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);

/// Writes records until nobody hands over any more.
#[derive(Debug)]
pub struct Keeper {
    waiting: mpsc::Receiver<Entry>,
    store: Option<Arc<dyn Store>>,
    stats: Arc<Stats>,
    reported: u64,
    reported_at: Option<Instant>,
}

impl Keeper {
    /// Writes what `waiting` brings to `store`; without one, everything is dropped.
    #[must_use]
    pub fn new(waiting: mpsc::Receiver<Entry>, store: Option<Arc<dyn Store>>, stats: Arc<Stats>) -> Self {
        Self { waiting, store, stats, reported: 0, reported_at: None }
    }

    /// Works until every sender is gone and everything handed over is written.
    pub async fn run(mut self) {
        let mut batch = Vec::new();
        while let Some(first) = self.waiting.recv().await {
            batch.push(first);
            tokio::time::sleep(GATHER).await;
            while batch.len() < MAX_BATCH
                && let Ok(next) = self.waiting.try_recv()
            {
                batch.push(next);
            }
            self.write(&batch).await;
            batch.clear();
            self.report();
        }
    }

    async fn write(&self, batch: &[Entry]) {
        let written = match &self.store {
            Some(store) => store.record(batch.iter().map(Entry::put).collect()).await.is_ok(),
            None => false,
        };
        if !written {
            self.stats.drop_some(batch.len());
        }
    }

    fn report(&mut self) {
        let dropped = self.stats.dropped();
        let is_due = self.reported_at.is_none_or(|at| at.elapsed() >= REPORT_INTERVAL);
        if dropped > self.reported && is_due {
            tracing::warn!(records = dropped - self.reported, "records of refused calls were not kept");
            self.reported = dropped;
            self.reported_at = Some(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use weir_shared::{
        id::{Epoch, Revision},
        time::{Moment, Timestamp},
    };

    use super::*;
    use crate::{
        audit::{Actor, Audit, Caller},
        store::{Memory, Page, RecordKind},
    };

    fn known(name: &str) -> Caller {
        Caller::Known(name.to_owned())
    }

    fn entry(request_id: &str) -> Entry {
        Entry {
            at: Timestamp(1),
            request_id: request_id.to_owned(),
            actor: Actor { kind: "local".to_owned(), id: None },
            remote: "127.0.0.1:1".to_owned(),
            method: "POST".to_owned(),
            path: "/v1/upstreams".to_owned(),
            status: 401,
            code: Some("unauthenticated".to_owned()),
            reason: None,
            revision_before: Revision(1),
            revision_after: Revision(1),
            dry_run: false,
            message: None,
            changes: None,
            duration_ms: 0,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_counted_and_its_first_are_kept() {
        let store = Arc::new(Memory::default());
        store.initialise(Epoch("abc123".into())).await.unwrap();
        let (audit, waiting) = Audit::new();
        let stats = Arc::clone(audit.stats());
        for number in 0..2000 {
            audit.note(&known("a"), entry(&number.to_string()), Moment(0));
        }
        drop(audit);
        Keeper::new(waiting, Some(store.clone()), Arc::clone(&stats)).run().await;
        let kept = store.records(RecordKind::Audit, Page::ALL).await.unwrap();
        assert_eq!((kept.len(), stats.dropped()), (256, 1744));
        let last: Entry = serde_json::from_str(&kept[0].json).unwrap();
        assert_eq!(last, entry("255"));
    }

    #[tokio::test(start_paused = true)]
    async fn of_each_caller_who_calls_too_often_there_is_one_record_a_minute() {
        let store = Arc::new(Memory::default());
        store.initialise(Epoch("abc123".into())).await.unwrap();
        let (audit, waiting) = Audit::new();
        let stats = Arc::clone(audit.stats());
        for second in 0..120 {
            let now = Moment::from_elapsed(Duration::from_secs(second));
            for caller in ["a", "b"] {
                audit.note_flood(&known(caller), entry(caller), now);
            }
        }
        drop(audit);
        Keeper::new(waiting, Some(store.clone()), Arc::clone(&stats)).run().await;
        let kept = store.records(RecordKind::Audit, Page::ALL).await.unwrap();
        assert_eq!((kept.len(), stats.rate_limited(), stats.dropped()), (4, 240, 0));
    }

    /// What was recorded, of calls noted by `noted`, as the names of the calls.
    async fn recorded(noted: impl FnOnce(&Audit)) -> Vec<String> {
        let store = Arc::new(Memory::default());
        store.initialise(Epoch("abc123".into())).await.unwrap();
        let (audit, waiting) = Audit::new();
        let stats = Arc::clone(audit.stats());
        noted(&audit);
        drop(audit);
        Keeper::new(waiting, Some(store.clone()), stats).run().await;
        let kept = store.records(RecordKind::Audit, Page::ALL).await.unwrap();
        let name = |json: &str| serde_json::from_str::<Entry>(json).unwrap().request_id;
        kept.iter().rev().map(|kept| name(&kept.json)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn strangers_do_not_keep_out_what_others_are_refused() {
        let kept = recorded(|audit| {
            for number in 0..20_000 {
                audit.note(
                    &Caller::Stranger(format!("10.0.{}", number % 5000)),
                    entry("stranger"),
                    Moment(0),
                );
                audit.note_flood(&Caller::Stranger(number.to_string()), entry("stranger"), Moment(0));
            }
            audit.note(&known("token:ci"), entry("ci"), Moment(0));
            audit.note_flood(&known("token:ci"), entry("ci too often"), Moment(0));
        })
        .await;
        assert_eq!(kept[128..], ["ci", "ci too often"]);
        assert!(kept[..128].iter().all(|name| name == "stranger"));
    }

    #[tokio::test(start_paused = true)]
    async fn one_stranger_leaves_room_for_others() {
        let kept = recorded(|audit| {
            for second in 0..180 {
                let now = Moment::from_elapsed(Duration::from_secs(second));
                audit.note(&Caller::Stranger("10.0.0.1".to_owned()), entry("noisy"), now);
            }
            let now = Moment::from_elapsed(Duration::from_secs(180));
            audit.note(&Caller::Stranger("10.0.0.2".to_owned()), entry("another"), now);
        })
        .await;
        let noisy = kept.iter().filter(|name| *name == "noisy").count();
        assert_eq!(noisy, 20 + 2, "its first, and one a minute");
        assert_eq!(kept.last().unwrap(), "another");
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_store_everything_is_dropped_and_nothing_waits() {
        let (audit, waiting) = Audit::new();
        let stats = Arc::clone(audit.stats());
        audit.note(&known("a"), entry("1"), Moment(0));
        drop(audit);
        Keeper::new(waiting, None, Arc::clone(&stats)).run().await;
        assert_eq!(stats.dropped(), 1);
    }
}
