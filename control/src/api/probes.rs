//! `/livez`, `/readyz`, `/healthz` and `/metrics`, for the machines that watch the process.
//!
//! Ready means: a table is in force, however old, the listener `default` is bound, and the process is not about to end.
//! Another listener that cannot be bound is a warning: the rest serves. So is a store that
//! takes no writes is a warning and no more, because traffic goes on (a balancer in front must not pull every healthy proxy
//! at once).

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{Request, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;
use weir_shared::{model, table::Listener};

use super::{Api, examples, params::Params, problem::Problem, reply};
use crate::{
    metrics::{self, ServerSeries, Sources},
    startup::Source,
};

/// Listeners named in one answer; there may be a thousand.
const MAX_NAMED: usize = 10;

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    /// Well.
    Pass,
    /// Well enough to serve.
    Warn,
    /// Not.
    Fail,
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Check {
    /// How it went.
    status: Verdict,
    /// Why, when not well.
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<String>,
}

/// State of the process (draft-inadarei-api-health-check).
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"status": "pass"}))]
pub(super) struct Report {
    /// The worst of the checks.
    status: Verdict,
    /// What was looked at, when asked for.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(required = false)]
    checks: BTreeMap<&'static str, Check>,
}

/// Tells whether the process lives
///
/// It does when it answers.
#[utoipa::path(
    get, path = "/livez", tag = "operations", operation_id = "getLivez",
    responses((status = 200, description = "It lives", body = Report, content_type = "application/health+json"))
)]
pub(super) async fn livez() -> Response {
    let report = Report { status: Verdict::Pass, checks: BTreeMap::new() };
    reply::typed(StatusCode::OK, reply::HEALTH_DOCUMENT, &report)
}

/// Tells whether traffic can be sent here
///
/// Yes when a table is in force, even an old one, the listener `default` is bound, and the process is not draining: it answers 503
/// from the signal that ends it on, while requests under way are finished.
#[utoipa::path(
    get, path = "/readyz", tag = "operations", operation_id = "getReadyz",
    params(("verbose" = Option<bool>, Query, description = "Also says what was looked at.")),
    responses(
        (status = 200, description = "Ready", body = Report, content_type = "application/health+json"),
        (status = 503, description = "Not ready", body = Report, content_type = "application/health+json", example = json!({"status": "fail"})),
    )
)]
pub(super) async fn readyz(State(api): State<Arc<Api>>, request: Request<Body>) -> Result<Response, Problem> {
    let mut params = Params::of(request.uri())?;
    let is_verbose = params.flag("verbose").unwrap_or(false);
    params.finish()?;
    let checks = BTreeMap::from([("table", table(&api)), ("listener", listener(&api))]);
    let mut report = report(checks);
    if !is_verbose {
        report.checks.clear();
    }
    Ok(answer(&report))
}

/// Tells how the process is
///
/// As `/readyz?verbose`, and whether the store takes writes and the copy of it is up to date. A warning is answered 200.
#[utoipa::path(
    get, path = "/healthz", tag = "operations", operation_id = "getHealthz",
    responses(
        (status = 200, description = "It serves", body = Report, content_type = "application/health+json"),
        (status = 503, description = "It does not", body = Report, content_type = "application/health+json", example = json!({"status": "fail"})),
    )
)]
pub(super) async fn healthz(State(api): State<Arc<Api>>) -> Response {
    let known = api.catalog.report();
    let warned = |reason: Option<Arc<str>>| Check {
        status: if reason.is_some() { Verdict::Warn } else { Verdict::Pass },
        output: reason.map(|reason| reason.to_string()),
    };
    let checks = BTreeMap::from([
        ("table", table(&api)),
        ("listener", listener(&api)),
        ("store", warned(known.read_only())),
        ("last_good", warned(known.stale_copy())),
    ]);
    answer(&report(checks))
}

/// Reads the numbers
///
/// In Prometheus's text format.
#[utoipa::path(
    get, path = "/metrics", tag = "operations", operation_id = "getMetrics",
    responses((status = 200, description = "The numbers", body = String, content_type = "text/plain", example = json!(examples::METRICS)))
)]
pub(super) async fn metrics(State(api): State<Arc<Api>>) -> Response {
    let text = metrics::render(&Sources {
        table: &api.catalog.reader().snapshot(),
        listener: &api.listener_state,
        checker: &api.checker,
        events: api.catalog.events().counts(),
        audit: api.audit.stats(),
        store: &api.catalog.report().view(),
        last_good_failures: api.catalog.report().copy_failures(),
        drains: api.catalog.drains().count(),
        changes: api.catalog.times(),
        servers: ServerSeries::Auto,
        now: api.clock.now(),
    });
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response()
}

fn table(api: &Api) -> Check {
    if api.source == Source::None {
        let output = Some("no configuration could be loaded".to_owned());
        return Check { status: Verdict::Fail, output };
    }
    Check { status: Verdict::Pass, output: None }
}

fn listener(api: &Api) -> Check {
    if api.listener_state.is_draining() {
        let output = "draining: requests under way are finished, then the process ends".to_owned();
        return Check { status: Verdict::Fail, output: Some(output) };
    }
    let table = api.catalog.reader().snapshot();
    let status = |listener: &Arc<Listener>| (listener.id.clone(), listener.state.status());
    let unbound: Vec<_> = table.listeners().map(status).filter(|(_, status)| !status.bound).collect();
    if unbound.is_empty() {
        return Check { status: Verdict::Pass, output: None };
    }
    let is_own = unbound.iter().any(|(id, _)| id.as_str() == model::Listener::DEFAULT_ID);
    let told = unbound
        .iter()
        .take(MAX_NAMED)
        .map(|(id, status)| format!("listener {id}: {}", status.error.as_deref().unwrap_or("not bound yet")));
    let output = Some(told.collect::<Vec<_>>().join("; "));
    Check { status: if is_own { Verdict::Fail } else { Verdict::Warn }, output }
}

fn report(checks: BTreeMap<&'static str, Check>) -> Report {
    let worst = checks.values().map(|check| check.status).max();
    Report { status: worst.unwrap_or(Verdict::Pass), checks }
}

fn answer(report: &Report) -> Response {
    let status = match report.status {
        Verdict::Pass | Verdict::Warn => StatusCode::OK,
        Verdict::Fail => StatusCode::SERVICE_UNAVAILABLE,
    };
    reply::typed(status, reply::HEALTH_DOCUMENT, report)
}
