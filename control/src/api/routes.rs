//! `/v1/routes`.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, State},
    response::Response,
};
use http::Request;
use serde::Serialize;
use utoipa::ToSchema;
use weir_shared::{id::Revision, model::Route};

use super::{
    Api,
    answer::Answer,
    body, examples,
    found::{found, placed},
    paging::Paging,
    params::Params,
    problem::Problem,
    reply::{self, Call},
    route_view::{RouteView, States},
};
use crate::{
    catalog::{Applied, change::Change, submitted},
    error::Target,
};

/// A page of routes, ordered by id.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RoutePage)]
pub(super) struct Page {
    /// The routes.
    items: Vec<RouteView>,
    /// Where the next page begins; null on the last.
    #[schema(nullable)]
    next: Option<String>,
    /// The revision they are of.
    revision: Revision,
}

/// Lists routes
///
/// Ordered by id. Which of several routes takes a request does not depend on this order but for a tie: hosts come first (exact,
/// then the longest wildcard), then `priority`, then the path (exact, then regular expressions, then the longest prefix), then
/// whether there is a method, the number of header fields and the number of parameters.
#[utoipa::path(
    get, path = "/v1/routes", tag = "routes", operation_id = "listRoutes",
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Most routes in the answer. Default 100."),
        ("after" = Option<String>, Query, description = "Continues a list: the `next` of the answer before."),
        ("state" = Option<String>, Query, description = "Only routes in one of these states, with commas between them.", example = "conflicted,unbound"),
        ("label" = Option<String>, Query, description = "Only routes with this label, written `key:value`.", example = "team:shop"),
        ("upstream" = Option<String>, Query, description = "Only routes that send to this upstream.", example = "web"),
        ("host" = Option<String>, Query, description = "Only routes that name this host, exactly as they do.", example = "*.example.com"),
    ),
    responses((status = 200, description = "A page of routes", body = Page, headers(("ETag" = String, description = "The revision they are of")), example = json!(examples::routes())))
)]
pub(super) async fn list(State(api): State<Arc<Api>>, request: Request<Body>) -> Result<Response, Problem> {
    let mut params = Params::of(request.uri())?;
    let paging = Paging::of(&mut params);
    let states = params.words("state", &["ok", "unbound", "unresolved", "conflicted", "disabled"]);
    let label = params.pair("label");
    let upstream = params.text("upstream");
    let host = params.text("host");
    params.finish()?;
    let config = api.catalog.config();
    let known = States::of(&config);
    let found = config
        .routes
        .values()
        .filter(|record| paging.is_ahead(&record.spec.id))
        .filter(|record| label.as_ref().is_none_or(|(key, value)| record.spec.labels.get(key) == Some(value)))
        .filter(|record| upstream.as_ref().is_none_or(|id| record.spec.refers_to(id)))
        .filter(|record| host.as_ref().is_none_or(|host| record.spec.matches.hosts.contains(host)))
        .map(|record| known.view(record))
        .filter(|view| states.is_empty() || states.iter().any(|state| state == view.state().as_str()));
    let (items, next) = paging.page(found, RouteView::id);
    let page = || Page { items, next, revision: config.revision };
    reply::read(request.headers(), config.revision, &config, page)
}

/// Creates a route
///
/// In force with the answer. Upstreams it sends to have to be there.
#[utoipa::path(
    post, path = "/v1/routes", tag = "routes", operation_id = "createRoute",
    params(("dry_run" = Option<bool>, Query, description = "Does everything but make the change.")),
    request_body(content = Route, examples(
        ("By path" = (value = json!({"id": "api", "match": {"path": {"type": "prefix", "value": "/api"}}, "action": {"upstreams": [{"upstream": "api"}]}}))),
        ("Canary" = (value = json!({"id": "shop", "match": {"hosts": ["shop.example.com"]}, "action": {"upstreams": [{"upstream": "shop", "weight": 95}, {"upstream": "shop-next", "weight": 5}]}}))),
        ("To another place" = (value = json!({"id": "old", "match": {"hosts": ["old.example.com"]}, "action": {"redirect": {"scheme": "https", "host": "new.example.com", "status": 301}}}))),
        ("An answer of its own" = (value = json!({"id": "closed", "priority": 100, "match": {"path": {"value": "/admin"}}, "action": {"fixed_response": {"status": 403, "body": "not from here\n"}}}))),
        ("Without the prefix" = (value = json!({"id": "v1", "match": {"path": {"value": "/v1"}}, "action": {"upstreams": [{"upstream": "api"}], "rewrite": {"path": {"type": "replace_prefix", "value": "/"}}, "timeout": "10s"}}))),
    )),
    responses(
        (status = 201, description = "Created", body = RouteView, headers(("Location" = String, description = "Where it is"), ("ETag" = String, description = "Its state")), example = json!(examples::route())),
    )
)]
pub(super) async fn create(State(api): State<Arc<Api>>, request: Request<Body>) -> Result<Response, Problem> {
    let call = Call::of(&api, &request, Params::of(request.uri())?)?;
    let route = body::read(request, |body| Ok(submitted::route(body, "")?)).await?;
    let id = route.value.id.clone();
    call.apply(Change::CreateRoute { route }, answer(id)).await
}

