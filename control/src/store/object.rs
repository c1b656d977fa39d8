//! What a store holds at a revision: named texts in the order in which they were created.

use weir_shared::{
    id::{Epoch, Revision},
    time::Timestamp,
};

/// What a stored object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// An upstream without its servers.
    Upstream,
    /// One server; its id is `upstream/server`.
    Server,
    /// A route.
    Route,
    /// A listener.
    Listener,
    /// A certificate with its private key.
    Certificate,
}

impl Kind {
    /// The kind as a word, as it is stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Upstream => "upstream",
            Self::Server => "server",
            Self::Route => "route",
            Self::Listener => "listener",
            Self::Certificate => "certificate",
        }
    }

    /// The kind stored as `word`.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        let all = [Self::Upstream, Self::Server, Self::Route, Self::Listener, Self::Certificate];
        all.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// One step of a commit. Steps are applied in order.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// When it was made; `None` before the first, or when that is forgotten.
    pub committed_at: Option<Timestamp>,
    /// The objects, in the order in which they were created.
    pub objects: Vec<Object>,
}
