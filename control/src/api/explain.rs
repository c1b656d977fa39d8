//! `…/explain`: why a server gets requests, or does not.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, State},
    response::Response,
};
use http::{Request, StatusCode};

use super::{Api, examples, params::Params, problem::Problem, reply, servers::no_server};
use crate::status::explain::view::Explanation;

/// Explains why a server gets requests, or does not
///
/// Every factor in the order in which it decides, what it does to the server's weight, the last checks and ejections, and
/// what would change it.
#[utoipa::path(
    get, path = "/v1/upstreams/{upstream}/servers/{server}/explain", tag = "health", operation_id = "explainServer",
    params(
        ("upstream" = String, Path, description = "Id of the upstream", example = "web"),
        ("server" = String, Path, description = "Id or address of the server", example = "10.0.0.7-8080"),
    ),
    responses((status = 200, description = "The explanation", body = Explanation, example = json!(examples::explanation())))
)]
pub(super) async fn server(
    State(api): State<Arc<Api>>,
    Path((upstream, key)): Path<(String, String)>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    Params::of(request.uri())?.finish()?;
    let explanation = api.status.explain(&upstream, &key).ok_or_else(|| no_server(&upstream, &key))?;
    Ok(reply::json(StatusCode::OK, &explanation))
}
