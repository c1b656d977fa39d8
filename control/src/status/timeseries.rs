//! The recent past as columns of numbers, to be drawn.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use weir_shared::{
    id::ServerId,
    time::{Moment, Now, Timestamp},
};

pub use super::series::Step;
use super::{
    MAX_SERVER_SERIES, Status, detail,
    series::{Point, Series},
    window::{self, Detail, tenths},
};

/// What can be drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Requests a second.
    Rps,
    /// Requests that ended in a 5xx or in an error of Weir's own; of a server also attempts that failed.
    Errors,
    /// Attempts after the first; of a server attempts that repeated one elsewhere.
    Retries,
    /// Time to the first byte of the response: half of all were faster. Milliseconds.
    P50Ms,
    /// Nine of ten were faster.
    P90Ms,
    /// 99 of 100 were faster.
    P99Ms,
    /// Requests under way at the end of the step.
    InFlight,
    /// Servers that were wanted, healthy and not ejected at the end of the step; of a server 0 or 1.
    Eligible,
}

impl Metric {
    /// All of them, as words.
    pub const WORDS: [&str; 8] =
        ["rps", "errors", "retries", "p50_ms", "p90_ms", "p99_ms", "in_flight", "eligible"];

    /// The metrics by their words.
    pub const ALL: [Self; 8] = [
        Self::Rps,
        Self::Errors,
        Self::Retries,
        Self::P50Ms,
        Self::P90Ms,
        Self::P99Ms,
        Self::InFlight,
        Self::Eligible,
    ];

    fn of(self, point: Point) -> Option<Number> {
        let [p50, p90, p99] = point.latency_ms;
        let latency = |millis| (millis != Point::NO_LATENCY).then_some(Number::Count(millis));
        match self {
            Self::Rps => Some(Number::Rate(tenths(point.rps.into()))),
            Self::Errors => Some(Number::Count(point.errors)),
            Self::Retries => Some(Number::Count(point.retries)),
            Self::P50Ms => latency(p50),
            Self::P90Ms => latency(p90),
            Self::P99Ms => latency(p99),
            Self::InFlight => Some(Number::Count(point.gauges.in_flight)),
            Self::Eligible => Some(Number::Count(point.gauges.eligible)),
        }
    }
}

/// A number to be drawn.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Number {
    /// How many.
    Count(u32),
    /// How many a second.
    Rate(f64),
}

/// What to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesQuery {
    /// Which columns.
    pub metrics: Vec<Metric>,
    /// How far back, at most [`Step::reach`].
    pub window: Duration,
    /// Time between two numbers of a column.
    pub step: Step,
}

/// Columns of numbers, all of the same length, oldest first.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(example = json!({
    "start": "2026-11-22T21:25:00.123Z", "step_ms": 10000,
    "series": {"rps": [118.4, 121.0, null], "errors": [0, 2, null], "p99_ms": [42, null, null]}
}))]
pub struct TimeSeries {
    /// When the first step began.
    pub start: Timestamp,
    /// Length of a step.
    pub step_ms: u64,
    /// The columns by metric; null where there is no number: nothing was read then, or no request had a latency.
    #[schema(value_type = std::collections::HashMap<String, Vec<Option<f64>>>)]
    pub series: BTreeMap<Metric, Vec<Option<Number>>>,
}

/// Why a server has no series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoSeries {
    /// There is no such server.
    #[error("there is no such server")]
    NotFound,
    /// There are too many servers.
    #[error("servers have series of their own only while there are at most {MAX_SERVER_SERIES} of them")]
    TooManyServers,
}

impl Status {
    /// The recent past of the upstream named `id`; `None` when there is none.
    #[must_use]
    pub fn upstream_series(&self, id: &str, query: &SeriesQuery) -> Option<TimeSeries> {
        let table = self.reader.snapshot();
        let upstream = table.upstream(id)?;
        let now = self.clock.now();
        let mut windows = self.windows();
        let window = window::of(&mut windows, upstream, now);
        Some(draw(window.series(), query, now))
    }

    /// The recent past of the server of `upstream` whose id, or else whose address, is `key`.
    ///
    /// # Errors
    /// When there is none, or servers have no series.
    pub fn server_series(
        &self,
        upstream: &str,
        key: &str,
        query: &SeriesQuery,
    ) -> Result<TimeSeries, NoSeries> {
        let table = self.reader.snapshot();
        let upstream = table.upstream(upstream).ok_or(NoSeries::NotFound)?;
        let record = upstream.record.find(key).ok_or(NoSeries::NotFound)?;
        if detail(&table) != Detail::Servers {
            return Err(NoSeries::TooManyServers);
        }
        let now = self.clock.now();
        let mut windows = self.windows();
        let window = window::of(&mut windows, upstream, now);
        Ok(draw(window.server_series(&ServerId::new(&record.server.id)), query, now))
    }
}

