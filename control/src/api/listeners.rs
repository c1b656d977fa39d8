//! `/v1/listeners`: where clients connect.
//!
//! A change is answered once its address was tried: the next connection finds it as it says. An address that cannot be
//! bound is told in `status`, and refuses no change: other machines may be able to.

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
    id::{ListenerId, Revision},
    model::{Config, Listener, ListenerFlags, ListenerRecord, ListenerStatus, Meta},
    table::Table,
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
};
use crate::{
    catalog::{Applied, change::Change, listener_flags, submitted},
    error::{CatalogError, Target},
};

/// A listener with what Weir notes and observes of it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ListenerResource)]
pub(super) struct ListenerView {
    /// The listener, as it is in force.
    #[serde(flatten)]
    listener: Listener,
    /// What Weir notes.
    #[serde(flatten)]
    meta: Meta,
    /// Whether it is in service.
    status: ListenerStatus,
}

impl ListenerView {
    /// The listener of `record`, which is or will be in force; `table` says what is observed of it.
    pub(super) fn of(record: &ListenerRecord, flags: &ListenerFlags, table: &Table) -> Self {
        let listener = flags.over(&record.spec);
        let status = status(&listener.id, table, &record.meta);
        Self { listener, meta: record.meta, status }
    }
}

/// `error`, with the listener that the command line says things of as it is in force: that can be put back.
pub(super) fn as_in_force(error: CatalogError, flags: &ListenerFlags) -> CatalogError {
    let CatalogError::PreconditionFailed { current: Some(Target::Listener(id)), config } = error else {
        return error;
    };
    let mut shown = Config::clone(&config);
    if let Some(record) = config.listeners.get(id.as_str()) {
        let record = ListenerRecord { spec: flags.over(&record.spec), ..ListenerRecord::clone(record) };
        shown.listeners.insert_mut(ListenerId::new(&id), Arc::new(record));
    }
    CatalogError::PreconditionFailed { current: Some(Target::Listener(id)), config: Arc::new(shown) }
}

/// Whether the listener named `id` is in service; one that is about to be made is not yet.
pub(super) fn status(id: &str, table: &Table, meta: &Meta) -> ListenerStatus {
    let fresh = || ListenerStatus { bound: false, address: None, error: None, since: meta.updated_at };
    table.listener(id).map_or_else(fresh, |listener| listener.state.status())
}

/// A page of listeners, ordered by id.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ListenerPage)]
pub(super) struct Page {
    /// The listeners.
    items: Vec<ListenerView>,
    /// Where the next page begins; null on the last.
    next: Option<String>,
    /// The revision they are of.
    revision: Revision,
}

/// Lists listeners
///
/// Ordered by id, each with whether its address is bound.
#[utoipa::path(
    get, path = "/v1/listeners", tag = "listeners", operation_id = "listListeners",
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Most listeners in the answer. Default 100."),
        ("after" = Option<String>, Query, description = "Continues a list: the `next` of the answer before."),
    ),
    responses((status = 200, description = "A page of listeners", body = Page, example = json!(examples::listeners())))
)]
pub(super) async fn list(State(api): State<Arc<Api>>, request: Request<Body>) -> Result<Response, Problem> {
    let mut params = Params::of(request.uri())?;
    let paging = Paging::of(&mut params);
    params.finish()?;
    let table = api.catalog.reader().snapshot();
    let config = table.config();
    let ahead = config.listeners.values().filter(|record| paging.is_ahead(&record.spec.id));
    let (page, next) = paging.page(ahead, |record| &record.spec.id);
    let items = page.into_iter().map(|record| ListenerView::of(record, &api.flags, &table)).collect();
    let revision = config.revision;
    // Never 304: what is observed changes without a revision.
    Ok(reply::json(StatusCode::OK, &Page { items, next, revision }))
}

/// Creates a listener
///
/// Answered once its address was tried. When `status.bound` is false, `status.error` says why, and it is tried again until
/// it works; nothing else is affected.
#[utoipa::path(
    post, path = "/v1/listeners", tag = "listeners", operation_id = "createListener",
    params(("dry_run" = Option<bool>, Query, description = "Does everything but make the change.")),
    request_body(content = Listener, examples(
        ("Another port" = (value = json!({"id": "internal", "address": "10.0.0.1:8081"}))),
        ("Behind another balancer" = (value = json!({"id": "edge", "address": "[::]:8082", "proxy_protocol": {"accept": "required", "trusted": ["10.0.0.0/8"]}}))),
        ("A unix socket" = (value = json!({"id": "local", "address": "unix:/run/weir/http.sock"}))),
        ("TCP" = (value = json!({"id": "postgres", "address": "10.0.0.1:5432", "protocol": "tcp", "upstream": "postgres", "idle_timeout": "1h"}))),
    )),
    responses(
        (status = 201, description = "Created", body = ListenerView, headers(("Location" = String, description = "Where it is"), ("ETag" = String, description = "Its state")), example = json!(examples::listener())),
    )
)]
pub(super) async fn create(State(api): State<Arc<Api>>, request: Request<Body>) -> Result<Response, Problem> {
    let call = Call::of(&api, &request, Params::of(request.uri())?)?;
    let listener = body::read(request, |body| Ok(submitted::listener(body, None)?)).await?;
    call.apply(Change::CreateListener { listener }, answers(&api)).await
}

