//! Active checks: asks each server whether it works, on a thread of its own; and compares servers by what they answered.
//!
//! The checker shares nothing with the API or the data plane but the table it reads and the verdicts it writes, so that
//! neither a flood of API calls nor a storm of requests delays it; and where it is delayed all the same, it says so
//! instead of blaming the servers.
//!
//! Reading order: `probe` (one check), `targets` (what is checked), `queue` (when), `stall` (whose fault a timeout is),
//! `checker` (the loop), [`CheckerStats`]; `outliers` (the comparison) stands by itself.

mod checker;
#[cfg(test)]
pub(crate) mod fixture;
mod outliers;
pub(crate) mod probe;
mod queue;
mod stall;
mod stats;
mod targets;
#[cfg(test)]
mod tests;

use std::{io, sync::Arc, thread::JoinHandle};

pub use stats::CheckerStats;
use tokio::sync::{oneshot, watch};
use weir_shared::{id::Revision, table::TableReader};

use self::{checker::Checker, probe::Network};
use crate::clock::Clock;

/// The checker's thread. Dropping this ends it.
#[derive(Debug)]
pub struct HealthChecker {
    stats: Arc<CheckerStats>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl HealthChecker {
    /// Starts checking the servers of the table in force, and of each one that `published` announces.
    ///
    /// # Errors
    /// When the system gives no thread or no event queue.
    pub fn start(
        reader: TableReader,
        published: watch::Receiver<Revision>,
        clock: Clock,
    ) -> io::Result<Self> {
        let stats = Arc::new(CheckerStats::default());
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .thread_name("weir-resolve")
            .max_blocking_threads(probe::MAX_LOOKUPS)
            .build()?;
        let outliers = outliers::run(reader.clone(), clock);
        let checker = Checker::new(reader, clock, Network::default(), Arc::clone(&stats));
        let thread = std::thread::Builder::new().name("weir-health".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = checker.run(published) => {}
                    () = outliers => {}
                    _ = stopped => {}
                }
            });
            // A name lookup that hangs must not hold up the end of the process.
            runtime.shutdown_background();
        })?;
        Ok(Self { stats, stop: Some(stop), thread: Some(thread) })
    }

    /// How the checker itself is doing.
    #[must_use]
    pub fn stats(&self) -> Arc<CheckerStats> {
        Arc::clone(&self.stats)
    }
}

impl Drop for HealthChecker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A checker that panicked has said so already; there is nothing left to save.
            let _ = thread.join();
        }
    }
}
