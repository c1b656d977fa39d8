//! What was asked of the API and by whom: one record for each call that changes something or is refused.
//!
//! The record of a change is in the change's own transaction, so that neither is there without the other. Records of
//! refused and tried calls are gathered and written a few at a time by a task of its own ([`Keeper`]): a flood of them
//! delays no change and fills no disk, because there is a queue with an end and a rate beyond which they are only counted.
//! The rate is each caller's own, and those who are not known share what all of them together may have, so that nobody
//! without credentials keeps what others are refused out of the record. Of a caller who is refused for calling too often
//! there is one record a minute.

mod keeper;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

pub use keeper::Keeper;
use rand::RngExt;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::mpsc;
use utoipa::ToSchema;
use weir_shared::{
    id::Revision,
    time::{Moment, Timestamp},
};

use crate::{
    access::limit::{Limiter, Rate},
    store::{RecordKind, RecordOp},
};

/// Records that wait to be written.
const MAX_WAITING: usize = 256;

/// How many refused and tried calls of each caller who is known are recorded.
const RATE: Rate = Rate { per_second: 1, burst: 600 };

/// Of each machine whose callers are not known: so many at once, and then one in [`FLOOD_INTERVAL`].
const STRANGER_BURST: u32 = 20;

/// Of all callers together who are not known: half of what may wait at once, and then one in this time. Records of changes
/// stay for a week and more, whatever strangers try.
const STRANGERS_INTERVAL: Duration = Duration::from_secs(10);
const STRANGERS_BURST: u32 = 128;

/// How often a caller who is refused for there being too many calls is recorded.
const FLOOD_INTERVAL: Duration = Duration::from_secs(60);

/// Who made a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Actor {
    /// `local`, `uid`, `token`, `cert`, or `anonymous`.
    #[schema(example = "token")]
    pub kind: String,
    /// Which one of that kind; null where all are alike.
    #[schema(example = "ci")]
    pub id: Option<String>,
}

/// A call that changed something or was refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = AuditEntry)]
pub struct Entry {
    /// When it came.
    pub at: Timestamp,
    /// Its name, as in the `X-Request-Id` field.
    pub request_id: String,
    /// Who made it.
    pub actor: Actor,
    /// Where it came from: an address, or `unix`.
    #[schema(example = "10.0.0.5:51234")]
    pub remote: String,
    /// Its method.
    #[schema(example = "POST")]
    pub method: String,
    /// Its path, without the query.
    #[schema(example = "/v1/upstreams/web/servers")]
    pub path: String,
    /// What it was answered.
    #[schema(example = 201)]
    pub status: u16,
    /// Kind of problem it was answered with.
    #[serde(default)]
    pub code: Option<String>,
    /// Why it was refused, where the answer does not tell: `token_missing`, `token_malformed`, `token_unknown`,
    /// `token_expired`, `token_in_url`, `scope_missing`, `cross_site`.
    #[serde(default)]
    pub reason: Option<String>,
    /// The revision in force before.
    pub revision_before: Revision,
    /// The revision in force after.
    pub revision_after: Revision,
    /// Whether it was only tried.
    pub dry_run: bool,
    /// Why, in the caller's words.
    #[serde(default)]
    pub message: Option<String>,
    /// The places that were changed.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub changes: Option<Value>,
    /// How long it took; for a change, until it was written down.
    pub duration_ms: u64,
}

impl Entry {
    /// The step that stores it.
    #[must_use]
    pub fn put(&self) -> RecordOp {
        RecordOp::Put {
            kind: RecordKind::Audit,
            // Not the request's name, which its caller may choose: nobody replaces a record.
            id: format!("{:032x}", rand::rng().random::<u128>()),
            json: serde_json::to_string(self).unwrap_or_default(),
            at: self.at,
        }
    }
}

/// What became of records that were not written with a change.
#[derive(Debug, Default)]
pub struct Stats {
    dropped: AtomicU64,
    rate_limited: AtomicU64,
}

impl Stats {
    /// Records that were not kept, because there were too many or the store did not take them.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Calls that were refused for there being too many.
    #[must_use]
    pub fn rate_limited(&self) -> u64 {
        self.rate_limited.load(Ordering::Relaxed)
    }

    fn drop_some(&self, count: usize) {
        self.dropped.fetch_add(u64::try_from(count).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// Whose calls are counted together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Those of somebody who is known, by name.
    Known(String),
    /// Those from a machine, of callers who are not known.
    Stranger(String),
}

/// Takes records of calls that changed nothing.
#[derive(Debug)]
pub struct Audit {
    queue: mpsc::Sender<Entry>,
    known: Limiter,
    known_floods: Limiter,
    stranger: Limiter,
    stranger_floods: Limiter,
    strangers: Limiter,
    stats: Arc<Stats>,
}

impl Audit {
    /// A queue, and its other end for the [`Keeper`].
    #[must_use]
    pub fn new() -> (Self, mpsc::Receiver<Entry>) {
        let (queue, waiting) = mpsc::channel(MAX_WAITING);
        let audit = Self {
            queue,
            known: Limiter::new(RATE),
            known_floods: Limiter::every(FLOOD_INTERVAL, 1),
            stranger: Limiter::every(FLOOD_INTERVAL, STRANGER_BURST),
            stranger_floods: Limiter::every(FLOOD_INTERVAL, 1),
            strangers: Limiter::every(STRANGERS_INTERVAL, STRANGERS_BURST),
            stats: Arc::default(),
        };
        (audit, waiting)
    }

    /// How many were not kept.
    #[must_use]
    pub fn stats(&self) -> &Arc<Stats> {
        &self.stats
    }

    /// Hands over `entry`, a call of `caller`, or counts it as dropped. Never waits.
    pub fn note(&self, caller: &Caller, entry: Entry, now: Moment) {
        let is_taken = match caller {
            Caller::Known(name) => self.known.take(name, now).is_ok(),
            Caller::Stranger(machine) => self.stranger.take(machine, now).is_ok(),
        };
        if is_taken {
            self.hand_over(caller, entry, now);
        } else {
            self.stats.drop_some(1);
        }
    }

    /// Counts a call of `caller` that was refused for there being too many, and hands over the first in a minute.
    pub fn note_flood(&self, caller: &Caller, entry: Entry, now: Moment) {
        self.stats.rate_limited.fetch_add(1, Ordering::Relaxed);
        let is_first = match caller {
            Caller::Known(name) => self.known_floods.take(name, now).is_ok(),
            Caller::Stranger(machine) => self.stranger_floods.take(machine, now).is_ok(),
        };
        if is_first {
            self.hand_over(caller, entry, now);
        }
    }

    fn hand_over(&self, caller: &Caller, entry: Entry, now: Moment) {
        let is_too_many = matches!(caller, Caller::Stranger(_)) && self.strangers.take("", now).is_err();
        if is_too_many || self.queue.try_send(entry).is_err() {
            self.stats.drop_some(1);
        }
    }
}
