//! Explanations of servers in every situation there is.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use weir_shared::state::{CheckOutcome, Detector, Evidence, ListenerState, Reason, ServerFault};

use crate::{health::fixture::Fixture, status::Status};

const A: &str = "10.0.0.7:8080";
const B: &str = "10.0.0.8:8080";

fn web(servers: Value) -> Value {
    json!([{"id": "web", "servers": servers, "health_check": {"path": "/healthz"}}])
}

fn check(fixture: &Fixture, address: &str, failure: Option<Reason>) {
    let detail = failure.map_or(String::new(), |_| "as told".to_owned());
    let outcome = CheckOutcome { failure, detail, status: None, duration: Duration::from_millis(2) };
    let upstream = fixture.upstream("web");
    fixture.state(address).health.observe(&outcome, upstream.thresholds, fixture.clock.now());
    upstream.state.eligibility_changed();
}

fn explain(fixture: &Fixture, key: &str) -> Value {
    let listener = Arc::new(ListenerState::new(1));
    let status = Status::new(fixture.reader.clone(), listener, fixture.clock, "node-1".to_owned());
    serde_json::to_value(status.explain("web", key).unwrap()).unwrap()
}

/// The name and multiplier of each factor that is not 1.
fn odd(explanation: &Value) -> Vec<(String, u64)> {
    let factors = explanation["factors"].as_array().unwrap().iter();
    let all = factors
        .map(|factor| (factor["name"].as_str().unwrap().to_owned(), factor["multiplier"].as_u64().unwrap()));
    all.filter(|(_, multiplier)| *multiplier != 1).collect()
}

