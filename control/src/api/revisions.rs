//! `/v1/revisions`: what was changed, when, by whom and why.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, State},
    response::Response,
};
use http::{Request, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;
use weir_shared::{id::Revision, time::Timestamp};

use super::{
    Api,
    accept::Format,
    aside::aside,
    config, examples,
    params::Params,
    problem::{Code, Problem},
    reply,
};
use crate::{
    catalog::diff::{Difference, Summary, diff},
    store::{self, CommitMeta, RevisionEntry},
};

/// A revision and the change that made it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RevisionResource)]
pub(super) struct View {
    /// Its number.
    revision: Revision,
    /// When it was made.
    at: Timestamp,
    /// Who made it.
    actor: String,
    /// Why, or what in short.
    message: String,
    /// The API request that made it, as in its `X-Request-Id`.
    request_id: String,
    /// What it changed.
    changes: Summary,
}

impl From<RevisionEntry> for View {
    fn from(entry: RevisionEntry) -> Self {
        let RevisionEntry { revision, meta: CommitMeta { at, actor, message, request_id, changes } } = entry;
        // Written by this program or by another release of it: what cannot be read is not shown.
        let changes = serde_json::from_str(&changes).unwrap_or_default();
        Self { revision, at, actor, message, request_id, changes }
    }
}

/// A page of revisions, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RevisionPage)]
pub(super) struct Page {
    /// The revisions.
    items: Vec<View>,
    /// Where the next page begins; null on the last.
    next: Option<String>,
    /// The revision in force.
    revision: Revision,
}

/// What differs between two revisions.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RevisionDiff)]
pub(super) struct Compared {
    /// The revision after.
    revision: Revision,
    /// The revision before.
    against: Revision,
    /// Everything that differs.
    diff: Vec<Difference>,
}

/// Lists revisions
///
/// Newest first: the last thousand, as far back as ninety days.
#[utoipa::path(
    get, path = "/v1/revisions", tag = "history", operation_id = "listRevisions",
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Most revisions in the answer. Default 100."),
        ("after" = Option<u64>, Query, description = "Continues a list: the `next` of the answer before."),
    ),
    responses((status = 200, description = "A page of revisions", body = Page, example = json!(examples::revisions())))
)]
pub(super) async fn list(State(api): State<Arc<Api>>, request: Request<Body>) -> Result<Response, Problem> {
    let mut params = Params::of(request.uri())?;
    let limit = params.number("limit", 1..=1000).unwrap_or(100);
    let below = params.revision("after").map_or(u64::MAX, |revision| revision.0);
    params.finish()?;
    let page = store::Page { below, limit: limit + 1 };
    let mut entries = api.catalog.revisions(page).await?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = entries.len() > limit;
    entries.truncate(limit);
    let next = entries.last().filter(|_| has_more).map(|entry| entry.revision.to_string());
    let items = entries.into_iter().map(View::from).collect();
    let revision = api.catalog.config().revision;
    Ok(reply::json(StatusCode::OK, &Page { items, next, revision }))
}

/// Reads a revision
///
/// Who made it, when, why, and which places it changed.
#[utoipa::path(
    get, path = "/v1/revisions/{revision}", tag = "history", operation_id = "getRevision",
    params(("revision" = u64, Path, description = "Number of the revision", example = 42)),
    responses((status = 200, description = "The revision", body = View, example = json!(examples::revision())))
)]
pub(super) async fn read(
    State(api): State<Arc<Api>>,
    Path(number): Path<String>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    Params::of(request.uri())?.finish()?;
    let entry = api.catalog.revision(revision(&number)?).await?;
    Ok(reply::json(StatusCode::OK, &View::from(entry)))
}

/// Reads the configuration at a revision
///
/// The same as `GET /v1/config?revision=`.
#[utoipa::path(
    get, path = "/v1/revisions/{revision}/config", tag = "history", operation_id = "getRevisionConfig",
    params(("revision" = u64, Path, description = "Number of the revision", example = 42)),
    responses((status = 200, description = "The configuration", headers(("ETag" = String, description = "The revision")), content(
        (config::View = "application/json", example = json!(examples::config())),
        (String = "application/yaml", example = json!(examples::config_in_yaml())),
    )))
)]
pub(super) async fn read_config(
    State(api): State<Arc<Api>>,
    Path(number): Path<String>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    Params::of(request.uri())?.finish()?;
    let config = api.catalog.config_at(revision(&number)?).await?;
    config::show(&api, config, Format::wanted(request.headers()))
}

/// Compares two revisions
///
/// What became different from `against` to the revision; of the one before it, unless said otherwise.
#[utoipa::path(
    get, path = "/v1/revisions/{revision}/diff", tag = "history", operation_id = "diffRevisions",
    params(
        ("revision" = u64, Path, description = "Number of the revision", example = 42),
        ("against" = Option<u64>, Query, description = "The revision to compare with. Default: the one before.", example = 40),
    ),
    responses((status = 200, description = "The differences", body = Compared, example = json!(examples::revision_diff())))
)]
pub(super) async fn compare(
    State(api): State<Arc<Api>>,
    Path(number): Path<String>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let mut params = Params::of(request.uri())?;
    let against = params.revision("against");
    params.finish()?;
    let revision = revision(&number)?;
    let against = against.unwrap_or_else(|| Revision(revision.0.saturating_sub(1)));
    let after = api.catalog.config_at(revision).await?;
    let before = api.catalog.config_at(against).await?;
    aside(move || reply::json(StatusCode::OK, &Compared { revision, against, diff: diff(&before, &after) }))
        .await
}

fn revision(text: &str) -> Result<Revision, Problem> {
    let number = text.parse().map(Revision);
    number.map_err(|_| {
        let text = crate::strict::echo(text);
        Problem::new(Code::NotFound, format!("\"{text}\" is not the number of a revision."))
    })
}
