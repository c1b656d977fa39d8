//! `/v1/routes`, read-only: the catch-all route follows the first upstream.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, State},
    response::Response,
};
use http::Request;
use serde::Serialize;
use utoipa::ToSchema;
use weir_shared::{
    id::Revision,
    model::{Config, Route},
};

use super::{
    Api, examples,
    params::Params,
    problem::{Code, Problem},
    reply,
};

/// Whether a route works.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = RouteState)]
pub(super) enum Condition {
    /// It sends to an upstream.
    Ok,
    /// It sends to none; its requests are answered 503.
    Unbound,
}

/// Whether a route works.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = RouteStatus)]
pub(super) struct Status {
    /// The state.
    state: Condition,
}

/// A route and whether it works.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = RouteResource, example = json!({
    "id": "default", "match": {}, "action": {"upstreams": [{"upstream": "web", "weight": 100}]},
    "status": {"state": "ok"}
}))]
pub(super) struct View {
    /// The route.
    #[serde(flatten)]
    route: Route,
    /// Whether it works.
    status: Status,
}

/// All routes.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RoutePage)]
pub(super) struct Page {
    /// The routes, by id.
    items: Vec<View>,
    /// Always null: all routes are on one page.
    next: Option<String>,
    /// The revision they are of.
    revision: Revision,
}

impl From<&Arc<Route>> for View {
    fn from(route: &Arc<Route>) -> Self {
        let state = if route.action.upstreams.is_empty() { Condition::Unbound } else { Condition::Ok };
        Self { route: Route::clone(route), status: Status { state } }
    }
}

/// Lists routes
///
/// There is one, `default`, which takes every request.
#[utoipa::path(
    get, path = "/v1/routes", tag = "routes", operation_id = "listRoutes",
    responses((status = 200, description = "All routes", body = Page, example = json!(examples::routes())))
)]
pub(super) async fn list(State(api): State<Arc<Api>>, request: Request<Body>) -> Result<Response, Problem> {
    Params::of(request.uri())?.finish()?;
    let config = api.catalog.config();
    reply::read(request.headers(), config.revision, &config, || page(&config))
}

fn page(config: &Config) -> Page {
    Page { items: config.routes.values().map(View::from).collect(), next: None, revision: config.revision }
}

/// Reads a route
///
/// With the upstream it sends to.
#[utoipa::path(
    get, path = "/v1/routes/{route}", tag = "routes", operation_id = "getRoute",
    params(("route" = String, Path, description = "Id of the route", example = "default")),
    responses((status = 200, description = "The route", body = View))
)]
pub(super) async fn read(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    Params::of(request.uri())?.finish()?;
    let config = api.catalog.config();
    let route = config.routes.get(id.as_str());
    let route = route.ok_or_else(|| Problem::new(Code::NotFound, format!("There is no route \"{id}\".")))?;
    reply::read(request.headers(), config.revision, &config, || View::from(route))
}
