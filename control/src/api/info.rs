//! `/v1/info`: which program this is, how it runs, and what it can hold.

use std::sync::Arc;

use axum::{body::Body, extract::State, response::Response};
use http::{Request, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;
use weir_shared::{
    id::{self, Revision},
    model::check,
    time::Timestamp,
};

use super::{
    Api, body::MAX_BODY_BYTES, envelope::MAX_IN_FLIGHT, examples, params::Params, problem::Problem, reply,
};
use crate::{catalog::submitted::MAX_ADDED, events::MAX_CONSUMERS, startup::Source, status::StoreView};

/// The program and the process.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Info {
    /// `weir`.
    #[schema(example = "weir")]
    name: &'static str,
    /// Version of the release.
    #[schema(example = "0.1.0")]
    version: String,
    /// What it was built from, as far as known.
    commit: String,
    /// When the process started.
    started_at: Timestamp,
    /// How long it has run.
    uptime_ms: u64,
    /// Threads of the data plane.
    workers: usize,
    /// Where clients connect.
    #[schema(example = "0.0.0.0:8080")]
    listen: String,
    /// The revision in force.
    revision: Revision,
    /// Where the configuration the process started with was from: `store`, `new`, `last_good` or `none`.
    #[schema(example = "store")]
    started_from: &'static str,
    /// How the configuration is kept.
    store: StoreInfo,
    /// What the API can do beyond the basics.
    features: Vec<&'static str>,
    /// What one process can hold.
    limits: ProcessLimits,
}

/// How the configuration is kept.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StoreInfo {
    /// Kind, state and last commit.
    #[serde(flatten)]
    view: StoreView,
    /// Life of the store; part of every entity tag.
    #[schema(example = "7f3a9c")]
    epoch: String,
    /// Why nothing can be written, and what to do; null when writes are taken.
    reason: Option<String>,
    /// Why `last-good.json`, the copy to start from without the store, is not up to date; null when it is.
    last_good_error: Option<String>,
}

/// What one process can hold.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProcessLimits {
    /// Listeners. Each takes a file for every worker.
    max_listeners: usize,
    /// Upstreams.
    max_upstreams: usize,
    /// Servers in one upstream.
    max_servers_per_upstream: usize,
    /// Servers in all.
    max_servers: usize,
    /// Servers added by one request.
    max_servers_per_request: usize,
    /// Bytes of an id.
    max_id_bytes: usize,
    /// Bytes of the whole configuration, written out as JSON.
    max_config_bytes: usize,
    /// Bytes of a request body.
    max_body_bytes: usize,
    /// Requests to the API at once.
    max_requests_in_flight: usize,
    /// Event streams at once.
    max_event_streams: usize,
}

/// Reads what program this is
///
/// Version, how long it has run, how the configuration is kept, and limits.
#[utoipa::path(
    get, path = "/v1/info", tag = "operations", operation_id = "getInfo",
    responses((status = 200, description = "The program and the process", body = Info, example = json!(examples::info())))
)]
pub(super) async fn read(State(api): State<Arc<Api>>, request: Request<Body>) -> Result<Response, Problem> {
    Params::of(request.uri())?.finish()?;
    let config = api.catalog.config();
    let store = api.catalog.report();
    let info = Info {
        name: "weir",
        version: api.build.version.clone(),
        commit: api.build.commit.clone(),
        started_at: api.started_at,
        uptime_ms: api.clock.now().wall.millis_since(api.started_at),
        workers: api.workers,
        listen: api.flags.address.clone(),
        revision: config.revision,
        started_from: match api.source {
            Source::Store => "store",
            Source::New => "new",
            Source::LastGood => "last_good",
            Source::None => "none",
        },
        store: StoreInfo {
            view: store.view(),
            epoch: config.epoch.to_string(),
            reason: store.read_only().map(|reason| reason.to_string()),
            last_good_error: store.stale_copy().map(|reason| reason.to_string()),
        },
        features: vec!["dry_run", "events", "idempotency_key", "if_match", "merge_patch"],
        limits: ProcessLimits {
            max_listeners: check::MAX_LISTENERS,
            max_upstreams: check::MAX_UPSTREAMS,
            max_servers_per_upstream: check::MAX_SERVERS_PER_UPSTREAM,
            max_servers: check::MAX_SERVERS,
            max_servers_per_request: MAX_ADDED,
            max_id_bytes: id::MAX_ID_BYTES,
            max_config_bytes: check::MAX_CONFIG_BYTES,
            max_body_bytes: MAX_BODY_BYTES,
            max_requests_in_flight: MAX_IN_FLIGHT,
            max_event_streams: MAX_CONSUMERS,
        },
    };
    Ok(reply::json(StatusCode::OK, &info))
}