/// Reads a route
///
/// With whether it works.
#[utoipa::path(
    get, path = "/v1/routes/{route}", tag = "routes", operation_id = "getRoute",
    params(("route" = String, Path, description = "Id of the route", example = "default")),
    responses(
        (status = 200, description = "The route", body = RouteView, headers(("ETag" = String, description = "Its state")), example = json!(examples::route())),
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
    let record = found(config.routes.get(id.as_str()), "route", &id)?;
    reply::read(request.headers(), record.meta.revision, &config, || RouteView::of(record, &config))
}

/// Creates or replaces a route
///
/// What was read can be edited and put back.
#[utoipa::path(
    put, path = "/v1/routes/{route}", tag = "routes", operation_id = "putRoute",
    params(
        ("route" = String, Path, description = "Id of the route", example = "default"),
        ("dry_run" = Option<bool>, Query, description = "Does everything but make the change."),
        ("If-Match" = Option<String>, Header, description = "Only if it is in this state"),
        ("If-None-Match" = Option<String>, Header, description = "`*`: only if there is none"),
    ),
    request_body(content = Route, example = json!({"id": "default", "action": {"upstreams": [{"upstream": "web"}]}})),
    responses(
        (status = 200, description = "Replaced, or equal already", body = RouteView, example = json!(examples::route())),
        (status = 201, description = "Created", body = RouteView, example = json!(examples::route())),
    )
)]
pub(super) async fn replace(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let call = Call::of(&api, &request, Params::of(request.uri())?)?;
    let name = id.clone();
    let route = body::read(request, move |body| Ok(submitted::route(body, &name)?)).await?;
    call.apply(Change::PutRoute { id: id.clone(), route }, answer(id)).await
}

/// Changes some fields of a route
///
/// A JSON Merge Patch (RFC 7396): what is named is set, what is named `null` goes back to its default; lists are replaced.
#[utoipa::path(
    patch, path = "/v1/routes/{route}", tag = "routes", operation_id = "patchRoute",
    params(
        ("route" = String, Path, description = "Id of the route", example = "default"),
        ("dry_run" = Option<bool>, Query, description = "Does everything but make the change."),
        ("If-Match" = Option<String>, Header, description = "Only if it is in this state"),
    ),
    request_body(content = Route, content_type = "application/merge-patch+json", example = json!({"action": {"timeout": "10s"}})),
    responses((status = 200, description = "Changed, or equal already", body = RouteView, example = json!(examples::route())))
)]
pub(super) async fn change(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let call = Call::of(&api, &request, Params::of(request.uri())?)?;
    let patch = body::read_patch(request).await?;
    call.apply(Change::PatchRoute { id: id.clone(), patch }, answer(id)).await
}

/// Deletes a route
///
/// Its requests go to the next route that matches them. The route `default` is always there.
#[utoipa::path(
    delete, path = "/v1/routes/{route}", tag = "routes", operation_id = "deleteRoute",
    params(
        ("route" = String, Path, description = "Id of the route", example = "api"),
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
    let call = Call::of(&api, &request, Params::of(request.uri())?)?;
    call.apply(Change::DeleteRoute { id }, |applied| Ok(Answer::empty(applied))).await
}

/// What a change of the route `id` is answered.
fn answer(id: String) -> impl Fn(&Applied) -> Result<Answer, Problem> + Clone + Send + Sync + 'static {
    move |applied| {
        let record = placed(applied.config.routes.get(id.as_str()), "route")?;
        let view = RouteView::of(record, &applied.config);
        Answer::resource(applied, &Target::Route(id.clone()), record.meta.revision, &view)
    }
}
