//! The one writer: takes changes in turn and carries each from plan to table.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Semaphore, mpsc, watch},
    time::timeout,
};
use weir_shared::{
    error::Invalid,
    id::Revision,
    model::Config,
    sharing::taking_over,
    table::{Compiler, Table, TableReader, TableWriter},
    time::Moment,
};

use super::{
    Answer, Applied, ApplyTimes, Catalog, Job, MAX_WAITING, Mode, Request, StoreReport, plan::Plan,
    prepared::Prepared,
};
use crate::{
    clock::Clock,
    drains::{Drains, Step},
    error::CatalogError,
    events::{Bus, Observed},
    store::{
        Commit, CommitError, CommitMeta, KEPT_REVISIONS, Page, RecordKind, RecordOp, Store, StoreError, codec,
    },
};

/// How often a change is planned anew when others commit first. With an embedded store nobody else should.
const MAX_TRIES: usize = 5;

/// How soon tables that were still being read are looked at again.
const FREE_AGAIN: Duration = Duration::from_secs(1);

/// Carries changes from plan to table, one after the other.
#[derive(Debug)]
pub struct Writer {
    pub(super) jobs: mpsc::Receiver<Job>,
    /// `None`: the store takes no writes.
    store: Option<Arc<dyn Store>>,
    report: StoreReport,
    drains: Drains,
    compiler: Compiler,
    table: TableWriter,
    reader: TableReader,
    clock: Clock,
    times: Arc<ApplyTimes>,
    published: watch::Sender<Revision>,
    events: Bus,
}

impl Writer {
    /// A writer and the catalog in front of it. [`Self::run`] does the work.
    #[must_use]
    pub fn new(
        store: Option<Arc<dyn Store>>,
        report: StoreReport,
        compiler: Compiler,
        (table, reader): (TableWriter, TableReader),
        clock: Clock,
    ) -> (Self, Catalog) {
        let (sender, jobs) = mpsc::channel(MAX_WAITING);
        let present = reader.snapshot();
        let events = Bus::new(present.config().epoch.clone(), present.revision(), clock.now());
        let (published, watched) = watch::channel(present.revision());
        let drains = Drains::default();
        let times = Arc::new(ApplyTimes::default());
        let catalog = Catalog {
            jobs: sender,
            reader: reader.clone(),
            report: report.clone(),
            published: watched,
            drains: drains.clone(),
            times: Arc::clone(&times),
            store: store.clone(),
            events: events.clone(),
            compiler: compiler.clone(),
            clock,
            turns: Arc::new(Semaphore::new(1)),
            past: Arc::new(Semaphore::new(1)),
        };
        let writer =
            Self { jobs, store, report, drains, compiler, table, reader, clock, times, published, events };
        (writer, catalog)
    }

    /// Tells of every revision that was published.
    #[must_use]
    pub fn published(&self) -> watch::Receiver<Revision> {
        self.published.subscribe()
    }

    /// Works until every catalog is gone.
    pub async fn run(mut self) {
        loop {
            let job = if self.table.free_retired() {
                // Whoever reads an old table still will have let go of it soon.
                match timeout(FREE_AGAIN, self.jobs.recv()).await {
                    Ok(job) => job,
                    Err(_) => continue,
                }
            } else {
                self.jobs.recv().await
            };
            let Some(Job { request, prepared, turn, reply }) = job else { return };
            let answer = match prepared {
                Some(outdated) if !Arc::ptr_eq(&outdated.base, &self.reader.snapshot()) => {
                    Answer::Stale(Box::new(request), outdated)
                }
                prepared => {
                    let applied = self.apply(&request, prepared).await;
                    // With the request goes all that marks it as under way, before anybody learns the answer.
                    drop(request);
                    Answer::Settled(Box::new(applied))
                }
            };
            drop(turn);
            // Whoever asked may have gone away; the change stands.
            drop(reply.send(answer));
        }
    }

    async fn apply(
        &mut self,
        request: &Request,
        mut prepared: Option<Box<Prepared>>,
    ) -> Result<Applied, CatalogError> {
        for _ in 0..MAX_TRIES {
            if let Some(applied) = self.attempt(request, prepared.take()).await? {
                return Ok(applied);
            }
            self.reload().await.map_err(|error| CatalogError::Unavailable(error.to_string()))?;
        }
        Err(CatalogError::Contention)
    }

