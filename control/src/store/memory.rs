//! A store in memory: for tests, and for a process that shall leave nothing behind.

use std::{
    collections::{BTreeMap, HashMap},
    future::ready,
    sync::{Mutex, MutexGuard, PoisonError},
};

use weir_shared::{
    id::{Epoch, Revision},
    time::Timestamp,
};

use super::{Commit, CommitError, Kind, Object, Op, Pending, Snapshot, Store, StoreError};

/// Keeps everything in memory and forgets it when dropped.
#[derive(Debug, Default)]
pub struct Memory {
    /// Held for one call, never across an await.
    state: Mutex<Option<State>>,
}

#[derive(Debug)]
struct State {
    epoch: Epoch,
    revision: Revision,
    committed_at: Option<Timestamp>,
    /// By order of creation.
    objects: BTreeMap<u64, Object>,
    places: HashMap<(Kind, String), u64>,
    next_place: u64,
}

impl Memory {
    fn lock(&self) -> MutexGuard<'_, Option<State>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn initialise_now(&self, epoch: Epoch) -> Result<(), StoreError> {
        let mut state = self.lock();
        if state.is_some() {
            return Err(StoreError::AlreadyInitialised);
        }
        *state = Some(State {
            epoch,
            revision: Revision::default(),
            committed_at: None,
            objects: BTreeMap::new(),
            places: HashMap::new(),
            next_place: 0,
        });
        Ok(())
    }

    fn renew_now(&self, epoch: Epoch) -> Result<(), StoreError> {
        self.lock().as_mut().ok_or(StoreError::NotInitialised)?.epoch = epoch;
        Ok(())
    }

    fn load_now(&self) -> Result<Snapshot, StoreError> {
        let state = self.lock();
        let state = state.as_ref().ok_or(StoreError::NotInitialised)?;
        Ok(Snapshot {
            epoch: state.epoch.clone(),
            revision: state.revision,
            committed_at: state.committed_at,
            objects: state.objects.values().cloned().collect(),
        })
    }

    fn commit_now(&self, commit: Commit) -> Result<Revision, CommitError> {
        let mut state = self.lock();
        let state =
            state.as_mut().ok_or_else(|| CommitError::Unavailable(StoreError::NotInitialised.to_string()))?;
        if state.revision != commit.base {
            return Err(CommitError::Conflict { head: state.revision });
        }
        state.revision.0 += 1;
        state.committed_at = Some(commit.meta.at);
        commit.ops.into_iter().for_each(|op| state.apply(op));
        Ok(state.revision)
    }
}

impl State {
    fn apply(&mut self, op: Op) {
        match op {
            Op::Put { kind, id, json } => {
                let place = *self.places.entry((kind, id.clone())).or_insert_with(|| {
                    self.next_place += 1;
                    self.next_place
                });
                self.objects.insert(place, Object { kind, id, json, touched: self.revision });
            }
            Op::Delete { kind, id } => {
                if let Some(place) = self.places.remove(&(kind, id)) {
                    self.objects.remove(&place);
                }
            }
        }
    }
}

impl Store for Memory {
    fn engine(&self) -> &'static str {
        "memory"
    }

    fn initialise(&self, epoch: Epoch) -> Pending<'_, (), StoreError> {
        Box::pin(ready(self.initialise_now(epoch)))
    }

    fn renew(&self, epoch: Epoch) -> Pending<'_, (), StoreError> {
        Box::pin(ready(self.renew_now(epoch)))
    }

    fn load(&self) -> Pending<'_, Snapshot, StoreError> {
        Box::pin(ready(self.load_now()))
    }

    fn commit(&self, commit: Commit) -> Pending<'_, Revision, CommitError> {
        Box::pin(ready(self.commit_now(commit)))
    }
}
