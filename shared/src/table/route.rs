//! A route as the request path sees it.

use std::sync::Arc;

use super::Upstream;
use crate::id::RouteId;

/// Where the requests of one route go.
#[derive(Debug)]
pub struct Route {
    /// Name of the route.
    pub id: RouteId,
    /// The upstream it sends to; `None` is answered 503.
    pub upstream: Option<Arc<Upstream>>,
}
