//! Watches the drains under way and ends them: one task for all.
//!
//! Looks at the count of requests under way twenty times a second while there is a drain, and sleeps otherwise. What it
//! does is an ordinary change of the configuration by the actor `drain`, which the writer refuses when the drain it
//! belongs to is no longer there.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::time::sleep;
use weir_shared::{
    state::ServerState,
    time::{Moment, Timestamp},
};

use super::{Drain, DrainOutcome, Drains, Then, book::Entry, bound::Bound};
use crate::{
    catalog::{Beside, Catalog, Mode, Request, change::Change, precondition::Precondition},
    clock::Clock,
    error::CatalogError,
};

/// Time between two looks.
const LOOK: Duration = Duration::from_millis(50);
/// Looks in a row without a request under way that make a server drained. Two, because a request that took its table
/// just before the drain began may reach its server just after.
const QUIET_LOOKS: u8 = 2;
/// Time until an end that could not be stored is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// Ends drains.
#[derive(Debug)]
pub struct Runner {
    catalog: Catalog,
    drains: Drains,
    clock: Clock,
    watched: HashMap<usize, Watched>,
}

/// A drain under way and its server.
#[derive(Debug)]
struct Watched {
    drain: Arc<Drain>,
    state: Arc<ServerState>,
    watch: Watch,
    bound: Arc<Bound>,
    /// Requests that the server had got when it was looked at last.
    requests: u64,
}

/// What it means that no request is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum QuietEnds {
    /// The server is drained.
    Drain,
    /// Nothing: clients bound to the server may come back until the deadline.
    Nothing,
}

/// Decides when a drain is over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watch {
    until: Moment,
    quiet_ends: QuietEnds,
    quiet: u8,
}

impl Watch {
    /// Of a drain with the deadline `until`.
    pub(super) fn new(until: Moment, quiet_ends: QuietEnds) -> Self {
        Self { until, quiet_ends, quiet: 0 }
    }

    /// One look: how the drain ends, if it ends now.
    pub(super) fn look(&mut self, in_flight: u32, now: Moment) -> Option<DrainOutcome> {
        self.quiet = if in_flight == 0 { self.quiet.saturating_add(1) } else { 0 };
        let is_quiet = self.quiet >= QUIET_LOOKS && self.quiet_ends == QuietEnds::Drain;
        if is_quiet || (in_flight == 0 && now >= self.until) {
            return Some(DrainOutcome::Drained);
        }
        (now >= self.until).then_some(DrainOutcome::Deadline)
    }
}

impl Watched {
    /// Counts what bound clients have sent since the last look: nobody else's requests come to the server.
    fn count(&mut self, now: Timestamp) {
        if self.watch.quiet_ends == QuietEnds::Nothing {
            let before = std::mem::replace(&mut self.requests, requests(&self.state));
            self.bound.note(self.requests.saturating_sub(before), now);
        }
    }
}

/// Requests that a server has got.
fn requests(state: &ServerState) -> u64 {
    state.counters.iter().map(|worker| worker.requests.value()).sum()
}

impl Runner {
    /// Ends the drains of `catalog`.
    #[must_use]
    pub fn new(catalog: Catalog, clock: Clock) -> Self {
        let drains = catalog.drains().clone();
        Self { catalog, drains, clock, watched: HashMap::new() }
    }

    /// Works for ever. Run it on the control plane's runtime, and end it before the writer.
    pub async fn run(mut self) {
        loop {
            let under_way = self.drains.under_way();
            self.follow(under_way);
            if self.watched.is_empty() {
                self.drains.changed().await;
                continue;
            }
            let is_stored = self.look().await;
            sleep(if is_stored { LOOK } else { AGAIN }).await;
        }
    }

    /// Watches just the drains `under_way`.
    fn follow(&mut self, under_way: Vec<Entry>) {
        let table = self.catalog.reader().snapshot();
        let mut before = std::mem::take(&mut self.watched);
        for Entry { drain, until, bound } in under_way {
            // By place in memory, which is unique while the drain is held here.
            let key = Arc::as_ptr(&drain).addr();
            let watched = before.remove(&key).or_else(|| {
                let upstream = table.upstream(&drain.upstream)?;
                let server = upstream.server(&drain.server)?;
                let quiet_ends =
                    if upstream.affinity.is_some() { QuietEnds::Nothing } else { QuietEnds::Drain };
                let watch = Watch::new(until, quiet_ends);
                let state = Arc::clone(&server.state);
                Some(Watched { drain, requests: requests(&state), state, watch, bound })
            });
            self.watched.extend(watched.map(|watched| (key, watched)));
        }
    }

    /// Looks at every drain once and ends those that are over. Answers whether the ends could be stored.
    async fn look(&mut self) -> bool {
        let now = self.clock.now();
        let over = |watched: &mut Watched| {
            watched.count(now.wall);
            let outcome = watched.watch.look(watched.state.in_flight.count(), now.moment)?;
            Some((Arc::clone(&watched.drain), Arc::clone(&watched.state), outcome))
        };
        let over: Vec<_> = self.watched.values_mut().filter_map(over).collect();
        for (drain, state, outcome) in over {
            match self.end(&drain, outcome).await {
                Ok(()) => {
                    if outcome == DrainOutcome::Deadline && drain.then != Then::Keep {
                        // Only now, when it is certain that nobody has put the server to use again.
                        self.catalog.reader().cut(&state, self.clock.now().moment);
                    }
                    tracing::info!(upstream = drain.upstream, server = drain.server, ?outcome, "drain ended");
                }
                // Somebody else ended it first.
                Err(CatalogError::NotFound(_)) => {}
                Err(error) => {
                    tracing::warn!(upstream = drain.upstream, server = drain.server, %error, "a drain cannot be ended");
                    return false;
                }
            }
        }
        true
    }

    async fn end(&self, drain: &Arc<Drain>, outcome: DrainOutcome) -> Result<(), CatalogError> {
        let request = Request {
            change: Change::EndDrain { drain: Arc::clone(drain), outcome },
            precondition: Precondition::default(),
            mode: Mode::Commit,
            actor: "drain".to_owned(),
            request_id: String::new(),
            message: None,
            beside: Beside::default(),
            held: None,
        };
        self.catalog.apply(request).await.map(drop)
    }
}
