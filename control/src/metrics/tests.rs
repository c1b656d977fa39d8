//! The whole text, judged by the rules that Prometheus' own linter applies.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use serde_json::{Value, json};
use weir_shared::{
    state::{ListenerState, WorkerId},
    time::Timestamp,
};

use super::{ServerSeries, Sources, render};
use crate::{
    catalog::ApplyTimes,
    health::{
        CheckerStats,
        fixture::{Fixture, WORKER},
    },
    status::{StoreState, StoreView},
};

fn text(fixture: &Fixture, servers: ServerSeries) -> String {
    let listener = ListenerState::new(2);
    listener.counters.of(WORKER).requests.add(7);
    listener.counters.of(WorkerId(1)).requests.add(1);
    let store = StoreView {
        kind: "sqlite".to_owned(),
        state: StoreState::ReadOnly,
        last_commit_at: Some(Timestamp(1_795_383_600_007)),
    };
    render(&Sources {
        table: &fixture.reader.snapshot(),
        listener: &listener,
        events: &crate::events::Counts::default(),
        checker: &CheckerStats::default(),
        audit: &crate::audit::Stats::default(),
        store: &store,
        last_good_failures: 3,
        drains: 2,
        changes: &ApplyTimes::default(),
        servers,
        now: fixture.clock.now(),
    })
}

/// Name, labels and value of a sample.
fn parse(line: &str) -> (&str, Vec<(&str, &str)>, f64) {
    let (series, value) = line.rsplit_once(' ').unwrap();
    let (name, labels) = series
        .split_once('{')
        .map_or((series, ""), |(name, labels)| (name, labels.strip_suffix('}').unwrap()));
    let labels = labels.split_terminator(',').map(|label| {
        let (label, value) = label.split_once('=').unwrap();
        (label, value.strip_prefix('"').unwrap().strip_suffix('"').unwrap())
    });
    (name, labels.collect(), value.parse().unwrap())
}

/// Checks `text` by the rules of the format and answers its families with their numbers of samples.
fn lint(text: &str) -> BTreeMap<String, usize> {
    assert!(text.ends_with('\n') && !text.contains("\n\n") && !text.contains('\r'));
    let mut families = BTreeMap::new();
    let mut series = HashSet::new();
    let mut lines = text.lines().peekable();
    while let Some(help) = lines.next() {
        let (name, help) =
            help.strip_prefix("# HELP ").unwrap_or_else(|| panic!("{help}")).split_once(' ').unwrap();
        assert!(help.len() > 5 && help.ends_with('.'), "{name}: {help}");
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'), "{name}");
        let kind = lines.next().unwrap().strip_prefix(&format!("# TYPE {name} ")).unwrap();
        assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
        let mut count = 0;
        while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
            let (sample, labels, value) = parse(line);
            let suffix = sample.strip_prefix(name).unwrap_or_else(|| panic!("{line} under {name}"));
            let is_known = if kind == "histogram" {
                ["_bucket", "_sum", "_count"].contains(&suffix)
            } else {
                suffix.is_empty()
            };
            assert!(is_known, "{line}");
            assert_eq!(suffix == "_bucket", labels.iter().any(|(label, _)| *label == "le"), "{line}");
            assert!(value.is_finite() && value >= 0.0, "{line}");
            assert!(series.insert(line.rsplit_once(' ').unwrap().0.to_owned()), "twice: {line}");
            count += 1;
        }
        assert_eq!(families.insert(name.to_owned(), count), None, "{name} is announced twice");
    }
    families
}

fn upstream(id: &str, servers: usize) -> Value {
    let servers: Vec<String> = (0..servers).map(|n| format!("10.0.{}.{}:80", n / 250, n % 250 + 1)).collect();
    json!({"id": id, "servers": servers})
}

