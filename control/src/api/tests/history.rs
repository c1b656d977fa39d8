//! History: what was, who changed it, and back again.

use serde_json::{Value, json};

use super::harness::Harness;

/// Three revisions: an upstream `web`, a weight, another upstream `api`.
async fn with_history() -> Harness {
    let api = Harness::new().await.with_web().await;
    api.json("PATCH", "/v1/upstreams/web/servers/a-1?message=heavier", &json!({"weight": 5})).await;
    api.post("/v1/upstreams", json!({"id": "api", "servers": ["c:1"]})).await;
    api
}

#[tokio::test]
async fn revisions_are_listed_newest_first_and_in_pages() {
    let api = with_history().await;
    let page = api.get("/v1/revisions?limit=2").await.json();
    let numbers = |page: &Value| -> Vec<u64> {
        page["items"].as_array().unwrap().iter().map(|item| item["revision"].as_u64().unwrap()).collect()
    };
    assert_eq!((numbers(&page), &page["next"], &page["revision"]), (vec![3, 2], &json!("2"), &json!(3)));
    let page = api.get("/v1/revisions?limit=2&after=2").await.json();
    assert_eq!((numbers(&page), &page["next"]), (vec![1], &json!(null)));
    assert_eq!(
        api.get("/v1/revisions?after=x&limit=0").await.problem(422, "validation"),
        ["after invalid_value", "limit out_of_range"]
    );
}

#[tokio::test]
async fn a_revision_tells_who_when_why_and_what() {
    let api = with_history().await;
    let revision = api.get("/v1/revisions/2").await.json();
    assert_eq!(revision["message"], "heavier");
    assert_eq!(
        revision["changes"],
        json!({"total": 1, "changes": [{"op": "replace", "path": "/upstreams/web/servers/a-1/weight"}]})
    );
    for field in ["at", "actor", "request_id"] {
        assert!(revision[field].as_str().is_some_and(|text| !text.is_empty()), "{field}");
    }
    let first = api.get("/v1/revisions/1").await.json();
    assert_eq!(first["message"], "create upstream web", "a summary, when nobody says why");
    assert_eq!(first, api.get("/v1/revisions").await.json()["items"][2]);
}

#[tokio::test]
async fn every_revision_can_be_read() {
    let api = with_history().await;
    let ids = |document: &Value| -> Vec<String> {
        let upstreams = document["upstreams"].as_array().unwrap();
        upstreams.iter().map(|upstream| upstream["id"].as_str().unwrap().to_owned()).collect()
    };
    for (revision, expected) in [(0, vec![]), (1, vec!["web"]), (2, vec!["web"]), (3, vec!["api", "web"])] {
        let read = api.get(&format!("/v1/config?revision={revision}")).await;
        assert_eq!(
            (ids(&read.json()), read.revision()),
            (expected.iter().map(ToString::to_string).collect(), revision)
        );
        assert_eq!(read.header("etag"), format!("\"r{revision}.abc123\""));
        let same = api.get(&format!("/v1/revisions/{revision}/config")).await;
        assert_eq!((same.text, same.headers["etag"].clone()), (read.text, read.headers["etag"].clone()));
    }
    assert_eq!(api.get("/v1/config?revision=2").await.json()["upstreams"][0]["servers"][0]["weight"], 5);
}

#[tokio::test]
async fn revisions_are_compared() {
    let api = with_history().await;
    let diff = async |path: &str| {
        let answer = api.get(path).await.json();
        let found = answer["diff"].as_array().unwrap().clone();
        let lines = found
            .iter()
            .map(|one| format!("{} {}", one["op"].as_str().unwrap(), one["path"].as_str().unwrap()));
        (answer["against"].as_u64().unwrap(), lines.collect::<Vec<_>>())
    };
    assert_eq!(
        diff("/v1/revisions/2/diff").await,
        (1, vec!["replace /upstreams/web/servers/a-1/weight".to_owned()])
    );
    assert_eq!(
        diff("/v1/revisions/1/diff?against=3").await,
        (3, vec!["remove /upstreams/api".to_owned(), "replace /upstreams/web/servers/a-1/weight".to_owned()])
    );
    assert_eq!(diff("/v1/revisions/0/diff").await, (0, vec![]));
}

