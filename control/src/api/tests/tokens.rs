//! Tokens: made, used, confined to their scopes, changed and revoked.

use serde_json::json;

use super::harness::{Answer, Harness};

/// An API with an administrator's token called `root`.
async fn closed() -> (Harness, String) {
    let api = Harness::new().await.with_web().await;
    let root = api.post("/v1/tokens", json!({"id": "root", "scopes": ["admin"]})).await;
    assert_eq!((root.status.as_u16(), root.header("location")), (201, "/v1/tokens/root"));
    let text = root.json()["token"].as_str().unwrap().to_owned();
    (api, text)
}

async fn call(api: &Harness, token: &str, method: &str, path: &str, body: &serde_json::Value) -> Answer {
    let bearer = format!("Bearer {token}");
    let fields = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    api.send(method, path, &fields, body.to_string()).await
}

async fn make(api: &Harness, root: &str, token: serde_json::Value) -> String {
    let made = call(api, root, "POST", "/v1/tokens", &token).await;
    assert_eq!(made.status, 201, "{made:?}");
    made.json()["token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn with_the_first_token_every_call_needs_one() {
    let (api, root) = closed().await;
    for path in
        ["/v1/upstreams", "/v1/config", "/v1/health", "/v1/tokens", "/metrics", "/healthz", "/nowhere"]
    {
        let refused = api.get(path).await;
        refused.problem(401, "unauthenticated");
        assert_eq!(refused.header("www-authenticate"), "Bearer realm=\"weir\"");
        let expected = if path == "/nowhere" { 404 } else { 200 };
        assert_eq!(call(&api, &root, "GET", path, &json!(null)).await.status, expected, "{path}");
    }
    for path in ["/livez", "/readyz", "/openapi.json", "/docs/"] {
        assert_eq!(api.get(path).await.status, 200, "{path} is for everybody");
    }
}

#[tokio::test]
async fn the_answer_does_not_tell_what_was_wrong() {
    let (api, root) = closed().await;
    let other = crate::access::token::draw("root");
    let mut answers = Vec::new();
    let unknown = format!("Bearer {}", other.expose());
    let garbled = format!("Bearer {root}x");
    for value in [&unknown, &garbled, "Bearer", "Basic cm9vdDpyb290", "Bearer weir_root_", ""] {
        let fields = [("authorization", value), ("x-request-id", "r")];
        answers.push(api.send("GET", "/v1/config", &fields, "").await);
    }
    answers.push(api.send("GET", "/v1/config", &[("x-request-id", "r")], "").await);
    for answer in &answers {
        answer.problem(401, "unauthenticated");
        assert_eq!((&answer.text, &answer.headers), (&answers[0].text, &answers[0].headers));
    }
}

#[tokio::test]
async fn tokens_in_addresses_are_refused_even_when_good() {
    let (api, root) = closed().await;
    for path in [
        format!("/v1/config?token={root}"),
        format!("/v1/config?access_token={root}"),
        format!("/v1/upstreams/{root}"),
        "/livez?token=x".to_owned(),
    ] {
        call(&api, &root, "GET", &path, &json!(null)).await.problem(400, "malformed_request");
    }
}

#[tokio::test]
async fn a_token_may_what_its_scopes_say() {
    let (api, root) = closed().await;
    let ci = make(&api, &root, json!({"id": "ci", "scopes": ["servers:write:web"]})).await;
    let server = json!("c:1");
    assert_eq!(call(&api, &ci, "POST", "/v1/upstreams/web/servers", &server).await.status, 201);
    assert_eq!(call(&api, &ci, "GET", "/v1/upstreams/web", &json!(null)).await.status, 200);
    for (method, path) in [
        ("POST", "/v1/upstreams/api/servers"),
        ("POST", "/v1/upstreams/we%62x/servers"),
        ("POST", "/v1/upstreams"),
        ("DELETE", "/v1/upstreams/web"),
        ("GET", "/v1/config"),
        ("GET", "/v1/tokens"),
        ("POST", "/v1/tokens"),
        ("DELETE", "/v1/tokens/root"),
        ("GET", "/metrics"),
    ] {
        call(&api, &ci, method, path, &server).await.problem(403, "forbidden");
    }
    assert_eq!(call(&api, &ci, "POST", "/v1/upstreams/we%62/servers", &json!("d:1")).await.status, 201);
    call(&api, &ci, "GET", "/nowhere", &json!(null)).await.problem(404, "not_found");
}

#[tokio::test]
async fn whoever_may_only_drain_removes_no_server() {
    let (api, root) = closed().await;
    let drainer = make(&api, &root, json!({"id": "drainer", "scopes": ["drain:write:web"]})).await;
    let servers = make(&api, &root, json!({"id": "servers", "scopes": ["servers:write:web"]})).await;
    let path = "/v1/upstreams/web/servers/a-1";
    let drain = format!("{path}/drain");
    let removing = json!({"then": "remove"});
    call(&api, &drainer, "POST", &drain, &removing).await.problem(403, "forbidden");
    call(&api, &drainer, "POST", &format!("{drain}?dry_run=true"), &removing).await.problem(403, "forbidden");
    call(&api, &drainer, "DELETE", &format!("{path}?drain=true"), &json!(null))
        .await
        .problem(403, "forbidden");
    assert_eq!(call(&api, &drainer, "POST", &drain, &json!({"then": "maint"})).await.status, 202);
    assert_eq!(call(&api, &drainer, "DELETE", &drain, &json!(null)).await.status, 200);
    assert_eq!(call(&api, &servers, "POST", &drain, &removing).await.status, 202);
}

#[tokio::test]
async fn secrets_are_shown_once() {
    let (api, root) = closed().await;
    let made = json!({"id": "ci", "scopes": ["health:read"], "ttl": "1h", "description": "the pipeline"});
    let ci = make(&api, &root, made).await;
    for path in ["/v1/tokens", "/v1/tokens/ci", "/v1/config", "/metrics", "/v1/info"] {
        let answer = call(&api, &root, "GET", path, &json!(null)).await;
        assert_eq!(answer.status, 200);
        assert!(!answer.text.contains(&ci) && !answer.text.contains("digest"), "{path}: {}", answer.text);
    }
    let list = call(&api, &root, "GET", "/v1/tokens?limit=1", &json!(null)).await.json();
    assert_eq!((&list["items"][0]["id"], &list["next"]), (&json!("ci"), &json!("ci")));
    let ci = call(&api, &root, "GET", "/v1/tokens/ci", &json!(null)).await.json();
    assert_eq!((&ci["created_by"], &ci["expired"]), (&json!("token:root"), &json!(false)));
    assert!(ci["expires_at"].is_string() && ci["token"].is_null());
}

#[tokio::test]
async fn a_secret_is_changed_and_a_token_revoked() {
    let (api, root) = closed().await;
    let old = make(&api, &root, json!({"id": "ci", "scopes": ["health:read"]})).await;
    let status =
        async |token: &str| call(&api, token, "GET", "/v1/health", &json!(null)).await.status.as_u16();
    let changed = call(&api, &root, "POST", "/v1/tokens/ci/rotate", &json!({"overlap": "1h"})).await;
    assert!(changed.json()["rotating_until"].is_string(), "{changed:?}");
    let new = changed.json()["token"].as_str().unwrap().to_owned();
    assert_eq!((status(&old).await, status(&new).await), (200, 200));
    assert_eq!(status(&new).await, 200);
    assert_eq!(call(&api, &root, "DELETE", "/v1/tokens/ci", &json!(null)).await.status, 204);
    assert_eq!((status(&old).await, status(&new).await), (401, 401));
    call(&api, &root, "DELETE", "/v1/tokens/ci", &json!(null)).await.problem(404, "not_found");
    call(&api, &root, "POST", "/v1/tokens/ci/rotate", &json!({})).await.problem(404, "not_found");
}

#[tokio::test]
async fn the_api_is_not_opened_by_accident() {
    let (api, root) = closed().await;
    call(&api, &root, "DELETE", "/v1/tokens/root", &json!(null)).await.problem(409, "last_token");
    api.get("/v1/config").await.problem(401, "unauthenticated");
    assert_eq!(call(&api, &root, "DELETE", "/v1/tokens/root?open=true", &json!(null)).await.status, 204);
    assert_eq!(api.get("/v1/config").await.status, 200);
}

#[tokio::test]
async fn a_faulty_token_is_not_made() {
    let api = Harness::new().await;
    for (body, fault) in [
        (json!({}), "#/id required"),
        (json!({"id": "A", "scopes": ["admin"]}), "#/id invalid_id"),
        (json!({"id": "a"}), "#/scopes required"),
        (json!({"id": "a", "scopes": ["root"]}), "#/scopes/0 invalid_value"),
        (
            json!({"id": "a", "scopes": ["admin"], "expires_at": "2001-01-01T00:00:00Z"}),
            "#/expires_at out_of_range",
        ),
        (json!({"id": "a", "scopes": ["admin"], "ttl": "0s"}), "#/ttl out_of_range"),
        (json!({"id": "a", "scopes": ["admin"], "tll": "1s"}), "#/tll unknown_field"),
    ] {
        let faults = api.post("/v1/tokens", body.clone()).await.problem(422, "validation");
        assert!(faults.contains(&fault.to_owned()), "{body}: {faults:?}");
    }
    let made = json!({"id": "a", "scopes": ["admin"]});
    assert_eq!(api.post("/v1/tokens", made.clone()).await.status, 201);
}

#[tokio::test]
async fn history_names_the_caller() {
    let (api, root) = closed().await;
    let ci = make(&api, &root, json!({"id": "ci", "scopes": ["servers:write"]})).await;
    call(&api, &ci, "POST", "/v1/upstreams/web/servers", &json!("c:1")).await;
    let revisions = api.store.revisions(crate::store::Page::ALL).await.unwrap();
    let actors: Vec<&str> = revisions.iter().map(|entry| entry.meta.actor.as_str()).collect();
    assert_eq!(actors, ["token:ci", "local"]);
}

#[tokio::test]
async fn nobody_is_given_what_another_was_answered() {
    let (api, root) = closed().await;
    let ci = make(&api, &root, json!({"id": "ci", "scopes": ["servers:write"]})).await;
    let keyed = async |token: &str| {
        let bearer = format!("Bearer {token}");
        let fields = [
            ("authorization", bearer.as_str()),
            ("content-type", "application/json"),
            ("idempotency-key", "k"),
        ];
        api.send("POST", "/v1/upstreams/web/servers", &fields, "\"c:1\"").await
    };
    assert_eq!(keyed(&ci).await.status, 201);
    let other = keyed(&root).await;
    assert_eq!((other.status.as_u16(), other.header("idempotency-replayed")), (200, ""), "{other:?}");
    let again = keyed(&ci).await;
    assert_eq!((again.status.as_u16(), again.header("idempotency-replayed")), (201, "true"));
}

#[tokio::test]
async fn a_secret_is_not_kept_to_be_answered_again() {
    let (api, root) = closed().await;
    let bearer = format!("Bearer {root}");
    let fields =
        [("authorization", bearer.as_str()), ("content-type", "application/json"), ("idempotency-key", "k")];
    let made = api.send("POST", "/v1/tokens", &fields, r#"{"id":"ci","scopes":["health:read"]}"#).await;
    assert_eq!(made.status, 201);
    let again = api.send("POST", "/v1/tokens", &fields, r#"{"id":"ci","scopes":["health:read"]}"#).await;
    again.problem(409, "exists");
    let kept = api.store.records(crate::store::RecordKind::Answer, crate::store::Page::ALL).await.unwrap();
    assert!(kept.is_empty(), "{kept:?}");
}
