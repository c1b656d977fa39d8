//! What a change means for the drains: which one it begins or ends, and which ones it makes void.

use std::{borrow::Cow, sync::Arc};

use serde_json::json;
use weir_shared::{
    model::{AdminState, Config},
    time::Now,
};

use super::{
    Drain, DrainEvent, DrainEventKind, Drains, End, StartDrain, Then,
    book::{Edit, Entry},
};
use crate::{
    catalog::change::{Change, Outcome},
    error::CatalogError,
    store::{RecordKind, RecordOp, codec},
};

/// What a change does to the drains, once it is made.
#[derive(Clone, Debug, Default)]
pub(crate) struct Step {
    edits: Vec<Edit>,
    begun: Option<Arc<Drain>>,
}

impl Step {
    /// Whether nothing is done.
    pub(crate) fn is_empty(&self) -> bool {
        self.edits.is_empty()
    }

    /// The drain that begins.
    pub(crate) fn begun(&self) -> Option<Arc<Drain>> {
        self.begun.clone()
    }

    /// What to tell of it.
    pub(crate) fn events(&self) -> Vec<DrainEvent> {
        let event = |edit: &Edit| match edit {
            Edit::Put(Entry { drain, .. }) => {
                let kind = match drain.end {
                    None => DrainEventKind::Started,
                    Some(end) => end.outcome.into(),
                };
                DrainEvent::new(kind, drain)
            }
            Edit::Remove(drain, kind) => DrainEvent::new(*kind, drain),
        };
        self.edits.iter().map(event).collect()
    }

    /// What the store has to do, in the transaction of the change.
    pub(crate) fn records(&self) -> Vec<RecordOp> {
        let record = |edit: &Edit| match edit {
            Edit::Put(Entry { drain, .. }) => RecordOp::Put {
                kind: RecordKind::Drain,
                id: codec::server_key(&drain.upstream, &drain.server),
                json: serde_json::to_string(drain).unwrap_or_default(),
                at: drain.started_at,
            },
            Edit::Remove(drain, _) => {
                let id = codec::server_key(&drain.upstream, &drain.server);
                RecordOp::Delete { kind: RecordKind::Drain, id }
            }
        };
        self.edits.iter().map(record).collect()
    }
}

impl Drains {
    /// The change of the configuration that `change` comes to: itself, unless it is about a drain.
    ///
    /// # Errors
    /// When a drain that is to begin is under way already, or one that is to end is not there.
    pub(crate) fn concrete<'a>(
        &self,
        change: &'a Change,
        config: &Config,
    ) -> Result<Cow<'a, Change>, CatalogError> {
        let patch = |upstream: &str, key: &str, state: AdminState| Change::PatchServer {
            upstream: upstream.to_owned(),
            key: key.to_owned(),
            patch: json!({ "admin_state": state }),
        };
        Ok(Cow::Owned(match change {
            Change::StartDrain(StartDrain { upstream, key, .. }) => {
                if let Some(drain) = self.find(config, upstream, key).filter(|drain| drain.is_under_way()) {
                    return Err(CatalogError::DrainUnderWay(drain));
                }
                patch(upstream, key, AdminState::Drain)
            }
            Change::CancelDrain { upstream, key } => {
                let drain = self.find(config, upstream, key).ok_or_else(|| {
                    CatalogError::NotFound(format!("drain of server \"{key}\" in upstream \"{upstream}\""))
                })?;
                patch(upstream, key, drain.admin_state_before)
            }
            Change::EndDrain { drain, .. } => {
                let Drain { upstream, server, .. } = &**drain;
                if !self.of(upstream, server).is_some_and(|present| Arc::ptr_eq(&present, drain)) {
                    return Err(CatalogError::NotFound(format!("such drain of server \"{server}\"")));
                }
                match drain.then {
                    Then::Keep => patch(upstream, server, AdminState::Drain),
                    Then::Maint => patch(upstream, server, AdminState::Maint),
                    Then::Remove => Change::DeleteServer { upstream: upstream.clone(), key: server.clone() },
                }
            }
            _ => return Ok(Cow::Borrowed(change)),
        }))
    }

    /// What `change` does to the drains when it takes the configuration from `before` to `next`.
    pub(crate) fn step(
        &self,
        change: &Change,
        outcome: &Outcome,
        (before, next): (&Config, &Config),
        now: Now,
    ) -> Step {
        let void = self.void(before, next);
        let why = |drain: &Arc<Drain>| match change {
            Change::EndDrain { drain: ended, outcome } if Arc::ptr_eq(ended, drain) => (*outcome).into(),
            _ => DrainEventKind::Cancelled,
        };
        let mut edits: Vec<Edit> =
            void.iter().map(|drain| Edit::Remove(Arc::clone(drain), why(drain))).collect();
        let mut begun = None;
        match change {
            Change::StartDrain(start) => {
                let entry = begin(start, outcome, before, now);
                begun = Some(Arc::clone(&entry.drain));
                edits.push(Edit::Put(entry));
            }
            // Back in `drain`, if that is what it was before: the drain is over all the same.
            Change::CancelDrain { upstream, key } if void.is_empty() => {
                let drain = self.find(before, upstream, key);
                edits.extend(drain.map(|drain| Edit::Remove(drain, DrainEventKind::Cancelled)));
            }
            Change::EndDrain { drain, outcome } if drain.then == Then::Keep => {
                let drain =
                    Drain { end: Some(End { outcome: *outcome, at: now.wall }), ..Drain::clone(drain) };
                edits.push(Edit::Put(Entry { drain: Arc::new(drain), until: now.moment }));
            }
            _ => {}
        }
        Step { edits, begun }
    }

    /// Enters what was made durable.
    pub(crate) fn made(&self, step: Step) {
        self.take(step.edits);
    }

    /// The drain of the server that `key` names.
    fn find(&self, config: &Config, upstream: &str, key: &str) -> Option<Arc<Drain>> {
        let record = config.upstreams.get(upstream)?;
        self.of(upstream, &record.find(key)?.server.id)
    }
}

fn begin(start: &StartDrain, outcome: &Outcome, before: &Config, now: Now) -> Entry {
    let id = outcome.servers.first().map(String::as_str).unwrap_or_default();
    let upstream = before.upstreams.get(start.upstream.as_str());
    let timeout = start.timeout.or_else(|| upstream.map(|record| record.spec.drain_timeout));
    let timeout = timeout.unwrap_or_default().duration();
    let server = upstream.and_then(|record| record.server(id));
    let drain = Drain {
        upstream: start.upstream.clone(),
        server: id.to_owned(),
        started_at: now.wall,
        deadline: now.wall.plus(timeout),
        then: start.then,
        admin_state_before: server.map(|record| record.server.admin_state).unwrap_or_default(),
        end: None,
    };
    Entry { drain: Arc::new(drain), until: now.moment.plus(timeout) }
}
