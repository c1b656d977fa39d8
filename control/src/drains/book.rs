//! Which drains there are: written by the catalog's one writer, read by anyone.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::Notify;
use weir_shared::{
    model::{AdminState, Config, ServerRecord, UpstreamRecord},
    time::{Moment, Now},
};

use super::{
    Drain, DrainEventKind,
    bound::{Bound, BoundClients},
};
use crate::{
    catalog::address,
    store::{Record, RecordKind, RecordOp, codec},
};

/// A drain with its deadline by the clock that does not jump.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The drain.
    pub drain: Arc<Drain>,
    /// Its deadline.
    pub until: Moment,
    /// What is seen of clients bound to its server.
    pub bound: Arc<Bound>,
}

/// The drains of a process: at most one for each server. Cheap to clone; all clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Drains {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Held for a look or a change, never across an await.
    pages: Mutex<Pages>,
    changed: Notify,
}

/// Both by `upstream/server`; a server is in one of them at most.
#[derive(Debug, Default)]
pub(super) struct Pages {
    /// Drains of servers that are in `drain` for them.
    present: BTreeMap<String, Entry>,
    /// The last drains of servers that are not, or that are gone: how they ended.
    pub(super) past: BTreeMap<String, Arc<Drain>>,
}

/// What is to be done to the book.
#[derive(Clone, Debug)]
pub(super) enum Edit {
    /// Enters a drain, or one that takes the place of another.
    Put(Entry),
    /// Leaves a drain in the past, as which it is given, for this reason.
    Leave(Arc<Drain>, DrainEventKind),
}

impl Drains {
    /// The drain of a server, under way or ended with the server kept.
    #[must_use]
    pub fn of(&self, upstream: &str, server: &str) -> Option<Arc<Drain>> {
        self.entry(upstream, server).map(|entry| entry.drain)
    }

    /// What is seen of clients bound to a server whose drain is under way.
    #[must_use]
    pub fn bound(&self, upstream: &str, server: &str) -> Option<BoundClients> {
        let entry = self.entry(upstream, server).filter(|entry| entry.drain.is_under_way())?;
        Some(entry.bound.seen())
    }

    /// The last drain of the server that `key` names or named: its id, or its address however written. The server may be gone.
    #[must_use]
    pub fn last(&self, upstream: &str, key: &str) -> Option<Arc<Drain>> {
        let pages = self.lock();
        let id = codec::server_key(upstream, key);
        let present = pages.present.get(&id).map(|entry| &entry.drain);
        let at_address = || {
            let wanted = address::canonical(key);
            let named =
                |it: &&Arc<Drain>| it.upstream == upstream && address::canonical(&it.address) == wanted;
            pages.past.values().filter(named).max_by_key(|it| it.started_at)
        };
        present.or_else(|| pages.past.get(&id)).or_else(at_address).cloned()
    }

