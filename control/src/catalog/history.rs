//! What was in force before, for as long as the store keeps it.

use std::sync::Arc;

use tokio::task::spawn_blocking;
use weir_shared::{id::Revision, model::Config};

use super::{Catalog, writer::share};
use crate::{
    error::CatalogError,
    store::{Page, RevisionEntry, StoreError, codec},
};

impl Catalog {
    /// The configuration as of `revision`. What did not change since is shared with the one in force.
    ///
    /// # Errors
    /// When there is no such revision yet or any more, or it cannot be read.
    pub async fn config_at(&self, revision: Revision) -> Result<Arc<Config>, CatalogError> {
        let present = self.config();
        if revision == present.revision {
            return Ok(present);
        }
        made(revision, &present)?;
        // One at a time, which the store's one reader makes of them anyway: the texts of a revision take much room. Its turn
        // ends with the work, not with the caller. Fails only once it is closed, which it never is.
        let turn = Arc::clone(&self.past).acquire_owned().await.ok();
        let snapshot = self.store()?.load_at(revision).await.map_err(unreadable)?;
        let snapshot = snapshot.ok_or(CatalogError::RevisionGone(revision))?;
        // Many small texts: some hundred milliseconds for the largest configuration.
        let decoding = spawn_blocking(move || {
            let decoded = codec::decode(snapshot).map(|config| share(config, &present));
            drop(turn);
            decoded
        });
        let decoded = decoding.await.map_err(|error| CatalogError::Unreadable(error.to_string()))?;
        decoded.map(Arc::new).map_err(unreadable)
    }

    /// The commit that made `revision`.
    ///
    /// # Errors
    /// As [`Self::config_at`]; the revision before the first commit was made by none.
    pub async fn revision(&self, revision: Revision) -> Result<RevisionEntry, CatalogError> {
        made(revision, &self.config())?;
        if revision == Revision::default() {
            return Err(CatalogError::NotFound(
                "commit that made revision 0: it is how a store begins".to_owned(),
            ));
        }
        let page = Page { below: revision.0.saturating_add(1), limit: 1 };
        let found = self.revisions(page).await?.into_iter().next();
        found.filter(|entry| entry.revision == revision).ok_or(CatalogError::RevisionGone(revision))
    }

    /// The commits that are kept, newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn revisions(&self, page: Page) -> Result<Vec<RevisionEntry>, CatalogError> {
        self.store()?.revisions(page).await.map_err(unreadable)
    }
}

fn made(revision: Revision, present: &Config) -> Result<(), CatalogError> {
    if revision <= present.revision {
        return Ok(());
    }
    Err(CatalogError::NotFound(format!("revision {revision} yet: the last one is {}", present.revision)))
}

fn unreadable(error: StoreError) -> CatalogError {
    match error {
        StoreError::Corrupt(detail) => CatalogError::Unreadable(detail),
        error
        @ (StoreError::NotInitialised | StoreError::AlreadyInitialised | StoreError::Unavailable(_)) => {
            CatalogError::Unavailable(error.to_string())
        }
    }
}
