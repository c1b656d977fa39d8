//! A route as the request path sees it, and how the one for a request is found.
//!
//! Reading order: this file, `conditions` (what a route demands), `order` (which of several comes first), `map`, `tree`, `expressions`, `alike`, `host` (the
//! routes of one host, by path), `index` (all hosts), `compile`.

mod action;
mod alike;
mod compile;
mod conditions;
mod expressions;
mod host;
mod index;
mod map;
mod order;
mod request;
mod slots;
#[cfg(test)]
mod tests;
mod tree;

use std::{sync::Arc, time::Duration};

pub use action::{Action, FieldEdits, FixedAnswer, NewPath, RedirectTo, Split, Target};
#[cfg(test)]
use alike::Alike;
pub(super) use compile::{Scene, compile};
use conditions::Conditions;
pub use index::Routes;
use order::Rank;
pub use request::{NoRoute, RouteRequest};
pub use slots::{Slot, Slots};

use super::{RateLimiter, RetryPolicy};
use crate::{id::RouteId, model::RouteRecord, state::RouteState};

/// A compiled route. Reused as it is by every table until its own configuration changes.
#[derive(Debug)]
pub struct Route {
    /// Name.
    pub id: RouteId,
    /// What is done with its requests.
    pub action: Action,
    /// The host that servers are asked for; `None`: the one the client asked for.
    pub host: Option<http::HeaderValue>,
    /// The path that servers are asked for; `None`: the one the client asked for.
    pub path: Option<NewPath>,
    /// What is changed about the fields of requests.
    pub request_fields: FieldEdits,
    /// What is changed about the fields of responses.
    pub response_fields: FieldEdits,
    /// Time for a whole request and its response; `None` = no limit.
    pub timeout: Option<Duration>,
    /// Time until the first byte of a response, in place of the upstream's; `Some(None)` = no limit.
    pub response_timeout: Option<Option<Duration>>,
    /// When another server is tried, in place of what the upstream says.
    pub retries: Option<RetryPolicy>,
    /// Largest request body in bytes; 0 = no limit.
    pub max_body_bytes: u64,
    /// Rates at which requests may come.
    pub rate_limits: Box<[RateLimiter]>,
    /// What is observed of it.
    pub state: Arc<RouteState>,
    /// What it was compiled from.
    pub record: Arc<RouteRecord>,
    conditions: Conditions,
    rank: Rank,
}

/// Routes, the first in order first.
type Ranked = Vec<Arc<Route>>;

/// Puts `route` where it belongs among `routes`.
fn insert(routes: &mut Ranked, route: &Arc<Route>) {
    let at = routes.partition_point(|other| other.precedes(route));
    routes.insert(at, Arc::clone(route));
}

impl Route {
    /// Whether it takes a request that both match.
    fn precedes(&self, other: &Self) -> bool {
        (&self.rank, self.id.as_str()) < (&other.rank, other.id.as_str())
    }
}
