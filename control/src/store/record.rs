//! What is kept beside the configuration, in the same transactions: it has no revisions, is in no exported document, and
//! no rollback brings it back.

use std::time::Duration;

use weir_shared::time::Timestamp;

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecordKind {
    /// A call of the API that changed something or was refused.
    Audit,
    /// The answer to a change with an idempotency key; its id is the key.
    Answer,
    /// Who may call the API with which bearer token.
    Token,
    /// The last drain of a server, under way or ended; its id is `upstream/server`.
    Drain,
}

/// Bounds of what is kept of a kind; beyond, the oldest are forgotten first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// At most as many.
    pub count: u64,
    /// For as long.
    pub age: Duration,
}

impl RecordKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Audit, Self::Answer, Self::Token, Self::Drain];

    /// The kind as a word, as it is stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Audit => "audit",
            Self::Answer => "answer",
            Self::Token => "token",
            Self::Drain => "drain",
        }
    }

    /// What is kept of the kind; `None`: whatever was put and not deleted.
    #[must_use]
    pub fn kept(self) -> Option<Kept> {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        match self {
            Self::Audit => Some(Kept { count: 100_000, age: DAY * 90 }),
            Self::Answer => Some(Kept { count: 10_000, age: DAY }),
            Self::Token | Self::Drain => None,
        }
    }
}

/// One step with records. Steps are applied in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordOp {
    /// Creates or replaces a record, which is the newest of its kind then.
    Put {
        /// What it is.
        kind: RecordKind,
        /// Its name among its kind.
        id: String,
        /// Its content.
        json: String,
        /// Since when it is kept.
        at: Timestamp,
    },
    /// Deletes a record, if it is there.
    Delete {
        /// What it is.
        kind: RecordKind,
        /// Its name among its kind.
        id: String,
    },
}

/// One record as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its number: larger than that of every record of its kind put before, and never used again.
    pub number: u64,
    /// Its name among its kind.
    pub id: String,
    /// Its content.
    pub json: String,
    /// Since when it is kept.
    pub at: Timestamp,
}
