//! The list at `/v1/upstreams/{upstream}/servers`: pages, filters, and health beside each server.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, State},
    response::Response,
};
use http::{Request, StatusCode};
use weir_shared::table::{Server, ServerStatus};

use super::{
    Api, examples, found::found, paging::Paging, params::Params, problem::Problem, reply, servers::Page,
    view::ServerView,
};

/// States to filter by.
const STATES: [&str; 6] = ["initial", "healthy", "unhealthy", "draining", "unused", "unavailable"];

/// Lists the servers of an upstream
///
/// Ordered by id. Health is shown when asked for with `expand`.
#[utoipa::path(
    get, path = "/v1/upstreams/{upstream}/servers", tag = "servers", operation_id = "listServers",
    params(
        ("upstream" = String, Path, description = "Id of the upstream", example = "web"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Most servers in the answer. Default 100."),
        ("after" = Option<String>, Query, description = "Continues a list: the `next` of the answer before."),
        ("expand" = Option<String>, Query, description = "What else to show: `health`.", example = "health"),
        ("state" = Option<String>, Query, description = "Only servers in one of these states, with commas between them.", example = "unhealthy,draining"),
        ("label" = Option<String>, Query, description = "Only servers with this label, written `key:value`.", example = "rack:a7"),
    ),
    responses((status = 200, description = "A page of servers", body = Page, headers(("ETag" = String, description = "The state of the upstream")), example = json!(examples::servers())))
)]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let mut params = Params::of(request.uri())?;
    let paging = Paging::of(&mut params);
    let is_expanded = !params.words("expand", &["health"]).is_empty();
    let states = params.words("state", &STATES);
    let label = params.pair("label");
    params.finish()?;
    let table = api.catalog.reader().snapshot();
    let upstream = found(table.upstream(&id), "upstream", &id)?;
    let now = api.clock.now();
    let is_asked = |server: &&Arc<Server>| {
        let labels = &server.record.server.labels;
        paging.is_ahead(server.id.as_str())
            && label.as_ref().is_none_or(|(key, value)| labels.get(key) == Some(value))
            && (states.is_empty()
                || states.iter().any(|state| state == ServerStatus::state_of(server, now.moment).as_str()))
    };
    let mut servers: Vec<&Arc<Server>> = upstream.servers.iter().filter(is_asked).collect();
    servers.sort_unstable_by(|one, other| one.id.cmp(&other.id));
    let (servers, next) = paging.page(servers, |server| server.id.as_str());
    let view = |server: &Arc<Server>| ServerView {
        health: is_expanded.then(|| api.status.health_of(upstream, server, now)),
        ..ServerView::from(&server.record)
    };
    let revision = table.revision();
    let page = || Page { items: servers.into_iter().map(view).collect(), next, revision };
    if is_expanded || !states.is_empty() {
        // What is observed changes without a revision.
        return Ok(reply::json(StatusCode::OK, &page()));
    }
    reply::read(request.headers(), upstream.record.meta.revision, table.config(), page)
}
