//! Drains over the API, with requests under way by decree.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use super::harness::{Answer, Harness};

const SERVER: &str = "/v1/upstreams/web/servers/a-1";
const DRAIN: &str = "/v1/upstreams/web/servers/a-1/drain";

/// A request that is under way at the server `a-1` until this is dropped.
struct Busy<'a>(&'a Harness, std::sync::Arc<weir_shared::state::ServerState>);

impl<'a> Busy<'a> {
    fn new(api: &'a Harness) -> Self {
        let table = api.reader.snapshot();
        let state = std::sync::Arc::clone(&table.upstream("web").unwrap().server("a-1").unwrap().state);
        state.in_flight.start();
        Self(api, state)
    }

    async fn finish(self) {
        self.1.in_flight.end();
        let api = self.0;
        until(|| async { api.get("/v1/drains").await.json()["items"] == json!([]) }).await;
    }
}

async fn until<F: Future<Output = bool>>(holds: impl Fn() -> F) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.expect("it should hold in time");
}

async fn state(api: &Harness) -> Value {
    api.get(SERVER).await.json()["admin_state"].clone()
}

async fn drain(api: &Harness, body: Value) -> Answer {
    let answer = api.post(DRAIN, body).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
    answer
}

#[tokio::test]
async fn a_drain_needs_no_body_and_is_shown_everywhere() {
    let api = Harness::new().await.with_web().await;
    let busy = Busy::new(&api);
    let begun = api.send("POST", DRAIN, &[], "").await;
    assert_eq!((begun.status.as_u16(), begun.revision()), (202, 2), "{begun:?}");
    let audited = api.get("/v1/audit").await.json()["items"][0].clone();
    assert_eq!((&audited["status"], &audited["revision_after"]), (&json!(202), &json!(2)));
    assert_eq!(begun.header("location"), format!("{SERVER}/health"));
    assert_eq!(begun.header("etag"), "\"r2.abc123\"");
    let shown = begun.json();
    assert_eq!(
        (&shown["in_flight"], &shown["then"], &shown["done"]),
        (&json!(1), &json!("keep"), &json!(false))
    );
    assert_eq!(api.get(DRAIN).await.json(), shown);
    assert_eq!(api.get("/v1/drains").await.json()["items"], json!([shown]));
    let health = api.get(&format!("{SERVER}/health")).await.json();
    assert_eq!((&health["state"], &health["reason"]), (&json!("draining"), &json!("admin_drain")));
    assert_eq!(
        health["drain"],
        json!({"started_at": shown["started_at"], "deadline": shown["deadline"], "in_flight": 1, "then": "keep", "done": false})
    );
    assert!(api.get("/metrics").await.text.contains("weir_drains_active 1"));

    busy.finish().await;
    let ended = api.get(DRAIN).await.json();
    assert_eq!((&ended["done"], &ended["outcome"]), (&json!(true), &json!("drained")));
    assert_eq!((state(&api).await, api.get(SERVER).await.revision()), (json!("drain"), 2), "nothing changed");
    let back = api.send("DELETE", DRAIN, &[], "").await;
    assert_eq!((back.status.as_u16(), &back.json()["admin_state"]), (200, &json!("ready")));
    assert_eq!(api.get(DRAIN).await.json()["outcome"], "drained", "and that it was kept is over");
    api.send("DELETE", DRAIN, &[], "").await.problem(404, "not_found");
    assert!(api.get(&format!("{SERVER}/health")).await.json()["drain"].is_null());
}

