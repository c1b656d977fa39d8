//! `/v1/audit`: who asked for what, newest first.

use std::sync::Arc;

use axum::{body::Body, extract::State, response::Response};
use http::{Request, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Api, examples,
    params::Params,
    problem::{Code, Problem},
    reply,
};
use crate::{
    audit::Entry,
    store::{self, RecordKind},
};

/// Most records looked at for one answer: some tens of milliseconds. A narrow filter may find nothing among them; the
/// answer's `next` then says where to go on.
const MAX_SCANNED: u32 = 5000;

/// Records read at once.
const CHUNK: u32 = 500;

/// Calls that changed something or were refused, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditPage)]
pub(super) struct Page {
    /// The calls.
    items: Vec<Entry>,
    /// Where the next page begins; null on the last.
    #[schema(example = "1041")]
    next: Option<String>,
}

/// Reads the audit
///
/// Calls that changed something, were tried or were refused, newest first, for 90 days and up to 100 000 of them. A
/// change and its record are written together. Of calls refused for there being too many (429), the first of each caller
/// in a minute is recorded. Of other calls that changed nothing there is, for each caller who is known, one record a second
/// after the first 600; for callers who are not known, one a minute of each address after the first 20, and one in ten
/// seconds of all of them after the first 128. What is beyond is dropped and counted (`weir_audit_dropped_total`).
#[utoipa::path(
    get, path = "/v1/audit", tag = "access", operation_id = "listAudit",
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Most calls in the answer. Default 100."),
        ("after" = Option<String>, Query, description = "Continues a list: the `next` of the answer before."),
        ("actor" = Option<String>, Query, description = "Only calls of this one, as history names it.", example = "token:ci"),
        ("since" = Option<String>, Query, description = "Only calls that came at this time or later, RFC 3339.", example = "2026-11-22T21:40:00Z"),
    ),
    responses((status = 200, description = "A page of calls", body = Page, example = json!(examples::audit())))
)]
pub(super) async fn list(State(api): State<Arc<Api>>, request: Request<Body>) -> Result<Response, Problem> {
    let mut params = Params::of(request.uri())?;
    let limit = params.number("limit", 1..=1000).unwrap_or(100);
    let after = params.number("after", 0..=u64::MAX);
    let actor = params.text("actor");
    let since = params.time("since");
    params.finish()?;
    let is_asked_for = |entry: &Entry| {
        let name = match &entry.actor.id {
            Some(id) => format!("{}:{id}", entry.actor.kind),
            None => entry.actor.kind.clone(),
        };
        actor.as_ref().is_none_or(|actor| *actor == name) && since.is_none_or(|since| entry.at >= since)
    };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let store = api.catalog.store()?;
    let mut items = Vec::new();
    let mut below = after.unwrap_or(u64::MAX);
    let mut next = None;
    'reading: for _ in 0..MAX_SCANNED / CHUNK {
        let page = store::Page { below, limit: CHUNK };
        let records = store.records(RecordKind::Audit, page).await.map_err(unreadable)?;
        next = None;
        for record in &records {
            if items.len() == limit {
                next = Some(below.to_string());
                break 'reading;
            }
            below = record.number;
            // What a newer release wrote may not be readable here.
            items.extend(serde_json::from_str(&record.json).ok().filter(&is_asked_for));
        }
        if records.len() < usize::try_from(CHUNK).unwrap_or(usize::MAX) {
            break;
        }
        next = Some(below.to_string());
    }
    Ok(reply::json(StatusCode::OK, &Page { items, next }))
}

fn unreadable(error: store::StoreError) -> Problem {
    Problem::new(Code::StoreUnavailable, format!("The audit cannot be read: {error}."))
}