/// Reads a listener
///
/// With whether its address is bound.
#[utoipa::path(
    get, path = "/v1/listeners/{listener}", tag = "listeners", operation_id = "getListener",
    params(("listener" = String, Path, description = "Id of the listener", example = "internal")),
    responses((status = 200, description = "The listener", body = ListenerView, headers(("ETag" = String, description = "Its state")), example = json!(examples::listener())))
)]
pub(super) async fn read(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    Params::of(request.uri())?.finish()?;
    let table = api.catalog.reader().snapshot();
    let config = table.config();
    let record = found(config.listeners.get(id.as_str()), "listener", &id)?;
    // Never 304: what is observed changes without a revision.
    let response = reply::json(StatusCode::OK, &ListenerView::of(record, &api.flags, &table));
    let mut response = reply::tagged(response, record.meta.revision, &config.epoch);
    reply::set(response.headers_mut(), reply::REVISION, &config.revision.to_string());
    Ok(response)
}

/// Creates or replaces a listener
///
/// No connection is closed for it. With another address the new one is bound before the old one is given up. What the
/// command line sets of `default` can only be repeated.
#[utoipa::path(
    put, path = "/v1/listeners/{listener}", tag = "listeners", operation_id = "putListener",
    params(
        ("listener" = String, Path, description = "Id of the listener", example = "internal"),
        ("dry_run" = Option<bool>, Query, description = "Does everything but make the change."),
        ("If-Match" = Option<String>, Header, description = "Only if it is in this state"),
        ("If-None-Match" = Option<String>, Header, description = "`*`: only if there is none"),
    ),
    request_body(content = Listener, example = json!({"address": "10.0.0.1:8081", "max_connections": 1000})),
    responses(
        (status = 200, description = "Replaced, or equal already", body = ListenerView, example = json!(examples::listener())),
        (status = 201, description = "Created", body = ListenerView, example = json!(examples::listener())),
    )
)]
pub(super) async fn replace(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let call = Call::of(&api, &request, Params::of(request.uri())?)?;
    let (name, flags) = (id.clone(), own_flags(&api, &id));
    let listener = body::read(request, move |mut body| {
        if let Some(flags) = flags {
            listener_flags::take_out(&mut body, &flags)?;
        }
        Ok(submitted::listener(body, Some(&name))?)
    })
    .await?;
    let kept = api.flags.names();
    call.apply(Change::PutListener { id, listener, kept }, answers(&api)).await
}

/// Changes some fields of a listener
///
/// A JSON Merge Patch (RFC 7396): what is named is set, what is named `null` goes back to its default.
#[utoipa::path(
    patch, path = "/v1/listeners/{listener}", tag = "listeners", operation_id = "patchListener",
    params(
        ("listener" = String, Path, description = "Id of the listener", example = "internal"),
        ("dry_run" = Option<bool>, Query, description = "Does everything but make the change."),
        ("If-Match" = Option<String>, Header, description = "Only if it is in this state"),
    ),
    request_body(content = Listener, content_type = "application/merge-patch+json", example = json!({"idle_timeout": "2m"})),
    responses(
        (status = 200, description = "Changed, or equal already", body = ListenerView, example = json!(examples::listener())),
    )
)]
pub(super) async fn change(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let call = Call::of(&api, &request, Params::of(request.uri())?)?;
    let mut patch = body::read_patch(request).await?;
    if let Some(flags) = own_flags(&api, &id) {
        listener_flags::take_out(&mut patch, &flags)?;
    }
    call.apply(Change::PatchListener { id, patch }, answers(&api)).await
}

/// Deletes a listener
///
/// It takes no connections any more once this is answered. Clients that wait in the kernel's queue are served; connections
/// that are open are told to close, finish what is under way, and are broken off after `drain_timeout`. `default` cannot be
/// deleted.
#[utoipa::path(
    delete, path = "/v1/listeners/{listener}", tag = "listeners", operation_id = "deleteListener",
    params(
        ("listener" = String, Path, description = "Id of the listener", example = "internal"),
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
    call.apply(Change::DeleteListener { id }, |applied| Ok(Answer::empty(applied))).await
}

/// What the command line says of the listener named `id`, if it is the process's own.
fn own_flags(api: &Api, id: &str) -> Option<ListenerFlags> {
    (id == Listener::DEFAULT_ID).then(|| api.flags.clone())
}

/// Makes answers of what came of changes.
fn answers(api: &Arc<Api>) -> impl Fn(&Applied) -> Result<Answer, Problem> + Clone + Send + Sync + 'static {
    let api = Arc::clone(api);
    move |applied| {
        let id = &applied.outcome.listener;
        let record = placed(applied.config.listeners.get(id.as_str()), "listener")?;
        let view = ListenerView::of(record, &api.flags, &api.catalog.reader().snapshot());
        Answer::resource(applied, &Target::Listener(id.clone()), record.meta.revision, &view)
    }
}
