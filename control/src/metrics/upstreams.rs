//! Upstreams, and the totals that stand in for their servers when there are too many of those.

use std::time::Duration;

use weir_shared::{
    state::{HistogramCounts, UpstreamTotals},
    table::{Upstream, UpstreamStatus},
};

use super::{
    Sources,
    writer::{Family, Kind, Writer},
};

/// Upper edges in milliseconds with their labels: OpenTelemetry's buckets for HTTP request durations.
const EDGES: [(u64, &str); 14] = [
    (5, "0.005"),
    (10, "0.01"),
    (25, "0.025"),
    (50, "0.05"),
    (75, "0.075"),
    (100, "0.1"),
    (250, "0.25"),
    (500, "0.5"),
    (750, "0.75"),
    (1000, "1"),
    (2500, "2.5"),
    (5000, "5"),
    (7500, "7.5"),
    (10_000, "10"),
];
/// With more upstreams than this, those without requests have no histogram: 16 empty series each add up.
const MAX_IDLE_HISTOGRAMS: usize = 2000;
/// Response classes, as a label.
pub(super) const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

struct Row<'a> {
    upstream: &'a Upstream,
    status: UpstreamStatus,
    totals: UpstreamTotals,
}

fn rows<'a>(sources: &Sources<'a>) -> Vec<Row<'a>> {
    let row = |upstream: &'a Upstream| Row {
        upstream,
        status: UpstreamStatus::of(upstream, sources.now.moment),
        totals: UpstreamTotals::sum(&upstream.state.counters),
    };
    sources.table.upstreams().map(|upstream| row(upstream)).collect()
}

/// Reads one number.
type Read = fn(&Row<'_>) -> u64;
/// Name, kind, meaning and value of each number of an upstream.
const FAMILIES: [(&str, Kind, &str, Read); 14] = [
    ("weir_upstream_requests_total", Kind::Counter, "Requests routed to the upstream.", |row| {
        row.totals.requests
    }),
    ("weir_upstream_failures_total", Kind::Counter, "Requests answered with an error of Weir's.", |row| {
        row.totals.failures
    }),
    ("weir_upstream_no_server_total", Kind::Counter, "Requests for which no server was eligible.", |row| {
        row.totals.no_server
    }),
    (
        "weir_upstream_limit_reached_total",
        Kind::Counter,
        "Requests refused because the limits left no room, not even to wait.",
        |row| row.totals.limit_reached,
    ),
    ("weir_upstream_queue_waiting", Kind::Gauge, "Requests that wait for room.", |row| {
        as_u64(row.upstream.state.queue.len())
    }),
    ("weir_upstream_queued_total", Kind::Counter, "Requests that waited for room.", |row| row.totals.queued),
    (
        "weir_upstream_queue_timeouts_total",
        Kind::Counter,
        "Requests refused because they had waited for too long.",
        |row| row.totals.queue_timeouts,
    ),
    ("weir_retries_total", Kind::Counter, "Attempts after the first.", |row| row.totals.retries),
    ("weir_retries_refused_total", Kind::Counter, "Retries not made, the budget being spent.", |row| {
        row.totals.retries_refused
    }),
    ("weir_hedges_total", Kind::Counter, "Requests sent to a second server as well.", |row| {
        row.totals.hedges
    }),
    ("weir_hedges_won_total", Kind::Counter, "Of those, answered by the second first.", |row| {
        row.totals.hedges_won
    }),
    ("weir_upstream_servers", Kind::Gauge, "Servers of the upstream.", |row| as_u64(row.status.total)),
    ("weir_upstream_eligible", Kind::Gauge, "Servers that are wanted, healthy and not ejected.", |row| {
        as_u64(row.status.eligible)
    }),
    ("weir_upstream_panic", Kind::Gauge, "Whether health is ignored, too few servers being left.", |row| {
        u64::from(row.status.panic)
    }),
];

pub(super) fn write(sources: &Sources<'_>, text: &mut Writer) {
    let rows = rows(sources);
    durations(&rows, text);
    for (name, kind, help, read) in FAMILIES {
        let mut family = text.family(name, kind, help);
        for row in &rows {
            family.sample(&[("upstream", row.upstream.id.as_str())], read(row));
        }
    }
}

fn durations(rows: &[Row<'_>], text: &mut Writer) {
    let shows_idle = rows.len() <= MAX_IDLE_HISTOGRAMS;
    let help = "Time from the request to the first byte of the response.";
    let mut family = text.family("weir_request_duration_seconds", Kind::Histogram, help);
    for row in rows.iter().filter(|row| shows_idle || row.totals.requests > 0) {
        let upstream = ("upstream", row.upstream.id.as_str());
        histogram(&mut family, &[upstream], &row.totals.latency);
    }
}

/// One histogram of `family`.
pub(super) fn histogram(family: &mut Family<'_>, labels: &[(&str, &str)], counts: &HistogramCounts) {
    let edges = EDGES.map(|(millis, edge)| (edge, counts.at_most(Duration::from_millis(millis))));
    for (edge, count) in edges.into_iter().chain([("+Inf", counts.count())]) {
        let mut labels = labels.to_vec();
        labels.push(("le", edge));
        family.suffixed("_bucket", &labels, count);
    }
    family.suffixed("_sum", labels, Duration::from_micros(counts.sum_micros).as_secs_f64());
    family.suffixed("_count", labels, counts.count());
}

/// The families that servers share with their upstream, without the `server` label.
pub(super) fn write_instead_of_servers(sources: &Sources<'_>, text: &mut Writer) {
    let rows = rows(sources);
    let mut family = text.family("weir_requests_total", Kind::Counter, "Responses, by class.");
    for row in &rows {
        for (class, count) in CLASSES.iter().zip(row.totals.responses) {
            family.sample(&[("upstream", row.upstream.id.as_str()), ("code_class", class)], count);
        }
    }
    let mut family = text.family("weir_in_flight", Kind::Gauge, "Requests under way.");
    for row in &rows {
        let count: u64 =
            row.upstream.servers.iter().map(|server| u64::from(server.state.in_flight.count())).sum();
        family.sample(&[("upstream", row.upstream.id.as_str())], count);
    }
}

fn as_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
