//! Trials and reasons: every change can be tried, and says why it is made.

use serde_json::{Value, json};

use super::harness::Harness;

/// Every kind of change of what [`Harness::with_web`] makes, with the first difference it makes.
fn changes() -> Vec<(&'static str, &'static str, Value, &'static str)> {
    let server = "/v1/upstreams/web/servers/a-1";
    let to_web = json!({"upstreams": [{"upstream": "web"}]});
    vec![
        ("POST", "/v1/routes?", json!({"id": "new", "action": to_web}), "add /routes/new"),
        ("PUT", "/v1/routes/new?", json!({ "action": to_web }), "add /routes/new"),
        ("PATCH", "/v1/routes/default?", json!({"enabled": false}), "replace /routes/default/enabled"),
        ("POST", "/v1/upstreams?", json!({"id": "new"}), "add /upstreams/new"),
        ("PUT", "/v1/upstreams/new?", json!({}), "add /upstreams/new"),
        ("PUT", "/v1/upstreams/web?", json!({"servers": ["a:1"]}), "remove /upstreams/web/servers/b-1"),
        ("PATCH", "/v1/upstreams/web?", json!({"algorithm": "random"}), "replace /upstreams/web/algorithm"),
        ("DELETE", "/v1/upstreams/web?cascade=true&", json!({}), "replace /routes/default/action/upstreams"),
        ("POST", "/v1/upstreams/web/servers?", json!(["c:1", "d:1"]), "add /upstreams/web/servers/c-1"),
        ("POST", "/v1/upstreams/web/servers?", json!("c:1"), "add /upstreams/web/servers/c-1"),
        ("PUT", server, json!({"weight": 3}), "replace /upstreams/web/servers/a-1/weight"),
        ("PATCH", server, json!({"weight": 3}), "replace /upstreams/web/servers/a-1/weight"),
        ("DELETE", server, json!({}), "remove /upstreams/web/servers/a-1"),
    ]
}

#[tokio::test]
async fn every_change_can_be_tried_and_shows_what_it_would_make_different() {
    for (method, path, body, first) in changes() {
        let api = Harness::new().await.with_web().await;
        let separator = if path.ends_with(['?', '&']) { "" } else { "?" };
        let tried = api.json(method, &format!("{path}{separator}dry_run=true"), &body).await;
        let done = api.json(method, &format!("{path}{separator}dry_run=false"), &body).await;
        assert_eq!(tried.header("weir-dry-run"), "true", "{method} {path}");
        assert_eq!((tried.header("etag"), tried.revision()), ("", 1), "{method} {path}: nothing was changed");
        let diff = &tried.json()["diff"][0];
        let named = format!("{} {}", diff["op"].as_str().unwrap(), diff["path"].as_str().unwrap());
        assert_eq!(named, first, "{method} {path}");
        if method == "DELETE" {
            assert_eq!((tried.status.as_u16(), done.status.as_u16()), (200, 204));
            continue;
        }
        assert_eq!(tried.status, done.status, "{method} {path}");
        assert_eq!(tried.header("location"), done.header("location"), "{method} {path}");
        let (mut tried, done) = (tried.json(), done.json());
        tried.as_object_mut().unwrap().remove("diff");
        for time in ["created_at", "updated_at"] {
            strip(&mut tried, time);
        }
        let mut done = done;
        for time in ["created_at", "updated_at"] {
            strip(&mut done, time);
        }
        assert_eq!(tried, done, "{method} {path}: as if it had been done");
    }
}

/// Takes every field called `name` out of `value`.
fn strip(value: &mut Value, name: &str) {
    match value {
        Value::Object(fields) => {
            fields.remove(name);
            fields.values_mut().for_each(|field| strip(field, name));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| strip(item, name)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[tokio::test]
async fn a_trial_that_changes_nothing_has_no_differences() {
    let api = Harness::new().await.with_web().await;
    let tried = api.json("PATCH", "/v1/upstreams/web?dry_run=true", &json!({"retries": {}})).await;
    assert_eq!((tried.status.as_u16(), &tried.json()["diff"]), (200, &json!([])));
}

#[tokio::test]
async fn a_reason_is_bounded() {
    let api = Harness::new().await.with_web().await;
    let long = "x".repeat(1001);
    let path = |message: &str| format!("/v1/upstreams/web?message={message}");
    let refused = api.json("PATCH", &path(&long), &json!({"algorithm": "random"})).await;
    assert_eq!(refused.problem(422, "validation"), ["message out_of_range"]);
    let taken = api.json("PATCH", &path(&long[1..]), &json!({"algorithm": "random"})).await;
    assert_eq!(taken.status, 200);
}
