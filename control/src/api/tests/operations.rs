//! What machines ask, and what happens when Weir itself is in trouble.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::Frame;
use serde_json::json;

use super::harness::Harness;

#[tokio::test]
async fn probes_and_documents_answer() {
    let api = Harness::new().await.with_web().await;
    for path in ["/livez", "/readyz", "/healthz"] {
        let answer = api.get(path).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "application/health+json"));
        assert_eq!(answer.json()["status"], "pass", "{path}");
    }
    let verbose = api.get("/readyz?verbose").await.json();
    assert_eq!(verbose["checks"]["listener"]["status"], "pass");
    assert!(api.get("/metrics").await.text.contains("weir_config_revision 1"));
    assert_eq!(api.get("/openapi.json").await.json()["openapi"], "3.1.0");
    assert!(api.get("/docs/").await.text.contains("swagger-ui"));
    assert!(api.get("/docs/problems/validation").await.text.contains("422"));
    let info = api.get("/v1/info").await.json();
    assert_eq!(
        (&info["store"]["epoch"], &info["limits"]["max_servers"]),
        (&json!("abc123"), &json!(100_000))
    );
}

#[tokio::test]
async fn the_whole_configuration_is_one_document() {
    let api = Harness::new().await.with_web().await;
    let config = api.get("/v1/config").await;
    assert_eq!(config.header("etag"), "\"r1.abc123\"");
    let config = config.json();
    assert_eq!(config["api_version"], "v1");
    assert_eq!(config["listeners"][0]["status"]["bound"], true);
    assert_eq!(config["routes"][0]["action"]["upstreams"][0]["upstream"], "web");
    assert_eq!(config["upstreams"][0]["servers"][0]["address"], "a:1");
}

#[tokio::test]
async fn health_is_there_from_the_commit_on() {
    let api = Harness::new().await.with_web().await;
    let page = api.get("/v1/health").await.json();
    assert_eq!(page["upstreams"][0]["servers"][0]["reason"], "first_check_pending");
    assert_eq!(
        page["store"],
        json!({"kind": "memory", "state": "ok", "last_commit_at": page["store"]["last_commit_at"]})
    );
    assert!(page["store"]["last_commit_at"].is_string());
    let none = api.get("/v1/health?state=healthy&format=summary&limit=5").await.json();
    assert_eq!(none["upstreams"], json!([]));
}

#[tokio::test]
async fn a_read_only_store_refuses_changes_and_nothing_else() {
    let api = Harness::read_only();
    let refused = api.post("/v1/upstreams", json!({"servers": ["a:1"]})).await;
    refused.problem(503, "store_unavailable");
    assert!(refused.text.contains("it was damaged"));
    assert_eq!((refused.header("retry-after"), refused.header("weir-store")), ("10", "read_only"));
    assert_eq!(api.get("/v1/config").await.status, 200);
    assert_eq!(api.get("/readyz").await.status, 200);
    let health = api.get("/healthz").await;
    assert_eq!((health.status.as_u16(), &health.json()["status"]), (200, &json!("warn")));
    assert_eq!(api.get("/v1/health").await.json()["store"]["state"], "read_only");
}

#[tokio::test]
async fn request_ids_are_taken_over_when_usable() {
    let api = Harness::new().await;
    let given = api.send("GET", "/livez", &[("x-request-id", "abc-1")], "").await;
    assert_eq!(given.header("x-request-id"), "abc-1");
    let made = api.send("GET", "/livez", &[("x-request-id", "a b")], "").await;
    assert_eq!(made.header("x-request-id").len(), 32);
}

/// A body that never comes.
pub(super) struct Stuck;

impl HttpBody for Stuck {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }
}

#[tokio::test]
async fn bodies_that_do_not_come_leave_places_for_reads() {
    let api = Harness::new().await;
    let kind = [("content-type", "application/json")];
    let post = || Box::pin(api.send("POST", "/v1/upstreams", &kind, Body::new(Stuck)));
    let mut waiting = Vec::new();
    let mut refused = 0;
    for _ in 0..70 {
        let mut request = post();
        match request.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => waiting.push(request),
            Poll::Ready(answer) => {
                answer.problem(429, "rate_limited");
                refused += 1;
            }
        }
    }
    assert_eq!((waiting.len(), refused), (48, 22));
    for path in ["/metrics", "/v1/config", "/livez"] {
        assert_eq!(api.get(path).await.status, 200, "{path}");
    }
    drop(waiting);
    assert_eq!(api.post("/v1/upstreams", json!({})).await.status, 201, "places are given back");
}
