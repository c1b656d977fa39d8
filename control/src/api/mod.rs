//! The REST API: HTTP in, HTTP out. A handler reads the request, calls the catalog or the status, and answers.
//!
//! Reading order: `upstreams` (all verbs of one resource), `reply`, [`body`], [`problem`], [`envelope`].

mod accept;
pub(crate) mod access;
mod answer;
mod aside;
mod audit;
mod behind;
pub mod body;
mod certificates;
mod conditional;
mod config;
mod describe;
pub mod document;
mod drains;
pub mod envelope;
mod events;
mod examples;
mod explain;
mod export;
mod found;
pub mod guard;
mod health;
mod info;
pub(crate) mod json;
mod listeners;
mod paging;
mod params;
mod permissions;
mod place;
mod prefer;
mod probes;
pub mod problem;
mod refusal;
mod reply;
pub mod retry;
mod revisions;
mod route_view;
mod routes;
mod schemas;
mod security;
pub(crate) mod serve;
mod server_list;
mod servers;
mod shadow;
mod shown;
mod stall;
mod stream;
#[cfg(test)]
mod tests;
mod timeseries;
mod tokens;
mod trail;
mod trial;
mod trial_document;
mod upstreams;
mod view;

use std::sync::Arc;

use axum::{
    Router, middleware,
    routing::{get, post},
};
use tokio::sync::{Semaphore, watch};
use weir_shared::{id::Revision, model::ListenerFlags, state::ListenerState};

use self::{guard::Guard, retry::UnderWay};
use crate::{
    access::{Access, limit::Limiter, principal::Principal},
    audit::Audit,
    catalog::{Catalog, precondition::IfMatch},
    clock::Clock,
    events::tickets::Tickets,
    health::CheckerStats,
    startup::Source,
    status::Status,
};

/// What the program is, for whoever asks.
#[derive(Clone, Debug)]
pub struct Build {
    /// Version of the release.
    pub version: String,
    /// What it was built from, as far as known.
    pub commit: String,
}

/// Everything handlers use.
#[derive(Debug)]
pub struct Api {
    /// The configuration.
    pub catalog: Catalog,
    /// What is observed.
    pub status: Arc<Status>,
    /// How the checker is doing.
    pub checker: Arc<CheckerStats>,
    /// What the command line says of the listener `default`.
    pub flags: ListenerFlags,
    /// What all listeners counted.
    pub listener_state: Arc<ListenerState>,
    /// The revision of which the data plane has tried the listeners.
    pub settled: watch::Receiver<Revision>,
    /// Threads of the data plane.
    pub workers: usize,
    /// Where the configuration the process started with was from.
    pub source: Source,
    /// The process's clock.
    pub clock: Clock,
    /// When the process started.
    pub started_at: weir_shared::time::Timestamp,
    /// What the program is.
    pub build: Build,
    /// Which hosts and sites may call.
    pub guard: Guard,
    /// Who may call, and what they may do.
    pub access: Access,
    /// How often somebody may be refused for not being known.
    pub failures: Limiter,
    /// How often one caller may call.
    pub calls: Option<Limiter>,
    /// What was asked, and by whom.
    pub audit: Audit,
    /// Places for requests.
    pub in_flight: Semaphore,
    /// Keys of the changes under way.
    pub under_way: UnderWay,
    /// Whether what is there may be changed without naming its state.
    pub if_match: IfMatch,
    /// Tickets for the event stream.
    pub tickets: Tickets<Principal>,
}

