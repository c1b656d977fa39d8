//! `/v1/upstreams/{upstream}/servers`.

use std::{collections::HashMap, sync::Arc};

use axum::{
    body::Body,
    extract::{Path, State},
    response::Response,
};
use http::{Request, StatusCode};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use weir_shared::{
    id::Revision,
    model::{Config, Server, ServerOrAddress, ServerRecord},
    units::Span,
};

use super::{
    Api,
    answer::Answer,
    body,
    drains::{self, DrainView},
    examples,
    found::{found, placed},
    params::Params,
    problem::{Code, Problem},
    reply::{self, Call},
    view::ServerView,
};
use crate::{
    catalog::{
        Applied,
        change::{Change, Effect, Shape},
        submitted::{self, Submitted},
    },
    drains::{StartDrain, Then},
    error::Target,
};

/// A page of servers, ordered by id.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ServerPage)]
pub(super) struct Page {
    /// The servers.
    pub items: Vec<ServerView>,
    /// Where the next page begins; null on the last.
    pub next: Option<String>,
    /// The revision they are of.
    pub revision: Revision,
}

/// One server, or several: each an object or a plain `"host:port"` string.
#[derive(Debug, ToSchema)]
#[schema(as = ServersToAdd)]
#[expect(dead_code, reason = "only its schema is used")]
#[serde(untagged)]
pub(super) enum ToAdd {
    /// One, as an object.
    One(Server),
    /// One, by its address.
    Address(String),
    /// Several, added all or none; at most 1000.
    Many(Vec<ServerOrAddress>),
}

/// What was added: the one server, or a page of several.
#[derive(Debug, ToSchema)]
#[schema(as = ServersAdded)]
#[expect(dead_code, reason = "only its schema is used")]
#[serde(untagged)]
pub(super) enum Added {
    /// The server, when one was sent by itself.
    One(Box<ServerView>),
    /// The servers, when an array was sent.
    Many(Page),
}

/// Adds servers to an upstream
///
/// One, or an array that is added all or none. A server that is there already and equal is left as it is, so that the
/// call can be repeated; 201 when at least one was added, 200 when all were there.
#[utoipa::path(
    post, path = "/v1/upstreams/{upstream}/servers", tag = "servers", operation_id = "addServers",
    params(
        ("upstream" = String, Path, description = "Id of the upstream", example = "web"),
        ("dry_run" = Option<bool>, Query, description = "Does everything but make the change."),
        ("If-Match" = Option<String>, Header, description = "Only if the upstream is in this state"),
    ),
    request_body(content = ToAdd, examples(
        ("By address" = (value = json!("10.0.0.9:8080"))),
        ("In full" = (value = json!({"address": "10.0.0.9:8080", "weight": 3, "zone": "eu-1a"}))),
        ("Several" = (value = json!(["10.0.0.9:8080", {"address": "10.0.0.10:8080", "priority": 1}]))),
    )),
    responses(
        (status = 200, description = "All were there already. An array is answered as a page.", body = Added, examples(
            ("One" = (value = json!(examples::server()))), ("Several" = (value = json!(examples::servers())))
        )),
        (status = 201, description = "Added. An array is answered as a page.", body = Added, headers(("Location" = String, description = "Where the one server is"), ("ETag" = String, description = "Its state")), examples(
            ("One" = (value = json!(examples::server()))), ("Several" = (value = json!(examples::servers())))
        )),
    )
)]
pub(super) async fn create(
    State(api): State<Arc<Api>>,
    Path(upstream): Path<String>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let call = Call::of(&api, &request, Params::of(request.uri())?)?;
    let (servers, shape) = body::read(request, |body| match body {
        Value::Array(values) => Ok((submitted::servers(values)?, Shape::Many)),
        value => {
            let Submitted { value, claims } = submitted::server(value, None)?;
            Ok((Submitted { value: vec![value], claims }, Shape::One))
        }
    })
    .await?;
    let change = Change::AddServers { upstream, servers, shape };
    call.apply(change, if shape == Shape::One { answer } else { answer_many }).await
}