#[tokio::test(start_paused = true)]
async fn the_text_obeys_the_format_and_holds_every_family() {
    let fixture = Fixture::new(json!([upstream("web", 2), upstream("api", 1)]));
    let families = lint(&text(&fixture, ServerSeries::Auto));
    let count = |name: &str| families.get(name).copied().unwrap_or_else(|| panic!("no {name}"));
    for (name, samples) in [
        ("weir_build_info", 1),
        ("weir_check_lag_seconds", 1),
        ("weir_config_revision", 1),
        ("weir_connections_active", 1),
        ("weir_ejections_total", 3 * 5),
        ("weir_in_flight", 3),
        ("weir_request_duration_seconds", 2 * 17),
        ("weir_requests_total", 3 * 5),
        ("weir_retries_total", 2),
        ("weir_server_checks_total", 3 * 2),
        ("weir_server_eligible", 3),
        ("weir_server_state", 3 * 6),
        ("weir_store_up", 1),
    ] {
        assert_eq!(count(name), samples, "{name}");
    }
    if cfg!(target_os = "linux") {
        for name in
            ["cpu_seconds_total", "resident_memory_bytes", "open_fds", "max_fds", "start_time_seconds"]
        {
            assert_eq!(count(&format!("process_{name}")), 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_numbers_are_those_that_were_counted() {
    let fixture = Fixture::new(json!([upstream("web", 1)]));
    let web = fixture.upstream("web");
    let counters = web.state.counters.of(WORKER);
    for millis in [1, 30, 30, 99_000] {
        counters.latency.record(Duration::from_millis(millis));
    }
    counters.retries.add(2);
    let server = &web.servers[0].state;
    server.counters.of(WORKER).count_response(204);
    server.counters.of(WorkerId(1)).count_response(204);
    server.in_flight.start();
    let text = text(&fixture, ServerSeries::Auto);
    let bucket =
        |edge: &str| format!("weir_request_duration_seconds_bucket{{upstream=\"web\",le=\"{edge}\"}}");
    for line in [
        concat!("weir_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
        "weir_config_revision 1",
        "weir_store_up{kind=\"sqlite\"} 0",
        "weir_store_last_commit_timestamp_seconds 1795383600.007",
        "weir_client_requests_total 8",
        "weir_requests_total{upstream=\"web\",server=\"10.0.0.1-80\",code_class=\"2xx\"} 2",
        "weir_requests_total{upstream=\"web\",server=\"10.0.0.1-80\",code_class=\"5xx\"} 0",
        "weir_in_flight{upstream=\"web\",server=\"10.0.0.1-80\"} 1",
        "weir_retries_total{upstream=\"web\"} 2",
        "weir_server_state{upstream=\"web\",server=\"10.0.0.1-80\",state=\"initial\"} 1",
        "weir_server_state{upstream=\"web\",server=\"10.0.0.1-80\",state=\"healthy\"} 0",
        "weir_request_duration_seconds_sum{upstream=\"web\"} 99.061",
        "weir_request_duration_seconds_count{upstream=\"web\"} 4",
        &format!("{} 1", bucket("0.005")),
        &format!("{} 1", bucket("0.025")),
        &format!("{} 3", bucket("0.05")),
        &format!("{} 3", bucket("10")),
        &format!("{} 4", bucket("+Inf")),
    ] {
        assert!(text.lines().any(|given| given == line), "no line {line} in\n{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn too_many_servers_have_no_series_of_their_own() {
    let fixture = Fixture::new(json!([upstream("web", 2001)]));
    let has_servers = |servers| text(&fixture, servers).contains("server=");
    assert!(!has_servers(ServerSeries::Auto) && !has_servers(ServerSeries::Never));
    assert!(has_servers(ServerSeries::Always));
    let families = lint(&text(&fixture, ServerSeries::Auto));
    assert_eq!((families["weir_requests_total"], families["weir_in_flight"]), (5, 1));
    let fixture = Fixture::new(json!([upstream("web", 2000)]));
    assert!(text(&fixture, ServerSeries::Auto).contains("server="));
}
