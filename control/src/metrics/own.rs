//! The program itself: its version, configuration, store, checker and listener.

use std::time::Duration;

use weir_shared::{
    state::{ListenerState, ListenerTotals},
    time::Moment,
};

use super::{
    Sources,
    writer::{Kind, Writer},
};
use crate::{
    catalog::{ApplyTimes, Step},
    events::{Counts, Topic},
    health::CheckerStats,
    status::{StoreState, StoreView},
};

pub(super) fn write(sources: &Sources<'_>, text: &mut Writer) {
    let servers: usize = sources.table.upstreams().map(|upstream| upstream.servers.len()).sum();
    text.family("weir_build_info", Kind::Gauge, "The running version; always 1.")
        .sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    text.single("weir_config_revision", Kind::Gauge, "Configuration in force.", sources.table.revision());
    text.single("weir_listeners", Kind::Gauge, "Configured listeners.", sources.table.listeners().count());
    text.single("weir_upstreams", Kind::Gauge, "Configured upstreams.", sources.table.upstreams().len());
    text.single("weir_servers", Kind::Gauge, "Configured servers.", servers);
    text.single("weir_drains_active", Kind::Gauge, "Servers being drained.", sources.drains);
    changes(sources.changes, text);
    store(sources.store, text);
    text.single(
        "weir_last_good_write_failures_total",
        Kind::Counter,
        "Times last-good.json, the copy of the configuration to start from without the store, could not be written.",
        sources.last_good_failures,
    );
    checker(sources.checker, sources.now.moment, text);
    events(sources.events, text);
    listener(sources.listener, text);
    text.single(
        "weir_audit_dropped_total",
        Kind::Counter,
        "Records of refused or tried API calls that were not kept.",
        sources.audit.dropped(),
    );
    text.single(
        "weir_api_rate_limited_total",
        Kind::Counter,
        "API calls refused for there being too many; the audit has the first of each caller in a minute.",
        sources.audit.rate_limited(),
    );
}

/// Upper edges in milliseconds with their labels.
const EDGES: [(u64, &str); 10] = [
    (1, "0.001"),
    (2, "0.002"),
    (5, "0.005"),
    (10, "0.01"),
    (20, "0.02"),
    (50, "0.05"),
    (100, "0.1"),
    (250, "0.25"),
    (1000, "1"),
    (5000, "5"),
];

fn changes(times: &ApplyTimes, text: &mut Writer) {
    let help = "Time of each step from a change of the configuration to having it in force.";
    let mut family = text.family("weir_config_apply_seconds", Kind::Histogram, help);
    for step in Step::ALL {
        let counts = times.of(step);
        let step = ("step", step.as_str());
        for (millis, edge) in EDGES {
            family.suffixed("_bucket", &[step, ("le", edge)], counts.at_most(Duration::from_millis(millis)));
        }
        family.suffixed("_bucket", &[step, ("le", "+Inf")], counts.count());
        family.suffixed("_sum", &[step], Duration::from_micros(counts.sum_micros).as_secs_f64());
        family.suffixed("_count", &[step], counts.count());
    }
}

fn store(store: &StoreView, text: &mut Writer) {
    let is_up = u8::from(store.state == StoreState::Ok);
    text.family("weir_store_up", Kind::Gauge, "Whether the configuration can be read and written.")
        .sample(&[("kind", &store.kind)], is_up);
    if let Some(at) = store.last_commit_at {
        let seconds = format!("{}.{:03}", at.0.div_euclid(1000), at.0.rem_euclid(1000));
        text.single(
            "weir_store_last_commit_timestamp_seconds",
            Kind::Gauge,
            "Last committed change.",
            seconds,
        );
    }
}

fn checker(checker: &CheckerStats, now: Moment, text: &mut Writer) {
    let lag = checker.lag(now).as_secs_f64();
    text.single("weir_check_lag_seconds", Kind::Gauge, "Worst lateness of health checks, last minute.", lag);
    text.single("weir_checks_running", Kind::Gauge, "Health checks under way.", checker.running());
    text.single("weir_checks_targets", Kind::Gauge, "Servers with health checks.", checker.targets());
    text.single(
        "weir_checks_discarded_total",
        Kind::Counter,
        "Health checks that said nothing because Weir itself was starved or out of files or ports.",
        checker.discarded(),
    );
}

fn events(counts: &Counts, text: &mut Writer) {
    text.single("weir_events_subscribers", Kind::Gauge, "Event streams open.", counts.consumers());
    let mut published = text.family("weir_events_published_total", Kind::Counter, "Events told, by topic.");
    for topic in Topic::ALL {
        published.sample(&[("topic", topic.as_str())], counts.published(topic));
    }
    text.single(
        "weir_events_resets_total",
        Kind::Counter,
        "Times a listener was told that something is missing.",
        counts.resets(),
    );
}

fn listener(listener: &ListenerState, text: &mut Writer) {
    let totals = ListenerTotals::sum(&listener.counters);
    let active = totals.connections_active;
    text.single("weir_connections_active", Kind::Gauge, "Client connections open.", active);
    text.single("weir_requests_active", Kind::Gauge, "Client requests under way.", totals.requests_active);
    text.single(
        "weir_tunnels_active",
        Kind::Gauge,
        "Client connections and streams switched to another protocol.",
        totals.tunnels_active,
    );
    let counters = [
        ("weir_connections_accepted_total", "Client connections accepted.", totals.connections_accepted),
        ("weir_accept_errors_total", "Client connections that could not be accepted.", totals.accept_errors),
        ("weir_connection_panics_total", "Client connections ended by a fault of Weir.", totals.panics),
        ("weir_client_requests_total", "Client requests taken in.", totals.requests),
        (
            "weir_requests_refused_total",
            "Client requests malformed or over a limit.",
            totals.requests_refused,
        ),
        (
            "weir_connections_shed_total",
            "Client connections refused because memory was short.",
            totals.connections_shed,
        ),
        (
            "weir_requests_shed_total",
            "Client requests refused because memory was short.",
            totals.requests_shed,
        ),
        ("weir_client_timeouts_total", "Client requests given up for slowness.", totals.client_timeouts),
        ("weir_client_aborts_total", "Client requests whose client went away.", totals.client_aborts),
        (
            "weir_tunnels_total",
            "Client connections and streams that were switched to another protocol.",
            totals.tunnels,
        ),
        (
            "weir_tunnel_timeouts_total",
            "Switched connections and streams closed because nothing moved.",
            totals.tunnel_timeouts,
        ),
        ("weir_floods_total", "HTTP/2 connections ended because of excess.", totals.floods),
    ];
    for (name, help, value) in counters {
        text.single(name, Kind::Counter, help, value);
    }
}
