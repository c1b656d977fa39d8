//! Keeps `last-good.json` like what is in force, without being felt.

use std::{path::PathBuf, time::Duration};

use tokio::{sync::watch, time::Instant};
use weir_shared::{id::Revision, table::TableReader};

use super::{KnownHealth, unhealthy, write};
use crate::{catalog::StoreReport, clock::Clock};

/// Least time between two writes: a storm of changes costs one write a second.
const WRITE_INTERVAL: Duration = Duration::from_secs(1);

/// Least time between two writes, in times that one took: with 100 000 servers a write takes long enough to be felt, and
/// then is made that much less often. It never takes more than one part in so many of a core.
const WRITE_SHARE: u32 = 20;

/// How often the servers known to be unhealthy are looked at. What changes in between is checked again after a restart.
const HEALTH_INTERVAL: Duration = Duration::from_secs(5);

/// Keeps the file like what is in force.
#[derive(Debug)]
pub struct Keeper {
    path: PathBuf,
    reader: TableReader,
    clock: Clock,
    report: StoreReport,
    written: Option<(Revision, KnownHealth)>,
    /// What the last attempt failed with.
    failure: Option<String>,
}

impl Keeper {
    /// Keeps the file at `path` like what `reader` has, and tells `report` when it cannot.
    #[must_use]
    pub fn new(path: PathBuf, reader: TableReader, clock: Clock, report: StoreReport) -> Self {
        Self { path, reader, clock, report, written: None, failure: None }
    }

    /// Writes after every change told by `published`, at most once a second and seldom enough not to be felt, until its
    /// sender is gone; then once more.
    pub async fn run(mut self, mut published: watch::Receiver<Revision>) {
        loop {
            let told = tokio::time::timeout(HEALTH_INTERVAL, published.changed()).await;
            let is_last = matches!(told, Ok(Err(_)));
            let started = Instant::now();
            self = self.keep().await;
            if is_last {
                return;
            }
            let pause = WRITE_INTERVAL.max(started.elapsed() * WRITE_SHARE);
            let mut end = published.clone();
            tokio::select! {
                () = tokio::time::sleep_until(started + pause) => {}
                // Stopping must not wait for the interval.
                () = async { while end.changed().await.is_ok() {} } => {}
            }
        }
    }

    /// Writes if there is something new. A failure is told when it is a new one, and tried again with the next round.
    async fn keep(self) -> Self {
        let path = self.path.clone();
        let work = tokio::task::spawn_blocking(move || {
            let mut keeper = self;
            keeper.keep_now();
            keeper
        });
        match work.await {
            Ok(keeper) => keeper,
            // The runtime is going down, or the work panicked: there is nothing to go on with.
            Err(error) => {
                tracing::error!(%error, path = %path.display(), "keeping the last good configuration ended");
                std::future::pending().await
            }
        }
    }

    fn keep_now(&mut self) {
        let table = self.reader.snapshot();
        // Revision 0 is the start; a file that says "nothing" would be obeyed like any other.
        if table.revision() == Revision::default() {
            return;
        }
        let health = unhealthy(&table);
        if self
            .written
            .as_ref()
            .is_some_and(|(revision, known)| *revision == table.revision() && *known == health)
        {
            return;
        }
        match write(&self.path, table.config(), &health, self.clock.now().wall) {
            Ok(()) => {
                self.written = Some((table.revision(), health));
                self.report.copied();
                if self.failure.take().is_some() {
                    tracing::info!(path = %self.path.display(), "the last good configuration is kept again");
                }
            }
            Err(error) => self.note(error.to_string()),
        }
    }

    fn note(&mut self, failure: String) {
        self.report.not_copied(&failure);
        if self.failure.as_ref() != Some(&failure) {
            tracing::error!(error = failure, path = %self.path.display(), "the last good configuration is not kept");
            self.failure = Some(failure);
        }
    }
}
