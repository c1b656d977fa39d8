//! Which requests go to which upstream. There is one route, `default`, which takes every request.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One upstream a route sends to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UpstreamRef {
    /// Id of the upstream.
    pub upstream: String,
    /// Share of the route's requests, 1 to 65535. Default 100.
    #[serde(default = "default_weight")]
    #[schema(minimum = 1, maximum = 65535)]
    pub weight: u32,
}

fn default_weight() -> u32 {
    100
}

/// Which requests a route takes. Every request, for now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct RouteMatch {}

/// What a route does with its requests.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct RouteAction {
    /// The upstream requests go to: none (answered 503) or one.
    #[schema(max_items = 1)]
    pub upstreams: Vec<UpstreamRef>,
}

/// A rule that takes requests to an upstream.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Route {
    /// Unique name.
    pub id: String,
    /// Which requests.
    #[serde(rename = "match")]
    pub matches: RouteMatch,
    /// Where they go.
    pub action: RouteAction,
}

impl Route {
    /// Id of the route that takes every request.
    pub const DEFAULT_ID: &str = "default";

    /// The catch-all route, sending to `upstream` if there is one.
    #[must_use]
    pub fn catch_all(upstream: Option<&str>) -> Self {
        let upstreams = upstream
            .map(|id| UpstreamRef { upstream: id.to_owned(), weight: default_weight() })
            .into_iter()
            .collect();
        Self {
            id: Self::DEFAULT_ID.to_owned(),
            matches: RouteMatch::default(),
            action: RouteAction { upstreams },
        }
    }

    /// Whether the route sends to the upstream named `id`.
    #[must_use]
    pub fn refers_to(&self, id: &str) -> bool {
        self.action.upstreams.iter().any(|target| target.upstream == id)
    }
}
