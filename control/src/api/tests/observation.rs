//! What is asked of the past and of the reasons, and lists with filters.

use serde_json::{Value, json};

use super::harness::Harness;

fn ids(page: &Value) -> Vec<&str> {
    page["items"].as_array().unwrap().iter().map(|server| server["id"].as_str().unwrap()).collect()
}

async fn api() -> Harness {
    let api = Harness::new().await;
    let servers = json!([
        {"id": "a", "address": "a:1", "labels": {"rack": "1"}},
        {"id": "b", "address": "b:1", "admin_state": "drain", "labels": {"rack": "1"}},
        {"id": "c", "address": "c:1", "admin_state": "maint"},
        {"id": "d", "address": "d:1"},
    ]);
    let web = json!({"id": "web", "health_check": {"enabled": false}, "servers": servers});
    assert_eq!(api.post("/v1/upstreams", web).await.status, 201);
    api
}

#[tokio::test]
async fn servers_are_listed_by_state_and_label_in_pages() {
    let api = api().await;
    let list = "/v1/upstreams/web/servers";
    for (query, expected) in [
        ("state=healthy", &["a", "d"][..]),
        ("state=draining,unused", &["b", "c"]),
        ("label=rack:1", &["a", "b"]),
        ("label=rack:1&state=draining", &["b"]),
        ("state=unhealthy", &[]),
    ] {
        let answer = api.get(&format!("{list}?{query}")).await;
        assert_eq!(ids(&answer.json()), expected, "{query}");
    }
    let first = api.get(&format!("{list}?state=healthy,draining&limit=2")).await.json();
    assert_eq!((ids(&first), &first["next"]), (vec!["a", "b"], &json!("b")));
    let second = api.get(&format!("{list}?state=healthy,draining&limit=2&after=b")).await.json();
    assert_eq!((ids(&second), &second["next"]), (vec!["d"], &Value::Null));
    let faults = api.get(&format!("{list}?state=up&label=rack")).await.problem(422, "validation");
    assert_eq!(faults, ["label invalid_value", "state invalid_value"]);
}

#[tokio::test]
async fn health_is_shown_beside_a_server_when_asked_for() {
    let api = api().await;
    let plain = api.get("/v1/upstreams/web/servers?label=rack:1").await;
    assert!(plain.json()["items"][0]["health"].is_null() && !plain.header("etag").is_empty());
    let shown = api.get("/v1/upstreams/web/servers?expand=health").await;
    assert_eq!(shown.json()["items"][1]["health"]["state"], "draining");
    assert_eq!(shown.header("etag"), "", "what is observed changes without a revision");
}

#[tokio::test]
async fn a_server_is_found_by_id_or_address() {
    let api = api().await;
    for what in ["", "/health", "/drain", "/explain", "/timeseries"] {
        if what == "/drain" {
            assert_eq!(api.post("/v1/upstreams/web/servers/b/drain", json!({})).await.status, 202);
        }
        for key in ["b", "b:1", "B:01"] {
            let found = api.get(&format!("/v1/upstreams/web/servers/{key}{what}")).await;
            assert_eq!(found.status, 200, "{key}{what}");
        }
        api.get(&format!("/v1/upstreams/web/servers/x{what}")).await.problem(404, "not_found");
        api.get(&format!("/v1/upstreams/no/servers/b{what}")).await.problem(404, "not_found");
    }
    let found = api.get("/v1/upstreams/web/servers/B:01/explain").await.json();
    assert_eq!((&found["server"], &found["cause"]["factor"]), (&json!("b"), &json!("admin_state")));
}

#[tokio::test]
async fn a_time_series_has_the_columns_and_the_length_asked_for() {
    let api = api().await;
    let path = "/v1/upstreams/web/timeseries";
    let all = api.get(path).await.json();
    assert_eq!((&all["step_ms"], all["series"].as_object().unwrap().len()), (&json!(10_000), 8));
    assert_eq!(all["series"]["rps"].as_array().unwrap().len(), 90);
    let some = api.get(&format!("{path}?metrics=rps,p99_ms&window=30s&step=1s")).await.json();
    let columns: Vec<&str> = some["series"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!((columns, some["series"]["p99_ms"].as_array().unwrap().len()), (vec!["p99_ms", "rps"], 30));
    let server = api.get("/v1/upstreams/web/servers/a/timeseries?step=1s").await.json();
    assert_eq!(server["series"]["eligible"].as_array().unwrap().len(), 120);
}

#[tokio::test]
async fn a_shadow_is_reported_on_while_there_is_one() {
    let api = api().await;
    let path = "/v1/upstreams/web/shadow";
    api.get(path).await.problem(404, "not_found");
    api.get("/v1/upstreams/no/shadow").await.problem(404, "not_found");
    let set = async |shadow: Value| {
        let change = json!({ "shadow": shadow });
        api.json("PATCH", "/v1/upstreams/web", &change).await
    };
    assert_eq!(set(json!({"algorithm": "prequal"})).await.status, 200);
    let report = api.get(path).await.json();
    assert_eq!(
        (&report["real"]["algorithm"], &report["shadow"]["algorithm"]),
        (&json!("least_time"), &json!("prequal"))
    );
    assert_eq!((&report["requests"], &report["shadow"]["imbalance"]), (&json!(0), &Value::Null));
    for (shadow, fault) in [
        (json!({"hot_quantile": 2}), "#/shadow/hot_quantile out_of_range"),
        (json!({"comparison": {"choice_count": 1}}), "#/shadow/comparison/choice_count out_of_range"),
        (json!({"decay": "1s"}), "#/shadow/decay unknown_field"),
    ] {
        assert_eq!(set(shadow).await.problem(422, "validation"), [fault]);
    }
    assert_eq!(set(Value::Null).await.status, 200);
    api.get(path).await.problem(404, "not_found");
}

#[tokio::test]
async fn a_series_that_cannot_be_is_refused() {
    let api = api().await;
    let path = "/v1/upstreams/web/timeseries";
    for (query, faults) in [
        ("metrics=rps,load", &["metrics invalid_value"][..]),
        ("step=5s", &["step invalid_value"]),
        ("window=2h", &["window out_of_range"]),
        ("window=3m&step=1s", &["window out_of_range"]),
        ("window=soon&size=3", &["size unknown_field", "window out_of_range"]),
    ] {
        assert_eq!(api.get(&format!("{path}?{query}")).await.problem(422, "validation"), faults, "{query}");
    }
    api.get("/v1/upstreams/no/timeseries").await.problem(404, "not_found");
    api.get("/v1/upstreams/web/servers/no/timeseries").await.problem(404, "not_found");
}