fn draw(series: Option<&Series>, query: &SeriesQuery, now: Now) -> TimeSeries {
    let length = query.step.length();
    let count = usize::try_from(query.window.as_secs().div_ceil(length.as_secs())).unwrap_or(0);
    let points =
        series.map_or_else(|| vec![None; count], |series| series.points(query.step, count, now.moment));
    let column = |metric: &Metric| {
        let numbers = points.iter().map(|point| metric.of((*point)?)).collect();
        (*metric, numbers)
    };
    let into_step = now.moment.since(Moment(0)).as_millis() % length.as_millis();
    let back = i64::try_from(into_step + length.as_millis() * count as u128).unwrap_or(0);
    TimeSeries {
        start: Timestamp(now.wall.0.saturating_sub(back)),
        step_ms: u64::try_from(length.as_millis()).unwrap_or(u64::MAX),
        series: query.metrics.iter().map(column).collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};
    use tokio::time::advance;
    use weir_shared::state::ListenerState;

    use super::*;
    use crate::health::fixture::{Fixture, WORKER};

    fn status(fixture: &Fixture) -> Status {
        let listener = Arc::new(ListenerState::new(1));
        Status::new(fixture.reader.clone(), listener, fixture.clock, "node-1".to_owned())
    }

    fn query(step: Step, seconds: u64) -> SeriesQuery {
        SeriesQuery { metrics: Metric::ALL.to_vec(), window: Duration::from_secs(seconds), step }
    }

    fn web(servers: Value) -> Value {
        json!([{"id": "web", "servers": servers, "health_check": {"enabled": false}}])
    }

    async fn second(status: &Status) {
        advance(Duration::from_secs(1)).await;
        status.sample();
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_counted_is_drawn_and_survives_a_change() {
        let mut fixture = Fixture::new(web(json!(["a:80"])));
        let status = status(&fixture);
        status.sample();
        let counters = |fixture: &Fixture| Arc::clone(&fixture.upstream("web").state);
        for requests in [10, 20] {
            let state = counters(&fixture);
            state.counters.of(WORKER).requests.add(requests);
            state.counters.of(WORKER).latency.record(Duration::from_millis(3));
            fixture.state("a:80").counters.of(WORKER).requests.add(requests);
            second(&status).await;
            fixture.publish(web(json!([{"address": "a:80", "weight": requests}, "b:80"])));
        }
        counters(&fixture).counters.of(WORKER).failures.add(1);
        second(&status).await;
        let drawn = status.upstream_series("web", &query(Step::Second, 4)).unwrap();
        let drawn = serde_json::to_value(&drawn).unwrap();
        assert_eq!(drawn["step_ms"], 1000);
        assert_eq!(drawn["series"]["rps"], json!([null, 10.0, 20.0, 0.0]));
        assert_eq!(drawn["series"]["errors"], json!([null, 0, 0, 1]));
        assert_eq!(drawn["series"]["p99_ms"], json!([null, 4, 4, null]));
        assert_eq!(drawn["series"]["eligible"], json!([null, 1, 2, 2]));
        let server = status.server_series("web", "a:80", &query(Step::Second, 3)).unwrap();
        assert_eq!(serde_json::to_value(&server).unwrap()["series"]["rps"], json!([10.0, 20.0, 0.0]));
    }

    #[tokio::test(start_paused = true)]
    async fn columns_are_as_long_as_asked_and_end_now() {
        let fixture = Fixture::new(web(json!(["a:80"])));
        let status = status(&fixture);
        status.sample();
        for _ in 0..25 {
            second(&status).await;
        }
        let now = fixture.clock.now();
        let drawn = status.upstream_series("web", &query(Step::Decade, 900)).unwrap();
        assert!(drawn.series.values().all(|column| column.len() == 90));
        let begin = now.wall.0 - 5000 - 900_000;
        assert!((drawn.start.0 - begin).abs() < 1000, "{drawn:?} {begin}");
        let rps = &drawn.series[&Metric::Rps];
        assert_eq!(rps.iter().flatten().count(), 2);
        assert_eq!(rps.last(), Some(&Some(Number::Rate(0.0))));
    }

    #[tokio::test(start_paused = true)]
    async fn too_many_servers_have_no_series() {
        let servers: Vec<String> = (0..=MAX_SERVER_SERIES).map(|n| format!("s{n}:80")).collect();
        let fixture = Fixture::new(web(json!(servers)));
        let status = status(&fixture);
        let refused = status.server_series("web", "s1:80", &query(Step::Second, 3));
        assert_eq!(refused, Err(NoSeries::TooManyServers));
        assert_eq!(status.server_series("web", "x:80", &query(Step::Second, 3)), Err(NoSeries::NotFound));
        assert!(status.upstream_series("web", &query(Step::Second, 3)).is_some());
    }
}
