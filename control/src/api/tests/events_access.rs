//! Who may hear what, and with a ticket.

use axum::body::Body;
use serde_json::{Value, json};

use super::harness::{Answer, Harness, Open};

/// An API that asks who calls, with a token for `scopes`: the API, an administrator's token, and that one.
async fn closed(scopes: &[&str]) -> (Harness, String, String) {
    let api = Harness::new().await.with_web().await;
    assert_eq!(api.post("/v1/upstreams", json!({"id": "other", "servers": ["x:1"]})).await.status, 201);
    let token = |answer: Answer| {
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json()["token"].as_str().unwrap().to_owned()
    };
    let root = token(api.post("/v1/tokens", json!({"id": "root", "scopes": ["admin"]})).await);
    let listener = json!({"id": "listener", "scopes": scopes}).to_string();
    let listener = token(call(&api, &root, "POST", "/v1/tokens", &listener).await.whole().await);
    (api, root, listener)
}

async fn call(api: &Harness, token: &str, method: &str, path: &str, body: &str) -> Open {
    let bearer = format!("Bearer {token}");
    let fields = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    api.open(method, path, &fields, body.to_owned()).await
}

/// A change that is about `web`, and one that is about another upstream as well.
async fn change(api: &Harness, root: &str) {
    for path in ["/v1/upstreams/web/servers", "/v1/upstreams/other/servers"] {
        assert_eq!(call(api, root, "POST", path, "\"c:1\"").await.status(), 201);
    }
}

/// The kinds of events that `stream` tells until the process ends.
async fn kinds(api: &Harness, stream: Open) -> Vec<String> {
    api.events.close();
    let answer = stream.whole().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.text.lines().filter_map(|line| line.strip_prefix("event: ")).map(str::to_owned).collect()
}

#[tokio::test]
async fn changes_are_told_to_those_who_may_read_them() {
    for (scopes, query, expected) in [
        (&["health:read"][..], "", &[][..]),
        (&["health:read"], "?upstream=web", &[]),
        (&["health:read", "config:read"], "", &["config", "config"]),
        (&["health:read", "config:read"], "?upstream=web", &["config"]),
        (&["health:read", "config:read"], "?topics=health", &[]),
        (&["admin"], "?topics=config,health", &["config", "config"]),
        (&["servers:write:web"], "?upstream=web", &[]),
    ] {
        let (api, root, token) = closed(scopes).await;
        let stream = call(&api, &token, "GET", &format!("/v1/events{query}"), "").await;
        change(&api, &root).await;
        assert_eq!(kinds(&api, stream).await, expected, "{scopes:?} {query}");
    }
}

#[tokio::test]
async fn nobody_hears_more_than_it_may_read_elsewhere() {
    for (scopes, query) in [
        (&["health:read"][..], "?topics=config"),
        (&["health:read"], "?topics=health,config&upstream=web"),
        (&["config:read"], ""),
        (&["config:read"], "?topics=config"),
        (&["metrics:read"], "?upstream=web"),
        (&["servers:write:web"], ""),
        (&["servers:write:web"], "?upstream="),
        (&["servers:write:web"], "?upstream=other"),
        (&["servers:write:web"], "?upstream=other&upstream=web"),
        (&["servers:write:web"], "?topics=config&upstream=web"),
        (&["servers:write:web"], "?snapshot=true&upstream=web"),
        (&["drain:write:web"], "?topics=drain"),
    ] {
        let (api, _, token) = closed(scopes).await;
        let refused = call(&api, &token, "GET", &format!("/v1/events{query}"), "").await;
        assert_eq!(refused.status(), 403, "{scopes:?} {query}");
        refused.whole().await.problem(403, "forbidden");
    }
}

#[tokio::test]
async fn what_one_upstream_does_is_told_to_those_who_may_see_it() {
    use crate::events::Observed;
    let (api, _, token) = closed(&["drain:write:web"]).await;
    let stream = call(&api, &token, "GET", "/v1/events?upstream=web", "").await;
    for upstream in ["web", "other"] {
        api.events.publish(Observed::Health, upstream, &json!({"upstream": upstream}));
        api.events.publish(Observed::Drain, upstream, &json!({"upstream": upstream}));
    }
    assert_eq!(kinds(&api, stream).await, ["health", "drain"]);
}

async fn ticket(api: &Harness, token: &str) -> String {
    let answer = call(api, token, "POST", "/v1/events/ticket", "").await.whole().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    format!("ticket={}", answer.json()["ticket"].as_str().unwrap())
}

async fn plain(api: &Harness, method: &str, path: &str) -> Open {
    api.open(method, path, &[], Body::empty()).await
}

