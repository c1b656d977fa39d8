//! `/v1/upstreams`.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, State},
    response::Response,
};
use http::{Request, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;
use weir_shared::{
    id::Revision,
    model::{Upstream, UpstreamRecord},
    table::{UpstreamCondition, UpstreamStatus},
};

use super::{
    Api,
    answer::Answer,
    body, examples,
    found::{found, placed},
    paging::Paging,
    params::Params,
    problem::Problem,
    reply::{self, Call},
    view::{Servers, UpstreamSchema, UpstreamView},
};
use crate::{
    catalog::{
        Applied,
        change::{Binding, Change, Naming, References},
        submitted,
    },
    error::Target,
};

/// Name of an upstream that is not given one, so that the simplest call works.
const DEFAULT_ID: &str = "default";

/// A page of upstreams, ordered by id.
#[derive(Debug, Serialize)]
struct Page {
    items: Vec<UpstreamView>,
    next: Option<String>,
    revision: Revision,
}

/// A page of upstreams, ordered by id.
#[derive(Debug, ToSchema)]
#[schema(as = UpstreamPage)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct PageSchema {
    /// The upstreams, without servers unless asked for.
    items: Vec<UpstreamSchema>,
    /// Where the next page begins; null on the last.
    next: Option<String>,
    /// The revision they are of.
    revision: Revision,
}

/// Lists upstreams
///
/// Ordered by id. Servers and health are shown when asked for with `expand`.
#[utoipa::path(
    get, path = "/v1/upstreams", tag = "upstreams", operation_id = "listUpstreams",
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Most upstreams in the answer. Default 100."),
        ("after" = Option<String>, Query, description = "Continues a list: the `next` of the answer before."),
        ("expand" = Option<String>, Query, description = "What else to show: `servers`, `health`, or both with a comma.", example = "servers"),
        ("state" = Option<String>, Query, description = "Only upstreams in one of these states, with commas between them.", example = "degraded,down"),
        ("label" = Option<String>, Query, description = "Only upstreams with this label, written `key:value`.", example = "team:shop"),
    ),
    responses((status = 200, description = "A page of upstreams", body = PageSchema, headers(("ETag" = String, description = "The revision they are of")), example = json!(examples::upstreams())))
)]
pub(super) async fn list(State(api): State<Arc<Api>>, request: Request<Body>) -> Result<Response, Problem> {
    let mut params = Params::of(request.uri())?;
    let paging = Paging::of(&mut params);
    let expand = params.words("expand", &["servers", "health"]);
    let states = params.words("state", &["healthy", "degraded", "panic", "down", "empty"]);
    let label = params.pair("label");
    params.finish()?;
    let table = api.catalog.reader().snapshot();
    let now = api.clock.now().moment;
    let ahead = table
        .upstreams()
        .filter(|upstream| paging.is_ahead(upstream.id.as_str()))
        .filter(|upstream| {
            label.as_ref().is_none_or(|(key, value)| upstream.record.spec.labels.get(key) == Some(value))
        })
        .filter(|upstream| {
            states.is_empty()
                || states.iter().any(|state| state == word(UpstreamStatus::of(upstream, now).state))
        })
        .map(|upstream| &upstream.record);
    let (page, next) = paging.page(ahead, |record| record.spec.id.as_str());
    let shows = |what: &str| expand.iter().any(|word| word == what);
    let view = |record: &Arc<UpstreamRecord>| UpstreamView {
        servers: if shows("servers") { Servers::Shown } else { Servers::Hidden },
        health: if shows("health") { api.status.upstream(&record.spec.id) } else { None },
        ..UpstreamView::whole(record)
    };
    let revision = table.revision();
    let page = || Page { items: page.into_iter().map(view).collect(), next, revision };
    if shows("health") || !states.is_empty() {
        // What is observed changes without a revision.
        return Ok(reply::json(StatusCode::OK, &page()));
    }
    reply::read(request.headers(), revision, table.config(), page)
}

/// Creates an upstream
///
/// The first upstream is bound to the catch-all route in the same commit, so that it gets requests at once; the answer
/// then names the route in `bound_routes`. Servers may be plain `"host:port"` strings.
#[utoipa::path(
    post, path = "/v1/upstreams", tag = "upstreams", operation_id = "createUpstream",
    params(
        ("bind" = Option<bool>, Query, description = "Whether to bind it to the catch-all route if that is bound to nothing. Default true."),
        ("dry_run" = Option<bool>, Query, description = "Does everything but make the change."),
    ),
    request_body(content = Upstream, examples(
        ("Shortest" = (value = json!({"servers": ["127.0.0.1:3001", "127.0.0.1:3002"]}))),
        ("Named, with checks" = (value = json!({"id": "web", "health_check": {"path": "/healthz", "interval": "2s", "timeout": "1s"}, "servers": [{"address": "10.0.0.7:8080", "weight": 2}, "10.0.0.8:8080"]}))),
    )),
    responses(
        (status = 201, description = "Created", body = UpstreamSchema, headers(("Location" = String, description = "Where it is"), ("ETag" = String, description = "Its state")), example = json!(examples::created_upstream())),
    )
)]
pub(super) async fn create(State(api): State<Arc<Api>>, request: Request<Body>) -> Result<Response, Problem> {
    let mut params = Params::of(request.uri())?;
    let binding = binding(&mut params);
    let call = Call::of(&api, &request, params)?;
    let (upstream, naming) = body::read(request, |body| {
        let naming = if body.get("id").is_some() { Naming::Given } else { Naming::Default };
        Ok((submitted::upstream(body, DEFAULT_ID)?, naming))
    })
    .await?;
    let change = Change::CreateUpstream { upstream, naming, binding };
    call.apply(change, answer).await
}