/// Reads a server
///
/// By its id, or by its address with the colon as it is or percent-encoded.
#[utoipa::path(
    get, path = "/v1/upstreams/{upstream}/servers/{server}", tag = "servers", operation_id = "getServer",
    params(
        ("upstream" = String, Path, description = "Id of the upstream", example = "web"),
        ("server" = String, Path, description = "Id or address of the server", example = "10.0.0.7-8080"),
    ),
    responses(
        (status = 200, description = "The server", body = ServerView, headers(("ETag" = String, description = "Its state"))),
        (status = 304, description = "The caller has it already"),
    )
)]
pub(super) async fn read(
    State(api): State<Arc<Api>>,
    Path((upstream, key)): Path<(String, String)>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    Params::of(request.uri())?.finish()?;
    let config = api.catalog.config();
    let record = find(&config, &upstream, &key)?;
    reply::read(request.headers(), record.meta.revision, &config, || ServerView::from(record))
}

/// Creates or replaces a server
///
/// Its id and address never change; the other fields are as given, or default.
#[utoipa::path(
    put, path = "/v1/upstreams/{upstream}/servers/{server}", tag = "servers", operation_id = "putServer",
    params(
        ("upstream" = String, Path, description = "Id of the upstream", example = "web"),
        ("server" = String, Path, description = "Id or address of the server", example = "10.0.0.7-8080"),
        ("dry_run" = Option<bool>, Query, description = "Does everything but make the change."),
        ("If-Match" = Option<String>, Header, description = "Only if it is in this state"),
        ("If-None-Match" = Option<String>, Header, description = "`*`: only if there is none"),
    ),
    request_body(content = Server, example = json!({"address": "10.0.0.7:8080", "weight": 2})),
    responses(
        (status = 200, description = "Replaced, or equal already", body = ServerView),
        (status = 201, description = "Created", body = ServerView),
    )
)]
pub(super) async fn replace(
    State(api): State<Arc<Api>>,
    Path((upstream, key)): Path<(String, String)>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let call = Call::of(&api, &request, Params::of(request.uri())?)?;
    let (shared, parent, name) = (Arc::clone(&api), upstream.clone(), key.clone());
    let server = body::read(request, move |body| {
        let address = implied_address(&shared, &parent, &name);
        Ok(submitted::server(body, address.as_deref())?)
    })
    .await?;
    call.apply(Change::PutServer { upstream, key, server }, answer).await
}

/// Changes some fields of a server
///
/// A JSON Merge Patch (RFC 7396). `{"admin_state": "drain"}` stops new requests to it and lets those under way finish.
#[utoipa::path(
    patch, path = "/v1/upstreams/{upstream}/servers/{server}", tag = "servers", operation_id = "patchServer",
    params(
        ("upstream" = String, Path, description = "Id of the upstream", example = "web"),
        ("server" = String, Path, description = "Id or address of the server", example = "10.0.0.7-8080"),
        ("dry_run" = Option<bool>, Query, description = "Does everything but make the change."),
        ("If-Match" = Option<String>, Header, description = "Only if it is in this state"),
    ),
    request_body(content = Server, content_type = "application/merge-patch+json", example = json!({"weight": 5, "admin_state": "drain"})),
    responses((status = 200, description = "Changed, or equal already", body = ServerView))
)]
pub(super) async fn change(
    State(api): State<Arc<Api>>,
    Path((upstream, key)): Path<(String, String)>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let call = Call::of(&api, &request, Params::of(request.uri())?)?;
    let patch = body::read_patch(request).await?;
    call.apply(Change::PatchServer { upstream, key, patch }, answer).await
}

