//! The pages, from a table whose counters the tests move.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::time::advance;
use weir_shared::{
    state::{CheckOutcome, Detector, Evidence, HealthState, ListenerState, Reason},
    time::Timestamp,
};

use super::{HealthFormat, HealthQuery, Status, StoreState, StoreView};
use crate::health::fixture::{Fixture, WORKER};

const A: &str = "10.0.0.7:8080";
const B: &str = "10.0.0.8:8080";

fn status(fixture: &Fixture) -> Status {
    let listener = Arc::new(ListenerState::new(1));
    Status::new(fixture.reader.clone(), listener, fixture.clock, "node-1".to_owned())
}

fn store() -> StoreView {
    StoreView { kind: "memory".to_owned(), state: StoreState::Ok, last_commit_at: Some(Timestamp(0)) }
}

fn page(status: &Status, query: &HealthQuery) -> Value {
    serde_json::to_value(status.health(query, store())).unwrap()
}

fn check(fixture: &Fixture, address: &str, failure: Option<Reason>) {
    let detail = failure.map_or(String::new(), |_| "as told".to_owned());
    let duration = Duration::from_micros(700);
    let outcome = CheckOutcome { failure, detail, status: failure.map(|_| 503), duration };
    let upstream = fixture.upstream("web");
    fixture.state(address).health.observe(&outcome, upstream.thresholds, fixture.clock.now());
    upstream.state.eligibility_changed();
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

fn web(servers: Value) -> Value {
    json!([{"id": "web", "servers": servers, "health_check": {"path": "/healthz"}}])
}

#[tokio::test(start_paused = true)]
async fn a_page_tells_state_reason_time_and_numbers_of_everything() {
    let fixture = Fixture::new(web(json!([{"address": A, "zone": "eu-1a"}, B])));
    check(&fixture, A, Some(Reason::StatusMismatch));
    check(&fixture, B, None);
    let counters = &fixture.state(A).counters;
    counters.of(WORKER).requests.add(3);
    counters.of(WORKER).count_response(503);
    counters.of(WORKER).latency.record(Duration::from_millis(3));
    fixture.state(B).in_flight.start();
    let page = page(&status(&fixture), &HealthQuery::default());
    assert_eq!(
        (&page["node"], &page["scope"], &page["revision"]),
        (&json!("node-1"), &json!("node"), &json!(1))
    );
    assert_eq!(page["status"], "degraded");
    let store = json!({"kind": "memory", "state": "ok", "last_commit_at": "1970-01-01T00:00:00.000Z"});
    assert_eq!(page["store"], store);
    assert_eq!((&page["totals"]["servers"], &page["totals"]["unhealthy"]), (&json!(2), &json!(1)));
    let upstream = &page["upstreams"][0];
    assert_eq!((&upstream["state"], &upstream["routes"]), (&json!("degraded"), &json!(["default"])));
    assert_eq!(
        (&upstream["eligible"], &upstream["total"], &upstream["in_flight"]),
        (&json!(1), &json!(2), &json!(1))
    );
    let server = &upstream["servers"][0];
    assert_eq!(server["id"], "10.0.0.7-8080");
    assert_eq!((&server["state"], &server["reason"]), (&json!("unhealthy"), &json!("status_mismatch")));
    assert_eq!(
        (&server["detail"], &server["eligible"], &server["zone"]),
        (&json!("as told"), &json!(false), &json!("eu-1a"))
    );
    let check = &server["check"];
    assert_eq!((&check["type"], &check["url"]), (&json!("http"), &json!("http://10.0.0.7:8080/healthz")));
    assert_eq!(
        (&check["last_ok"], &check["last_status"], &check["duration_ms"]),
        (&json!(false), &json!(503), &json!(1))
    );
    assert_eq!((&check["history"], &check["consecutive_failed"]), (&json!("-"), &json!(1)));
    assert_eq!(
        (&check["last_change"]["from"], &check["last_change"]["to"]),
        (&json!("initial"), &json!("unhealthy"))
    );
    assert_eq!(
        (&server["counters"]["requests"], &server["counters"]["responses_5xx"]),
        (&json!(3), &json!(1))
    );
    assert_eq!(server["latency_ms"], json!({"connect_p50": null, "ttfb_p50": 4, "ttfb_p99": 4}));
    let other = &upstream["servers"][1];
    assert_eq!(
        (&other["state"], &other["reason"], &other["detail"]),
        (&json!("healthy"), &Value::Null, &json!(""))
    );
}

#[tokio::test(start_paused = true)]
async fn the_shape_is_the_documented_one() {
    let fixture = Fixture::new(web(json!([A])));
    let page = page(&status(&fixture), &HealthQuery::default());
    let expected =
        "at certificates listener listeners_unbound node revision scope status store totals upstreams";
    assert_eq!(keys(&page).join(" "), expected);
    let upstream = &page["upstreams"][0];
    let expected = [
        "circuit_breaker",
        "eligible",
        "error_rate_percent",
        "id",
        "in_flight",
        "latency_ms",
        "listeners",
        "panic",
        "queue",
        "rate_limits",
        "routes",
        "rps",
        "servers",
        "since",
        "state",
        "total",
    ];
    assert_eq!(keys(upstream), expected);
    let expected = [
        "address",
        "admin_state",
        "check",
        "connections",
        "counters",
        "counters_since",
        "detail",
        "drain",
        "eligible",
        "for_ms",
        "id",
        "in_flight",
        "latency_ms",
        "limit",
        "passive",
        "paused_until",
        "priority",
        "reason",
        "since",
        "state",
        "weight",
        "zone",
    ];
    assert_eq!(keys(&upstream["servers"][0]), expected);
    assert_eq!(upstream["servers"][0]["reason"], "first_check_pending");
    assert_eq!((&upstream["panic"], &page["status"]), (&json!(true), &json!("degraded")));
}

#[tokio::test(start_paused = true)]
async fn one_upstream_and_one_server_have_pages_of_their_own() {
    let fixture = Fixture::new(web(json!([{"id": "a", "address": A}, B])));
    let status = status(&fixture);
    assert_eq!(status.upstream("web").unwrap().servers.unwrap().len(), 2);
    assert_eq!(status.server("web", "a").unwrap().address, A);
    assert_eq!(status.server("web", A).unwrap().id, "a");
    assert!(status.upstream("x").is_none() && status.server("web", "x").is_none());
    assert!(status.server("x", "a").is_none());
}

#[tokio::test(start_paused = true)]
async fn an_ejected_server_says_until_when() {
    let fixture = Fixture::new(web(json!([A])));
    check(&fixture, A, None);
    let evidence = Evidence::FailurePercentage { requests: 80, rate: 0.1, threshold: 0.15 };
    fixture.eject(A, evidence, Duration::from_secs(30));
    let server = status(&fixture).server("web", A).unwrap();
    assert_eq!((server.state, server.reason), (HealthState::Unhealthy, Some(Reason::Ejected)));
    assert!(server.passive.ejected_until.is_some());
    assert_eq!(server.passive.detector, Some(Detector::FailurePercentage));
    assert_eq!(server.detail, "failure_percentage: 90.0 % of 80 requests failed, the threshold is 85 %");
    advance(Duration::from_secs(31)).await;
    let server = status(&fixture).server("web", A).unwrap();
    assert_eq!((server.passive.ejected_until, server.passive.ejections), (None, 1));
}

#[tokio::test(start_paused = true)]
async fn a_name_is_shown_with_the_addresses_it_stands_for() {
    const NAME: &str = "app.test:8080";
    let fixture = Fixture::new(web(json!([A, NAME])));
    let resolved = || {
        let server = status(&fixture).server("web", NAME).unwrap();
        serde_json::to_value(server).unwrap()["resolved"].clone()
    };
    assert_eq!(resolved(), json!([]), "not looked up yet");
    let found = ["10.0.0.7", "fd00::1"].map(|address| address.parse().unwrap());
    fixture.state(NAME).resolved.note(found.into_iter());
    assert_eq!(resolved(), json!(["10.0.0.7:8080", "[fd00::1]:8080"]));
    let by_address = serde_json::to_value(status(&fixture).server("web", A).unwrap()).unwrap();
    assert!(by_address.get("resolved").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_verdict_from_before_a_change_of_checks_says_so() {
    let fixture = Fixture::new(web(json!([A])));
    check(&fixture, A, None);
    fixture.state(A).health.recheck();
    let shown = || status(&fixture).server("web", A).unwrap();
    assert_eq!((shown().state, shown().reason), (HealthState::Healthy, Some(Reason::RecheckPending)));
    assert!(shown().eligible && shown().check.unwrap().recheck_pending);
    check(&fixture, A, None);
    assert_eq!(shown().reason, None);
    assert!(!shown().check.unwrap().recheck_pending);
}

#[tokio::test(start_paused = true)]
async fn without_checks_there_is_no_check_to_show() {
    let upstreams = json!([{"id": "web", "servers": [A], "health_check": {"enabled": false}}]);
    let fixture = Fixture::new(upstreams);
    assert!(status(&fixture).server("web", A).unwrap().check.is_none());
}

#[tokio::test(start_paused = true)]
async fn pages_follow_each_other_without_a_gap_or_a_repeat() {
    let upstream = |id: &str, count: usize| {
        let servers: Vec<String> = (1..=count).map(|n| format!("10.0.0.{n}:80")).collect();
        json!({"id": id, "servers": servers})
    };
    let fixture =
        Fixture::new(json!([upstream("a", 3), upstream("b", 0), upstream("c", 2), upstream("d", 5)]));
    let status = status(&fixture);
    for limit in 1..=12 {
        let mut seen = Vec::new();
        let mut query = HealthQuery { limit: Some(limit), ..HealthQuery::default() };
        loop {
            let page = status.health(&query, store());
            for upstream in &page.upstreams {
                let servers = upstream.servers.as_ref().unwrap();
                seen.extend(servers.iter().map(|server| format!("{}/{}", upstream.id, server.id)));
            }
            let shown: usize =
                page.upstreams.iter().map(|upstream| upstream.servers.iter().flatten().count()).sum();
            assert!(shown <= usize::try_from(limit).unwrap());
            assert_eq!(page.totals.servers, 10);
            query.after = page.next;
            if query.after.is_none() {
                break;
            }
        }
        let all = fixture.reader.snapshot();
        let expected: Vec<String> = all
            .upstreams()
            .flat_map(|upstream| {
                upstream.servers.iter().map(|server| format!("{}/{}", upstream.id, server.id))
            })
            .collect();
        assert_eq!(seen, expected, "limit {limit}");
    }
    let summary = |after: Option<&str>| {
        let after = after.map(str::to_owned);
        let query =
            HealthQuery { limit: Some(3), format: HealthFormat::Summary, after, ..HealthQuery::default() };
        let page = status.health(&query, store());
        assert!(page.upstreams.iter().all(|upstream| upstream.servers.is_none()));
        (page.upstreams.iter().map(|upstream| upstream.id.clone()).collect::<Vec<_>>().join(" "), page.next)
    };
    assert_eq!(summary(None), ("a b c".to_owned(), Some("c".to_owned())));
    assert_eq!(summary(Some("c")), ("d".to_owned(), None));
}

#[tokio::test(start_paused = true)]
async fn filters_leave_only_what_was_asked_for() {
    let fixture = Fixture::new(json!([
        {"id": "web", "servers": [A, B]},
        {"id": "api", "servers": ["10.0.1.1:80"]},
    ]));
    check(&fixture, A, Some(Reason::ConnectRefused));
    let status = status(&fixture);
    let list = |query: &str| {
        let query: HealthQuery = serde_json::from_value(serde_json::from_str(query).unwrap()).unwrap();
        let page = status.health(&query, store());
        let names = page.upstreams.iter().flat_map(|upstream| {
            let servers = upstream.servers.iter().flatten().map(|server| server.id.clone());
            std::iter::once(upstream.id.clone()).chain(servers)
        });
        names.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(list(r#"{"upstream":"api"}"#), "api 10.0.1.1-80");
    assert_eq!(list(r#"{"state":"unhealthy"}"#), "web 10.0.0.7-8080");
    assert_eq!(list(r#"{"state":"unhealthy","format":"summary"}"#), "web");
    assert_eq!(list(r#"{"state":"draining"}"#), "");
    assert_eq!(list(r#"{"upstream":"none"}"#), "");
    assert!(serde_json::from_value::<HealthQuery>(json!({"stat": "unhealthy"})).is_err());
}

#[tokio::test(start_paused = true)]
async fn rates_are_those_of_the_last_ten_seconds() {
    let fixture = Fixture::new(web(json!([A])));
    let status = status(&fixture);
    let upstream = fixture.upstream("web");
    let counters = upstream.state.counters.of(WORKER);
    let serve = |millis: u64, status: u16| {
        counters.requests.add(1);
        counters.count_response(status);
        counters.latency.record(Duration::from_millis(millis));
    };
    (0..1000).for_each(|_| serve(500, 500));
    for _ in 0..15 {
        status.sample();
        advance(Duration::from_secs(1)).await;
    }
    for second in 0..12 {
        (0..100).for_each(|n| serve(2, if n == 0 { 502 } else { 200 }));
        advance(Duration::from_secs(1)).await;
        status.sample();
        let health = status.upstream("web").unwrap();
        assert!(health.rps <= 100.0, "{second}: {health:?}");
        assert_eq!(health.error_rate_percent, 1.0, "{health:?}");
    }
    let health = status.upstream("web").unwrap();
    assert_eq!((health.rps, health.latency_ms.p50, health.latency_ms.p99), (100.0, Some(3), Some(3)));
    for _ in 0..11 {
        advance(Duration::from_secs(1)).await;
        status.sample();
    }
    let health = status.upstream("web").unwrap();
    assert_eq!((health.rps, health.error_rate_percent, health.latency_ms.p99), (0.0, 0.0, None));
}

#[tokio::test(start_paused = true)]
async fn the_overall_status_is_that_of_the_worst_routed_upstream() {
    let mut fixture = Fixture::new(json!([]));
    let status = status(&fixture);
    let of = |status: &Status| page(status, &HealthQuery::default())["status"].clone();
    assert_eq!(of(&status), "ok");
    let unrouted = json!({"id": "spare", "servers": []});
    fixture.publish(json!([{"id": "web", "servers": []}, unrouted]));
    assert_eq!(of(&status), "down");
    fixture.publish(json!([{"id": "web", "servers": [A], "panic_threshold_percent": 0}, unrouted]));
    assert_eq!(of(&status), "down");
    check(&fixture, A, None);
    assert_eq!(of(&status), "ok");
    status.sample();
    fixture.publish(json!([{"id": "web", "servers": [A, B], "panic_threshold_percent": 0}, unrouted]));
    status.sample();
    assert_eq!(of(&status), "degraded");
    let since = status.upstream("web").unwrap().since;
    assert_eq!(status.upstream("web").unwrap().since, since);
}
