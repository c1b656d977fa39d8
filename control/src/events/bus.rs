//! Where events are told, and where they are kept until every listener had time to read them.
//!
//! Two lines in memory: the last 10 000 events observed by this process, and the last changes of the configuration, of
//! which the store keeps the others. Telling costs a lock held for a few assignments and a wake-up; nothing is copied
//! per listener.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use serde::Serialize;
use tokio::sync::watch;
use weir_shared::{
    id::{Epoch, Revision},
    time::Now,
};

use super::{
    event::{Event, Topic},
    position::{EventId, Position},
    seats::Seats,
};
use crate::store::CommitMeta;

/// Listeners at once.
pub const MAX_CONSUMERS: usize = 1000;

/// Observed events kept. A listener that is farther behind is told a reset.
const MAX_OBSERVED: usize = 10_000;

/// Changes of the configuration kept in memory. A listener that is farther behind reads the store.
const MAX_CONFIG: usize = 128;

/// What this process observes itself; the rest of the topics is told by the writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observed {
    /// Servers and upstreams that change their state.
    Health,
    /// Drains.
    Drain,
    /// Listeners.
    Listeners,
    /// Certificates whose end is near.
    Certificates,
}

impl From<Observed> for Topic {
    fn from(observed: Observed) -> Self {
        match observed {
            Observed::Health => Self::Health,
            Observed::Drain => Self::Drain,
            Observed::Listeners => Self::Listeners,
            Observed::Certificates => Self::Certificates,
        }
    }
}

/// Takes events and keeps them for a while. Cheap to clone; all clones are the same bus.
#[derive(Clone, Debug)]
pub struct Bus(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    epoch: Epoch,
    /// The sequence before the first of this process.
    start: u64,
    /// Held for a few assignments, or for copying the pointers of one batch.
    kept: Mutex<Kept>,
    /// Tells that there is something new.
    news: watch::Sender<()>,
    counts: Counts,
}

#[derive(Debug)]
struct Kept {
    /// Where a listener is who knows everything.
    head: Position,
    /// Oldest first, without gaps, up to `head.revision`.
    config: VecDeque<Arc<Event>>,
    /// Oldest first, without gaps, up to `head.sequence`.
    observed: VecDeque<Arc<Event>>,
    is_closed: bool,
}

/// What the bus counted.
#[derive(Debug, Default)]
pub struct Counts {
    pub(super) consumers: AtomicUsize,
    published: [AtomicU64; Topic::ALL.len()],
    pub(super) resets: AtomicU64,
    pub(super) seats: Seats,
}

impl Counts {
    /// Listeners there are.
    #[must_use]
    pub fn consumers(&self) -> usize {
        self.consumers.load(Ordering::Relaxed)
    }

    /// Events told of `topic`.
    #[must_use]
    pub fn published(&self, topic: Topic) -> u64 {
        self.published.get(topic as usize).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// Times a listener was told that something is missing.
    #[must_use]
    pub fn resets(&self) -> u64 {
        self.resets.load(Ordering::Relaxed)
    }

    fn add(&self, topic: Topic, number: usize) {
        if let Some(count) = self.published.get(topic as usize) {
            count.fetch_add(number as u64, Ordering::Relaxed);
        }
    }
}

/// Whether a listener's next event of some kind is in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It is, or is still to come.
    Kept,
    /// It is not, or there never was what the listener says it knows.
    Missing,
}

/// What the bus has for a listener at some position.
#[derive(Debug)]
pub(super) struct Glance {
    /// What follows in memory; nothing while the store has to be read first.
    pub(super) events: Vec<Arc<Event>>,
    /// Where the bus is.
    pub(super) head: Position,
    /// The next change of the configuration.
    pub(super) config: Next,
    /// The next observed event.
    pub(super) observed: Next,
    /// Whether nothing will follow.
    pub(super) is_closed: bool,
}

impl Glance {
    /// Whether something has to be read elsewhere or passed over.
    pub(super) fn has_gap(&self) -> bool {
        self.config == Next::Missing || self.observed == Next::Missing
    }
}

impl Bus {
    /// A bus for a process that starts `now` with `revision` in force, in the life `epoch` of the store.
    #[must_use]
    pub fn new(epoch: Epoch, revision: Revision, now: Now) -> Self {
        let start = u64::try_from(now.wall.0).unwrap_or(0).saturating_mul(1000);
        let kept = Kept {
            head: Position { revision, sequence: start },
            config: VecDeque::new(),
            observed: VecDeque::new(),
            is_closed: false,
        };
        let shared = Shared {
            epoch,
            start,
            kept: Mutex::new(kept),
            news: watch::Sender::new(()),
            counts: Counts::default(),
        };
        Self(Arc::new(shared))
    }

