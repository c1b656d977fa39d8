//! Where configurations are kept: small objects under one revision, changed by atomic commits.
//!
//! A store holds text and knows nothing of what it means ([`codec`] does). What it promises, whatever the engine, is in
//! `tests/store_contract.rs`: a commit happens wholly or not at all, durably when it is answered, only on the revision
//! it was planned on, and revisions have no gaps.
//!
//! Reading history, resuming a watch and remembered idempotency keys join the trait together with their first users.
//! With an embedded engine nobody else commits, so that the one writer needs no watch.

pub mod codec;
mod memory;
mod sqlite;

use std::{fmt, future::Future, pin::Pin};

pub use memory::Memory;
use serde::{Deserialize, Serialize};
pub use sqlite::Sqlite;
use weir_shared::{
    id::{Epoch, Revision},
    time::Timestamp,
};

/// Newest commits whose operations are kept; older ones are forgotten with each commit.
pub const KEPT_REVISIONS: u64 = 1000;

/// What a stored object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An upstream without its servers.
    Upstream,
    /// One server; its id is `upstream/server`.
    Server,
    /// A route.
    Route,
}

impl Kind {
    /// The kind as a word, as it is stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Upstream => "upstream",
            Self::Server => "server",
            Self::Route => "route",
        }
    }

    /// The kind stored as `word`.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Upstream, Self::Server, Self::Route].into_iter().find(|kind| kind.as_str() == word)
    }
}

/// One step of a commit. Steps are applied in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Op {
    /// Creates or replaces an object. A replaced object keeps its place in the order.
    Put {
        /// What it is.
        kind: Kind,
        /// Its name among its kind.
        id: String,
        /// Its content.
        json: String,
    },
    /// Deletes an object, if it is there.
    Delete {
        /// What it is.
        kind: Kind,
        /// Its name among its kind.
        id: String,
    },
}

/// Who made a commit, when, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommitMeta {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// Why, or what in short.
    pub message: String,
    /// The API request that caused it.
    pub request_id: String,
}

/// A change to be made durable as a whole.
#[derive(Clone, Debug)]
pub struct Commit {
    /// The revision it was planned on. With another one at the head nothing is changed.
    pub base: Revision,
    /// What to do.
    pub ops: Vec<Op>,
    /// Who, when and why.
    pub meta: CommitMeta,
}

/// One object as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// What it is.
    pub kind: Kind,
    /// Its name among its kind.
    pub id: String,
    /// Its content.
    pub json: String,
    /// The commit that last put it.
    pub touched: Revision,
}

/// Everything in a store at one revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Life of the store.
    pub epoch: Epoch,
    /// Number of the last commit.
    pub revision: Revision,
    /// When it was made; `None` before the first.
    pub committed_at: Option<Timestamp>,
    /// The objects, in the order in which they were created.
    pub objects: Vec<Object>,
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

    /// Everything, at one revision.
    fn load(&self) -> Pending<'_, Snapshot, StoreError>;

    /// Makes `commit` wholly or not at all. It is durable when this answers its revision.
    ///
    /// Dropping the answer early leaves it open whether the commit is made.
    fn commit(&self, commit: Commit) -> Pending<'_, Revision, CommitError>;
}
