//! `min_revision` on reads: the answer is of that revision or a later one.
//!
//! A caller who was told a revision elsewhere, by another process that works on the same configuration or by an event,
//! reads what it was told of.

use std::time::Duration;

use axum::extract::Request;
use http::{Uri, header, uri::PathAndQuery};
use weir_shared::id::Revision;

use super::{
    Api,
    params::Params,
    problem::{Code, Problem},
};

/// How long a read waits for its revision.
pub(super) const WAIT: Duration = Duration::from_secs(5);

const NAME: &str = "min_revision";

/// Takes `min_revision` out of the query of a read, and waits until that revision is in force.
///
/// # Errors
/// When it is no number, and when the revision is not in force in time.
pub(super) async fn wait(api: &Api, request: &mut Request) -> Result<(), Problem> {
    let is_read = request.method().is_safe() && request.uri().path().starts_with("/v1/");
    let query = request.uri().query().unwrap_or_default();
    if !is_read || !query.split('&').any(is_named) {
        return Ok(());
    }
    let mut params = Params::of(request.uri())?;
    let revision = params.number(NAME, 0..=u64::MAX);
    params.faults()?;
    *request.uri_mut() = without(request.uri());
    let Some(revision) = revision.map(Revision) else { return Ok(()) };
    reach(api, revision).await
}

/// Waits until `revision` is in force.
///
/// # Errors
/// When it is not in time.
pub(super) async fn reach(api: &Api, revision: Revision) -> Result<(), Problem> {
    if tokio::time::timeout(WAIT, api.catalog.reaches(revision)).await.is_ok_and(|is_reached| is_reached) {
        return Ok(());
    }
    let present = api.catalog.config().revision;
    let detail = format!("Revision {present} is in force; {revision} was asked for.");
    Err(Problem::new(Code::Behind, detail).field(header::RETRY_AFTER, "1"))
}

fn is_named(pair: &str) -> bool {
    pair.split_once('=').map_or(pair, |(name, _)| name) == NAME
}

/// `uri` without the parameter, so that whoever answers the request need not know it.
fn without(uri: &Uri) -> Uri {
    let rest: Vec<&str> = uri.query().unwrap_or_default().split('&').filter(|pair| !is_named(pair)).collect();
    let path = uri.path();
    let target = if rest.is_empty() { path.to_owned() } else { format!("{path}?{}", rest.join("&")) };
    let mut parts = uri.clone().into_parts();
    if let Ok(target) = PathAndQuery::try_from(target) {
        parts.path_and_query = Some(target);
    }
    Uri::from_parts(parts).unwrap_or_else(|_| uri.clone())
}
