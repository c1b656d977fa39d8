//! Conditions: no update is lost, no state is read twice.

use serde_json::{Value, json};

use super::harness::{Answer, Harness};

async fn conditional(api: &Harness, method: &str, path: &str, field: (&str, &str), body: Value) -> Answer {
    api.send(method, path, &[("content-type", "application/json"), field], body.to_string()).await
}

#[tokio::test]
async fn a_stale_tag_changes_nothing_and_shows_the_present() {
    let api = Harness::new().await.with_web().await;
    let tag = api.get("/v1/upstreams/web").await.header("etag").to_owned();
    let patch = json!({"algorithm": "random"});
    let first = conditional(&api, "PATCH", "/v1/upstreams/web", ("if-match", &tag), patch.clone()).await;
    assert_eq!(first.status, 200);
    for (method, path, body) in [
        ("PATCH", "/v1/upstreams/web", json!({"algorithm": "round_robin"})),
        ("PUT", "/v1/upstreams/web", json!({})),
        ("DELETE", "/v1/upstreams/web?cascade=true", json!({})),
        ("POST", "/v1/upstreams/web/servers", json!("c:1")),
    ] {
        let stale = conditional(&api, method, path, ("if-match", &tag), body).await;
        stale.problem(412, "etag_mismatch");
        assert_eq!(stale.json()["current_etag"], first.header("etag"), "{method}");
        assert_eq!(stale.json()["current"]["algorithm"], "random", "{method}");
    }
    assert_eq!(api.get("/v1/config").await.revision(), 2);
}

#[tokio::test]
async fn tags_of_servers_are_their_own() {
    let api = Harness::new().await.with_web().await;
    let path = "/v1/upstreams/web/servers/a-1";
    let tag = api.get(path).await.header("etag").to_owned();
    api.json("PATCH", "/v1/upstreams/web/servers/b-1", &json!({"weight": 2})).await;
    let changed = conditional(&api, "PATCH", path, ("if-match", &tag), json!({"weight": 2})).await;
    assert_eq!(changed.status, 200, "the neighbour's change is none of ours");
    conditional(&api, "DELETE", path, ("if-match", &tag), json!({})).await.problem(412, "etag_mismatch");
}

#[tokio::test]
async fn creation_can_be_demanded_or_forbidden() {
    let api = Harness::new().await.with_web().await;
    let none = ("if-none-match", "*");
    conditional(&api, "PUT", "/v1/upstreams/web", none, json!({})).await.problem(412, "etag_mismatch");
    assert_eq!(conditional(&api, "PUT", "/v1/upstreams/new", none, json!({})).await.status, 201);
    let some = ("if-match", "*");
    let missing = conditional(&api, "PUT", "/v1/upstreams/other", some, json!({})).await;
    missing.problem(412, "etag_mismatch");
    assert_eq!(missing.json().get("current"), None);
    assert_eq!(conditional(&api, "PUT", "/v1/upstreams/new", some, json!({})).await.status, 200);
}

#[tokio::test]
async fn another_life_of_the_store_never_matches() {
    let api = Harness::new().await.with_web().await;
    for tag in ["\"r1.ffffff\"", "W/\"r1.abc123\"", "\"r2.abc123\""] {
        let answer = conditional(&api, "PATCH", "/v1/upstreams/web", ("if-match", tag), json!({})).await;
        answer.problem(412, "etag_mismatch");
    }
    let broken = conditional(&api, "PATCH", "/v1/upstreams/web", ("if-match", "r1.abc123"), json!({})).await;
    assert_eq!(broken.problem(422, "validation"), ["if-match invalid_value"]);
}

#[tokio::test]
async fn what_is_known_is_not_sent_again() {
    let api = Harness::new().await.with_web().await;
    for path in [
        "/v1/upstreams/web",
        "/v1/upstreams/web/servers/a-1",
        "/v1/upstreams",
        "/v1/routes",
        "/v1/upstreams/web/servers",
    ] {
        let tag = api.get(path).await.header("etag").to_owned();
        assert_ne!(tag, "", "{path}");
        let known = api.send("GET", path, &[("if-none-match", &tag)], "").await;
        assert_eq!((known.status.as_u16(), known.text.as_str()), (304, ""), "{path}");
        assert_eq!(known.header("etag"), tag);
        assert_eq!(api.send("GET", path, &[("if-none-match", "\"x\"")], "").await.status, 200);
    }
}

#[tokio::test]
async fn the_whole_configuration_is_always_sent() {
    let api = Harness::new().await.with_web().await;
    let first = api.get("/v1/config").await;
    let known = ("if-none-match", first.header("etag"));
    let again = api.send("GET", "/v1/config", &[known], "").await;
    assert_eq!(
        (again.status.as_u16(), again.text, again.headers["etag"].clone()),
        (200, first.text.clone(), first.headers["etag"].clone())
    );
}

#[tokio::test]
async fn a_weak_tag_counts_where_the_present_state_is_ruled_out() {
    let api = Harness::new().await.with_web().await;
    let patch = json!({"algorithm": "random"});
    for tag in ["W/\"r1.abc123\"", "\"r1.abc123\""] {
        let known = ("if-none-match", tag);
        let answer = conditional(&api, "PATCH", "/v1/upstreams/web", known, patch.clone()).await;
        answer.problem(412, "etag_mismatch");
    }
    let other = ("if-none-match", "W/\"r9.abc123\"");
    assert_eq!(conditional(&api, "PATCH", "/v1/upstreams/web", other, patch).await.status, 200);
}
