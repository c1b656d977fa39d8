//! A listener: a place on the bus that moves on, and what it wants to hear.

use std::sync::{Arc, atomic::Ordering};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use utoipa::ToSchema;
use weir_shared::id::Revision;

use super::{
    Bus, MAX_CONSUMERS,
    bus::{Glance, Next},
    event::{Event, Topic},
    position::{EventId, Position},
};
use crate::store::{Page, RevisionEntry, Store};

/// Events handed out at once.
const BATCH: usize = 64;

/// What a listener wants to hear.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Topics; none means all.
    pub topics: Vec<Topic>,
    /// Only what concerns this upstream.
    pub upstream: Option<String>,
}

impl Filter {
    fn has(&self, topic: Topic) -> bool {
        self.topics.is_empty() || self.topics.contains(&topic)
    }

    fn passes(&self, event: &Event) -> bool {
        self.has(event.topic) && self.upstream.as_deref().is_none_or(|upstream| event.concerns(upstream))
    }
}

/// Where a listener begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// With what happens from now on.
    Present,
    /// With the change after this revision; of what was observed, from now on.
    Since(Revision),
    /// After this event.
    After(EventId),
    /// After something that is no event of ours.
    Unknown,
}

/// Why something is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ResetReason {
    /// The store has begun a new life: revisions of the old one mean nothing any more.
    Epoch,
    /// The process was started anew.
    Restarted,
    /// It is longer ago than is kept.
    Pruned,
    /// The listener read too slowly.
    Slow,
    /// There was no such event here.
    Unknown,
}

/// Told instead of what is missing: whoever reads this reads the state anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Reset {
    /// The revision in force.
    #[schema(value_type = u64, example = 43)]
    pub revision: Revision,
    /// Why.
    pub reason: ResetReason,
    /// The topics of which something is missing.
    pub topics: Vec<Topic>,
}

/// What a listener is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// Something happened; the listener is at the position with it.
    Event(Position, Arc<Event>),
    /// Something is missing; the listener is at the position after it.
    Reset(Position, Reset),
}

/// There are too many listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{MAX_CONSUMERS} event streams are open already")]
pub struct Full;

/// A listener.
#[derive(Debug)]
pub struct Consumer {
    bus: Bus,
    news: watch::Receiver<()>,
    /// Where past changes are read; `None`: nowhere.
    store: Option<Arc<dyn Store>>,
    filter: Filter,
    at: Position,
    /// What is known to be missing from the beginning.
    missing: Option<ResetReason>,
    /// Whether it once knew everything, so that what it misses now was missed for slowness.
    had_caught_up: bool,
}

