//! Series of each listener. There are at most a thousand of them, named by the operator.

use weir_shared::{state::BindingTotals, table::Table};

use super::writer::{Kind, Writer};

/// What is shown of one listener.
struct Row<'a> {
    id: &'a str,
    is_bound: bool,
    totals: BindingTotals,
}

type Value = fn(&Row<'_>) -> u64;

const SERIES: [(&str, Kind, &str, Value); 7] = [
    ("weir_listener_bound", Kind::Gauge, "Whether the listener's address is bound.", |row| {
        u64::from(row.is_bound)
    }),
    ("weir_listener_connections_active", Kind::Gauge, "Client connections open.", |row| {
        row.totals.connections_active
    }),
    ("weir_listener_connections_accepted_total", Kind::Counter, "Client connections accepted.", |row| {
        row.totals.connections_accepted
    }),
    ("weir_listener_accept_errors_total", Kind::Counter, "Connections that could not be accepted.", |row| {
        row.totals.accept_errors
    }),
    (
        "weir_listener_proxy_header_errors_total",
        Kind::Counter,
        "Connections closed because of their PROXY header, or the lack of one.",
        |row| row.totals.proxy_header_errors,
    ),
    ("weir_listener_requests_total", Kind::Counter, "Client requests taken in.", |row| row.totals.requests),
    (
        "weir_listener_connect_failures_total",
        Kind::Counter,
        "TCP connections for which no server could be connected to.",
        |row| row.totals.connect_failures,
    ),
];

/// Writes them.
pub(super) fn write(table: &Table, text: &mut Writer) {
    let rows: Vec<Row<'_>> = table
        .listeners()
        .map(|listener| Row {
            id: listener.id.as_str(),
            is_bound: listener.state.status().bound,
            totals: BindingTotals::sum(&listener.state.counters),
        })
        .collect();
    for (name, kind, help, value) in SERIES {
        let mut family = text.family(name, kind, help);
        for row in &rows {
            family.sample(&[("listener", row.id)], value(row));
        }
    }
    let mut family = text.family("weir_listener_bytes_total", Kind::Counter, "Bytes of TCP connections.");
    for row in &rows {
        family.sample(&[("listener", row.id), ("direction", "received")], row.totals.bytes_received);
        family.sample(&[("listener", row.id), ("direction", "sent")], row.totals.bytes_sent);
    }
}
