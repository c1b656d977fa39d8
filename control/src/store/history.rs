//! What a store remembers of the revisions before the last.
//!
//! An object that is replaced or deleted is moved aside with the revisions it was part of, so that every kept revision is
//! read in one pass over what is there and what was moved aside; nothing is replayed, and no revision is slower than
//! another. Revisions are forgotten from the oldest on.

use std::time::Duration;

use weir_shared::{id::Revision, time::Timestamp};

/// Newest revisions kept.
pub const KEPT_REVISIONS: u64 = 1000;

/// How long a revision is kept after another one took its place.
pub const KEPT_FOR: Duration = Duration::from_secs(90 * 24 * 3600);

/// Most bytes of what older revisions held and the last does not; beyond, the oldest are forgotten first. It bounds the
/// store: a thousand revisions that each replace everything could be a thousand times as large as the configuration.
pub const KEPT_BYTES: u64 = 256 * 1024 * 1024;

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
    /// What it changed, as JSON.
    pub changes: String,
}

/// A revision and the commit that made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevisionEntry {
    /// Its number.
    pub revision: Revision,
    /// Who, when and why.
    pub meta: CommitMeta,
}

/// Which part of a list to read, newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Only what has a smaller number.
    pub below: u64,
    /// At most as many.
    pub limit: u32,
}

impl Page {
    /// All there is.
    pub const ALL: Self = Self { below: u64::MAX, limit: u32::MAX };
}
