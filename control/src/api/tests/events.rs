//! Streams of events, from the request to the bytes.

use axum::body::Body;
use serde_json::{Value, json};

use super::harness::{Answer, Harness};

/// What a stream tells until the process ends.
struct Told {
    answer: Answer,
    /// Id, kind and data of each event.
    events: Vec<(String, String, Value)>,
}

impl Told {
    fn kinds(&self) -> Vec<&str> {
        self.events.iter().map(|(_, kind, _)| kind.as_str()).collect()
    }
}

/// Opens a stream, lets `act` happen, and ends the process.
async fn listen<F: Future<Output = ()>>(
    api: &Harness,
    path: &str,
    fields: &[(&str, &str)],
    act: impl FnOnce() -> F,
) -> Told {
    let open = api.open("GET", path, fields, Body::empty()).await;
    act().await;
    api.events.close();
    let answer = open.whole().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let events = answer.text.split("\n\n").filter_map(event).collect();
    Told { answer, events }
}

/// Reads a block of an event stream; `None` when it has no data.
fn event(block: &str) -> Option<(String, String, Value)> {
    let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let data = serde_json::from_str(field("data")?).unwrap();
    Some((field("id")?.to_owned(), field("event")?.to_owned(), data))
}

async fn add(api: &Harness, server: &str) {
    assert_eq!(api.post("/v1/upstreams/web/servers", json!(server)).await.status, 201);
}

