//! A store in memory: for tests, and for a process that shall leave nothing behind.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    future::ready,
    sync::{Mutex, MutexGuard, PoisonError},
};

use weir_shared::{
    id::{Epoch, Revision},
    time::Timestamp,
};

use super::{
    Commit, CommitError, KEPT_BYTES, KEPT_FOR, KEPT_REVISIONS, Kind, Object, Op, Page, Pending, Record,
    RecordKind, RecordOp, RevisionEntry, Snapshot, Store, StoreError,
};

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
    /// By order of creation.
    objects: BTreeMap<u64, Object>,
    places: HashMap<(Kind, String), u64>,
    next_place: u64,
    /// Oldest first.
    revisions: VecDeque<RevisionEntry>,
    /// Oldest first.
    past: VecDeque<Past>,
    past_bytes: u64,
    /// The first revision that can still be read.
    floor: Revision,
    records: HashMap<RecordKind, Vec<Record>>,
    next_record: u64,
}

/// An object as it was before the revision `until`.
#[derive(Debug)]
struct Past {
    object: Object,
    place: u64,
    until: Revision,
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
            objects: BTreeMap::new(),
            places: HashMap::new(),
            next_place: 0,
            revisions: VecDeque::new(),
            past: VecDeque::new(),
            past_bytes: 0,
            floor: Revision::default(),
            records: HashMap::new(),
            next_record: 0,
        });
        Ok(())
    }

    fn read<T>(&self, read: impl FnOnce(&State) -> T) -> Result<T, StoreError> {
        self.lock().as_ref().map(read).ok_or(StoreError::NotInitialised)
    }

    fn write<T>(&self, write: impl FnOnce(&mut State) -> Result<T, CommitError>) -> Result<T, CommitError> {
        let mut state = self.lock();
        let missing = || CommitError::Unavailable(StoreError::NotInitialised.to_string());
        write(state.as_mut().ok_or_else(missing)?)
    }
}

impl State {
    fn at(&self, revision: Revision) -> Option<Snapshot> {
        if revision < self.floor || revision > self.revision {
            return None;
        }
        let mut objects: Vec<(u64, &Object)> = self
            .past
            .iter()
            .filter(|past| past.object.touched <= revision && past.until > revision)
            .map(|past| (past.place, &past.object))
            .collect();
        let present = self.objects.iter().filter(|(_, object)| object.touched <= revision);
        objects.extend(present.map(|(place, object)| (*place, object)));
        objects.sort_unstable_by_key(|(place, _)| *place);
        let entry = self.revisions.iter().find(|entry| entry.revision == revision);
        Some(Snapshot {
            epoch: self.epoch.clone(),
            revision,
            committed_at: entry.map(|entry| entry.meta.at),
            objects: objects.into_iter().map(|(_, object)| object.clone()).collect(),
        })
    }

