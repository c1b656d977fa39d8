//! All verbs of `/v1/routes`.

use serde_json::{Value, json};

use super::harness::Harness;

fn to(upstream: &str) -> Value {
    json!({"upstreams": [{"upstream": upstream}]})
}

fn ids(page: &Value) -> Vec<&str> {
    page["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_route_is_made_read_changed_and_deleted() {
    let api = Harness::new().await.with_web().await;
    let route = json!({"id": "api", "match": {"path": {"value": "/api"}}, "action": to("web")});
    let made = api.post("/v1/routes", route.clone()).await;
    assert_eq!(
        (made.status.as_u16(), made.header("location"), made.header("etag")),
        (201, "/v1/routes/api", "\"r2.abc123\"")
    );
    let body = made.json();
    assert_eq!((&body["revision"], &body["status"]), (&json!(2), &json!({"state": "ok", "reason": null})));
    assert_eq!(body["match"]["path"], json!({"type": "prefix", "value": "/api"}));
    assert_eq!(api.get("/v1/routes/api").await.json(), body);
    let there = api.post("/v1/routes", route).await;
    there.problem(409, "exists");
    assert_eq!(there.json()["existing_etag"], "\"r2.abc123\"");

    let same = api.json("PUT", "/v1/routes/api", &body).await;
    assert_eq!((same.status.as_u16(), same.revision(), same.json()), (200, 2, body.clone()));
    let mut edited = body.clone();
    edited["action"]["timeout"] = json!("5s");
    let put = api.json("PUT", "/v1/routes/api", &edited).await;
    assert_eq!((put.status.as_u16(), put.revision(), put.header("etag")), (200, 3, "\"r3.abc123\""));
    assert_eq!(put.json()["created_at"], body["created_at"]);
    let fields = [("content-type", "application/json"), ("if-match", "\"r2.abc123\"")];
    let late = api.send("PATCH", "/v1/routes/api", &fields, "{\"priority\":5}").await;
    late.problem(412, "etag_mismatch");
    assert_eq!(late.json()["current"]["action"]["timeout"], "5s");
    let patched =
        api.json("PATCH", "/v1/routes/api", &json!({"priority": 5, "action": {"timeout": null}})).await;
    assert_eq!((patched.status.as_u16(), patched.revision()), (200, 4));
    assert_eq!(
        (&patched.json()["priority"], &patched.json()["action"]["timeout"]),
        (&json!(5), &json!(null))
    );

    let gone = api.send("DELETE", "/v1/routes/api", &[], "").await;
    assert_eq!((gone.status.as_u16(), gone.revision()), (204, 5));
    api.get("/v1/routes/api").await.problem(404, "not_found");
    api.send("DELETE", "/v1/routes/api", &[], "").await.problem(404, "not_found");
    let new = api.json("PUT", "/v1/routes/api", &json!({ "action": to("web") })).await;
    assert_eq!((new.status.as_u16(), new.header("location")), (201, "/v1/routes/api"));
}

#[tokio::test]
async fn the_catch_all_route_is_changed_but_neither_limited_nor_deleted() {
    let api = Harness::new().await.with_web().await;
    let path = "/v1/routes/default";
    assert_eq!(api.send("DELETE", path, &[], "").await.problem(422, "validation"), ["#/id immutable"]);
    let narrowed = json!({"priority": 3, "match": {"hosts": ["a.test"]}});
    let refused = api.json("PATCH", path, &narrowed).await;
    assert_eq!(refused.problem(422, "validation"), ["#/match invalid_value", "#/priority invalid_value"]);
    let off = api.json("PATCH", path, &json!({"enabled": false})).await;
    assert_eq!((off.status.as_u16(), &off.json()["status"]["state"]), (200, &json!("disabled")));
    let answer = json!({"enabled": true, "action": {"upstreams": null, "fixed_response": {"status": 404}}});
    let other = api.json("PATCH", path, &answer).await;
    assert_eq!((other.status.as_u16(), &other.json()["status"]["state"]), (200, &json!("ok")));
    let second = api.post("/v1/upstreams", json!({"id": "api"})).await;
    assert_eq!(second.json()["bound_routes"], json!(null), "a route with something to do is left alone");
}

/// Bodies with the places and codes of their faults.
type Cases = Vec<(Value, &'static [&'static str])>;

