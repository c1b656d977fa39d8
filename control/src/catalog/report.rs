//! How the configuration is kept, as the writer last saw it.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use weir_shared::time::Timestamp;

use crate::status::{StoreState, StoreView};

/// How the configuration is kept, for people and for the API. Cheap to clone; all clones tell the same.
#[derive(Clone, Debug)]
pub struct StoreReport {
    engine: &'static str,
    /// Held for a copy.
    seen: Arc<Mutex<Seen>>,
    copy_failures: Arc<AtomicU64>,
}

#[derive(Clone, Debug)]
struct Seen {
    /// Why nothing can be written, if so.
    read_only: Option<Arc<str>>,
    last_commit_at: Option<Timestamp>,
    /// Why `last-good.json` is not what is in force, if so.
    stale_copy: Option<Arc<str>>,
}

impl StoreReport {
    /// A report on a store that works, or on one that takes no writes for the reason `read_only`.
    #[must_use]
    pub fn new(engine: &'static str, read_only: Option<Arc<str>>, last_commit_at: Option<Timestamp>) -> Self {
        let seen = Seen { read_only, last_commit_at, stale_copy: None };
        Self { engine, seen: Arc::new(Mutex::new(seen)), copy_failures: Arc::default() }
    }

    /// Why nothing can be written; `None` when writes are taken, or were when last tried.
    #[must_use]
    pub fn read_only(&self) -> Option<Arc<str>> {
        self.lock().read_only.clone()
    }

    /// Why `last-good.json` is not what is in force; `None` when it is, or is about to be.
    #[must_use]
    pub fn stale_copy(&self) -> Option<Arc<str>> {
        self.lock().stale_copy.clone()
    }

    /// How often `last-good.json` could not be written.
    #[must_use]
    pub fn copy_failures(&self) -> u64 {
        self.copy_failures.load(Ordering::Relaxed)
    }

    /// The report as the API shows it.
    #[must_use]
    pub fn view(&self) -> StoreView {
        let seen = self.lock().clone();
        StoreView {
            kind: self.engine.to_owned(),
            state: if seen.read_only.is_some() { StoreState::ReadOnly } else { StoreState::Ok },
            last_commit_at: seen.last_commit_at,
        }
    }

    /// Notes that a commit was made.
    pub(super) fn committed(&self, at: Timestamp) {
        let mut seen = self.lock();
        seen.read_only = None;
        seen.last_commit_at = Some(at);
    }

    /// Notes that a commit could not be made. The next one that is made takes it back.
    pub(super) fn failed(&self, detail: &str) {
        self.lock().read_only = Some(format!("the last change could not be stored ({detail})").into());
    }

    /// Notes that `last-good.json` was written.
    pub(crate) fn copied(&self) {
        self.lock().stale_copy = None;
    }

    /// Notes that `last-good.json` could not be written.
    pub(crate) fn not_copied(&self, detail: &str) {
        self.copy_failures.fetch_add(1, Ordering::Relaxed);
        self.lock().stale_copy = Some(detail.into());
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