#[tokio::test]
async fn a_ticket_stands_for_its_caller_once() {
    let (api, root, token) = closed(&["health:read"]).await;
    plain(&api, "POST", "/v1/events/ticket").await.whole().await.problem(401, "unauthenticated");
    let path = format!("/v1/events?{}", ticket(&api, &token).await);
    let stream = plain(&api, "GET", &path).await;
    let other = plain(&api, "GET", &format!("/v1/events?topics=config&{}", ticket(&api, &root).await)).await;
    let refused = plain(&api, "GET", &path).await.whole().await;
    refused.problem(401, "unauthenticated");
    assert_eq!(refused.header("www-authenticate"), "Bearer realm=\"weir\"");
    change(&api, &root).await;
    assert!(kinds(&api, stream).await.is_empty(), "the caller may not read changes");
    assert_eq!(kinds(&api, other).await, ["config", "config"]);
}

#[tokio::test]
async fn a_ticket_is_for_the_stream_alone() {
    let (api, root, token) = closed(&["health:read"]).await;
    let held = ticket(&api, &token).await;
    for (method, path) in [
        ("GET", "/v1/health"),
        ("POST", "/v1/events/ticket"),
        ("HEAD", "/v1/events"),
        ("DELETE", "/v1/events"),
    ] {
        assert_eq!(plain(&api, method, &format!("{path}?{held}")).await.status(), 401, "{method} {path}");
    }
    let path = format!("/v1/events?topics=config&{held}");
    plain(&api, "GET", &path).await.whole().await.problem(403, "forbidden");
    let both = format!("/v1/events?{}", ticket(&api, &token).await);
    assert_eq!(call(&api, &root, "GET", &both, "").await.status(), 401, "who calls must be said once");
    assert_eq!(plain(&api, "GET", &both).await.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_ticket_that_is_wrong_or_old_is_no_ticket() {
    let (api, _, token) = closed(&["health:read"]).await;
    let old = ticket(&api, &token).await;
    tokio::time::advance(std::time::Duration::from_secs(60)).await;
    for query in [old.as_str(), "ticket=", "ticket=0"] {
        let refused = plain(&api, "GET", &format!("/v1/events?{query}")).await.whole().await;
        refused.problem(401, "unauthenticated");
    }
    let open = Harness::new().await;
    let refused = plain(&open, "GET", "/v1/events?ticket=0").await.whole().await;
    refused.problem(401, "unauthenticated");
    let given = open.post("/v1/events/ticket", Value::Null).await.json();
    let path = format!("/v1/events?ticket={}", given["ticket"].as_str().unwrap());
    assert_eq!(plain(&open, "GET", &path).await.status(), 200);
}

#[tokio::test]
async fn a_stream_and_a_ticket_end_with_the_token_they_are_of() {
    let (api, root, token) = closed(&["admin"]).await;
    let held = ticket(&api, &token).await;
    let stream = call(&api, &token, "GET", "/v1/events", "").await;
    assert_eq!(call(&api, &root, "DELETE", "/v1/tokens/listener", "").await.status(), 204);
    change(&api, &root).await;
    let told = stream.whole().await;
    assert!(!told.text.contains("event:"), "{told:?}");
    assert_eq!(plain(&api, "GET", &format!("/v1/events?{held}")).await.status(), 401);
}

#[tokio::test]
async fn a_stream_of_somebody_unknown_ends_once_somebody_must_be_known() {
    let api = Harness::new().await.with_web().await;
    let stream = plain(&api, "GET", "/v1/events").await;
    let root = api.post("/v1/tokens", json!({"id": "root", "scopes": ["admin"]})).await.json();
    let root = root["token"].as_str().unwrap();
    assert_eq!(call(&api, root, "POST", "/v1/upstreams/web/servers", "\"c:1\"").await.status(), 201);
    let told = stream.whole().await;
    assert!(!told.text.contains("event:"), "{told:?}");
}

#[tokio::test]
async fn one_caller_leaves_streams_for_others() {
    let (api, root, token) = closed(&["health:read"]).await;
    let mut open = Vec::new();
    for _ in 0..100 {
        open.push(call(&api, &token, "GET", "/v1/events", "").await);
    }
    assert!(open.iter().all(|stream| stream.status() == 200));
    let refused = call(&api, &token, "GET", "/v1/events", "").await.whole().await;
    refused.problem(429, "rate_limited");
    assert_eq!(refused.header("retry-after"), "10");
    assert_eq!(call(&api, &root, "GET", "/v1/events", "").await.status(), 200);
    open.pop();
    assert_eq!(call(&api, &token, "GET", "/v1/events", "").await.status(), 200, "one has ended");
}

#[tokio::test]
async fn tickets_are_for_those_who_may_hear_something() {
    for (scope, status) in
        [("metrics:read", 403), ("health:read", 200), ("config:read", 200), ("servers:write:web", 200)]
    {
        let (api, _, token) = closed(&[scope]).await;
        let answer = call(&api, &token, "POST", "/v1/events/ticket", "").await;
        assert_eq!(answer.status(), status, "{scope}");
    }
    let (api, _, token) = closed(&["health:read"]).await;
    for _ in 0..16 {
        assert_eq!(call(&api, &token, "POST", "/v1/events/ticket", "").await.status(), 200);
    }
    call(&api, &token, "POST", "/v1/events/ticket", "").await.whole().await.problem(429, "rate_limited");
}