/// Serves the whole API.
pub fn router(api: Arc<Api>) -> Router {
    // A change is answered once; a method that is not allowed is no change.
    let once = middleware::from_fn_with_state(Arc::clone(&api), retry::wrap);
    let upstreams = get(upstreams::list).post(upstreams::create).route_layer(once.clone());
    let upstream = get(upstreams::read)
        .put(upstreams::replace)
        .patch(upstreams::change)
        .delete(upstreams::delete)
        .route_layer(once.clone());
    let servers = get(server_list::list).post(servers::create).route_layer(once.clone());
    let server = get(servers::read)
        .put(servers::replace)
        .patch(servers::change)
        .delete(servers::delete)
        .route_layer(once.clone());
    let drain = get(drains::read).post(drains::start).delete(drains::cancel).route_layer(once.clone());
    let config = get(config::read).put(config::replace).route_layer(once.clone());
    let rollback = post(config::roll_back).route_layer(once);
    Router::new()
        .route("/v1/drains", get(drains::list))
        .route("/v1/upstreams/{upstream}/servers/{server}/drain", drain)
        .route("/v1/upstreams", upstreams)
        .route("/v1/upstreams/{upstream}", upstream)
        .route("/v1/upstreams/{upstream}/health", get(health::upstream))
        .route("/v1/upstreams/{upstream}/shadow", get(shadow::read))
        .route("/v1/upstreams/{upstream}/timeseries", get(timeseries::upstream))
        .route("/v1/upstreams/{upstream}/servers", servers)
        .route("/v1/upstreams/{upstream}/servers/{server}", server)
        .route("/v1/upstreams/{upstream}/servers/{server}/health", get(health::server))
        .route("/v1/upstreams/{upstream}/servers/{server}/explain", get(explain::server))
        .route("/v1/upstreams/{upstream}/servers/{server}/timeseries", get(timeseries::server))
        .route("/v1/config", config)
        .route("/v1/config/rollback", rollback)
        .route("/v1/revisions", get(revisions::list))
        .route("/v1/revisions/{revision}", get(revisions::read))
        .route("/v1/revisions/{revision}/config", get(revisions::read_config))
        .route("/v1/revisions/{revision}/diff", get(revisions::compare))
        .route("/v1/health", get(health::read))
        .route("/v1/events", get(events::stream))
        .route("/v1/events/ticket", post(events::ticket))
        .route("/v1/info", get(info::read))
        .route("/v1/audit", get(audit::list))
        .route("/v1/tokens", get(tokens::list).post(tokens::create))
        .route("/v1/tokens/{token}", get(tokens::read).delete(tokens::revoke))
        .route("/v1/tokens/{token}/rotate", post(tokens::rotate))
        .route("/livez", get(probes::livez))
        .route("/readyz", get(probes::readyz))
        .route("/healthz", get(probes::healthz))
        .route("/metrics", get(probes::metrics))
        .merge(edge(&api))
        .merge(document::router())
        .layer(middleware::from_fn_with_state(Arc::clone(&api), envelope::wrap))
        .with_state(api)
}

/// Where clients connect, what is proved to them, and where their requests go.
fn edge(api: &Arc<Api>) -> Router<Arc<Api>> {
    let once = middleware::from_fn_with_state(Arc::clone(api), retry::wrap);
    let listeners = get(listeners::list).post(listeners::create).route_layer(once.clone());
    let listener = get(listeners::read)
        .put(listeners::replace)
        .patch(listeners::change)
        .delete(listeners::delete)
        .route_layer(once.clone());
    let certificates = get(certificates::list).post(certificates::create).route_layer(once.clone());
    let certificate = get(certificates::read)
        .put(certificates::replace)
        .patch(certificates::change)
        .delete(certificates::delete)
        .route_layer(once.clone());
    let routes = get(routes::list).post(routes::create).route_layer(once.clone());
    let route =
        get(routes::read).put(routes::replace).patch(routes::change).delete(routes::delete).route_layer(once);
    Router::new()
        .route("/v1/listeners", listeners)
        .route("/v1/listeners/{listener}", listener)
        .route("/v1/certificates", certificates)
        .route("/v1/certificates/{certificate}", certificate)
        .route("/v1/routes", routes)
        .route("/v1/routes/{route}", route)
}
