//! What callers prefer and what operators demand: short answers, reads of a revision, named states.

use serde_json::json;

use super::harness::Harness;

const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test]
async fn a_minimal_answer_has_the_fields_and_no_body() {
    let api = Harness::new().await;
    let minimal = [JSON, ("prefer", "return=minimal, wait=5")];
    let made = api.send("POST", "/v1/upstreams", &minimal, r#"{"id":"web","servers":["a:1"]}"#).await;
    assert_eq!((made.status.as_u16(), made.text.as_str()), (201, ""));
    assert_eq!(made.header("preference-applied"), "return=minimal, wait=5");
    assert_eq!((made.header("location"), made.header("etag")), ("/v1/upstreams/web", "\"r1.abc123\""));
    let changed = api.send("PATCH", "/v1/upstreams/web", &minimal, r#"{"algorithm":"random"}"#).await;
    assert_eq!((changed.status.as_u16(), changed.text.as_str()), (204, ""));
    assert_eq!((changed.header("content-type"), changed.revision()), ("", 2));
    let audited = api.get("/v1/audit").await.json();
    assert_eq!((&audited["items"][0]["status"], &audited["items"][1]["status"]), (&json!(204), &json!(201)));
    let whole = [JSON, ("prefer", "return=representation")];
    let shown = api.send("PATCH", "/v1/upstreams/web", &whole, r#"{"algorithm":"round_robin"}"#).await;
    assert_eq!((shown.status.as_u16(), shown.json()["id"].as_str()), (200, Some("web")));
    assert_eq!(shown.header("preference-applied"), "return=representation");
    let refused = api.send("POST", "/v1/upstreams", &minimal, "{").await;
    refused.problem(400, "malformed_json");
    assert_eq!(refused.header("preference-applied"), "");
}

#[tokio::test]
async fn a_repeated_request_may_prefer_otherwise() {
    let api = Harness::new().await;
    let body = r#"{"id":"web"}"#;
    let keyed = [JSON, ("idempotency-key", "k"), ("prefer", "return=minimal")];
    assert_eq!(api.send("POST", "/v1/upstreams", &keyed, body).await.text, "");
    let again = api.send("POST", "/v1/upstreams", &keyed[..2], body).await;
    assert_eq!((again.header("idempotency-replayed"), again.json()["id"].as_str()), ("true", Some("web")));
}

#[tokio::test(start_paused = true)]
async fn a_read_waits_for_its_revision() {
    let api = Harness::new().await.with_web().await;
    for path in
        ["/v1/config?min_revision=1", "/v1/upstreams?min_revision=0&limit=5", "/v1/health?min_revision"]
    {
        let status = if path.ends_with("revision") { 422 } else { 200 };
        assert_eq!(api.get(path).await.status, status, "{path}");
    }
    let broken = api.get("/v1/info?min_revision=-1").await;
    assert_eq!(broken.problem(422, "validation"), ["min_revision out_of_range"]);
    let began = tokio::time::Instant::now();
    let behind = api.get("/v1/info?min_revision=2").await;
    behind.problem(503, "behind");
    assert_eq!((began.elapsed().as_secs(), behind.header("retry-after")), (5, "1"));
    let (waited, changed) = tokio::join!(
        api.get("/v1/upstreams/other?min_revision=2"),
        api.post("/v1/upstreams", json!({"id": "other"}))
    );
    assert_eq!((waited.status.as_u16(), changed.status.as_u16()), (200, 201));
}

#[tokio::test]
async fn the_state_must_be_named_where_that_is_demanded() {
    let api = Harness::careful().await.with_web().await;
    let web = "/v1/upstreams/web";
    let tag = api.get(web).await.header("etag").to_owned();
    for (method, path) in [
        ("PUT", web),
        ("PATCH", web),
        ("DELETE", web),
        ("PUT", "/v1/upstreams/web/servers/a-1"),
        ("PATCH", "/v1/upstreams/web/servers/a-1"),
        ("DELETE", "/v1/upstreams/web/servers/a-1"),
    ] {
        let refused = api.json(method, path, &json!({})).await;
        refused.problem(428, "if_match_required");
        assert_eq!(refused.json()["current_etag"], tag, "{method} {path}");
    }
    for (method, path, body) in [
        ("POST", "/v1/upstreams/web/servers/a-1/drain", json!({})),
        ("PUT", "/v1/config", json!({})),
        ("POST", "/v1/config/rollback", json!({"to": 0})),
    ] {
        let refused = api.json(method, path, &body).await;
        refused.problem(428, "if_match_required");
        let dry = api.json(method, &format!("{path}?dry_run=true"), &body).await;
        dry.problem(428, "if_match_required");
        let state = path.strip_suffix("/drain").unwrap_or("/v1/config");
        assert_eq!(refused.json()["current_etag"], api.get(state).await.header("etag"), "{method} {path}");
    }
    assert_eq!(api.get("/v1/config").await.revision(), 1);
    let named = [JSON, ("if-match", tag.as_str())];
    assert_eq!(api.send("PATCH", web, &named, r#"{"algorithm":"random"}"#).await.status, 200);
    assert_eq!(api.json("PUT", "/v1/upstreams/new", &json!({})).await.status, 201, "there is no state");
    assert_eq!(api.post("/v1/upstreams/web/servers", json!("c:1")).await.status, 201, "nothing is replaced");
    let any = [JSON, ("if-match", "*")];
    assert_eq!(api.send("DELETE", "/v1/upstreams/new", &any, "").await.status, 204);
    let drain = "/v1/upstreams/web/servers/a-1/drain";
    assert_eq!(api.send("POST", drain, &any, "{}").await.status, 202);
    api.json("DELETE", drain, &json!({})).await.problem(428, "if_match_required");
    assert_eq!(api.send("DELETE", drain, &any, "").await.status, 200);
    assert_eq!(api.send("POST", "/v1/config/rollback", &any, r#"{"to": 2}"#).await.status, 200);
    api.json("DELETE", "/v1/upstreams/none", &json!({})).await.problem(404, "not_found");
}