fn with_action(action: Value) -> Value {
    json!({"id": "x", "action": action})
}

fn with_match(matched: Value) -> Value {
    json!({"id": "x", "match": matched, "action": to("web")})
}

#[rustfmt::skip]
fn faulty_routes() -> Cases {
    vec![
        (json!({}), &["#/id required"]),
        (json!([]), &["# invalid_type"]),
        (json!({"id": "A b"}), &["#/id invalid_id"]),
        (json!({"id": "x", "priority": 1001, "listeners": ["A", "b", "b"]}),
            &["#/listeners/0 invalid_id", "#/listeners/2 duplicate", "#/priority out_of_range"]),
        (json!({"id": "x", "mach": {}}), &["#/mach unknown_field"]),
    ]
}

#[rustfmt::skip]
fn faulty_actions() -> Cases {
    let two = |first: Value, second: Value| with_action(json!({"upstreams": [first, second]}));
    vec![
        (with_action(to("webb")), &["#/action/upstreams/0/upstream unknown_reference"]),
        (two(json!({"upstream": "web", "weight": 1_000_001}), json!({"upstream": "web", "weight": -1})),
            &["#/action/upstreams/1/weight out_of_range"]),
        (two(json!({"upstream": "web"}), json!({"upstream": "web"})), &["#/action/upstreams/1 duplicate"]),
        (with_action(json!({"upstreams": [{"upstream": "web"}], "redirect": {"port": 81}, "fixed_response": {}})),
            &["#/action/fixed_response invalid_value", "#/action/redirect invalid_value"]),
        (with_action(json!({"redirect": {}})), &["#/action/redirect required"]),
        (with_action(json!({"redirect": {"host": "a:80", "status": 300, "path": {"type": "full", "value": "x?"}}})),
            &["#/action/redirect/host invalid_value", "#/action/redirect/path/value invalid_value",
              "#/action/redirect/status out_of_range"]),
        (with_action(json!({"redirect": {"scheme": "https"}, "rewrite": {}, "timeout": "1s", "retries": {}})),
            &["#/action/retries invalid_value", "#/action/rewrite invalid_value", "#/action/timeout invalid_value"]),
        (with_action(json!({"fixed_response": {"status": 199, "headers": {"content-length": "1"}}})),
            &["#/action/fixed_response/headers/content-length invalid_value", "#/action/fixed_response/status out_of_range"]),
        (with_action(json!({"fixed_response": {"status": 204, "body": "x"}})), &["#/action/fixed_response/body invalid_value"]),
        (with_action(json!({"fixed_response": {"body": "x".repeat(65_537)}})), &["#/action/fixed_response/body out_of_range"]),
        (with_action(json!({"timeout": "5ms", "response_timeout": "2h", "retries": {"attempts": 6}})),
            &["#/action/response_timeout out_of_range", "#/action/retries/attempts out_of_range", "#/action/timeout out_of_range"]),
        (with_action(json!({"rewrite": {"host": "a b", "path": {"type": "regex", "value": "/$2"}}})),
            &["#/action/rewrite/host invalid_value", "#/action/rewrite/path/pattern required"]),
        (with_action(json!({"rewrite": {"path": {"type": "regex", "pattern": "(a", "value": "/"}}})),
            &["#/action/rewrite/path/pattern invalid_value"]),
        (with_action(json!({"rewrite": {"path": {"type": "regex", "pattern": "(a)", "value": "/$1b"}}})),
            &["#/action/rewrite/path/value invalid_value"]),
        (with_action(json!({"rate_limits": [{"requests": 0}]})), &["#/action/rate_limits/0/requests out_of_range"]),
    ]
}

#[rustfmt::skip]
fn faulty_fields() -> Cases {
    vec![
        (with_action(json!({"request_headers": {"set": {"Host": "a", "x y": "1", "x-a": "a\nb"}, "add": {"x-forwarded-for": "1"}}})),
            &["#/action/request_headers/add/x-forwarded-for invalid_value", "#/action/request_headers/set/Host invalid_value",
              "#/action/request_headers/set/x y invalid_value", "#/action/request_headers/set/x-a invalid_value"]),
        (with_action(json!({"request_headers": {"remove": ["Transfer-Encoding", "content_length"]}})),
            &["#/action/request_headers/remove/0 invalid_value", "#/action/request_headers/remove/1 invalid_value"]),
        (with_action(json!({"response_headers": {"set": {"connection": "close", "x-a": "1", "X-A": "2"}}})),
            &["#/action/response_headers/set/connection invalid_value", "#/action/response_headers/set/x-a duplicate"]),
    ]
}

