//! `/v1/listeners`, without a data plane: nothing is ever bound here but what the harness says is.

use serde_json::{Value, json};

use super::harness::Harness;

const LISTENERS: &str = "/v1/listeners";
const ONE: &str = "/v1/listeners/one";

async fn with_one() -> Harness {
    let api = Harness::new().await;
    let made = api.post(LISTENERS, json!({"id": "one", "address": "[0::1]:81", "idle_timeout": "5s"})).await;
    assert_eq!(
        (made.status.as_u16(), made.header("location"), made.header("etag")),
        (201, ONE, "\"r1.abc123\"")
    );
    assert_eq!(made.json()["address"], "[::1]:81", "in its one form");
    api
}

#[tokio::test]
async fn a_listener_is_made_read_changed_and_deleted() {
    let api = with_one().await;
    let read = api.get(ONE).await;
    assert_eq!((read.header("etag"), &read.json()["status"]["bound"]), ("\"r1.abc123\"", &json!(false)));
    let page = api.get(LISTENERS).await.json();
    let ids: Vec<&Value> = page["items"].as_array().unwrap().iter().map(|item| &item["id"]).collect();
    assert_eq!(ids, ["default", "one"]);
    assert_eq!(api.get("/v1/listeners?limit=1").await.json()["next"], "default");
    assert_eq!(api.get("/v1/listeners?after=default").await.json()["items"][0]["id"], "one");

    let patched = api.json("PATCH", ONE, &json!({"max_headers": 20, "idle_timeout": null})).await.json();
    assert_eq!((&patched["max_headers"], &patched["idle_timeout"]), (&json!(20), &json!("75s")));
    let back = api.json("PUT", ONE, &patched).await;
    assert_eq!((back.status.as_u16(), back.revision()), (200, 2), "what was read can be put back");
    let replaced = api.json("PUT", ONE, &json!({"address": "[::1]:81"})).await.json();
    assert_eq!(replaced["max_headers"], 100);
    let fresh = api.json("PUT", "/v1/listeners/two", &json!({"address": "unix:/run/two"})).await;
    assert_eq!((fresh.status.as_u16(), fresh.header("location")), (201, "/v1/listeners/two"));
    assert_eq!(api.send("DELETE", ONE, &[], "").await.status, 204);
    api.get(ONE).await.problem(404, "not_found");
}

