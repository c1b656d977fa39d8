//! `/v1/health` and the health of one upstream or server.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, State},
    response::Response,
};
use http::{Request, StatusCode};

use super::{Api, examples, found::not_found, params::Params, problem::Problem, reply, servers::no_server};
use crate::status::{HealthPage, HealthQuery, ServerHealth, UpstreamHealth};

/// Reads the health of everything
///
/// Every upstream and server with one state, the reason when it is not simply healthy, and since when. Counters only grow.
#[utoipa::path(
    get, path = "/v1/health", tag = "health", operation_id = "getHealth",
    params(HealthQuery),
    responses((status = 200, description = "The health of what was asked for", body = HealthPage, example = json!(examples::health())))
)]
pub(super) async fn read(State(api): State<Arc<Api>>, request: Request<Body>) -> Result<Response, Problem> {
    let mut params = Params::of(request.uri())?;
    let query = HealthQuery {
        upstream: params.text("upstream"),
        state: params.word("state"),
        limit: params.number("limit", 1..=HealthQuery::MAX_LIMIT),
        after: params.text("after"),
        format: params.word("format").unwrap_or_default(),
    };
    params.finish()?;
    let page = api.status.health(&query, api.catalog.report().view());
    Ok(reply::json(StatusCode::OK, &page))
}

/// Reads the health of an upstream
///
/// Servers included.
#[utoipa::path(
    get, path = "/v1/upstreams/{upstream}/health", tag = "health", operation_id = "getUpstreamHealth",
    params(("upstream" = String, Path, description = "Id of the upstream", example = "web")),
    responses((status = 200, description = "The health of the upstream", body = UpstreamHealth, example = json!(examples::upstream_health())))
)]
pub(super) async fn upstream(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    Params::of(request.uri())?.finish()?;
    let health = api.status.upstream(&id).ok_or_else(|| not_found("upstream", &id))?;
    Ok(reply::json(StatusCode::OK, &health))
}

/// Reads the health of a server
///
/// With the last checks, ejections, counters and latencies.
#[utoipa::path(
    get, path = "/v1/upstreams/{upstream}/servers/{server}/health", tag = "health", operation_id = "getServerHealth",
    params(
        ("upstream" = String, Path, description = "Id of the upstream", example = "web"),
        ("server" = String, Path, description = "Id or address of the server", example = "10.0.0.7-8080"),
    ),
    responses((status = 200, description = "The health of the server", body = ServerHealth, example = json!(examples::server_health())))
)]
pub(super) async fn server(
    State(api): State<Arc<Api>>,
    Path((upstream, key)): Path<(String, String)>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    Params::of(request.uri())?.finish()?;
    let health = api.status.server(&upstream, &key).ok_or_else(|| no_server(&upstream, &key))?;
    Ok(reply::json(StatusCode::OK, &health))
}
