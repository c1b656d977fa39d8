//! `/v1/upstreams/{u}/shadow`: what a second algorithm would have done.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, State},
    response::Response,
};
use http::{Request, StatusCode};

use super::{
    Api, examples,
    found::not_found,
    params::Params,
    problem::{Code, Problem},
    reply,
};
use crate::status::shadow::{NoReport, ShadowReport};

/// Reads what an upstream's shadow would have done
///
/// Beside what was done, over the same requests: how often it would have picked another server, what share each server
/// would have had, and which latency was to be expected. Turned on with `PATCH /v1/upstreams/{upstream}` and
/// `{"shadow": {"algorithm": "prequal"}}`; 404 while it is off.
#[utoipa::path(
    get, path = "/v1/upstreams/{upstream}/shadow", tag = "health", operation_id = "getUpstreamShadow",
    params(("upstream" = String, Path, description = "Id of the upstream", example = "web")),
    responses((status = 200, description = "Both algorithms, over the same requests", body = ShadowReport, example = json!(examples::shadow())))
)]
pub(super) async fn read(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    Params::of(request.uri())?.finish()?;
    match api.status.shadow(&id) {
        Ok(report) => Ok(reply::json(StatusCode::OK, &report)),
        Err(NoReport::NoUpstream) => Err(not_found("upstream", &id)),
        Err(NoReport::NoShadow) => Err(Problem::new(
            Code::NotFound,
            format!(
                "The upstream \"{id}\" has no shadow: PATCH /v1/upstreams/{id} with \
                 {{\"shadow\": {{\"algorithm\": \"prequal\"}}}} to begin."
            ),
        )),
    }
}
