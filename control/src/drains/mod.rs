//! Drains: a server is freed of requests, and then kept aside, taken out of use or removed.
//!
//! A drain is a record beside the configuration. It begins in the transaction that sets the server's `admin_state` to
//! `drain`, and it lasts as long as that stays so: whatever change makes the server something else, or takes it away,
//! ends the drain in its own transaction. So an operator always wins over a drain, and nobody finds one without the other.
//!
//! How a drain ended can be read afterwards, when its server is something else or gone as well: the last `MAX_PAST` are
//! remembered, at most one for each server.
//!
//! At the deadline a drain with `keep` is over, and requests still under way are left to finish; with `maint` or `remove`
//! the server goes all the same, and its requests are given up. The wall clock is only for the record: while the process
//! runs, time is measured by the monotonic clock.
//!
//! Reading order: this, [`book`] (which drains there are), `step` (what a change means for them), [`runner`] (what ends
//! them).

pub mod book;
pub mod bound;
pub mod runner;
mod step;
#[cfg(test)]
mod tests;

pub use book::Drains;
pub use runner::Runner;
use serde::{Deserialize, Serialize};
pub(crate) use step::Step;
use utoipa::ToSchema;
use weir_shared::{model::AdminState, time::Timestamp, units::Span};

use crate::store::codec;

/// How many drains are remembered beyond their end; the oldest are forgotten first.
const MAX_PAST: usize = 1000;

/// What becomes of a server that is drained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Then {
    /// It stays in `drain`, without new requests. Whatever is under way at the deadline is left to finish.
    #[default]
    Keep,
    /// It is taken out of use. What is under way at the deadline is broken off.
    Maint,
    /// It is removed. What is under way at the deadline is broken off.
    Remove,
}

/// How a drain came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DrainOutcome {
    /// No request was under way any more.
    Drained,
    /// Requests were still under way at the deadline.
    Deadline,
    /// Somebody cancelled it, or made of the server something else, before either.
    Cancelled,
}

/// The end of a drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// How.
    pub outcome: DrainOutcome,
    /// When.
    pub at: Timestamp,
    /// Whether the server is no longer in `drain` for it. Until then it can be cancelled.
    #[serde(default)]
    pub is_past: bool,
}

/// The drain of one server, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drain {
    /// The upstream.
    pub upstream: String,
    /// Id of the server.
    pub server: String,
    /// Its address, by which it may be asked for when it is gone.
    #[serde(default)]
    pub address: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ends even though requests are under way.
    pub deadline: Timestamp,
    /// What becomes of the server.
    pub then: Then,
    /// What the operator wanted of the server before, and wants again when the drain is cancelled.
    pub admin_state_before: AdminState,
    /// How it ended; `None` while it is under way.
    pub end: Option<End>,
}

impl Drain {
    /// Whether the server is still being freed of requests.
    #[must_use]
    pub fn is_under_way(&self) -> bool {
        self.end.is_none()
    }

    /// Whether nothing is left of it but how it ended.
    #[must_use]
    pub fn is_past(&self) -> bool {
        self.end.is_some_and(|end| end.is_past)
    }

    /// What it is known by, here and in the store.
    fn key(&self) -> String {
        codec::server_key(&self.upstream, &self.server)
    }
}

/// What happens to a drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DrainEventKind {
    /// It begins.
    Started,
    /// No request is under way any more: the server is kept, taken out of use or removed.
    Finished,
    /// The same, at the deadline, with requests under way.
    Deadline,
    /// The operator cancels it, or makes of the server something else.
    Cancelled,
}

impl From<DrainOutcome> for DrainEventKind {
    fn from(outcome: DrainOutcome) -> Self {
        match outcome {
            DrainOutcome::Drained => Self::Finished,
            DrainOutcome::Deadline => Self::Deadline,
            DrainOutcome::Cancelled => Self::Cancelled,
        }
    }
}

/// What is told of a drain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct DrainEvent {
    /// What happens.
    pub kind: DrainEventKind,
    /// The upstream.
    pub upstream: String,
    /// Id of the server.
    pub server: String,
    /// When the drain began.
    pub started_at: Timestamp,
    /// Its deadline.
    pub deadline: Timestamp,
    /// What becomes of the server at its end.
    pub then: Then,
}

impl DrainEvent {
    fn new(kind: DrainEventKind, drain: &Drain) -> Self {
        let Drain { upstream, server, started_at, deadline, then, .. } = drain.clone();
        Self { kind, upstream, server, started_at, deadline, then }
    }
}

/// Asks for the drain of a server.
#[derive(Clone, Debug)]
pub struct StartDrain {
    /// The upstream.
    pub upstream: String,
    /// The server's id or address.
    pub key: String,
    /// How long it waits for requests under way; `None`: the upstream's `drain_timeout`.
    pub timeout: Option<Span>,
    /// What becomes of the server.
    pub then: Then,
}
