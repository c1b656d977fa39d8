//! Servers, each with series of its own.

use weir_shared::{
    state::{Detector, HealthState, ServerTotals},
    table::ServerStatus,
};

use super::{
    Sources,
    upstreams::CLASSES,
    writer::{Kind, Writer},
};

const STATES: [HealthState; 6] = [
    HealthState::Initial,
    HealthState::Healthy,
    HealthState::Unhealthy,
    HealthState::Draining,
    HealthState::Unused,
    HealthState::Unavailable,
];

struct Row<'a> {
    upstream: &'a str,
    id: &'a str,
    in_flight: u32,
    limit: Option<u32>,
    pauses: u64,
    status: ServerStatus,
    totals: ServerTotals,
}

pub(super) fn write(sources: &Sources<'_>, text: &mut Writer) {
    let mut rows = Vec::new();
    for upstream in sources.table.upstreams() {
        rows.extend(upstream.servers.iter().map(|server| Row {
            upstream: upstream.id.as_str(),
            id: server.id.as_str(),
            in_flight: server.state.in_flight.count(),
            limit: upstream.limit_of(server),
            pauses: server.state.pause.count(),
            status: ServerStatus::of(server, sources.now.moment),
            totals: ServerTotals::sum(&server.state.counters),
        }));
    }
    traffic(&rows, text);
    health(&rows, text);
}

fn traffic(rows: &[Row<'_>], text: &mut Writer) {
    each(rows, text, "weir_in_flight", Kind::Gauge, "Requests under way.", |row| row.in_flight.into());
    split(rows, text, "weir_requests_total", Kind::Counter, "Responses, by class.", "code_class", |row| {
        let mut samples = CLASSES.map(|class| (class, 0));
        samples.iter_mut().zip(row.totals.responses).for_each(|(sample, count)| sample.1 = count);
        samples
    });
    let help = "How often the server asked to be left alone, where that counts.";
    each(rows, text, "weir_server_pauses_total", Kind::Counter, help, |row| row.pauses);
    let help = "Requests that may be under way.";
    let mut family = text.family("weir_server_limit", Kind::Gauge, help);
    for row in rows {
        if let Some(limit) = row.limit {
            family.sample(&[("upstream", row.upstream), ("server", row.id)], limit);
        }
    }
    let help = "Attempts that failed, by cause.";
    split(rows, text, "weir_server_errors_total", Kind::Counter, help, "kind", |row| {
        [
            ("connect", row.totals.connect_errors),
            ("drained", row.totals.cut),
            ("reset", row.totals.resets),
            ("timeout", row.totals.timeouts),
        ]
    });
    let help = "Connections to the server.";
    split(rows, text, "weir_server_connections", Kind::Gauge, help, "state", |row| {
        [("active", row.totals.connections_active), ("idle", row.totals.connections_idle)]
    });
    let help = "Connections to the server that were opened.";
    each(rows, text, "weir_server_connections_opened_total", Kind::Counter, help, |row| {
        row.totals.connections_opened
    });
    let help = "Bytes of messages to and from the server.";
    split(rows, text, "weir_server_bytes_total", Kind::Counter, help, "direction", |row| {
        [("received", row.totals.bytes_received), ("sent", row.totals.bytes_sent)]
    });
}

fn health(rows: &[Row<'_>], text: &mut Writer) {
    let help = "Whether the server may be picked (panic aside).";
    each(rows, text, "weir_server_eligible", Kind::Gauge, help, |row| u64::from(row.status.eligible));
    let help = "1 for the state the server is in, 0 for the others.";
    split(rows, text, "weir_server_state", Kind::Gauge, help, "state", |row| {
        STATES.map(|state| (state.as_str(), u64::from(row.status.state == state)))
    });
    let help = "Health checks made, by result.";
    split(rows, text, "weir_server_checks_total", Kind::Counter, help, "result", |row| {
        let failed = row.status.health.failed;
        [("failed", failed), ("passed", row.status.health.total.saturating_sub(failed))]
    });
    let help = "How often the server was ejected, by what found it failing.";
    split(rows, text, "weir_ejections_total", Kind::Counter, help, "detector", |row| {
        let mut samples = Detector::ALL.map(|detector| (detector.as_str(), 0));
        samples.iter_mut().zip(row.status.outlier.ejections).for_each(|(sample, count)| sample.1 = count);
        samples
    });
}

/// One sample per server.
fn each(
    rows: &[Row<'_>],
    text: &mut Writer,
    name: &str,
    kind: Kind,
    help: &str,
    read: impl Fn(&Row<'_>) -> u64,
) {
    let mut family = text.family(name, kind, help);
    for row in rows {
        family.sample(&[("upstream", row.upstream), ("server", row.id)], read(row));
    }
}

/// Several samples per server, told apart by `label`.
fn split<const N: usize>(
    rows: &[Row<'_>],
    text: &mut Writer,
    name: &str,
    kind: Kind,
    help: &str,
    label: &str,
    read: impl Fn(&Row<'_>) -> [(&'static str, u64); N],
) {
    let mut family = text.family(name, kind, help);
    for row in rows {
        for (value, count) in read(row) {
            family.sample(&[("upstream", row.upstream), ("server", row.id), (label, value)], count);
        }
    }
}
