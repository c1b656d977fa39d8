//! What a change means for the drains: which one it begins or ends, and which ones it makes void.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use serde_json::json;
use weir_shared::{
    model::{AdminState, Config},
    time::Now,
};

use super::{
    Drain, DrainEvent, DrainEventKind, DrainOutcome, Drains, End, MAX_PAST, StartDrain, Then,
    book::{Edit, Entry},
};
use crate::{
    catalog::change::{Change, Outcome},
    error::CatalogError,
    store::{RecordKind, RecordOp},
};

/// What a change does to the drains, once it is made.
#[derive(Clone, Debug, Default)]
pub(crate) struct Step {
    edits: Vec<Edit>,
    /// Keys of drains that are no longer remembered.
    forgotten: Vec<String>,
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
            Edit::Leave(drain, kind) => DrainEvent::new(*kind, drain),
        };
        self.edits.iter().map(event).collect()
    }

    /// What the store has to do, in the transaction of the change.
    pub(crate) fn records(&self) -> Vec<RecordOp> {
        let put = |edit: &Edit| {
            let (Edit::Put(Entry { drain, .. }) | Edit::Leave(drain, _)) = edit;
            let json = serde_json::to_string(drain).unwrap_or_default();
            RecordOp::Put { kind: RecordKind::Drain, id: drain.key(), json, at: drain.started_at }
        };
        let delete = |key: &String| RecordOp::Delete { kind: RecordKind::Drain, id: key.clone() };
        self.edits.iter().map(put).chain(self.forgotten.iter().map(delete)).collect()
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
        let how = |drain: &Arc<Drain>| match change {
            Change::EndDrain { drain: ended, outcome } if Arc::ptr_eq(ended, drain) => *outcome,
            _ => DrainOutcome::Cancelled,
        };
        let mut edits: Vec<Edit> = void.iter().map(|drain| leave(drain, how(drain), now)).collect();
        let mut begun = None;
        match change {
            Change::StartDrain(start) => {
                let entry = self.begin(start, outcome, before, now);
                begun = Some(Arc::clone(&entry.drain));
                edits.push(Edit::Put(entry));
            }
            // Back in `drain`, if that is what it was before: the drain is over all the same.
            Change::CancelDrain { upstream, key } if void.is_empty() => {
                let drain = self.find(before, upstream, key);
                edits.extend(drain.map(|drain| leave(&drain, DrainOutcome::Cancelled, now)));
            }
            Change::EndDrain { drain, outcome } if drain.then == Then::Keep => {
                let end = End { outcome: *outcome, at: now.wall, is_past: false };
                let drain = Drain { end: Some(end), ..Drain::clone(drain) };
                edits.push(Edit::Put(Entry {
                    drain: Arc::new(drain),
                    until: now.moment,
                    bound: Arc::default(),
                }));
            }
            _ => {}
        }
        let forgotten = self.beyond(&edits);
        Step { edits, forgotten, begun }
    }

    /// The keys of the oldest drains that are past, as far as there will be too many with `edits`.
    fn beyond(&self, edits: &[Edit]) -> Vec<String> {
        let left = edits.iter().filter_map(|edit| match edit {
            Edit::Leave(drain, _) => Some(drain),
            Edit::Put(_) => None,
        });
        let pages = self.lock();
        if left.clone().next().is_none() || pages.past.len() + edits.len() <= MAX_PAST {
            return Vec::new();
        }
        let ended_at = |drain: &Arc<Drain>| (drain.key(), drain.end.map(|end| end.at));
        // Of a server's drains the later one takes the place of the one before.
        let all: BTreeMap<String, _> = pages.past.values().chain(left).map(ended_at).collect();
        let mut all: Vec<_> = all.into_iter().collect();
        all.sort_by_key(|(_, at)| *at);
        let surplus = all.len().saturating_sub(MAX_PAST);
        all.into_iter().take(surplus).map(|(key, _)| key).collect()
    }

    /// Enters what was made durable.
    pub(crate) fn made(&self, step: Step) {
        self.take(step.edits, &step.forgotten);
    }

    /// The drain of the server that `key` names.
    fn find(&self, config: &Config, upstream: &str, key: &str) -> Option<Arc<Drain>> {
        let record = config.upstreams.get(upstream)?;
        self.of(upstream, &record.find(key)?.server.id)
    }

    /// The drain that `start` begins. Where the server is still in `drain` for one that has ended, it was before what it was
    /// before that one: cancelling is about both.
    fn begin(&self, start: &StartDrain, outcome: &Outcome, before: &Config, now: Now) -> Entry {
        let id = outcome.servers.first().map(String::as_str).unwrap_or_default();
        let upstream = before.upstreams.get(start.upstream.as_str());
        let timeout = start.timeout.or_else(|| upstream.map(|record| record.spec.drain_timeout));
        let timeout = timeout.unwrap_or_default().duration();
        let server = upstream.and_then(|record| record.server(id));
        let present = server.map(|record| record.server.admin_state).unwrap_or_default();
        let ended = self.of(&start.upstream, id).filter(|_| present == AdminState::Drain);
        let drain = Drain {
            upstream: start.upstream.clone(),
            server: id.to_owned(),
            address: server.map(|record| record.server.address.clone()).unwrap_or_default(),
            started_at: now.wall,
            deadline: now.wall.plus(timeout),
            then: start.then,
            admin_state_before: ended.map_or(present, |ended| ended.admin_state_before),
            end: None,
        };
        Entry { drain: Arc::new(drain), until: now.moment.plus(timeout), bound: Arc::default() }
    }
}

/// Leaves `drain` in the past. One that had ended before, with its server kept, ended as it did.
fn leave(drain: &Arc<Drain>, outcome: DrainOutcome, now: Now) -> Edit {
    let ended = drain.end.unwrap_or(End { outcome, at: now.wall, is_past: true });
    let past = Drain { end: Some(End { is_past: true, ..ended }), ..Drain::clone(drain) };
    Edit::Leave(Arc::new(past), outcome.into())
}
