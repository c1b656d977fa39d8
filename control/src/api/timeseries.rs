//! `…/timeseries`: the recent past as columns of numbers.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{Path, State},
    response::Response,
};
use http::{Request, StatusCode};
use weir_shared::units::Span;

use super::{
    Api,
    found::not_found,
    params::Params,
    problem::{Code, Problem},
    reply,
    servers::no_server,
};
use crate::status::timeseries::{Metric, NoSeries, SeriesQuery, Step, TimeSeries};

/// How far back is shown when the caller does not say.
const DEFAULT_WINDOW: Duration = Duration::from_secs(15 * 60);

/// Reads the recent past of an upstream
///
/// Columns of numbers to be drawn, oldest first: points of a second for two minutes, or of ten seconds for an hour. They
/// are kept in memory only and survive changes of the configuration, not a restart. An upstream has points from its first
/// request on, or from its creation while there are at most 1000 upstreams.
#[utoipa::path(
    get, path = "/v1/upstreams/{upstream}/timeseries", tag = "health", operation_id = "getUpstreamTimeSeries",
    params(
        ("upstream" = String, Path, description = "Id of the upstream", example = "web"),
        ("metrics" = Option<String>, Query, description = "Which columns, with commas between them: `rps`, `errors`, `retries`, `p50_ms`, `p90_ms`, `p99_ms`, `in_flight`, `eligible`. Default all.", example = "rps,errors,p99_ms"),
        ("window" = Option<String>, Query, description = "How far back: at most `2m` in steps of a second and `1h` in steps of ten. Default 15m, or all there is.", example = "15m"),
        ("step" = Option<String>, Query, description = "Time between two numbers: `1s` or `10s`. Default 10s.", example = "10s"),
    ),
    responses((status = 200, description = "The columns", body = TimeSeries))
)]
pub(super) async fn upstream(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let query = query(Params::of(request.uri())?)?;
    let series = api.status.upstream_series(&id, &query).ok_or_else(|| not_found("upstream", &id))?;
    Ok(reply::json(StatusCode::OK, &series))
}

/// Reads the recent past of a server
///
/// As for an upstream, while there are at most 1000 servers in all; with more of them this is refused, and Prometheus is
/// the place to look.
#[utoipa::path(
    get, path = "/v1/upstreams/{upstream}/servers/{server}/timeseries", tag = "health", operation_id = "getServerTimeSeries",
    params(
        ("upstream" = String, Path, description = "Id of the upstream", example = "web"),
        ("server" = String, Path, description = "Id or address of the server", example = "10.0.0.7-8080"),
        ("metrics" = Option<String>, Query, description = "Which columns, with commas between them: `rps`, `errors`, `retries`, `p50_ms`, `p90_ms`, `p99_ms`, `in_flight`, `eligible`. Default all.", example = "rps,errors,p99_ms"),
        ("window" = Option<String>, Query, description = "How far back: at most `2m` in steps of a second and `1h` in steps of ten. Default 15m, or all there is.", example = "2m"),
        ("step" = Option<String>, Query, description = "Time between two numbers: `1s` or `10s`. Default 10s.", example = "1s"),
    ),
    responses((status = 200, description = "The columns", body = TimeSeries))
)]
pub(super) async fn server(
    State(api): State<Arc<Api>>,
    Path((upstream, key)): Path<(String, String)>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let query = query(Params::of(request.uri())?)?;
    match api.status.server_series(&upstream, &key, &query) {
        Ok(series) => Ok(reply::json(StatusCode::OK, &series)),
        Err(NoSeries::NotFound) => Err(no_server(&upstream, &key)),
        Err(error @ NoSeries::TooManyServers) => Err(Problem::new(
            Code::Validation,
            format!("{error}: ask for /v1/upstreams/{upstream}/timeseries, or collect /metrics."),
        )),
    }
}

fn query(mut params: Params) -> Result<SeriesQuery, Problem> {
    let words = params.words("metrics", &Metric::WORDS);
    let is_asked = |word: &str| words.is_empty() || words.iter().any(|asked| asked == word);
    let metrics = Metric::WORDS.into_iter().zip(Metric::ALL).filter(|(word, _)| is_asked(word));
    let metrics = metrics.map(|(_, metric)| metric).collect();
    let step = match params.choice("step", &["1s", "10s"]) {
        Some("1s") => Step::Second,
        Some(_) | None => Step::Decade,
    };
    let longest = Span::from_secs(step.reach().as_secs());
    let shortest = Span::from_secs(step.length().as_secs());
    let window = params.span("window", shortest..=longest);
    params.finish()?;
    let window = window.map_or_else(|| DEFAULT_WINDOW.min(step.reach()), Span::duration);
    Ok(SeriesQuery { metrics, window, step })
}