    fn commit(&mut self, commit: Commit) -> Result<Revision, CommitError> {
        if self.revision != commit.base {
            return Err(CommitError::Conflict { head: self.revision });
        }
        self.revision.0 += 1;
        commit.ops.into_iter().for_each(|op| self.apply(op));
        let at = commit.meta.at;
        self.revisions.push_back(RevisionEntry { revision: self.revision, meta: commit.meta });
        self.forget(at);
        self.record(commit.records);
        Ok(self.revision)
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Put { kind, id, json } => {
                let place = *self.places.entry((kind, id.clone())).or_insert_with(|| {
                    self.next_place += 1;
                    self.next_place
                });
                let object = Object { kind, id, json, touched: self.revision };
                let before = self.objects.insert(place, object);
                self.move_aside(place, before);
            }
            Op::Delete { kind, id } => {
                if let Some(place) = self.places.remove(&(kind, id)) {
                    let before = self.objects.remove(&place);
                    self.move_aside(place, before);
                }
            }
        }
    }

    /// Keeps `before` for the revisions it was part of, if there are any.
    fn move_aside(&mut self, place: u64, before: Option<Object>) {
        if let Some(object) = before.filter(|object| object.touched < self.revision) {
            self.past_bytes += object.json.len() as u64;
            self.past.push_back(Past { object, place, until: self.revision });
        }
    }

    fn forget(&mut self, now: Timestamp) {
        let by_count = Revision((self.revision.0 + 1).saturating_sub(KEPT_REVISIONS));
        let since = Timestamp(now.0.saturating_sub(Timestamp(0).plus(KEPT_FOR).0));
        let young = self.revisions.iter().find(|entry| entry.meta.at >= since);
        // The one before the first young one was in force until then.
        let by_age = young.map_or(self.revision, |entry| Revision(entry.revision.0.saturating_sub(1)));
        self.floor = self.floor.max(by_count).max(by_age);
        while let Some(past) = self.past.front()
            && (past.until <= self.floor || self.past_bytes > KEPT_BYTES)
        {
            self.past_bytes -= past.object.json.len() as u64;
            self.floor = self.floor.max(past.until);
            self.past.pop_front();
        }
        while self.revisions.front().is_some_and(|entry| entry.revision < self.floor) {
            self.revisions.pop_front();
        }
    }

    fn record(&mut self, ops: Vec<RecordOp>) {
        for op in ops {
            match op {
                RecordOp::Put { kind, id, json, at } => {
                    self.next_record += 1;
                    let records = self.records.entry(kind).or_default();
                    records.retain(|record| record.id != id);
                    records.push(Record { number: self.next_record, id, json, at });
                    if let Some(kept) = kind.kept() {
                        let surplus =
                            records.len().saturating_sub(usize::try_from(kept.count).unwrap_or(usize::MAX));
                        records.drain(..surplus);
                        let since = Timestamp(at.0.saturating_sub(Timestamp(0).plus(kept.age).0));
                        records.retain(|record| record.at >= since);
                    }
                }
                RecordOp::Delete { kind, id } => {
                    self.records.entry(kind).or_default().retain(|record| record.id != id);
                }
            }
        }
    }

    fn records(&self, kind: RecordKind, page: Page) -> Vec<Record> {
        let records = self.records.get(&kind).into_iter().flatten().rev();
        let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
        records.filter(|record| record.number < page.below).take(limit).cloned().collect()
    }

    fn revisions(&self, page: Page) -> Vec<RevisionEntry> {
        let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
        let entries = self.revisions.iter().rev().filter(|entry| entry.revision.0 < page.below);
        entries.take(limit).cloned().collect()
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
        let mut state = self.lock();
        Box::pin(ready(state.as_mut().map(|state| state.epoch = epoch).ok_or(StoreError::NotInitialised)))
    }

    fn load(&self) -> Pending<'_, Snapshot, StoreError> {
        let snapshot = self.read(|state| state.at(state.revision));
        let whole = |snapshot: Option<_>| snapshot.ok_or(StoreError::NotInitialised);
        Box::pin(ready(snapshot.and_then(whole)))
    }

    fn load_at(&self, revision: Revision) -> Pending<'_, Option<Snapshot>, StoreError> {
        Box::pin(ready(self.read(|state| state.at(revision))))
    }

    fn revisions(&self, page: Page) -> Pending<'_, Vec<RevisionEntry>, StoreError> {
        Box::pin(ready(self.read(|state| state.revisions(page))))
    }

    fn commit(&self, commit: Commit) -> Pending<'_, Revision, CommitError> {
        Box::pin(ready(self.write(|state| state.commit(commit))))
    }

    fn record(&self, ops: Vec<RecordOp>) -> Pending<'_, (), CommitError> {
        let make = |state: &mut State| {
            state.record(ops);
            Ok(())
        };
        Box::pin(ready(self.write(make)))
    }

    fn records(&self, kind: RecordKind, page: Page) -> Pending<'_, Vec<Record>, StoreError> {
        Box::pin(ready(self.read(|state| state.records(kind, page))))
    }

    fn find_record(&self, kind: RecordKind, id: &str) -> Pending<'_, Option<Record>, StoreError> {
        let found = self.read(|state| {
            state.records.get(&kind).into_iter().flatten().find(|record| record.id == id).cloned()
        });
        Box::pin(ready(found))
    }
}