#[tokio::test]
async fn the_server_is_set_to_maint_or_removed_when_nothing_is_under_way() {
    let api = Harness::new().await.with_web().await;
    let busy = Busy::new(&api);
    drain(&api, json!({"then": "maint"})).await;
    busy.finish().await;
    assert_eq!(state(&api).await, "maint");
    assert_eq!(api.get(DRAIN).await.json()["outcome"], "drained");
    let busy = Busy::new(&api);
    let begun = api.send("DELETE", &format!("{SERVER}?drain=true&timeout=1m"), &[], "").await;
    assert_eq!((begun.status.as_u16(), &begun.json()["then"]), (202, &json!("remove")), "{begun:?}");
    assert_eq!(api.get(&format!("{SERVER}/health")).await.json()["reason"], "removing");
    busy.finish().await;
    api.get(SERVER).await.problem(404, "not_found");
    let ended = api.get(DRAIN).await.json();
    assert_eq!(
        (&ended["done"], &ended["outcome"], &ended["then"], &ended["in_flight"]),
        (&json!(true), &json!("drained"), &json!("remove"), &json!(0))
    );
    assert_eq!(api.get("/v1/upstreams/web/servers/a:1/drain").await.json(), ended, "by its address as well");
    assert_eq!(api.get("/v1/drains?state=ended").await.json()["items"], json!([ended]));
    assert_eq!(api.get("/v1/drains?state=under_way").await.json()["items"], json!([]));
    api.send("DELETE", "/v1/upstreams/web?cascade=true", &[], "").await;
    assert_eq!(api.get(DRAIN).await.json(), ended, "without its upstream, too");
}

#[tokio::test]
async fn the_deadline_ends_a_drain_whatever_is_under_way() {
    let api = Harness::new().await.with_web().await;
    let busy = Busy::new(&api);
    drain(&api, json!({"timeout": "0s"})).await;
    until(|| async { api.get(DRAIN).await.json()["done"] == true }).await;
    let ended = api.get(DRAIN).await.json();
    assert_eq!((&ended["outcome"], &ended["in_flight"]), (&json!("deadline"), &json!(1)));
    assert!(!busy.1.is_cut(weir_shared::time::Moment(1)), "with keep, requests go on");
    drain(&api, json!({"timeout": "0s", "then": "remove"})).await;
    until(|| async { api.get(SERVER).await.status == 404 }).await;
    until(|| async { api.get(DRAIN).await.json()["outcome"] == "deadline" }).await;
    until(|| async { busy.1.is_cut(weir_shared::time::Moment(1)) }).await;
}

#[tokio::test]
async fn there_is_one_drain_of_a_server_and_it_can_be_cancelled() {
    let api = Harness::new().await.with_web().await;
    let _busy = Busy::new(&api);
    let first = drain(&api, json!({"then": "remove"})).await.json();
    let second = api.post(DRAIN, json!({"then": "keep"})).await;
    second.problem(409, "drain_under_way");
    assert_eq!(second.json()["drain"]["started_at"], first["started_at"]);
    let deleted = api.send("DELETE", &format!("{SERVER}?drain=true"), &[], "").await;
    deleted.problem(409, "drain_under_way");
    assert_eq!(api.send("DELETE", DRAIN, &[], "").await.json()["admin_state"], "ready");
    api.send("DELETE", DRAIN, &[], "").await.problem(404, "not_found");
    assert_eq!(api.get(DRAIN).await.json()["outcome"], "cancelled");
    assert_eq!(api.get("/v1/drains").await.json()["items"], json!([]));
}

/// What was wanted before the drain is wanted again when it is cancelled, whatever it was.
#[tokio::test]
async fn a_server_that_is_off_already_can_be_drained() {
    let api = Harness::new().await.with_web().await;
    let _busy = Busy::new(&api);
    for was in ["drain", "maint"] {
        api.json("PATCH", SERVER, &json!({"admin_state": was})).await;
        drain(&api, json!({"then": "remove"})).await;
        assert_eq!(state(&api).await, "drain");
        assert_eq!(api.get("/v1/drains").await.json()["items"][0]["server"], "a-1");
        assert_eq!(api.send("DELETE", DRAIN, &[], "").await.json()["admin_state"], was);
        assert_eq!(api.get("/v1/drains").await.json()["items"], json!([]));
    }
}

