//! Notices when a listener is bound, or cannot be, and tells it.
//!
//! The data plane notes it where everybody can look; so it is looked at ten times a second, as servers are.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use serde::Serialize;
use tokio::time::MissedTickBehavior;
use utoipa::ToSchema;
use weir_shared::{
    id::ListenerId,
    model::ListenerStatus,
    table::TableReader,
    time::{Now, Timestamp},
};

use super::{Bus, Observed};
use crate::clock::Clock;

/// Time between two looks.
const PERIOD: Duration = Duration::from_millis(100);

/// What became of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ListenerTurnKind {
    /// Its address is bound.
    Bound,
    /// Its address cannot be bound; it is tried again.
    Failed,
    /// It was deleted.
    Closed,
}

/// A listener that was bound, could not be, or is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ListenerEvent {
    /// The listener.
    #[schema(example = "internal")]
    pub listener: String,
    /// What became of it.
    pub event: ListenerTurnKind,
    /// Where it takes connections.
    #[schema(nullable, example = "10.0.0.1:8081")]
    pub address: Option<String>,
    /// Why it is not bound.
    #[schema(nullable)]
    pub error: Option<String>,
    /// When it was noticed.
    pub at: Timestamp,
    /// The process that noticed it.
    #[schema(value_type = String, example = "lb-1")]
    pub node: Arc<str>,
}

/// Looks at every listener and tells the bus what turned.
#[derive(Debug)]
pub(crate) struct ListenerObserver {
    reader: TableReader,
    bus: Bus,
    clock: Clock,
    node: Arc<str>,
    known: BTreeMap<ListenerId, ListenerStatus>,
    /// Listeners that the process started with and that have not been tried yet. That they are bound is no news.
    expected: BTreeSet<ListenerId>,
}

impl ListenerObserver {
    /// Expects the listeners of the present table to be bound, and tells `bus` of whatever else comes. `node` is this
    /// process.
    #[must_use]
    pub(crate) fn new(reader: TableReader, bus: Bus, clock: Clock, node: &str) -> Self {
        let expected = reader.snapshot().listeners().map(|listener| listener.id.clone()).collect();
        Self { reader, bus, clock, node: node.into(), known: BTreeMap::new(), expected }
    }

    /// Looks for ever. Run it on the control plane's runtime.
    pub(crate) async fn run(mut self) {
        let mut ticks = tokio::time::interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.look();
        }
    }

    /// Looks once.
    fn look(&mut self) {
        let table = self.reader.snapshot();
        let now = self.clock.now();
        let mut turns = Vec::new();
        self.known.retain(|id, status| {
            let is_there = table.listener(id.as_str()).is_some();
            if !is_there && status.address.is_some() {
                turns.push(turn(
                    id,
                    ListenerTurnKind::Closed,
                    &ListenerStatus { error: None, ..status.clone() },
                    now,
                    &self.node,
                ));
            }
            is_there
        });
        for listener in table.listeners() {
            let status = listener.state.status();
            if self.known.get(&listener.id) == Some(&status) {
                continue;
            }
            let event = match (&status.error, status.bound) {
                (_, true) => ListenerTurnKind::Bound,
                (Some(_), false) => ListenerTurnKind::Failed,
                // Not tried yet.
                (None, false) => continue,
            };
            if !self.expected.remove(&listener.id) || event != ListenerTurnKind::Bound {
                turns.push(turn(&listener.id, event, &status, now, &self.node));
            }
            self.known.insert(listener.id.clone(), status);
        }
        self.bus.publish_all(Observed::Listeners, "", &turns);
    }
}

fn turn(
    id: &ListenerId,
    event: ListenerTurnKind,
    status: &ListenerStatus,
    now: Now,
    node: &Arc<str>,
) -> ListenerEvent {
    ListenerEvent {
        listener: id.to_string(),
        event,
        address: status.address.clone(),
        error: status.error.clone(),
        at: now.wall,
        node: Arc::clone(node),
    }
}