    /// Tells something observed of `upstream`. Never waits for a listener.
    pub fn publish<T: Serialize>(&self, topic: Observed, upstream: &str, data: &T) {
        self.publish_all(topic, upstream, std::slice::from_ref(data));
    }

    /// Tells several things observed of `upstream` at once, in order.
    pub fn publish_all<T: Serialize>(&self, topic: Observed, upstream: &str, data: &[T]) {
        let topic = Topic::from(topic);
        let texts: Vec<String> = data.iter().filter_map(|data| serde_json::to_string(data).ok()).collect();
        if texts.is_empty() {
            return;
        }
        self.0.counts.add(topic, texts.len());
        {
            let mut kept = self.kept();
            for text in texts {
                kept.head.sequence += 1;
                let event = Event::observed(kept.head, topic, upstream, text);
                if kept.observed.len() == MAX_OBSERVED {
                    kept.observed.pop_front();
                }
                kept.observed.push_back(Arc::new(event));
            }
        }
        self.0.news.send_replace(());
    }

    /// Tells that `revision` is in force, and by which commit; `None` when that is not known.
    pub(crate) fn committed(&self, revision: Revision, meta: Option<&CommitMeta>) {
        self.0.counts.add(Topic::Config, usize::from(meta.is_some()));
        {
            let mut kept = self.kept();
            if revision.0 != kept.head.revision.0 + 1 || meta.is_none() {
                kept.config.clear();
            }
            kept.head.revision = revision;
            let sequence = kept.head.sequence;
            if let Some(meta) = meta {
                if kept.config.len() == MAX_CONFIG {
                    kept.config.pop_front();
                }
                kept.config.push_back(Arc::new(Event::commit(revision, meta, sequence)));
            }
        }
        self.0.news.send_replace(());
    }

    /// Ends every listener's stream, now and for ever.
    pub fn close(&self) {
        self.kept().is_closed = true;
        self.0.news.send_replace(());
    }

    /// Where a listener is who knows everything.
    #[must_use]
    pub fn head(&self) -> Position {
        self.kept().head
    }

    /// The id of an event at `position`.
    #[must_use]
    pub fn id(&self, position: Position) -> EventId {
        EventId { epoch: self.0.epoch.clone(), position }
    }

    /// Life of the store.
    #[must_use]
    pub fn epoch(&self) -> &Epoch {
        &self.0.epoch
    }

    /// What was counted.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.0.counts
    }

    /// The sequence before the first of this process.
    pub(super) fn start(&self) -> u64 {
        self.0.start
    }

    pub(super) fn news(&self) -> watch::Receiver<()> {
        self.0.news.subscribe()
    }

    /// What follows `position`, at most `limit` events.
    pub(super) fn glance(&self, position: Position, limit: usize) -> Glance {
        let kept = self.kept();
        let head = kept.head;
        let next_config = unread(&kept.config, head.revision.0, position.revision.0);
        let next_observed = unread(&kept.observed, head.sequence, position.sequence);
        let mut events = Vec::new();
        if let (Some(mut config), Some(mut observed)) = (next_config, next_observed) {
            while events.len() < limit {
                let next = [kept.config.get(config), kept.observed.get(observed)];
                let [config_next, observed_next] = next.map(|event| event.map(|event| event.position));
                let (event, index) = match (config_next, observed_next) {
                    (None, None) => break,
                    (Some(change), Some(other)) if change < other => (kept.config.get(config), &mut config),
                    (Some(_), None) => (kept.config.get(config), &mut config),
                    (_, Some(_)) => (kept.observed.get(observed), &mut observed),
                };
                *index += 1;
                events.extend(event.cloned());
            }
        }
        let next = |index: Option<usize>| if index.is_some() { Next::Kept } else { Next::Missing };
        let (config, observed) = (next(next_config), next(next_observed));
        Glance { events, head, config, observed, is_closed: kept.is_closed }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // A panic between two assignments leaves an event untold at worst.
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Index of the first event of `line`, whose last has the number `head`, that follows the number `known`; `None` when
/// that is not in the line.
fn unread(line: &VecDeque<Arc<Event>>, head: u64, known: u64) -> Option<usize> {
    let behind = usize::try_from(head.checked_sub(known)?).ok()?;
    line.len().checked_sub(behind)
}