#[tokio::test]
async fn what_is_not_there_is_told_from_what_is_forgotten() {
    let api = with_history().await;
    for path in [
        "/v1/config?revision=4",
        "/v1/revisions/4",
        "/v1/revisions/0",
        "/v1/revisions/x",
        "/v1/revisions/4/config",
        "/v1/revisions/4/diff",
        "/v1/revisions/3/diff?against=9",
    ] {
        api.get(path).await.problem(404, "not_found");
    }
    assert_eq!(
        api.get("/v1/config?revision=-1").await.problem(422, "validation"),
        ["revision invalid_value"]
    );
    for weight in 0..1000 {
        let patch = json!({"weight": weight % 2 + 6});
        assert_eq!(api.json("PATCH", "/v1/upstreams/web/servers/a-1", &patch).await.status, 200);
    }
    for path in [
        "/v1/config?revision=2",
        "/v1/revisions/2",
        "/v1/revisions/2/config",
        "/v1/revisions/900/diff?against=2",
    ] {
        api.get(path).await.problem(410, "revision_gone");
    }
    api.post("/v1/config/rollback", json!({"to": 2})).await.problem(410, "revision_gone");
    assert_eq!(api.get("/v1/config?revision=4").await.status, 200);
}

#[tokio::test]
async fn going_back_is_a_new_revision() {
    let api = with_history().await;
    let tried = api.post("/v1/config/rollback?dry_run=true", json!({"to": 1})).await;
    let done = api.post("/v1/config/rollback", json!({"to": 1, "message": "too heavy"})).await;
    assert_eq!((tried.json(), tried.header("weir-dry-run")), (done.json(), "true"));
    assert_eq!((done.status.as_u16(), done.revision()), (200, 4));
    assert_eq!(done.json()["diff"].as_array().unwrap().len(), 2);
    let at = async |revision: u64| api.get(&format!("/v1/config?revision={revision}")).await.text;
    assert_eq!(at(4).await, at(1).await);
    assert_eq!(api.get("/v1/revisions/4").await.json()["message"], "too heavy");
    let again = api.post("/v1/config/rollback", json!({"to": 1})).await;
    assert_eq!((&again.json()["unchanged"], again.revision()), (&json!(true), 4));
    api.post("/v1/config/rollback", json!({"to": 3})).await;
    assert_eq!(api.get("/v1/revisions/5").await.json()["message"], "roll back to revision 3");
    assert_eq!(at(5).await, at(3).await, "and forth again");
}

#[tokio::test]
async fn going_back_is_guarded_like_any_large_change() {
    let api = with_history().await;
    let refused = api.post("/v1/config/rollback", json!({"to": 0})).await;
    refused.problem(409, "large_change");
    assert_eq!(refused.json()["confirm"], 3);
    let stale = [("content-type", "application/json"), ("if-match", "\"r1.abc123\"")];
    let stale = api.send("POST", "/v1/config/rollback", &stale, "{\"to\":1}").await;
    stale.problem(412, "etag_mismatch");
    assert_eq!(api.post("/v1/config/rollback?confirm=3", json!({"to": 0})).await.status, 200);
    assert_eq!(api.get("/v1/config").await.json()["upstreams"], json!([]));
}

#[tokio::test]
async fn a_rollback_names_a_revision() {
    let api = with_history().await;
    for (body, fault) in [
        (json!({}), "#/to required"),
        (json!({"to": "1"}), "#/to invalid_type"),
        (json!({"to": 1, "massage": ""}), "#/massage unknown_field"),
        (json!({"to": 1, "message": "x".repeat(1001)}), "#/message out_of_range"),
        (json!(1), "# invalid_type"),
    ] {
        assert_eq!(api.post("/v1/config/rollback", body).await.problem(422, "validation"), [fault]);
    }
    api.post("/v1/config/rollback", json!({"to": 4})).await.problem(404, "not_found");
}

#[tokio::test]
async fn without_a_store_there_is_no_history() {
    let api = Harness::read_only();
    assert_eq!(api.get("/v1/config?revision=0").await.status, 200, "it is in force");
    api.get("/v1/revisions").await.problem(503, "store_unavailable");
}