/// Reads an upstream
///
/// Servers included.
#[utoipa::path(
    get, path = "/v1/upstreams/{upstream}", tag = "upstreams", operation_id = "getUpstream",
    params(("upstream" = String, Path, description = "Id of the upstream", example = "web")),
    responses(
        (status = 200, description = "The upstream", body = UpstreamSchema, headers(("ETag" = String, description = "Its state")), example = json!(examples::upstream())),
        (status = 304, description = "The caller has it already"),
    )
)]
pub(super) async fn read(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    Params::of(request.uri())?.finish()?;
    let config = api.catalog.config();
    let record = found(config.upstreams.get(id.as_str()), "upstream", &id)?;
    reply::read(request.headers(), record.meta.revision, &config, || UpstreamView::whole(record))
}

/// Creates or replaces an upstream
///
/// Servers included: those that are not named are removed, those that are keep their state. What was read can be edited
/// and put back.
#[utoipa::path(
    put, path = "/v1/upstreams/{upstream}", tag = "upstreams", operation_id = "putUpstream",
    params(
        ("upstream" = String, Path, description = "Id of the upstream", example = "web"),
        ("bind" = Option<bool>, Query, description = "Whether to bind a new one to the catch-all route if that is bound to nothing. Default true."),
        ("dry_run" = Option<bool>, Query, description = "Does everything but make the change."),
        ("If-Match" = Option<String>, Header, description = "Only if it is in this state"),
        ("If-None-Match" = Option<String>, Header, description = "`*`: only if there is none"),
    ),
    request_body(content = Upstream, example = json!({"algorithm": "round_robin", "servers": ["10.0.0.7:8080", "10.0.0.8:8080"]})),
    responses(
        (status = 200, description = "Replaced, or equal already", body = UpstreamSchema, example = json!(examples::upstream())),
        (status = 201, description = "Created", body = UpstreamSchema, example = json!(examples::upstream())),
    )
)]
pub(super) async fn replace(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let mut params = Params::of(request.uri())?;
    let binding = binding(&mut params);
    let call = Call::of(&api, &request, params)?;
    let name = id.clone();
    let upstream = body::read(request, move |body| Ok(submitted::upstream(body, &name)?)).await?;
    call.apply(Change::PutUpstream { id, upstream, binding }, answer).await
}

/// Changes some fields of an upstream
///
/// A JSON Merge Patch (RFC 7396): what is named is set, what is named `null` goes back to its default. Servers are
/// changed at `/v1/upstreams/{upstream}/servers`.
#[utoipa::path(
    patch, path = "/v1/upstreams/{upstream}", tag = "upstreams", operation_id = "patchUpstream",
    params(
        ("upstream" = String, Path, description = "Id of the upstream", example = "web"),
        ("dry_run" = Option<bool>, Query, description = "Does everything but make the change."),
        ("If-Match" = Option<String>, Header, description = "Only if it is in this state"),
    ),
    request_body(content = Upstream, content_type = "application/merge-patch+json", example = json!({"health_check": {"interval": "2s", "timeout": "1s"}})),
    responses(
        (status = 200, description = "Changed, or equal already", body = UpstreamSchema, example = json!(examples::upstream())),
    )
)]
pub(super) async fn change(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let call = Call::of(&api, &request, Params::of(request.uri())?)?;
    let patch = body::read_patch(request).await?;
    call.apply(Change::PatchUpstream { id, patch }, answer).await
}

/// Deletes an upstream
///
/// Refused while a route sends to it, unless `cascade` unbinds the route. Requests under way finish.
#[utoipa::path(
    delete, path = "/v1/upstreams/{upstream}", tag = "upstreams", operation_id = "deleteUpstream",
    params(
        ("upstream" = String, Path, description = "Id of the upstream", example = "web"),
        ("cascade" = Option<bool>, Query, description = "Unbinds the routes that send to it. Default false."),
        ("dry_run" = Option<bool>, Query, description = "Does everything but make the change."),
        ("If-Match" = Option<String>, Header, description = "Only if it is in this state"),
    ),
    responses((status = 204, description = "Deleted"))
)]
pub(super) async fn delete(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let mut params = Params::of(request.uri())?;
    let references = match params.flag("cascade") {
        Some(true) => References::Unbind,
        Some(false) | None => References::Refuse,
    };
    let call = Call::of(&api, &request, params)?;
    call.apply(Change::DeleteUpstream { id, references }, |applied| Ok(Answer::empty(applied))).await
}

fn word(state: UpstreamCondition) -> &'static str {
    match state {
        UpstreamCondition::Healthy => "healthy",
        UpstreamCondition::Degraded => "degraded",
        UpstreamCondition::Panic => "panic",
        UpstreamCondition::Down => "down",
        UpstreamCondition::Empty => "empty",
    }
}

fn binding(params: &mut Params) -> Binding {
    match params.flag("bind") {
        Some(false) => Binding::Off,
        Some(true) | None => Binding::Automatic,
    }
}

fn answer(applied: &Applied) -> Result<Answer, Problem> {
    let id = applied.outcome.upstream.clone();
    let record = placed(applied.config.upstreams.get(id.as_str()), "upstream")?;
    let view =
        UpstreamView { bound_routes: applied.outcome.bound_routes.clone(), ..UpstreamView::whole(record) };
    Answer::resource(applied, &Target::Upstream(id), record.meta.revision, &view)
}