#[rustfmt::skip]
fn faulty_matches() -> Cases {
    let path = |kind: &str, value: &str| with_match(json!({"path": {"type": kind, "value": value}}));
    vec![
        (with_match(json!({"hosts": ["a.test", "A.test", "*", "a*.test", "b.test.", "b:1", "ä.test", "-a"]})),
            &["#/match/hosts/1 duplicate", "#/match/hosts/2 invalid_value", "#/match/hosts/3 invalid_value",
              "#/match/hosts/4 invalid_value", "#/match/hosts/5 invalid_value", "#/match/hosts/6 invalid_value",
              "#/match/hosts/7 invalid_value"]),
        (path("prefix", "x"), &["#/match/path/value invalid_value"]),
        (path("exact", "/a/../b"), &["#/match/path/value invalid_value"]),
        (path("regex", "((a{1,100}){1,100}){1,100}"), &["#/match/path/value invalid_value"]),
        (path("regex", "("), &["#/match/path/value invalid_value"]),
        (path("glob", "/"), &["#/match/path/type invalid_type"]),
        (with_match(json!({"methods": ["get", "A B"]})), &["#/match/methods/0 invalid_value", "#/match/methods/1 invalid_value"]),
        (with_match(json!({"headers": [{"name": "host", "value": "x"}, {"name": "x", "type": "present", "value": "1"}]})),
            &["#/match/headers/0/name invalid_value", "#/match/headers/1/value invalid_value"]),
        (with_match(json!({"headers": [{"name": "x", "type": "regex", "value": "["}]})), &["#/match/headers/0/value invalid_value"]),
        (with_match(json!({"query": [{"value": "x"}, {"name": "x", "type": "prefix"}]})),
            &["#/match/query/0/name out_of_range", "#/match/query/1/value required"]),
        (with_match(json!({"client_cidrs": ["10.0.0.0/33"]})), &["#/match/client_cidrs/0 invalid_value"]),
    ]
}

#[tokio::test]
async fn every_fault_is_pointed_at() {
    let api = Harness::new().await.with_web().await;
    let cases = [faulty_routes(), faulty_actions(), faulty_fields(), faulty_matches()];
    for (body, expected) in cases.into_iter().flatten() {
        let refused = api.post("/v1/routes", body.clone()).await;
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(refused.problem(422, "validation"), expected, "{body}");
    }
    let near = api.post("/v1/routes", with_action(to("webb"))).await;
    assert!(near.text.contains("did you mean \\\"web\\\"?"), "{}", near.text);
    assert_eq!(api.get("/v1/routes").await.revision(), 1, "nothing was changed");
}

#[tokio::test]
async fn whole_configurations_point_into_routes() {
    let api = Harness::new().await.with_web().await;
    let body = json!({
        "upstreams": [{"id": "web"}],
        "routes": [{"id": "a", "action": to("webb")}, {"id": "b", "match": {"path": {"value": "b"}}}]
    });
    let refused = api.json("PUT", "/v1/config", &body).await;
    assert_eq!(refused.problem(422, "validation"), ["#/routes/1/match/path/value invalid_value"]);
    let body = json!({"upstreams": [{"id": "web"}], "routes": [{"id": "a", "action": to("webb")}]});
    let refused = api.json("PUT", "/v1/config", &body).await;
    assert_eq!(
        refused.problem(422, "validation"),
        ["#/routes/0/action/upstreams/0/upstream unknown_reference"]
    );
    assert!(refused.text.contains("did you mean \\\"web\\\"?"), "{}", refused.text);
    let body = json!({"upstreams": [{"id": "web", "servers": ["a:1", "b:1"]}], "routes": [{"id": "a", "action": to("web")}]});
    let put = api.json("PUT", "/v1/config?confirm=1", &body).await;
    assert_eq!(put.status, 200, "{}", put.text);
    let read = api.get("/v1/config").await.json();
    assert_eq!(read["routes"][0]["id"], "a");
    let again = api.json("PUT", "/v1/config", &read).await;
    assert_eq!(again.json()["unchanged"], true, "{}", again.text);
    let back = api.post("/v1/config/rollback", json!({"to": 1})).await;
    assert_eq!(back.status, 200, "{}", back.text);
    assert_eq!(ids(&api.get("/v1/routes").await.json()), ["default"]);
}

