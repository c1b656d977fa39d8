//! Which requests go where: a match, and what is done with the requests that it takes.

mod action;
pub(super) mod check;
mod check_action;
mod conflict;
mod demands;
mod fields;
mod matching;

use std::collections::BTreeMap;

pub use action::{
    FixedResponse, HeaderEdits, PathRewrite, PathRewriteType, Redirect, RedirectScheme, Rewrite, RouteAction,
    UpstreamRef,
};
pub use conflict::rival;
pub use matching::{FieldMatch, FieldMatchType, PathMatch, PathMatchType, RouteMatch};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Which requests go where. Of the routes that match a request the most specific takes it: the one with the most specific
/// host, then the highest `priority`, then the most specific path and the most other conditions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
#[schema(example = json!({
    "id": "api", "match": {"hosts": ["shop.example.com"], "path": {"type": "prefix", "value": "/api"}},
    "action": {"upstreams": [{"upstream": "api", "weight": 90}, {"upstream": "api-next", "weight": 10}]}
}))]
pub struct Route {
    /// Unique name, immutable. The route `default` is always there and takes what no other route takes.
    #[schema(pattern = "^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$", min_length = 1, max_length = 63)]
    pub id: String,
    /// Free text, at most 1024 characters.
    #[schema(max_length = 1024)]
    pub description: String,
    /// At most 32 pairs; keys up to 63, values up to 255 characters.
    pub labels: BTreeMap<String, String>,
    /// Whether it takes requests at all. Default true.
    pub enabled: bool,
    /// Which of several routes for the same host takes a request that all of them match: the highest, -1000 to 1000. Default 0.
    #[schema(minimum = -1000, maximum = 1000)]
    pub priority: i32,
    /// Ids of the listeners whose requests it takes, at most 64; none: all.
    #[schema(max_items = 64)]
    pub listeners: Vec<String>,
    /// Which requests. Left out: all.
    #[serde(rename = "match")]
    pub matches: RouteMatch,
    /// What is done with them.
    pub action: RouteAction,
}

impl Default for Route {
    fn default() -> Self {
        Self {
            id: String::new(),
            description: String::new(),
            labels: BTreeMap::new(),
            enabled: true,
            priority: 0,
            listeners: Vec::new(),
            matches: RouteMatch::default(),
            action: RouteAction::default(),
        }
    }
}

impl Route {
    /// Id of the route that takes what no other route takes.
    pub const DEFAULT_ID: &str = "default";

    /// The catch-all route, sending to `upstream` if there is one.
    #[must_use]
    pub fn catch_all(upstream: Option<&str>) -> Self {
        let mut route = Self { id: Self::DEFAULT_ID.to_owned(), ..Self::default() };
        route.action.upstreams.extend(upstream.map(UpstreamRef::to));
        route
    }

    /// Whether this is the route that takes what no other route takes.
    #[must_use]
    pub fn is_catch_all(&self) -> bool {
        self.id == Self::DEFAULT_ID
    }

    /// Whether the route sends to the upstream named `id`.
    #[must_use]
    pub fn refers_to(&self, id: &str) -> bool {
        self.action.upstreams.iter().any(|target| target.upstream == id)
    }
}
