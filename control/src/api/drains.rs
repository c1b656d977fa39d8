//! `/v1/upstreams/{upstream}/servers/{server}/drain` and `/v1/drains`.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    body::Body,
    extract::{Path, State},
    response::Response,
};
use http::{Request, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use weir_shared::{
    error::Pointer, id::Revision, model::check, state::ServerTotals, table::TableReader, time::Timestamp,
    units::Span,
};

use super::{
    Api,
    answer::Answer,
    body, examples,
    paging::Paging,
    params::Params,
    problem::{Code, Problem},
    reply::{self, Call},
    servers,
    view::{self, ServerView},
};
use crate::{
    access::scope::Need,
    catalog::{Applied, change::Change},
    drains::{Drain, DrainOutcome, Drains, StartDrain, Then, bound::BoundClients},
    error::Target,
    store::codec,
    strict,
};

/// How a server is to be drained.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
#[schema(as = DrainRequest)]
pub(super) struct ToDrain {
    /// How long requests under way are waited for, 0s to 1h. Default: the upstream's `drain_timeout`.
    timeout: Option<Span>,
    /// What becomes of the server then. Default `keep`.
    #[schema(required = false)]
    then: Then,
}

/// The drain of one server.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Drain)]
pub(super) struct DrainView {
    /// The upstream.
    #[schema(example = "web")]
    upstream: String,
    /// Id of the server.
    #[schema(example = "10.0.0.7-8080")]
    server: String,
    /// When it began.
    started_at: Timestamp,
    /// When it ends even though requests are under way.
    deadline: Timestamp,
    /// What becomes of the server then.
    then: Then,
    /// Requests under way at the server; none once the server is no longer in `drain`.
    in_flight: u32,
    /// Connections to the server with a request on them.
    connections: u64,
    /// In an upstream with `affinity`, what is seen of clients bound to the server; null in others, and once it has ended.
    bound: Option<BoundClients>,
    /// Whether it has ended.
    done: bool,
    /// How it ended.
    outcome: Option<DrainOutcome>,
    /// When it ended.
    ended_at: Option<Timestamp>,
}

impl DrainView {
    fn new(drain: &Drain, drains: &Drains, reader: &TableReader) -> Self {
        let table = reader.snapshot();
        let upstream = table.upstream(&drain.upstream);
        let binds = upstream.is_some_and(|upstream| upstream.affinity.is_some()) && drain.is_under_way();
        let server = upstream.and_then(|upstream| upstream.server(&drain.server));
        // What has the name now may be another server, or the same in use again.
        let state = server.filter(|_| !drain.is_past()).map(|server| &server.state);
        Self {
            upstream: drain.upstream.clone(),
            server: drain.server.clone(),
            started_at: drain.started_at,
            deadline: drain.deadline,
            then: drain.then,
            in_flight: state.map_or(0, |state| state.in_flight.count()),
            connections: state.map_or(0, |state| ServerTotals::sum(&state.counters).connections_active),
            bound: if binds { drains.bound(&drain.upstream, &drain.server) } else { None },
            done: !drain.is_under_way(),
            outcome: drain.end.map(|end| end.outcome),
            ended_at: drain.end.map(|end| end.at),
        }
    }
}

/// A page of drains, ordered by upstream and server.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DrainPage)]
pub(super) struct Page {
    /// The drains.
    items: Vec<DrainView>,
    /// Where the next page begins; null on the last.
    next: Option<String>,
    /// The revision they are of.
    revision: Revision,
}

/// Lists drains
///
/// Ordered by upstream and server. Those under way, or those that have ended: of each server the last, and of those whose
/// servers are in use again or gone the last thousand.
#[utoipa::path(
    get, path = "/v1/drains", tag = "drains", operation_id = "listDrains",
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Most drains in the answer. Default 100."),
        ("after" = Option<String>, Query, description = "Continues a list: the `next` of the answer before."),
        ("state" = Option<String>, Query, description = "`under_way`, `ended`, or both with a comma. Default `under_way`.", example = "ended"),
    ),
    responses((status = 200, description = "A page of drains", body = Page, example = json!(examples::drains())))
)]
pub(super) async fn list(State(api): State<Arc<Api>>, request: Request<Body>) -> Result<Response, Problem> {
    let mut params = Params::of(request.uri())?;
    let paging = Paging::of(&mut params);
    let states = params.words("state", &["under_way", "ended"]);
    params.finish()?;
    let key = |drain: &Drain| codec::server_key(&drain.upstream, &drain.server);
    let is_asked = |drain: &Drain| {
        let state = if drain.is_under_way() { "under_way" } else { "ended" };
        states.iter().any(|asked| asked == state) || (states.is_empty() && drain.is_under_way())
    };
    let drains: BTreeMap<String, Arc<Drain>> = api
        .catalog
        .drains()
        .all()
        .into_iter()
        .filter(|drain| is_asked(drain))
        .map(|drain| (key(&drain), drain))
        .filter(|(key, _)| paging.is_ahead(key))
        .collect();
    let (page, next) = paging.page(&drains, |(key, _)| key);
    let reader = api.catalog.reader();
    let drains = api.catalog.drains();
    let items = page.into_iter().map(|(_, drain)| DrainView::new(drain, drains, reader)).collect();
    let page = Page { items, next, revision: reader.snapshot().revision() };
    Ok(reply::json(StatusCode::OK, &page))
}

