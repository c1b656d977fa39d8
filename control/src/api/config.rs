//! `/v1/config`: everything as one document.

use std::sync::Arc;

use axum::{body::Body, extract::State, response::Response};
use http::{Request, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;
use weir_shared::model::{Document, Listener, ListenerStatus, Route, Upstream};

use super::{Api, examples, params::Params, problem::Problem, reply};

/// A listener and whether it is in service.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ListenerResource)]
pub(super) struct ListenerView {
    /// The listener, as set when the process started.
    #[serde(flatten)]
    listener: Listener,
    /// Whether it is in service.
    status: ListenerStatus,
}

/// The whole configuration.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ConfigDocument)]
pub(super) struct View {
    /// `v1`.
    #[schema(example = "v1")]
    api_version: String,
    /// Where clients connect; set by flags and read-only here.
    listeners: Vec<ListenerView>,
    /// Which requests go where.
    routes: Vec<Route>,
    /// The groups of servers.
    upstreams: Vec<Upstream>,
}

/// Reads the whole configuration
///
/// As one document, at one revision.
#[utoipa::path(
    get, path = "/v1/config", tag = "config", operation_id = "getConfig",
    responses(
        (status = 200, description = "The configuration", body = View, headers(("ETag" = String, description = "The revision")), example = json!(examples::config())),
    )
)]
pub(super) async fn read(State(api): State<Arc<Api>>, request: Request<Body>) -> Result<Response, Problem> {
    Params::of(request.uri())?.finish()?;
    let config = api.catalog.config();
    let Document { api_version, listeners: _, routes, upstreams } = config.to_document(Vec::new());
    let listener = ListenerView { listener: api.listener.clone(), status: api.listener_status.clone() };
    let view = View { api_version, listeners: vec![listener], routes, upstreams };
    // Never 304: the listener is of the process, and changes with its flags while the revision stays.
    let mut response = reply::tagged(reply::json(StatusCode::OK, &view), config.revision, &config.epoch);
    reply::set(response.headers_mut(), reply::REVISION, &config.revision.to_string());
    Ok(response)
}