#[tokio::test]
async fn conditions_trials_and_keys_hold_as_for_upstreams() {
    let api = with_one().await;
    let patch = json!({"max_headers": 20}).to_string();
    let json = ("content-type", "application/json");
    let stale = api.send("PATCH", ONE, &[json, ("if-match", "\"r0.abc123\"")], patch.clone()).await;
    stale.problem(412, "etag_mismatch");
    assert_eq!(stale.json()["current"]["id"], "one");
    let default = "/v1/listeners/default";
    let stale = api.send("PUT", default, &[json, ("if-match", "\"r9.abc123\"")], patch.clone()).await;
    stale.problem(412, "etag_mismatch");
    let current = stale.json()["current"].clone();
    assert_eq!((&current["address"], &current["idle_timeout"]), (&json!("0.0.0.0:8080"), &json!("75s")));
    let back = api.json("PUT", default, &current).await;
    assert_eq!(
        (back.status.as_u16(), back.revision()),
        (200, 1),
        "what is current can be put back: {back:?}"
    );
    let tried = api.send("PATCH", "/v1/listeners/one?dry_run=true", &[json], patch.clone()).await;
    assert_eq!(tried.header("weir-dry-run"), "true");
    assert_eq!(tried.json()["diff"][0]["path"], "/listeners/one/max_headers");
    assert_eq!(api.get(ONE).await.json()["max_headers"], 100);
    let keyed = [json, ("if-match", "\"r1.abc123\""), ("idempotency-key", "k1")];
    for _ in 0..2 {
        let done = api.send("PATCH", ONE, &keyed, patch.clone()).await;
        assert_eq!((done.status.as_u16(), done.header("etag")), (200, "\"r2.abc123\""));
    }
    let only = api.send("PUT", ONE, &[json, ("if-none-match", "*")], r#"{"address":"[::1]:81"}"#).await;
    only.problem(412, "etag_mismatch");
    api.post(LISTENERS, json!({"id": "one", "address": "[::1]:82"})).await.problem(409, "exists");
}

#[tokio::test]
async fn faults_are_pointed_at() {
    let api = with_one().await.with_web().await;
    for (listener, fault) in [
        (json!({"address": "0.0.0.0:1"}), "#/id required"),
        (json!({"id": "x"}), "#/address required"),
        (json!({"id": "x", "address": "*:80"}), "#/address invalid_address"),
        (json!({"id": "x", "address": "[::1]:81"}), "#/address duplicate"),
        (json!({"id": "x", "address": "0.0.0.0:1", "adress": ""}), "#/adress unknown_field"),
        (json!({"id": "x", "address": "0.0.0.0:1", "protocol": "udp"}), "#/protocol invalid_type"),
        (json!({"id": "x", "address": "0.0.0.0:1", "protocol": "tcp"}), "#/upstream required"),
        (json!({"id": "x", "address": "0.0.0.0:1", "upstream": "web"}), "#/upstream invalid_value"),
        (
            json!({"id": "x", "address": "0.0.0.0:1", "protocol": "tcp", "upstream": "nope"}),
            "#/upstream unknown_reference",
        ),
        (
            json!({"id": "x", "address": "0.0.0.0:1", "proxy_protocol": {"accept": "required"}}),
            "#/proxy_protocol/trusted required",
        ),
        (
            json!({"id": "x", "address": "0.0.0.0:1", "trusted_proxies": ["10.0.0.0/33"]}),
            "#/trusted_proxies/0 invalid_value",
        ),
        (json!({"id": "x", "address": "0.0.0.0:1", "revision": 7}), "#/revision read_only"),
    ] {
        assert_eq!(
            api.post(LISTENERS, listener.clone()).await.problem(422, "validation"),
            [fault],
            "{listener}"
        );
    }
    let moved = api.json("PATCH", ONE, &json!({"id": "other"})).await;
    assert_eq!(moved.problem(422, "validation"), ["#/id immutable"]);
}

#[tokio::test]
async fn the_default_listener_is_the_processs_own() {
    let api = Harness::new().await;
    let read = api.get("/v1/listeners/default").await.json();
    assert_eq!((&read["address"], &read["status"]["bound"]), (&json!("0.0.0.0:8080"), &json!(true)));
    api.send("DELETE", "/v1/listeners/default", &[], "").await.problem(409, "in_use");
    let refused = api.json("PATCH", "/v1/listeners/default", &json!({"address": "0.0.0.0:1"})).await;
    assert_eq!(refused.problem(422, "validation"), ["#/address read_only"]);
    let done = api.json("PATCH", "/v1/listeners/default", &json!({"max_headers": 20})).await.json();
    assert_eq!((&done["address"], &done["max_headers"]), (&json!("0.0.0.0:8080"), &json!(20)));
    let unchanged = api.json("PUT", "/v1/listeners/default", &done).await;
    assert_eq!(unchanged.revision(), 1);
    let rolled = api.post("/v1/config/rollback", json!({"to": 0})).await;
    assert_eq!(rolled.json()["diff"][0]["path"], "/listeners/default/max_headers");
    assert_eq!(api.get("/v1/listeners/default").await.json()["max_headers"], 100);
}

#[tokio::test]
async fn the_address_of_the_default_listener_is_given_to_no_other() {
    let api = with_one().await;
    let own = json!({"id": "two", "address": "0.0.0.0:8080"});
    for (method, path, body, place) in [
        ("POST", LISTENERS, own.clone(), "#/address"),
        ("PUT", "/v1/listeners/two", json!({"address": "0.0.0.0:8080"}), "#/address"),
        ("PATCH", ONE, json!({"address": "0.0.0.0:8080"}), "#/address"),
        ("PUT", "/v1/config", json!({"upstreams": [], "listeners": [own]}), "#/listeners/0/address"),
    ] {
        let refused = api.json(method, path, &body).await;
        let errors = refused.json()["errors"].clone();
        assert_eq!(refused.status, 422, "{method} {path}: {errors}");
        assert_eq!(
            (errors.as_array().unwrap().len(), &errors[0]["pointer"], &errors[0]["code"]),
            (1, &json!(place), &json!("duplicate")),
            "{method} {path}: {errors}"
        );
    }
}

#[tokio::test]
async fn an_upstream_with_a_listener_is_in_use() {
    let api = Harness::new().await.with_web().await;
    let tcp = json!({"id": "tcp", "address": "0.0.0.0:1", "protocol": "tcp", "upstream": "web"});
    assert_eq!(api.post(LISTENERS, tcp).await.status, 201);
    let refused = api.send("DELETE", "/v1/upstreams/web?cascade=true", &[], "").await;
    refused.problem(409, "in_use");
    assert_eq!(refused.json()["listeners"], json!(["tcp"]));
    let without = api.json("PUT", "/v1/config?confirm=2", &json!({"upstreams": []})).await;
    assert_eq!(without.problem(422, "validation"), ["#/upstreams unknown_reference"]);
    let both = api.json("PUT", "/v1/config?confirm=2", &json!({"upstreams": [], "listeners": []})).await;
    assert_eq!(both.status, 200);
}