#[tokio::test]
async fn the_operator_wins_over_a_drain() {
    for (method, path, body) in [
        ("PATCH", SERVER, json!({"admin_state": "ready"})),
        ("PUT", SERVER, json!({"address": "a:1", "admin_state": "ready"})),
        ("PUT", "/v1/upstreams/web", json!({"servers": ["a:1", "b:1"]})),
        ("DELETE", SERVER, json!(null)),
        ("DELETE", "/v1/upstreams/web?cascade=true", json!(null)),
    ] {
        let api = Harness::new().await.with_web().await;
        let busy = Busy::new(&api);
        drain(&api, json!({"then": "remove"})).await;
        let done = api.json(method, path, &body).await;
        assert!(done.status.is_success(), "{done:?}");
        let revision = done.revision();
        assert_eq!(api.get("/v1/drains").await.json()["items"], json!([]), "{method} {path}");
        busy.finish().await;
        // Longer than a drain with nothing under way lasts.
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(api.get("/v1/info").await.revision(), revision, "{method} {path}");
    }
}

/// A change of something else leaves the drain alone.
#[tokio::test]
async fn a_drain_survives_other_changes() {
    let api = Harness::new().await.with_web().await;
    let busy = Busy::new(&api);
    drain(&api, json!({"then": "remove"})).await;
    api.json("PATCH", SERVER, &json!({"weight": 7})).await;
    api.json("PATCH", "/v1/upstreams/web", &json!({"description": "x"})).await;
    api.send("DELETE", "/v1/upstreams/web/servers/b-1", &[], "").await;
    assert_eq!(api.get("/v1/drains").await.json()["items"][0]["server"], "a-1");
    busy.finish().await;
    api.get(SERVER).await.problem(404, "not_found");
}

#[tokio::test]
async fn conditions_and_trials_are_honoured() {
    let api = Harness::new().await.with_web().await;
    let _busy = Busy::new(&api);
    let wrong = [("if-match", "\"r9.abc123\"")];
    api.send("POST", DRAIN, &wrong, "").await.problem(412, "etag_mismatch");
    let tried = api.send("POST", &format!("{DRAIN}?dry_run=true"), &[], "").await;
    assert_eq!((tried.status.as_u16(), tried.header("weir-dry-run")), (202, "true"));
    assert_eq!(
        (state(&api).await, api.get("/v1/drains").await.json()["items"].clone()),
        (json!("ready"), json!([]))
    );
    let right = [("if-match", "\"r1.abc123\"")];
    assert_eq!(api.send("POST", DRAIN, &right, "").await.status, 202);
    api.send("DELETE", DRAIN, &right, "").await.problem(412, "etag_mismatch");
    let tried = api.send("DELETE", &format!("{DRAIN}?dry_run=true"), &[], "").await;
    assert_eq!((tried.status.as_u16(), &tried.json()["admin_state"]), (200, &json!("ready")));
    assert_eq!(state(&api).await, "drain");
}

#[tokio::test]
async fn bad_input_is_pointed_at() {
    let api = Harness::new().await.with_web().await;
    let faults = |body| {
        let api = &api;
        async move { api.post(DRAIN, body).await.problem(422, "validation") }
    };
    assert_eq!(faults(json!({"timeout": "2h"})).await, ["#/timeout out_of_range"]);
    assert_eq!(faults(json!({"then": "x"})).await.len(), 1);
    assert_eq!(faults(json!({"than": "keep"})).await, ["#/than unknown_field"]);
    assert_eq!(faults(json!([1])).await.len(), 1);
    let with = |query: &str| format!("{SERVER}?{query}");
    for (query, fault) in [
        ("drain=maybe", "drain invalid_value"),
        ("drain=true&timeout=2h", "timeout out_of_range"),
        ("timeout=2s", "timeout unknown_field"),
    ] {
        let refused = api.send("DELETE", &with(query), &[], "").await;
        assert_eq!(refused.problem(422, "validation"), [fault]);
    }
    for path in ["/v1/upstreams/web/servers/x/drain", "/v1/upstreams/x/servers/a-1/drain"] {
        for method in ["GET", "POST", "DELETE"] {
            api.send(method, path, &[], "").await.problem(404, "not_found");
        }
    }
    api.send("POST", DRAIN, &[("content-type", "text/plain")], "x")
        .await
        .problem(415, "unsupported_media_type");
    let api = Harness::read_only();
    assert_eq!(api.get("/v1/drains").await.status, 200);
}
