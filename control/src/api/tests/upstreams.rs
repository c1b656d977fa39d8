//! All verbs of `/v1/upstreams`.

use serde_json::json;

use super::harness::Harness;

#[tokio::test]
async fn the_first_upstream_is_named_bound_and_in_force() {
    let api = Harness::new().await;
    let answer = api.post("/v1/upstreams", json!({"servers": ["127.0.0.1:3001", "127.0.0.1:3002"]})).await;
    assert_eq!(answer.status, 201);
    assert_eq!(answer.header("location"), "/v1/upstreams/default");
    assert_eq!(answer.header("etag"), "\"r1.abc123\"");
    assert_eq!(answer.header("weir-store"), "ok");
    assert_eq!(answer.header("cache-control"), "no-store");
    let body = answer.json();
    assert_eq!((&body["id"], &body["bound_routes"]), (&json!("default"), &json!(["default"])));
    assert_eq!(body["servers"][1]["id"], "127.0.0.1-3002");
    assert_eq!(api.bound().unwrap().servers.len(), 2);
    let second = api.post("/v1/upstreams", json!({})).await;
    assert_eq!(second.problem(422, "validation"), ["#/id required"]);
    let second = api.post("/v1/upstreams", json!({"id": "api"})).await;
    assert_eq!((second.status.as_u16(), &second.json()["bound_routes"]), (201, &json!(null)));
    let route = api.get("/v1/routes/default").await.json();
    assert_eq!(route["action"]["upstreams"][0]["upstream"], "default");
}

#[tokio::test]
async fn binding_can_be_declined() {
    let api = Harness::new().await;
    assert_eq!(api.post("/v1/upstreams?bind=false", json!({"id": "a"})).await.status, 201);
    assert!(api.bound().is_none());
    assert_eq!(api.get("/v1/routes").await.json()["items"][0]["status"]["state"], "unbound");
    let put = api.json("PUT", "/v1/upstreams/b", &json!({})).await;
    assert_eq!((put.status.as_u16(), &put.json()["bound_routes"]), (201, &json!(["default"])));
}

#[tokio::test]
async fn what_exists_is_named() {
    let api = Harness::new().await.with_web().await;
    let answer = api.post("/v1/upstreams", json!({"id": "web"})).await;
    answer.problem(409, "exists");
    assert_eq!(answer.json()["existing"], "/v1/upstreams/web");
    assert_eq!(answer.json()["existing_etag"], "\"r1.abc123\"");
}

#[tokio::test]
async fn what_was_read_can_be_put_back_and_changes_nothing() {
    let api = Harness::new().await.with_web().await;
    let read = api.get("/v1/upstreams/web").await.json();
    let put = api.json("PUT", "/v1/upstreams/web", &read).await;
    assert_eq!((put.status.as_u16(), put.revision(), put.json()), (200, 1, read.clone()));
    let mut edited = read;
    edited["algorithm"] = json!("random");
    let put = api.json("PUT", "/v1/upstreams/web", &edited).await;
    assert_eq!((put.status.as_u16(), put.revision()), (200, 2));
    assert_eq!(put.json()["servers"], edited["servers"], "servers are untouched");
    assert_eq!(put.json()["created_at"], edited["created_at"]);
    let again = api.json("PUT", "/v1/upstreams/web", &edited).await;
    assert!(again.problem(422, "validation").contains(&"#/revision read_only".to_owned()));
}