#[tokio::test]
async fn a_route_that_says_what_another_says_is_in_conflict() {
    let api = Harness::new().await.with_web().await;
    let route = |id: &str, host: &str, path: &str| json!({"id": id, "match": {"hosts": [host, "own-".to_owned() + id + ".test"], "path": {"value": path}}, "action": to("web")});
    api.post("/v1/routes", route("b", "a.test", "/x")).await;
    let later = api.post("/v1/routes", route("c", "A.test", "/%78/")).await;
    assert_eq!((later.status.as_u16(), &later.json()["status"]["state"]), (201, &json!("conflicted")));
    assert!(later.json()["status"]["reason"].as_str().unwrap().contains("\"b\""));
    assert_eq!(api.get("/v1/routes/b").await.json()["status"]["state"], "ok");
    let listed = api.get("/v1/routes?state=conflicted").await.json();
    assert_eq!(ids(&listed), ["c"]);
    api.json("PATCH", "/v1/routes/b", &json!({"enabled": false})).await;
    assert_eq!(api.get("/v1/routes/c").await.json()["status"]["state"], "ok");
}

#[tokio::test]
async fn a_listener_that_is_not_there_is_no_error() {
    let api = Harness::new().await.with_web().await;
    let route = json!({"id": "a", "listeners": ["internal"], "action": to("web")});
    let made = api.post("/v1/routes", route).await;
    assert_eq!((made.status.as_u16(), &made.json()["status"]["state"]), (201, &json!("unresolved")));
    let known = api.json("PATCH", "/v1/routes/a", &json!({"listeners": ["internal", "default"]})).await;
    assert_eq!(known.json()["status"]["state"], "ok");
}

#[tokio::test]
async fn an_upstream_that_routes_send_to_is_in_use() {
    let api = Harness::new().await.with_web().await;
    api.post("/v1/upstreams", json!({"id": "api"})).await;
    let split = json!({"upstreams": [{"upstream": "web", "weight": 1}, {"upstream": "api", "weight": 0}]});
    api.post("/v1/routes", json!({"id": "split", "match": {"path": {"value": "/s"}}, "action": split})).await;
    let refused = api.send("DELETE", "/v1/upstreams/web", &[], "").await;
    refused.problem(409, "in_use");
    assert_eq!(refused.json()["routes"], json!(["default", "split"]));
    let cascade = api.send("DELETE", "/v1/upstreams/web?cascade=true", &[], "").await;
    assert_eq!(cascade.status, 204);
    let split = api.get("/v1/routes/split").await.json();
    assert_eq!(split["action"]["upstreams"], json!([{"upstream": "api", "weight": 0}]));
    assert_eq!(split["status"]["state"], "unbound");
    assert!(split["status"]["reason"].as_str().unwrap().contains("503"));
}

#[tokio::test]
async fn lists_come_in_pages_and_can_be_filtered() {
    let api = Harness::new().await.with_web().await;
    for id in ["c", "a", "b"] {
        let matched = json!({"hosts": [format!("{id}.test")]});
        let route = json!({"id": id, "labels": {"is": id}, "match": matched, "action": to("web")});
        assert_eq!(api.post("/v1/routes", route).await.status, 201);
    }
    let first = api.get("/v1/routes?limit=2").await.json();
    assert_eq!((ids(&first), &first["next"], &first["revision"]), (vec!["a", "b"], &json!("b"), &json!(4)));
    let second = api.get("/v1/routes?limit=2&after=b").await.json();
    assert_eq!((ids(&second), &second["next"]), (vec!["c", "default"], &json!(null)));
    assert_eq!(ids(&api.get("/v1/routes?label=is:b").await.json()), ["b"]);
    assert_eq!(ids(&api.get("/v1/routes?host=c.test").await.json()), ["c"]);
    assert_eq!(ids(&api.get("/v1/routes?upstream=web&state=ok").await.json()).len(), 4);
    assert_eq!(ids(&api.get("/v1/routes?state=unbound").await.json()), [""; 0]);
    api.get("/v1/routes?state=broken").await.problem(422, "validation");
}