    /// Answers `None` when another commit came first.
    async fn attempt(
        &mut self,
        request: &Request,
        prepared: Option<Box<Prepared>>,
    ) -> Result<Option<Applied>, CatalogError> {
        let begun = self.moment();
        let mut planned = begun;
        let present = self.reader.snapshot();
        let Prepared { plan: Plan { next, ops, outcome }, table, changes, now, .. } = match prepared {
            Some(prepared) => *prepared,
            None => {
                let change = self.drains.concrete(&request.change, present.config())?;
                let note = || planned = self.moment();
                let now = self.clock.now();
                Prepared::new(&self.compiler, request, &change, Arc::clone(&present), now, note)?
            }
        };
        let before = Arc::clone(present.config());
        let step = self.drains.step(&request.change, &outcome, (&before, &next), now);
        let applied = Applied { before, config: next, outcome, changes, drain: step.begun() };
        let Some(table) = table else {
            if request.mode == Mode::Commit && !step.is_empty() {
                self.record(step, request.beside.records(&applied)).await?;
            }
            return Ok(Some(applied));
        };
        if request.mode == Mode::DryRun {
            return Ok(Some(applied));
        }
        let compiled = self.moment();
        let meta = CommitMeta {
            at: now.wall,
            actor: request.actor.clone(),
            message: request.message.clone().unwrap_or_else(|| request.change.summary()),
            request_id: request.request_id.clone(),
            changes: serde_json::to_string(&*applied.changes).unwrap_or_default(),
        };
        let mut records = request.beside.records(&applied);
        records.extend(step.records());
        let commit = Commit { base: present.revision(), ops, records, meta: meta.clone() };
        match self.store()?.commit(commit).await {
            Ok(revision) => {
                debug_assert_eq!(revision, table.revision(), "revisions have no gaps");
                self.report.committed(now.wall);
                let committed = self.moment();
                self.publish(table);
                self.times.note([begun, planned, compiled, committed, self.moment()]);
                self.events.committed(revision, Some(&meta));
                self.enter(step);
                Ok(Some(applied))
            }
            Err(CommitError::Conflict { head }) => {
                tracing::warn!(%head, "another writer changed the store");
                Ok(None)
            }
            Err(error) => Err(self.failed(error).await),
        }
    }

    /// Stores what becomes of drains, and what else belongs to that, without a change of the configuration.
    async fn record(&mut self, step: Step, mut records: Vec<RecordOp>) -> Result<(), CatalogError> {
        records.extend(step.records());
        match self.store()?.record(records).await {
            Ok(()) => {
                self.enter(step);
                Ok(())
            }
            Err(error) => Err(self.failed(error).await),
        }
    }

    /// Enters what became of drains, and tells of it.
    fn enter(&self, step: Step) {
        for event in step.events() {
            self.events.publish(Observed::Drain, &event.upstream, &event);
        }
        self.drains.made(step);
    }

    fn store(&self) -> Result<Arc<dyn Store>, CatalogError> {
        let missing = || CatalogError::Unavailable(self.report.read_only().unwrap_or_default().to_string());
        self.store.clone().ok_or_else(missing)
    }

    /// Notes that the store could not take something, and finds out what it took.
    async fn failed(&mut self, error: CommitError) -> CatalogError {
        match error {
            CommitError::Conflict { .. } => CatalogError::Contention,
            CommitError::Unavailable(detail) => {
                tracing::error!(detail, "a change could not be stored");
                self.report.failed(&detail);
                CatalogError::Unavailable(detail)
            }
            CommitError::Unknown(detail) => {
                tracing::error!(detail, "it is not known whether a change was stored");
                self.report.failed(&detail);
                // What the store says counts, if it says anything.
                if let Err(error) = self.reload().await {
                    tracing::error!(%error, "the store cannot be read");
                }
                CatalogError::Unknown(detail)
            }
        }
    }

    fn moment(&self) -> Moment {
        self.clock.now().moment
    }

    /// Puts in force what the store holds.
    async fn reload(&mut self) -> Result<(), StoreError> {
        let Some(store) = self.store.as_ref() else { return Ok(()) };
        let config = codec::decode(store.load().await?)?;
        let drains = store.records(RecordKind::Drain, Page::ALL).await?;
        let now = self.clock.now();
        // What does not belong to the configuration is deleted at the next start.
        let _ = self.drains.load(drains, &config, now);
        let present = self.reader.snapshot();
        if config == **present.config() {
            return Ok(());
        }
        let config = share(config, present.config());
        let table = self
            .compiler
            .compile(Arc::new(config), Some(&present), now)
            .map_err(|invalid| StoreError::Corrupt(first(&invalid)))?;
        let (before, revision) = (present.revision(), table.revision());
        self.publish(table);
        self.tell_missed(before, revision).await;
        Ok(())
    }

    /// Tells of the commits after `before` up to `revision`, which others made.
    async fn tell_missed(&self, before: Revision, revision: Revision) {
        let count = revision.0.saturating_sub(before.0).min(KEPT_REVISIONS);
        let page = Page { below: revision.0 + 1, limit: u32::try_from(count).unwrap_or(u32::MAX) };
        let entries = match self.store.as_ref() {
            Some(store) => store.revisions(page).await.unwrap_or_default(),
            None => Vec::new(),
        };
        for entry in entries.iter().rev() {
            self.events.committed(entry.revision, Some(&entry.meta));
        }
        if self.events.head().revision != revision {
            self.events.committed(revision, None);
        }
    }

    fn publish(&mut self, table: Table) {
        let revision = table.revision();
        self.table.publish(table, self.clock.now());
        self.published.send_replace(revision);
        tracing::debug!(%revision, "table published");
    }
}

/// `config` with all that is equal in `before` taken over from there, so that it is recognised as unchanged.
pub(super) fn share(config: Config, before: &Config) -> Config {
    Config {
        listeners: taking_over(&config.listeners, &before.listeners),
        routes: taking_over(&config.routes, &before.routes),
        certificates: taking_over(&config.certificates, &before.certificates),
        upstreams: taking_over(&config.upstreams, &before.upstreams),
        ..config
    }
}

fn first(invalid: &Invalid) -> String {
    invalid.0.first().map(ToString::to_string).unwrap_or_default()
}
