//! One event: what it is about, and what is told of it, as JSON made once for all listeners.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use weir_shared::{id::Revision, time::Timestamp};

use super::position::Position;
use crate::{
    catalog::diff::{Note, Summary},
    store::{CommitMeta, RevisionEntry},
};

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// Changes of the configuration.
    Config,
    /// Servers and upstreams that change their state.
    Health,
    /// Drains that begin, go on and end.
    Drain,
    /// Listeners that are bound, or cannot be.
    Listeners,
    /// Certificates whose end is near.
    Certificates,
}

impl Topic {
    /// All topics.
    pub const ALL: [Self; 5] = [Self::Config, Self::Health, Self::Drain, Self::Listeners, Self::Certificates];

    /// The topic as a word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Health => "health",
            Self::Drain => "drain",
            Self::Listeners => "listeners",
            Self::Certificates => "certificates",
        }
    }
}

/// Something that happened.
#[derive(Debug, PartialEq, Eq)]
pub struct Event {
    /// How far a listener has come with it.
    pub position: Position,
    /// What it is about.
    pub topic: Topic,
    about: About,
    /// What is told, as JSON on one line.
    pub data: Box<str>,
}

#[derive(Debug, PartialEq, Eq)]
enum About {
    Upstream(Box<str>),
    Changes(Summary),
}

/// A change of the configuration, as told.
#[derive(Debug, Serialize, ToSchema)]
pub struct ConfigEvent<'a> {
    /// The revision that is in force now.
    pub revision: Revision,
    /// When it was committed.
    pub at: Timestamp,
    /// Who changed it.
    #[schema(example = "api")]
    pub actor: &'a str,
    /// Why, or what in short.
    #[schema(example = "put server 10.0.0.7-8080 of upstream web")]
    pub message: &'a str,
    /// The API request that caused it.
    #[schema(example = "4f1c0e6a9b3d4c7e8a5f2b1d0c9e8f7a")]
    pub request_id: &'a str,
    /// The first hundred places that changed.
    pub changes: &'a [Note],
    /// How many places changed.
    pub total: usize,
}

impl Event {
    /// The commit of `revision`, told when `sequence` was the last event observed.
    pub(super) fn commit(revision: Revision, meta: &CommitMeta, sequence: u64) -> Self {
        // Stored by ourselves; a text from another release that is no summary any more tells of no places.
        let summary: Summary = serde_json::from_str(&meta.changes).unwrap_or_default();
        let data = ConfigEvent {
            revision,
            at: meta.at,
            actor: &meta.actor,
            message: &meta.message,
            request_id: &meta.request_id,
            changes: &summary.changes,
            total: summary.total,
        };
        let data = serde_json::to_string(&data).unwrap_or_default().into();
        let position = Position { revision, sequence };
        Self { position, topic: Topic::Config, about: About::Changes(summary), data }
    }

    /// The same as read from the store.
    pub(super) fn past(entry: &RevisionEntry, sequence: u64) -> Arc<Self> {
        Arc::new(Self::commit(entry.revision, &entry.meta, sequence))
    }

    /// Something observed of `upstream`; of none if that is empty.
    pub(super) fn observed(position: Position, topic: Topic, upstream: &str, data: String) -> Self {
        Self { position, topic, about: About::Upstream(upstream.into()), data: data.into() }
    }

    /// Whether it is about `upstream`, as far as can be told: a change of more places than are named may be.
    #[must_use]
    pub fn concerns(&self, upstream: &str) -> bool {
        match &self.about {
            About::Upstream(about) => **about == *upstream,
            About::Changes(summary) => {
                let is_of = |note: &Note| {
                    let id = note.path.strip_prefix("/upstreams/").and_then(|path| path.split('/').next());
                    id == Some(upstream)
                };
                summary.total > summary.changes.len() || summary.changes.iter().any(is_of)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn commit(changes: &Value) -> Event {
        let meta = CommitMeta {
            at: Timestamp(0),
            actor: "api".into(),
            message: "put\nupstream".into(),
            request_id: "r1".into(),
            changes: changes.to_string(),
        };
        Event::commit(Revision(7), &meta, 9)
    }

    #[test]
    fn a_commit_is_told_in_one_line() {
        let changes = json!({"total": 1, "changes": [{"op": "add", "path": "/upstreams/web"}]});
        let event = commit(&changes);
        assert!(!event.data.contains('\n'));
        let told: Value = serde_json::from_str(&event.data).unwrap();
        let expected = json!({
            "revision": 7, "at": "1970-01-01T00:00:00.000Z", "actor": "api", "message": "put\nupstream",
            "request_id": "r1", "changes": [{"op": "add", "path": "/upstreams/web"}], "total": 1
        });
        assert_eq!(told, expected);
    }

    #[test]
    fn a_commit_concerns_the_upstreams_it_touches_and_any_when_it_names_not_all() {
        let changes = |total| json!({"total": total, "changes": [{"op": "replace", "path": "/upstreams/web/servers/a"}]});
        let event = commit(&changes(1));
        assert!(event.concerns("web") && !event.concerns("we") && !event.concerns("api"));
        assert!(commit(&changes(101)).concerns("api"));
        assert!(!commit(&json!("of another release")).concerns("web"));
    }
}
