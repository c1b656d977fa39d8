//! `…/explain`: why a server gets requests, or does not, told of servers that are killed, drained and taken back.

use serde_json::{Value, json};
use weir_tests::eventually::eventually;
use weir_tests::process_origin::ProcessOrigin;
use weir_tests::weir::Weir;

fn explain(weir: &Weir, origin: &ProcessOrigin) -> Value {
    let path = format!("/v1/upstreams/default/servers/{}/explain", origin.address());
    weir.api().get(&path).expect(200).json()
}

fn await_requests(weir: &Weir, origin: &ProcessOrigin, gets: &Value) -> Value {
    eventually("the server gets requests, or not, as it should", || {
        let found = explain(weir, origin);
        (found["gets_requests"] == *gets).then_some(found)
    })
}

#[test]
fn a_killed_server_is_explained_and_so_is_its_return() {
    let folder = tempfile::tempdir().unwrap();
    let mut lost = ProcessOrigin::start(folder.path(), 0);
    let kept = ProcessOrigin::start(folder.path(), 0);
    let weir = Weir::start();
    weir.api().set_default(&json!({
        "health_check": {"interval": "200ms", "timeout": "150ms", "unhealthy_threshold": 2, "healthy_threshold": 2},
        "panic_threshold_percent": 0,
        "servers": [
            {"address": lost.address().to_string(), "weight": 3}, {"address": kept.address().to_string()},
        ],
    }));
    let found = await_requests(&weir, &lost, &true.into());
    assert_eq!((&found["effective_weight"], &found["hints"]), (&json!(3), &json!([])), "{found:#}");

    lost.kill();
    let found = await_requests(&weir, &lost, &false.into());
    assert_eq!((&found["state"], &found["effective_weight"]), (&json!("unhealthy"), &json!(0)), "{found:#}");
    assert_eq!(found["cause"]["factor"], "health", "{found:#}");
    assert_eq!(found["cause"]["reason"], "connect_refused", "{found:#}");
    assert_eq!(found["last_checks"][0]["result"], "failed", "{found:#}");
    assert!(found["next_check_at"].is_string(), "{found:#}");
    assert!(found["hints"][0].as_str().unwrap().contains("start the server there"), "{found:#}");
    let other = eventually("the other has all requests", || {
        let other = explain(&weir, &kept);
        (other["share_percent"] == 100.0).then_some(other)
    });
    assert_eq!(other["gets_requests"], true, "{other:#}");

    lost.restart();
    let found = await_requests(&weir, &lost, &true.into());
    assert_eq!(found["share_percent"], 75.0, "{found:#}");
    assert_eq!(found["check"]["last_change"]["to"], "healthy", "{found:#}");
}

#[test]
fn the_operators_wish_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let origin = ProcessOrigin::start(folder.path(), 0);
    let weir = Weir::start();
    let servers = [origin.address().to_string()];
    weir.api().set_default(&json!({"health_check": {"enabled": false}, "servers": servers}));
    let path = format!("/v1/upstreams/default/servers/{}", origin.address());
    weir.api().patch(&path, &json!({"admin_state": "drain"})).assert(200);
    let found = explain(&weir, &origin);
    assert_eq!((&found["gets_requests"], &found["cause"]["factor"]), (&json!(false), &json!("admin_state")));
    weir.api().patch(&path, &json!({"admin_state": "ready", "weight": 0})).assert(200);
    assert_eq!(explain(&weir, &origin)["cause"]["factor"], "weight");
    weir.api().patch(&path, &json!({"weight": 1})).assert(200);
    assert_eq!(explain(&weir, &origin)["gets_requests"], true);
}

#[test]
fn an_ejection_is_explained_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut lost = ProcessOrigin::start(folder.path(), 0);
    let kept = ProcessOrigin::start(folder.path(), 0);
    let weir = Weir::start();
    weir.api().set_default(&json!({
        "health_check": {"enabled": false},
        "outlier_detection": {"consecutive_local_origin_failure": 2, "base_ejection_time": "1s", "max_ejection_percent": 50},
        "servers": [lost.address().to_string(), kept.address().to_string()],
    }));
    lost.kill();
    let mut client = weir.client();
    let found = eventually("it is ejected", || {
        client.get("/");
        let found = explain(&weir, &lost);
        (found["cause"]["factor"] == "ejection").then_some(found)
    });
    assert_eq!(
        (&found["ejections"][0]["detector"], &found["gets_requests"]),
        (&json!("consecutive_local_origin_failure"), &json!(false))
    );
    assert_eq!(found["ejections"][0]["consecutive_errors"], 2, "{found:#}");
    let found = eventually("the ejection ends", || {
        let found = explain(&weir, &lost);
        found["passive"]["ejected_until"].is_null().then_some(found)
    });
    assert_eq!(found["ejections"].as_array().unwrap().len(), 1, "and is remembered: {found:#}");
}