/// Deletes a server
///
/// No new request goes to it after the answer; those under way finish, however long they take. With `drain=true` the
/// server stays until none is under way or the time is over, when what is left is broken off: as `POST …/drain` with
/// `"then": "remove"`.
#[utoipa::path(
    delete, path = "/v1/upstreams/{upstream}/servers/{server}", tag = "servers", operation_id = "deleteServer",
    params(
        ("upstream" = String, Path, description = "Id of the upstream", example = "web"),
        ("server" = String, Path, description = "Id or address of the server", example = "10.0.0.7-8080"),
        ("drain" = Option<bool>, Query, description = "Drains it first."),
        ("timeout" = Option<String>, Query, description = "With `drain=true`: how long requests under way are waited for, 0s to 1h. Default: the upstream's `drain_timeout`.", example = "30s"),
        ("dry_run" = Option<bool>, Query, description = "Does everything but make the change."),
        ("If-Match" = Option<String>, Header, description = "Only if it is in this state"),
    ),
    responses(
        (status = 202, description = "It is being drained and will be deleted", body = DrainView, headers(("Location" = String, description = "The health of the server, which shows the drain")), example = json!(examples::drain())),
        (status = 204, description = "Deleted"),
    )
)]
pub(super) async fn delete(
    State(api): State<Arc<Api>>,
    Path((upstream, key)): Path<(String, String)>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let mut params = Params::of(request.uri())?;
    let drains = params.flag("drain") == Some(true);
    let timeout = if drains { params.span("timeout", Span::default()..=Span::from_secs(3600)) } else { None };
    let call = Call::of(&api, &request, params)?;
    if drains {
        return drains::begin(&api, &call, StartDrain { upstream, key, timeout, then: Then::Remove }).await;
    }
    call.apply(Change::DeleteServer { upstream, key }, |applied| Ok(Answer::empty(applied))).await
}

/// The address of a put server whose body has none: that of the server that is there, or the one in the path. An address
/// never changes, so that a change in between cannot make this wrong.
fn implied_address(api: &Api, upstream: &str, key: &str) -> Option<String> {
    let config = api.catalog.config();
    match find(&config, upstream, key).ok() {
        Some(record) => Some(record.server.address.clone()),
        None if key.contains(':') => Some(key.to_owned()),
        None => None,
    }
}

pub(super) fn answer(applied: &Applied) -> Result<Answer, Problem> {
    let upstream = &applied.outcome.upstream;
    let record = applied
        .config
        .upstreams
        .get(upstream.as_str())
        .zip(applied.outcome.servers.first())
        .and_then(|(parent, id)| parent.server(id));
    let record = placed(record, "server")?;
    let target = Target::Server(upstream.clone(), record.server.id.clone());
    Answer::resource(applied, &target, record.meta.revision, &ServerView::from(record))
}

fn answer_many(applied: &Applied) -> Result<Answer, Problem> {
    let parent = applied.config.upstreams.get(applied.outcome.upstream.as_str());
    let by_id: HashMap<&str, &Arc<ServerRecord>> = parent
        .iter()
        .flat_map(|parent| &parent.servers)
        .map(|record| (record.server.id.as_str(), record))
        .collect();
    let records = applied.outcome.servers.iter().filter_map(|id| by_id.get(id.as_str()).copied());
    let page = Page {
        items: records.map(ServerView::from).collect(),
        next: None,
        revision: applied.config.revision,
    };
    let is_new = applied.outcome.effect == Effect::Created;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    let answer = Answer::shows(applied, status, &page)?;
    Ok(match parent {
        Some(parent) => answer.tagged(parent.meta.revision, applied),
        None => answer,
    })
}

/// The server of `upstream` that `key` names: its id, or its address however written.
pub(super) fn find<'a>(
    config: &'a Config,
    upstream: &str,
    key: &str,
) -> Result<&'a Arc<ServerRecord>, Problem> {
    let parent = found(config.upstreams.get(upstream), "upstream", upstream)?;
    parent.find(key).ok_or_else(|| no_server(upstream, key))
}

/// The problem of a server that is not there.
pub(super) fn no_server(upstream: &str, key: &str) -> Problem {
    Problem::new(Code::NotFound, format!("There is no server \"{key}\" in upstream \"{upstream}\"."))
}
