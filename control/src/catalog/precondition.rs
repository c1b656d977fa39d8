//! What a caller may demand of a resource's present state, and the tags that name a state.
//!
//! A tag holds the commit that last touched the resource or a child and the life of the store, so that a tag from before
//! a restore never matches a revision number used again. Source: RFC 9110 §8.8.3 and §13.1.

use weir_shared::id::{Epoch, Revision};

/// The tag, without quotes, of a resource last touched by `revision`.
#[must_use]
pub fn tag(revision: Revision, epoch: &Epoch) -> String {
    format!("r{revision}.{epoch}")
}

/// Tags a caller named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tags {
    /// `*`: any state, but there must be one.
    Any,
    /// These. Where the comparison is a strong one, weak ones are left out, because they never match.
    These(Vec<String>),
}

impl Tags {
    fn matches(&self, current: Option<&str>) -> bool {
        match self {
            Self::Any => current.is_some(),
            Self::These(tags) => current.is_some_and(|current| tags.iter().any(|tag| tag == current)),
        }
    }
}

/// Whether a caller must name the state of what it replaces, changes or deletes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IfMatch {
    /// It may.
    #[default]
    Optional,
    /// It must.
    Required,
}

/// What a caller demands of the resource's state before a change is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Precondition {
    /// `If-Match`: the state must be one of these.
    pub matches: Option<Tags>,
    /// `If-None-Match`: the state must be none of these.
    pub matches_none: Option<Tags>,
    /// Whether there must be an `If-Match` when there is something to match.
    pub if_match: IfMatch,
}

impl Precondition {
    /// Whether a resource with the tag `current` (`None`: not there) is in a state that was demanded.
    #[must_use]
    pub fn holds(&self, current: Option<&str>) -> bool {
        self.matches.as_ref().is_none_or(|tags| tags.matches(current))
            && !self.matches_none.as_ref().is_some_and(|tags| tags.matches(current))
    }

    /// Whether `If-Match` is missing for a resource that is there.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        self.if_match == IfMatch::Required && self.matches.is_none()
    }
}