impl Bus {
    /// Lets somebody listen from `start` on. Past changes are read in `store`.
    ///
    /// # Errors
    /// When there are too many listeners.
    pub fn listen(
        &self,
        filter: Filter,
        start: Start,
        store: Option<Arc<dyn Store>>,
    ) -> Result<Consumer, Full> {
        let count = &self.counts().consumers;
        if count.fetch_add(1, Ordering::Relaxed) >= MAX_CONSUMERS {
            count.fetch_sub(1, Ordering::Relaxed);
            return Err(Full);
        }
        let head = self.head();
        let (at, missing) = match start {
            Start::Present => (head, None),
            Start::Since(revision) => (Position { revision, ..head }, None),
            Start::After(id) if id.epoch == *self.epoch() => (id.position, None),
            Start::After(_) => (head, Some(ResetReason::Epoch)),
            Start::Unknown => (head, Some(ResetReason::Unknown)),
        };
        let (bus, news) = (self.clone(), self.news());
        Ok(Consumer { bus, news, store, filter, at, missing, had_caught_up: false })
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.bus.counts().consumers.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Consumer {
    /// The id of an item at `position`.
    #[must_use]
    pub fn id(&self, position: Position) -> EventId {
        self.bus.id(position)
    }

    /// How far it has come with all that [`Self::next`] answered.
    #[must_use]
    pub fn position(&self) -> EventId {
        self.bus.id(self.at)
    }

    /// Waits for what is to be told next, and answers it in order: at most a few dozen items, and none when the bus is
    /// closed and all is told.
    ///
    /// # Cancel safety
    /// Nothing is lost when the answer is dropped before it is there.
    pub async fn next(&mut self) -> Vec<Item> {
        loop {
            self.news.borrow_and_update();
            let glance = self.bus.glance(self.at, BATCH);
            let past = if glance.config == Next::Missing && self.filter.has(Topic::Config) {
                self.past(glance.head.revision).await
            } else {
                Some(Vec::new())
            };
            let is_all = glance.events.is_empty() && !glance.has_gap();
            let is_closed = glance.is_closed;
            let items = self.take(glance, past);
            if !items.is_empty() || (is_all && is_closed) {
                return items;
            }
            if is_all {
                self.had_caught_up = true;
                // Fails only when the bus is gone, and this is a part of it.
                let _ = self.news.changed().await;
            }
        }
    }

    /// Moves on over what there is, keeping what is wanted. `past` are changes from the store; `None`: they are gone.
    fn take(&mut self, glance: Glance, past: Option<Vec<RevisionEntry>>) -> Vec<Item> {
        let reset = self.skip(&glance, past.as_deref());
        let mut items: Vec<Item> = reset.map(|reset| Item::Reset(self.at, reset)).into_iter().collect();
        let past = past.unwrap_or_default();
        let sequence = self.at.sequence;
        let past = past.iter().map(|entry| Event::past(entry, sequence));
        for event in past.chain(glance.events) {
            self.at.revision = self.at.revision.max(event.position.revision);
            self.at.sequence = self.at.sequence.max(event.position.sequence);
            if self.filter.passes(&event) {
                items.push(Item::Event(self.at, event));
            }
        }
        items
    }

    /// Moves on over what is missing, and answers what is to be told of it.
    fn skip(&mut self, glance: &Glance, past: Option<&[RevisionEntry]>) -> Option<Reset> {
        let mut topics = Vec::new();
        let mut reason = None;
        if glance.config == Next::Missing && past.is_none_or(<[RevisionEntry]>::is_empty) {
            reason = Some(self.reason(self.at.revision.0, 0, glance.head.revision.0));
            topics.push(Topic::Config);
            self.at.revision = glance.head.revision;
        }
        if glance.observed == Next::Missing {
            let observed = self.reason(self.at.sequence, self.bus.start(), glance.head.sequence);
            reason = reason.or(Some(observed));
            topics.extend([Topic::Health, Topic::Drain, Topic::Listeners, Topic::Certificates]);
            self.at.sequence = glance.head.sequence;
        }
        if let Some(missing) = self.missing.take() {
            reason = Some(missing);
            topics = Topic::ALL.to_vec();
        }
        topics.retain(|topic| self.filter.has(*topic));
        let reason = reason.filter(|_| !topics.is_empty())?;
        self.bus.counts().resets.fetch_add(1, Ordering::Relaxed);
        Some(Reset { revision: glance.head.revision, reason, topics })
    }

    /// Why what follows `known` is missing, of numbers from `first` to `last`.
    fn reason(&self, known: u64, first: u64, last: u64) -> ResetReason {
        if self.had_caught_up {
            ResetReason::Slow
        } else if known > last {
            ResetReason::Unknown
        } else if known < first {
            ResetReason::Restarted
        } else {
            ResetReason::Pruned
        }
    }

    /// The next changes after the last known one, up to `head`, as the store has them; `None` when some are gone.
    async fn past(&self, head: Revision) -> Option<Vec<RevisionEntry>> {
        let known = self.at.revision.0;
        let count = head.0.checked_sub(known)?.min(BATCH as u64);
        let page = Page { below: known + count + 1, limit: u32::try_from(count).ok()? };
        let entries = self.store.as_ref()?.revisions(page).await;
        let mut entries = match entries {
            Ok(entries) => entries,
            Err(error) => {
                tracing::warn!(%error, "past changes cannot be read");
                return None;
            }
        };
        entries.reverse();
        let is_whole = entries.len() as u64 == count
            && entries.iter().zip(known + 1..).all(|(entry, number)| entry.revision.0 == number);
        is_whole.then_some(entries)
    }
}
