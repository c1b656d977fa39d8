//! Where configurations are kept: small objects under one revision, changed by atomic commits, with the history of the
//! revisions before and with records that belong to no revision.
//!
//! A store holds text and knows nothing of what it means ([`codec`] does). What it promises, whatever the engine, is in
//! `tests/store_contract.rs`: a commit happens wholly or not at all, durably when it is answered, only on the revision
//! it was planned on, and revisions have no gaps.
//!
//! With an embedded engine nobody else commits, so that the one writer needs no watch.

pub mod codec;
mod history;
mod memory;
mod object;
mod record;
mod sqlite;

use std::{fmt, future::Future, pin::Pin};

pub use history::{CommitMeta, KEPT_BYTES, KEPT_FOR, KEPT_REVISIONS, Page, RevisionEntry};
pub use memory::Memory;
pub use object::{Kind, Object, Op, Snapshot};
pub use record::{Kept, Record, RecordKind, RecordOp};
pub use sqlite::Sqlite;
use weir_shared::id::{Epoch, Revision};

/// A change to be made durable as a whole.
#[derive(Clone, Debug)]
pub struct Commit {
    /// The revision it was planned on. With another one at the head nothing is changed.
    pub base: Revision,
    /// What to do.
    pub ops: Vec<Op>,
    /// What to do with records in the same transaction.
    pub records: Vec<RecordOp>,
    /// Who, when and why.
    pub meta: CommitMeta,
}

/// Why a store cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It has never been set up, which is something else than holding nothing.
    #[error("the store is not initialised")]
    NotInitialised,
    /// It has been set up before.
    #[error("the store is already initialised")]
    AlreadyInitialised,
    /// What it holds is damaged.
    #[error("the store is damaged: {0}")]
    Corrupt(String),
    /// It cannot be reached or used at the moment.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
}

/// Why a commit was not, or perhaps not, made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// Another commit came first. Nothing was changed.
    #[error("the store is at revision {head} already")]
    Conflict {
        /// The revision the store is at.
        head: Revision,
    },
    /// Nothing was changed.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// It cannot be told whether the commit was made.
    #[error("the outcome of the commit is unknown: {0}")]
    Unknown(String),
}

/// An answer that takes a while.
pub type Pending<'a, T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'a>>;

/// Keeps configurations. Cheap to call from async code: none of the calls blocks its thread.
pub trait Store: Send + Sync + fmt::Debug {
    /// Name of the engine, for people.
    fn engine(&self) -> &'static str;

    /// Sets up a new store: revision 0, no objects. Refused when it has been set up before.
    fn initialise(&self, epoch: Epoch) -> Pending<'_, (), StoreError>;

    /// Begins a new life of the store with what it holds, durably when this answers. What was said of a revision in
    /// the old life is not true of the same number in the new one.
    fn renew(&self, epoch: Epoch) -> Pending<'_, (), StoreError>;

    /// Everything, at the last revision.
    fn load(&self) -> Pending<'_, Snapshot, StoreError>;

    /// Everything, at `revision`; `None` when that is forgotten or has not been made.
    fn load_at(&self, revision: Revision) -> Pending<'_, Option<Snapshot>, StoreError>;

    /// The revisions that are kept, newest first. Revision 0 was made by no commit and is never among them.
    fn revisions(&self, page: Page) -> Pending<'_, Vec<RevisionEntry>, StoreError>;

    /// Makes `commit` wholly or not at all. It is durable when this answers its revision.
    ///
    /// Dropping the answer early leaves it open whether the commit is made.
    fn commit(&self, commit: Commit) -> Pending<'_, Revision, CommitError>;

    /// Makes all of `ops` or none, without a revision. They are durable when this answers.
    fn record(&self, ops: Vec<RecordOp>) -> Pending<'_, (), CommitError>;

    /// The records of `kind`, newest first.
    fn records(&self, kind: RecordKind, page: Page) -> Pending<'_, Vec<Record>, StoreError>;

    /// The record of `kind` named `id`.
    fn find_record(&self, kind: RecordKind, id: &str) -> Pending<'_, Option<Record>, StoreError>;
}