    /// Every drain that is under way or remembered, in no order.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Drain>> {
        let pages = self.lock();
        let present = pages.present.values().map(|entry| &entry.drain);
        present.chain(pages.past.values()).cloned().collect()
    }

    /// The drains under way, by upstream and server.
    #[must_use]
    pub fn under_way(&self) -> Vec<Entry> {
        self.lock().present.values().filter(|entry| entry.drain.is_under_way()).cloned().collect()
    }

    /// How many drains are under way.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lock().present.values().filter(|entry| entry.drain.is_under_way()).count()
    }

    /// Waits until the book has changed since this was last waited for.
    pub(super) async fn changed(&self) {
        self.shared.changed.notified().await;
    }

    pub(super) fn entry(&self, upstream: &str, server: &str) -> Option<Entry> {
        let pages = self.lock();
        if pages.present.is_empty() {
            return None;
        }
        pages.present.get(&codec::server_key(upstream, server)).cloned()
    }

    /// Takes in what a store holds. Answers the operations that delete what no longer belongs to the configuration.
    pub(crate) fn load(&self, records: Vec<Record>, config: &Config, now: Now) -> Vec<RecordOp> {
        let mut found = Pages::default();
        let mut stale = Vec::new();
        let mut pages = self.lock();
        for Record { id, json, .. } in records {
            let drain = serde_json::from_str::<Drain>(&json)
                .inspect_err(|error| tracing::warn!(id, %error, "a stored drain cannot be read"));
            match drain {
                Ok(drain) if drain.is_past() => {
                    found.past.insert(id, Arc::new(drain));
                }
                Ok(drain) if is_drained(config, &drain) => {
                    let known = pages.present.get(&id).filter(|entry| *entry.drain == drain);
                    let entry = known.cloned().unwrap_or_else(|| Entry::resumed(drain, now));
                    found.present.insert(id, entry);
                }
                Ok(_) | Err(_) => stale.push(RecordOp::Delete { kind: RecordKind::Drain, id }),
            }
        }
        *pages = found;
        drop(pages);
        self.shared.changed.notify_one();
        stale
    }

    /// Makes `edits`, and forgets past drains by their keys.
    pub(super) fn take(&self, edits: Vec<Edit>, forgotten: &[String]) {
        if edits.is_empty() {
            return;
        }
        let mut pages = self.lock();
        for edit in edits {
            match edit {
                Edit::Put(entry) => {
                    let key = entry.drain.key();
                    pages.past.remove(&key);
                    pages.present.insert(key, entry);
                }
                Edit::Leave(drain, _) => {
                    let key = drain.key();
                    pages.present.remove(&key);
                    pages.past.insert(key, drain);
                }
            }
        }
        for key in forgotten {
            pages.past.remove(key);
        }
        drop(pages);
        self.shared.changed.notify_one();
    }

    /// The drains that the step from `before` to `next` makes void: their server is gone, is another one, or is no longer
    /// to be drained. Upstreams that did not change are not looked at.
    pub(super) fn void(&self, before: &Config, next: &Config) -> Vec<Arc<Drain>> {
        let pages = self.lock();
        let mut indexes: HashMap<&str, [HashMap<&str, &Arc<ServerRecord>>; 2]> = HashMap::new();
        let mut void = Vec::new();
        for Entry { drain, .. } in pages.present.values() {
            let id = drain.upstream.as_str();
            let (old, new) = (before.upstreams.get(id), next.upstreams.get(id));
            if let (Some(old), Some(new)) = (old, new)
                && Arc::ptr_eq(old, new)
            {
                continue;
            }
            let [was, is] = indexes.entry(id).or_insert_with(|| [old, new].map(by_id));
            let (was, is) = (was.get(drain.server.as_str()), is.get(drain.server.as_str()));
            let is_same = |address: &str| was.is_none_or(|was| was.server.address == address);
            let stays = is
                .is_some_and(|is| is.server.admin_state == AdminState::Drain && is_same(&is.server.address));
            if !stays {
                void.push(Arc::clone(drain));
            }
        }
        void
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Pages> {
        self.shared.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    /// A drain that another process began: it has what is left of its time, and never more than it was given.
    fn resumed(drain: Drain, now: Now) -> Self {
        let given = drain.deadline.millis_since(drain.started_at);
        let left = drain.deadline.millis_since(now.wall).min(given);
        Self {
            drain: Arc::new(drain),
            until: now.moment.plus(Duration::from_millis(left)),
            bound: Arc::default(),
        }
    }
}

fn is_drained(config: &Config, drain: &Drain) -> bool {
    let server =
        config.upstreams.get(drain.upstream.as_str()).and_then(|record| record.server(&drain.server));
    server.is_some_and(|record| record.server.admin_state == AdminState::Drain)
}

fn by_id(upstream: Option<&Arc<UpstreamRecord>>) -> HashMap<&str, &Arc<ServerRecord>> {
    let servers = upstream.iter().flat_map(|record| &record.servers);
    servers.map(|record| (record.server.id.as_str(), record)).collect()
}