/// Drains a server
///
/// From the answer on it gets no new request, and those under way go on. When none is left, or at the deadline, the
/// server is kept in `drain`, set to `maint`, or removed; in the latter two cases what is still under way at the deadline
/// is broken off. Client connections stay open. A server in `maint`, or in `drain` already without a drain of this kind,
/// can be drained as well. Whatever else sets the server's `admin_state`, or removes it, ends the drain. With `"then":
/// "remove"` the caller needs the scope `servers:write` instead: it deletes the server.
#[utoipa::path(
    post, path = "/v1/upstreams/{upstream}/servers/{server}/drain", tag = "drains", operation_id = "startDrain",
    params(
        ("upstream" = String, Path, description = "Id of the upstream", example = "web"),
        ("server" = String, Path, description = "Id or address of the server", example = "10.0.0.7-8080"),
        ("dry_run" = Option<bool>, Query, description = "Does everything but make the change."),
        ("If-Match" = Option<String>, Header, description = "Only if the server is in this state"),
    ),
    request_body(content = Option<ToDrain>, description = "May be left out", example = json!({"timeout": "30s", "then": "remove"})),
    responses((
        status = 202, description = "The drain is under way", body = DrainView,
        headers(("Location" = String, description = "The health of the server, which shows the drain"), ("ETag" = String, description = "The state of the server")),
        example = json!(examples::drain())
    ))
)]
pub(super) async fn start(
    State(api): State<Arc<Api>>,
    Path((upstream, key)): Path<(String, String)>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let call = Call::of(&api, &request, Params::of(request.uri())?)?;
    let ToDrain { timeout, then } = match body::read_optional(request).await? {
        None => ToDrain::default(),
        Some(value) => {
            let root = Pointer::root();
            let mut errors = Vec::new();
            let wanted = strict::read::<ToDrain>(value, &root, &mut errors).unwrap_or_default();
            if let Some(timeout) = wanted.timeout {
                check::drain_timeout(timeout, &root.at("timeout"), &mut errors);
            }
            if !errors.is_empty() {
                return Err(errors.into());
            }
            wanted
        }
    };
    if then == Then::Remove {
        call.demand(Need::ServersWrite, &upstream)?;
    }
    begin(&api, &call, StartDrain { upstream, key, timeout, then }).await
}

/// Reads the drain of a server
///
/// The one that is under way, or the last one: how it ended can be read when the server is in use again or gone, across
/// restarts, until a thousand others have ended after it.
#[utoipa::path(
    get, path = "/v1/upstreams/{upstream}/servers/{server}/drain", tag = "drains", operation_id = "getDrain",
    params(
        ("upstream" = String, Path, description = "Id of the upstream", example = "web"),
        ("server" = String, Path, description = "Id or address of the server", example = "10.0.0.7-8080"),
    ),
    responses((status = 200, description = "The drain", body = DrainView, example = json!(examples::drain())))
)]
pub(super) async fn read(
    State(api): State<Arc<Api>>,
    Path((upstream, key)): Path<(String, String)>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    Params::of(request.uri())?.finish()?;
    let config = api.catalog.config();
    let record = servers::find(&config, &upstream, &key);
    let name = record.as_ref().map_or(key.as_str(), |record| &record.server.id);
    let drain = match (api.catalog.drains().last(&upstream, name), record) {
        (Some(drain), _) => drain,
        (None, Err(missing)) => return Err(missing),
        (None, Ok(record)) => {
            let detail = format!("No drain of the server \"{}\" is known.", record.server.id);
            return Err(Problem::new(Code::NotFound, detail));
        }
    };
    Ok(reply::json(StatusCode::OK, &DrainView::new(&drain, api.catalog.drains(), api.catalog.reader())))
}

/// Cancels the drain of a server
///
/// The server is again what it was before the drain; so is one that was kept in `drain` at its end.
#[utoipa::path(
    delete, path = "/v1/upstreams/{upstream}/servers/{server}/drain", tag = "drains", operation_id = "cancelDrain",
    params(
        ("upstream" = String, Path, description = "Id of the upstream", example = "web"),
        ("server" = String, Path, description = "Id or address of the server", example = "10.0.0.7-8080"),
        ("dry_run" = Option<bool>, Query, description = "Does everything but make the change."),
        ("If-Match" = Option<String>, Header, description = "Only if the server is in this state"),
    ),
    responses((status = 200, description = "Cancelled: the server as it is now", body = ServerView, headers(("ETag" = String, description = "Its state"))))
)]
pub(super) async fn cancel(
    State(api): State<Arc<Api>>,
    Path((upstream, key)): Path<(String, String)>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let call = Call::of(&api, &request, Params::of(request.uri())?)?;
    call.apply(Change::CancelDrain { upstream, key }, servers::answer).await
}

/// Begins a drain and answers it.
pub(super) async fn begin(api: &Api, call: &Call, start: StartDrain) -> Result<Response, Problem> {
    let (reader, drains) = (api.catalog.reader().clone(), api.catalog.drains().clone());
    let render = move |applied: &Applied| {
        let drain = applied.drain.as_ref();
        let drain = drain.ok_or_else(|| Problem::new(Code::Internal, "The drain is not there."))?;
        let target = Target::Server(drain.upstream.clone(), drain.server.clone());
        let answer = Answer::shows(applied, StatusCode::ACCEPTED, &DrainView::new(drain, &drains, &reader))?
            .see(format!("{}/health", view::location(&target)));
        Ok(match view::revision(&target, &applied.config) {
            Some(revision) => answer.tagged(revision, applied),
            None => answer,
        })
    };
    call.apply(Change::StartDrain(start), render).await
}