fn hint(explanation: &Value) -> &str {
    explanation["hints"][0].as_str().unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn a_server_in_use_has_its_weight_and_its_share() {
    let fixture = Fixture::new(web(json!([{"address": A, "weight": 3}, B])));
    check(&fixture, A, None);
    check(&fixture, B, None);
    let found = explain(&fixture, "10.0.0.7-8080");
    assert_eq!((&found["gets_requests"], &found["state"]), (&json!(true), &json!("healthy")), "{found:#}");
    assert_eq!((&found["effective_weight"], &found["share_percent"]), (&json!(3), &json!(75.0)));
    assert_eq!(odd(&found), [("weight".to_owned(), 3)]);
    assert_eq!(found["hints"], json!([]));
    assert_eq!(found["last_checks"][0]["result"], "passed");
    let order: Vec<&Value> =
        found["factors"].as_array().unwrap().iter().map(|factor| &factor["name"]).collect();
    assert_eq!(order, ["route", "admin_state", "weight", "health", "ejection", "priority"]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_fails_checks_says_how_and_what_to_do() {
    let fixture = Fixture::new(web(json!([A, B])));
    check(&fixture, A, None);
    check(&fixture, B, None);
    for _ in 0..3 {
        check(&fixture, A, Some(Reason::ConnectRefused));
    }
    let found = explain(&fixture, A);
    assert_eq!((&found["gets_requests"], &found["effective_weight"]), (&json!(false), &json!(0)));
    assert_eq!(found["cause"]["factor"], "health");
    assert_eq!(found["cause"]["reason"], "connect_refused");
    assert_eq!(found["cause"]["text"], "Active checks fail: as told.");
    assert!(hint(&found).contains("start the server there"), "{found:#}");
    let checks = found["last_checks"].as_array().unwrap();
    assert_eq!((checks.len(), &checks[0]["reason"]), (4, &json!("connect_refused")));
    assert_eq!((&checks[3]["result"], &checks[3]["duration_ms"]), (&json!("passed"), &json!(2)));
}

#[tokio::test(start_paused = true)]
async fn the_operator_comes_first() {
    let servers = json!([{"address": A, "admin_state": "maint"}, {"address": B, "weight": 0}]);
    let fixture = Fixture::new(web(servers));
    let found = explain(&fixture, A);
    assert_eq!((&found["cause"]["factor"], &found["state"]), (&json!("admin_state"), &json!("unused")));
    assert!(hint(&found).contains("\"admin_state\": \"ready\""), "{found:#}");
    let found = explain(&fixture, B);
    assert_eq!(
        (&found["cause"]["factor"], &found["cause"]["reason"]),
        (&json!("weight"), &json!("weight_zero"))
    );
}

#[tokio::test(start_paused = true)]
async fn ejections_are_told_with_their_history() {
    let fixture = Fixture::new(web(json!([A, B])));
    check(&fixture, A, None);
    check(&fixture, B, None);
    let detector = Detector::ConsecutiveLocalOriginFailure;
    let evidence = Evidence::Row { detector, errors: 5, fault: ServerFault::Connection };
    fixture.eject(A, evidence, Duration::from_secs(30));
    let found = explain(&fixture, A);
    assert_eq!((&found["cause"]["factor"], &found["gets_requests"]), (&json!("ejection"), &json!(false)));
    let ejection = &found["ejections"][0];
    assert_eq!(
        (&ejection["detector"], &ejection["consecutive_errors"], &ejection["requests"]),
        (&json!("consecutive_local_origin_failure"), &json!(5), &Value::Null)
    );
    assert_eq!(
        (&ejection["ended_early_at"], &ejection["due"]),
        (&Value::Null, &found["passive"]["ejected_until"])
    );
    assert!(hint(&found).contains("ends by itself"), "{found:#}");
    assert!(hint(&found).contains("or sooner"), "{found:#}");
    let evidence = Evidence::SuccessRate { requests: 200, rate: 0.5, mean: 0.9, threshold: 0.6004 };
    fixture.eject(A, evidence, Duration::from_secs(30));
    let found = explain(&fixture, A);
    let ejection = &found["ejections"][0];
    assert_eq!(
        (&ejection["success_rate_percent"], &ejection["threshold_percent"], &ejection["consecutive_errors"]),
        (&json!(50.0), &json!(60.0), &Value::Null)
    );
    assert!(found["cause"]["text"].as_str().unwrap().contains("50.0 % of 200 requests"), "{found:#}");
    assert!(!hint(&found).contains("or sooner"), "{found:#}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_warms_up_has_a_part_of_its_weight() {
    let upstream =
        |servers: Value| json!([{"id": "web", "servers": servers, "slow_start": {"duration": "20s"}}]);
    let mut fixture = Fixture::new(upstream(json!([A])));
    check(&fixture, A, None);
    assert!(explain(&fixture, A)["gets_requests"] == true);
    tokio::time::advance(Duration::from_secs(100)).await;
    fixture.publish(upstream(json!([A, {"address": B, "weight": 4}])));
    check(&fixture, B, None);
    assert!(explain(&fixture, B)["gets_requests"] == true);
    tokio::time::advance(Duration::from_secs(5)).await;
    let found = explain(&fixture, B);
    assert_eq!((&found["effective_weight"], &found["share_percent"]), (&json!(1), &json!(50.0)), "{found:#}");
    let last = found["factors"].as_array().unwrap().last().unwrap();
    assert_eq!(last["text"], "It warms up: it has 25 % of its weight, and all of it in 15 s.");
    let other = explain(&fixture, A);
    assert_eq!(other["factors"].as_array().unwrap().last().unwrap()["text"], "It has all of its weight.");
}

#[tokio::test(start_paused = true)]
async fn in_a_panic_verdicts_do_not_count() {
    let fixture = Fixture::new(web(json!([A])));
    check(&fixture, A, Some(Reason::ConnectTimeout));
    let found = explain(&fixture, A);
    assert_eq!((&found["gets_requests"], &found["state"]), (&json!(true), &json!("unhealthy")), "{found:#}");
    assert!(odd(&found).is_empty() && found["effective_weight"] == 1);
    assert!(found["cause"]["text"].as_str().unwrap().contains("panic"));
    assert!(hint(&found).contains("firewall"), "{found:#}");
}

#[tokio::test(start_paused = true)]
async fn a_backup_waits_and_an_upstream_without_a_route_gets_nothing() {
    let mut fixture = Fixture::new(web(json!([A, {"address": B, "priority": 1}])));
    check(&fixture, A, None);
    check(&fixture, B, None);
    let found = explain(&fixture, B);
    assert_eq!((&found["cause"]["factor"], &found["gets_requests"]), (&json!("priority"), &json!(false)));
    assert_eq!(
        found["cause"]["text"],
        "It is a backup (priority 1): the levels before it can take all requests."
    );
    let servers = fixture.upstream("web").record.to_model().servers;
    fixture.publish(
        json!([{"id": "other"}, {"id": "web", "servers": servers, "health_check": {"path": "/healthz"}}]),
    );
    let found = explain(&fixture, A);
    assert_eq!(
        (&found["cause"]["factor"], &found["gets_requests"]),
        (&json!("route"), &json!(false)),
        "{found:#}"
    );
    assert!(hint(&found).contains("route"), "{found:#}");
}

#[tokio::test(start_paused = true)]
async fn too_much_work_is_a_factor_with_its_numbers() {
    let settings = json!([{
        "id": "web", "servers": [{"address": A, "max_requests": 2}, B], "limits": {"max_requests": 3},
        "adaptive_limit": {"enabled": true, "initial": 5, "min": 2, "max": 9},
        "server_retry_after": {"enabled": true}, "circuit_breaker": {"enabled": true, "min_requests": 1},
    }]);
    let fixture = Fixture::new(settings);
    check(&fixture, A, None);
    check(&fixture, B, None);
    let upstream = fixture.upstream("web");
    let names = ["circuit_breaker", "pause", "adaptive_limit", "limits"];
    let said = |name: &str| {
        let found = explain(&fixture, A);
        let factors = found["factors"].as_array().unwrap();
        let factor = factors.iter().find(|factor| factor["name"] == name).unwrap();
        (factor["ok"].as_bool().unwrap(), factor["text"].as_str().unwrap().to_owned())
    };
    assert!(names.iter().all(|name| said(name).0));
    assert_eq!(said("adaptive_limit").1, "It was found to bear 5 requests at once (from 2 to 9).");
    let server = upstream.server("10.0.0.7-8080").unwrap();
    assert_eq!(upstream.reserve(server), Some(0));
    assert_eq!(
        said("limits"),
        (true, "It has 1 of at most 2 requests under way; the upstream has 1 of at most 3.".to_owned())
    );
    assert_eq!(upstream.reserve(server), Some(1));
    assert!(!said("limits").0);
    let found = explain(&fixture, A);
    assert_eq!(
        (&found["gets_requests"], &found["cause"]["factor"]),
        (&json!(false), &json!("limits")),
        "{found:#}"
    );
    assert!(hint(&found).contains("max_requests"), "{found:#}");
    server.state.pause.ask(Duration::from_secs(5), fixture.clock.now());
    assert!(!said("pause").0 && said("pause").1.contains("left alone until"));
    fixture.state(B).pause.ask(Duration::from_secs(5), fixture.clock.now());
    assert!(said("pause").0, "there is no other");
    let (breaker, policy) = (&upstream.state.breaker, upstream.breaker.unwrap());
    tokio::time::advance(Duration::from_millis(10)).await;
    let pass = breaker.admit(policy, fixture.clock.now()).unwrap();
    breaker.report(pass, weir_shared::state::Outcome::Failure, policy, fixture.clock.now());
    assert!(!said("circuit_breaker").0);
    let cause = explain(&fixture, A)["cause"].clone();
    assert_eq!(cause["factor"], "circuit_breaker");
    assert_eq!(
        cause["since"],
        json!(breaker.state().1),
        "since the breaker is open, not since the checks pass"
    );
    tokio::time::advance(upstream.breaker.unwrap().open_time).await;
    let (ok, text) = said("circuit_breaker");
    assert!(ok && text.contains("the next request tries"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn only_what_is_enabled_and_has_a_share_sends_to_an_upstream() {
    let mut fixture = Fixture::new(web(json!([A])));
    check(&fixture, A, None);
    let upstream = json!({"id": "web", "servers": fixture.upstream("web").record.to_model().servers});
    let unused = json!({"id": "unused"});
    for (route, listener, expected) in [
        (json!({"enabled": true}), Value::Null, true),
        (json!({"enabled": false}), Value::Null, false),
        (
            json!({"action": {"upstreams": [{"upstream": "web", "weight": 0}, {"upstream": "unused"}]}}),
            Value::Null,
            false,
        ),
        (
            json!({"enabled": false}),
            json!({"id": "tcp", "address": "[::1]:81", "protocol": "tcp", "upstream": "web"}),
            true,
        ),
    ] {
        let mut api = json!({"id": "api", "match": {"path": {"value": "/a"}}, "action": {"upstreams": [{"upstream": "web"}]}});
        for (name, value) in route.as_object().unwrap() {
            api[name] = value.clone();
        }
        let listeners: Vec<&Value> =
            Some(&listener).filter(|listener| !listener.is_null()).into_iter().collect();
        fixture.publish_whole(
            json!({"upstreams": [upstream, unused], "routes": [{"id": "default"}, api], "listeners": listeners}),
        );
        let found = explain(&fixture, A);
        assert_eq!(found["gets_requests"], expected, "{route} {listener}: {found:#}");
        assert_eq!(found["factors"][0]["ok"], expected);
    }
    let table = fixture.reader.snapshot();
    assert_eq!(table.config().listeners_to("web"), ["tcp"]);
}