#[tokio::test]
async fn put_replaces_servers_and_keeps_the_state_of_those_that_stay() {
    let api = Harness::new().await.with_web().await;
    let state = |id: &str| {
        let table = api.reader.snapshot();
        std::sync::Arc::as_ptr(&table.upstream("web").unwrap().server(id).unwrap().state)
    };
    let before = state("b-1");
    let body = json!({"servers": ["c:1", {"address": "b:1", "weight": 7}]});
    let put = api.json("PUT", "/v1/upstreams/web", &body).await;
    assert_eq!(put.status, 200);
    let servers = put.json()["servers"].clone();
    assert_eq!((&servers[0]["id"], &servers[1]["id"]), (&json!("c-1"), &json!("b-1")));
    assert_eq!(servers[1]["weight"], 7);
    assert_eq!(state("b-1"), before);
    assert_eq!(servers.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_server_that_is_put_by_address_keeps_its_given_id() {
    let api = Harness::new().await;
    let body = json!({"id": "web", "servers": [{"id": "one", "address": "a:1"}]});
    api.post("/v1/upstreams", body).await;
    let put = api.json("PUT", "/v1/upstreams/web", &json!({"servers": ["a:1", "b:1"]})).await;
    assert_eq!(put.json()["servers"][0]["id"], "one");
}

#[tokio::test]
async fn the_id_in_the_path_counts() {
    let api = Harness::new().await.with_web().await;
    let put = api.json("PUT", "/v1/upstreams/web", &json!({"id": "other"})).await;
    assert_eq!(put.problem(422, "validation"), ["#/id immutable"]);
    let put = api.json("PUT", "/v1/upstreams/Bad", &json!({})).await;
    assert_eq!(put.problem(422, "validation"), ["#/id invalid_id"]);
    let patch = api.json("PATCH", "/v1/upstreams/web", &json!({"id": "other"})).await;
    assert_eq!(patch.problem(422, "validation"), ["#/id immutable"]);
}

#[tokio::test]
async fn a_merge_patch_changes_what_it_names() {
    let api = Harness::new().await.with_web().await;
    let kind = [("content-type", "application/merge-patch+json")];
    let patch = |text: &'static str| api.send("PATCH", "/v1/upstreams/web", &kind, text);
    let answer =
        patch("{\"health_check\":{\"path\":\"/up\",\"interval\":\"2s\"},\"labels\":{\"team\":\"shop\"}}")
            .await;
    assert_eq!((answer.status.as_u16(), answer.revision()), (200, 2));
    let body = answer.json();
    assert_eq!(
        (&body["health_check"]["path"], &body["health_check"]["timeout"]),
        (&json!("/up"), &json!(null)),
        "as long as it is not written, it goes by the interval"
    );
    assert_eq!(body["servers"].as_array().unwrap().len(), 2);
    let body =
        patch("{\"health_check\":{\"path\":null},\"labels\":{\"team\":null,\"none\":null}}").await.json();
    assert_eq!((&body["health_check"]["path"], &body["labels"]), (&json!(null), &json!({})));
    assert_eq!(body["health_check"]["interval"], "2s");
    assert_eq!(patch("{\"health_check\":null}").await.json()["health_check"]["interval"], "5s");
    let unchanged = patch("{}").await;
    assert_eq!((unchanged.status.as_u16(), unchanged.revision()), (200, 4));
    for (text, fault) in [
        ("{\"servers\":[]}", "#/servers immutable"),
        ("{\"health_check\":{\"timeout\":\"5s\"}}", "#/health_check/timeout out_of_range"),
        ("{\"algoritm\":null}", "#/algoritm unknown_field"),
        ("{\"health_check\":{\"pth\":\"/\"}}", "#/health_check/pth unknown_field"),
        ("{\"revision\":1}", "#/revision read_only"),
        ("[]", "# invalid_type"),
        ("\"a:1\"", "# invalid_type"),
    ] {
        assert_eq!(patch(text).await.problem(422, "validation"), [fault], "{text}");
    }
    let missing = api.json("PATCH", "/v1/upstreams/nope", &json!({})).await;
    missing.problem(404, "not_found");
}

#[tokio::test]
async fn an_upstream_in_use_is_deleted_on_demand_only() {
    let api = Harness::new().await.with_web().await;
    let refused = api.send("DELETE", "/v1/upstreams/web", &[], "").await;
    refused.problem(409, "in_use");
    assert_eq!(refused.json()["routes"], json!(["default"]));
    assert!(refused.text.contains("?cascade=true"));
    let deleted = api.send("DELETE", "/v1/upstreams/web?cascade=true", &[], "").await;
    assert_eq!((deleted.status.as_u16(), deleted.text.as_str(), deleted.revision()), (204, "", 2));
    assert!(api.bound().is_none());
    api.send("DELETE", "/v1/upstreams/web", &[], "").await.problem(404, "not_found");
}

#[tokio::test]
async fn a_trial_changes_nothing() {
    let api = Harness::new().await;
    let tried = api.post("/v1/upstreams?dry_run=true", json!({"servers": ["a:1"]})).await;
    assert_eq!(
        (tried.status.as_u16(), tried.header("weir-dry-run"), tried.header("etag")),
        (201, "true", "")
    );
    assert_eq!(tried.json()["servers"][0]["id"], "a-1");
    let bad = api.post("/v1/upstreams?dry_run=true", json!({"servers": ["a"]})).await;
    assert_eq!(bad.problem(422, "validation"), ["#/servers/0/address invalid_address"]);
    assert_eq!(api.get("/v1/config").await.json()["upstreams"], json!([]));
    assert_eq!(api.get("/v1/config").await.revision(), 0);
}

#[tokio::test]
async fn lists_come_in_pages() {
    let api = Harness::new().await;
    for id in ["c", "a", "b"] {
        api.post("/v1/upstreams", json!({"id": id, "labels": {"is": id}, "servers": ["x:1"]})).await;
    }
    let first = api.get("/v1/upstreams?limit=2").await.json();
    let ids = |page: &serde_json::Value| -> Vec<String> {
        page["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(
        (ids(&first), &first["next"], &first["revision"]),
        (vec!["a".into(), "b".into()], &json!("b"), &json!(3))
    );
    assert_eq!(first["items"][0].get("servers"), None);
    let second = api.get("/v1/upstreams?limit=2&after=b&expand=servers,health").await.json();
    assert_eq!((ids(&second), &second["next"]), (vec!["c".into()], &json!(null)));
    assert_eq!(second["items"][0]["servers"][0]["address"], "x:1");
    assert_eq!(second["items"][0]["health"]["id"], "c");
    assert_eq!(ids(&api.get("/v1/upstreams?label=is:b").await.json()), ["b"]);
    assert_eq!(ids(&api.get("/v1/upstreams?state=empty").await.json()), [""; 0]);
}
