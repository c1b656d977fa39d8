//! What the shadow of an upstream would have done, beside what was done.

use serde::Serialize;
use utoipa::ToSchema;
use weir_shared::{
    model::Algorithm,
    state::{HistogramCounts, ShadowLoad},
    table::{Shadow, Upstream},
    time::Timestamp,
};

use super::{Status, window::tenths};

/// Two algorithms beside each other, over the same requests.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ShadowReport {
    /// When the report was made.
    pub at: Timestamp,
    /// The process whose requests these are.
    #[schema(example = "node-1")]
    pub node: String,
    /// The upstream.
    #[schema(example = "web")]
    pub upstream: String,
    /// Since when the numbers count: since the settings of either algorithm changed.
    pub since: Timestamp,
    /// Requests for which both picked a server.
    #[schema(example = 120_034)]
    pub requests: u64,
    /// Those for which they picked different ones.
    #[schema(example = 97_210)]
    pub elsewhere: u64,
    /// The same in percent; null without requests.
    #[schema(example = 81.0)]
    pub elsewhere_percent: Option<f64>,
    /// Requests for which the shadow found no server with room.
    #[schema(example = 0)]
    pub unplaced: u64,
    /// Requests for which a latency could be expected of both servers.
    #[schema(example = 119_990)]
    pub predicted: u64,
    /// What was done.
    pub real: PolicyReport,
    /// What would have been done.
    pub shadow: PolicyReport,
    /// The servers, in the order of the configuration.
    pub servers: Vec<SharesReport>,
}

/// One of the two.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PolicyReport {
    /// How it picks.
    pub algorithm: Algorithm,
    /// Requests of the busiest server over those of all, both for their weight: 1 is even. Null without requests.
    #[schema(example = 1.02)]
    pub imbalance: Option<f64>,
    /// Latency expected of the servers it picked.
    pub expected_latency_us: ExpectedLatency,
}

/// Latency expected of servers at the moment they were picked, in microseconds: for each request the average of answers that met
/// about as many others there, or the time the server has been silent if that is longer. The quantiles are of these averages,
/// not of answers; compare them with each other only. Null without requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct ExpectedLatency {
    /// On average.
    #[schema(example = 11_870)]
    pub mean: Option<u64>,
    /// Less for half of the requests.
    #[schema(example = 11_264)]
    pub p50: Option<u64>,
    /// Less for nine of ten.
    #[schema(example = 16_384)]
    pub p90: Option<u64>,
    /// Less for 99 of 100.
    #[schema(example = 53_248)]
    pub p99: Option<u64>,
}

/// One server's part.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SharesReport {
    /// Its name.
    #[schema(example = "10.0.0.7-8080")]
    pub id: String,
    /// Its weight.
    #[schema(example = 1)]
    pub weight: u16,
    /// Its share of the requests; null without requests.
    #[schema(example = 50.0)]
    pub real_percent: Option<f64>,
    /// The share the shadow would have given it.
    #[schema(example = 88.4)]
    pub shadow_percent: Option<f64>,
    /// Requests under way.
    #[schema(example = 3)]
    pub in_flight: u32,
    /// Those that the shadow would have under way.
    #[schema(example = 5)]
    pub shadow_in_flight: u32,
}

/// Why there is no report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoReport {
    /// There is no such upstream.
    NoUpstream,
    /// It has no shadow.
    NoShadow,
}

impl Status {
    /// What the shadow of the upstream named `id` would have done.
    ///
    /// # Errors
    /// There is none.
    pub fn shadow(&self, id: &str) -> Result<ShadowReport, NoReport> {
        let table = self.reader.snapshot();
        let upstream = table.upstream(id).ok_or(NoReport::NoUpstream)?;
        let shadow = upstream.shadow.as_ref().ok_or(NoReport::NoShadow)?;
        let totals = shadow.state.totals();
        let counts = counts(upstream, shadow);
        let of = |algorithm, imbalance, latency| PolicyReport {
            algorithm,
            imbalance,
            expected_latency_us: expected(latency),
        };
        let (real, imagined) = imbalances(upstream, &counts);
        Ok(ShadowReport {
            at: self.clock.now().wall,
            node: self.node.clone(),
            upstream: upstream.id.as_str().to_owned(),
            since: shadow.state.since,
            requests: totals.requests,
            elsewhere: totals.elsewhere,
            elsewhere_percent: percent(totals.elsewhere, totals.requests),
            unplaced: totals.unplaced,
            predicted: totals.real.count(),
            real: of(upstream.algorithm, real, &totals.real),
            shadow: of(shadow.algorithm, imagined, &totals.shadow),
            servers: servers(upstream, &counts),
        })
    }
}

/// Requests of each server, and those that the shadow would have given it.
pub(crate) fn counts(upstream: &Upstream, shadow: &Shadow) -> Vec<(u64, u64)> {
    let count = |load: &ShadowLoad| load.counts(&shadow.state);
    upstream.servers.iter().map(|server| server.state.shadow_if_any().map_or((0, 0), count)).collect()
}

/// How much busier than all servers together the busiest one is, and would be, each for its weight.
pub(crate) fn imbalances(upstream: &Upstream, counts: &[(u64, u64)]) -> (Option<f64>, Option<f64>) {
    let of = |count: fn(&(u64, u64)) -> u64| {
        imbalance(upstream.servers.iter().zip(counts).map(|(server, both)| (server.weight, count(both))))
    };
    (of(|both| both.0), of(|both| both.1))
}

#[expect(clippy::cast_precision_loss, reason = "counts of requests, of which three digits are shown")]
fn imbalance(counts: impl Iterator<Item = (u16, u64)>) -> Option<f64> {
    let (mut busiest, mut all, mut weights) = (0.0_f64, 0.0, 0.0);
    // One of weight 0 has clients that are bound to it, and no share that it should have.
    for (weight, count) in counts.filter(|(weight, _)| *weight > 0) {
        busiest = busiest.max(count as f64 / f64::from(weight));
        all += count as f64;
        weights += f64::from(weight);
    }
    (all > 0.0).then(|| (busiest / (all / weights) * 100.0).round() / 100.0)
}

fn servers(upstream: &Upstream, counts: &[(u64, u64)]) -> Vec<SharesReport> {
    let (real, shadow) = counts.iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    let view = |(server, count): (&std::sync::Arc<weir_shared::table::Server>, &(u64, u64))| SharesReport {
        id: server.id.as_str().to_owned(),
        weight: server.weight,
        real_percent: percent(count.0, real),
        shadow_percent: percent(count.1, shadow),
        in_flight: server.state.in_flight.count(),
        shadow_in_flight: server.state.shadow_if_any().map_or(0, ShadowLoad::in_flight),
    };
    upstream.servers.iter().zip(counts).map(view).collect()
}

fn expected(counts: &HistogramCounts) -> ExpectedLatency {
    let quantile = |of| {
        let time = counts.quantile_between(of)?;
        u64::try_from(time.as_micros()).ok()
    };
    ExpectedLatency {
        mean: counts.sum_micros.checked_div(counts.count()),
        p50: quantile(0.5),
        p90: quantile(0.9),
        p99: quantile(0.99),
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of requests, of which three digits are shown")]
fn percent(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| tenths(part as f64 / whole as f64 * 100.0))
}