#[tokio::test]
async fn each_change_is_told_with_who_when_why_and_where() {
    let api = Harness::new().await.with_web().await;
    let told = listen(&api, "/v1/events?topics=config", &[], || async {
        add(&api, "c:1").await;
        let patch = [("content-type", "application/merge-patch+json"), ("x-request-id", "r-1")];
        let path = "/v1/upstreams/web/servers/c-1?message=half%20of%20it";
        assert_eq!(api.send("PATCH", path, &patch, r#"{"weight":5}"#).await.status, 200);
        // Neither of these changes anything.
        assert_eq!(api.send("PATCH", path, &patch, r#"{"weight":5}"#).await.status, 200);
        assert_eq!(
            api.send("DELETE", "/v1/upstreams/web/servers/c-1?dry_run=true", &[], "").await.status,
            200
        );
    })
    .await;
    assert_eq!(told.answer.header("content-type"), "text/event-stream");
    assert_eq!(told.kinds(), ["config", "config"]);
    let (id, _, data) = &told.events[1];
    assert!(id.starts_with("abc123.3."), "{id}");
    assert_eq!(data["revision"], 3);
    assert_eq!((&data["message"], &data["request_id"]), (&json!("half of it"), &json!("r-1")));
    assert_eq!(data["changes"], json!([{"op": "replace", "path": "/upstreams/web/servers/c-1/weight"}]));
    assert_eq!(data["total"], 1);
    assert!(data["at"].is_string() && data["actor"].is_string());
    let first = told.answer.text.split("\n\n").next().unwrap();
    assert!(first.starts_with("retry: 1000\nid: abc123.1."), "{first}");
}

#[tokio::test]
async fn a_stream_goes_on_after_the_last_event_or_revision() {
    for (query, field) in [
        ("", Some("AFTER")),
        // What EventSource says when it connects again counts more than what the URL said at first.
        ("?since=3&last_event_id=old", Some("AFTER")),
        ("?last_event_id=AFTER", None),
        ("?since=1&snapshot=true", None),
    ] {
        let api = Harness::new().await.with_web().await;
        let after = api.events.id(api.events.head()).to_string();
        add(&api, "c:1").await;
        add(&api, "d:1").await;
        let path = format!("/v1/events{}", query.replace("AFTER", &after));
        let fields: Vec<_> = field.iter().map(|_| ("last-event-id", after.as_str())).collect();
        let told = listen(&api, &path, &fields, || async {}).await;
        let revisions: Vec<_> = told.events.iter().map(|(_, _, data)| data["revision"].clone()).collect();
        assert_eq!(revisions, [2, 3], "{path}");
    }
}

#[tokio::test]
async fn what_cannot_be_told_is_a_reset_with_the_state_if_asked_for() {
    for (id, reason) in
        [("ffffff.0.0", "epoch"), ("abc123.9.0", "unknown"), ("of another program", "unknown")]
    {
        let api = Harness::new().await.with_web().await;
        let told = listen(&api, "/v1/events?snapshot=true", &[("last-event-id", id)], || async {}).await;
        assert_eq!(told.kinds(), ["reset", "snapshot"], "{id}");
        let (_, _, reset) = &told.events[0];
        assert_eq!((&reset["reason"], &reset["revision"]), (&json!(reason), &json!(1)), "{id}");
    }
}

#[tokio::test]
async fn a_snapshot_comes_first_and_an_upstream_of_its_own_is_shown_with_its_servers() {
    let api = Harness::new().await.with_web().await;
    assert_eq!(api.post("/v1/upstreams", json!({"id": "api", "servers": ["x:1"]})).await.status, 201);
    let act = || async {
        add(&api, "c:1").await;
        assert_eq!(api.post("/v1/upstreams/api/servers", json!("y:1")).await.status, 201);
    };
    let told = listen(&api, "/v1/events?snapshot=true&upstream=web", &[], act).await;
    assert_eq!(told.kinds(), ["snapshot", "config"]);
    let upstreams = told.events[0].2["upstreams"].as_array().unwrap();
    assert_eq!(
        (upstreams.len(), upstreams[0]["servers"].as_array().map(Vec::len)),
        (1, Some(3)),
        "as it is when it is read"
    );
    assert_eq!(told.events[1].2["changes"][0]["path"], "/upstreams/web/servers/c-1");
}

#[tokio::test]
async fn lines_are_json_each() {
    let api = Harness::new().await.with_web().await;
    let fields = [("accept", "text/plain;q=0.1, application/x-ndjson")];
    let open = api.open("GET", "/v1/events", &fields, Body::empty()).await;
    add(&api, "c:1").await;
    api.events.close();
    let answer = open.whole().await;
    assert_eq!(answer.header("content-type"), "application/x-ndjson");
    let lines: Vec<Value> = answer.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<_> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["heartbeat", "config"]);
    assert_eq!(lines[1]["data"]["revision"], 2);
    assert!(lines[1]["id"].as_str().unwrap().starts_with("abc123.2."));
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_beats() {
    let api = Harness::new().await;
    let open = api.open("GET", "/v1/events", &[], Body::empty()).await;
    let events = api.events.clone();
    let mut end = tokio::task::JoinSet::new();
    end.spawn(async move {
        tokio::time::sleep(std::time::Duration::from_secs(50)).await;
        events.close();
    });
    let answer = open.whole().await;
    assert_eq!(answer.text.matches(": hb\n").count(), 3, "{answer:?}");
}

#[tokio::test]
async fn unknown_parameters_and_topics_are_refused() {
    let api = Harness::new().await;
    for (query, fault) in [
        ("topics=config,nodes", "topics invalid_value"),
        ("since=-1", "since out_of_range"),
        ("snapshot=maybe", "snapshot invalid_value"),
        ("topic=config", "topic unknown_field"),
    ] {
        let answer = api.get(&format!("/v1/events?{query}")).await;
        assert_eq!(answer.problem(422, "validation"), [fault], "{query}");
    }
}

#[tokio::test]
async fn a_thousand_streams_take_no_places_of_requests_and_one_more_is_refused() {
    let api = Harness::new().await;
    let mut streams = Vec::new();
    for _ in 0..1000 {
        let open = api.open("GET", "/v1/events", &[], Body::empty()).await;
        assert_eq!(open.status(), 200);
        streams.push(open);
    }
    let refused = api.get("/v1/events").await;
    assert!(refused.problem(429, "rate_limited").is_empty());
    assert_eq!(refused.header("retry-after"), "10");
    assert_eq!(api.post("/v1/upstreams", json!({"id": "web"})).await.status, 201);
    let metrics = api.get("/metrics").await.text;
    for line in ["weir_events_subscribers 1000", "weir_events_published_total{topic=\"config\"} 1"] {
        assert!(metrics.lines().any(|found| found == line), "{line}");
    }
    streams.pop();
    assert_eq!(api.open("GET", "/v1/events", &[], Body::empty()).await.status(), 200);
}
