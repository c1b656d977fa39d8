//! Every verb of `/v1/upstreams`.

use serde_json::{Value, json};
use weir_tests::weir::Weir;

use super::problem::assert_problem;

fn web() -> Value {
    json!({ "id": "web", "servers": ["127.0.0.1:3001", "127.0.0.1:3002"] })
}

#[test]
fn created_read_listed_and_deleted() {
    let weir = Weir::start();
    let api = weir.api();
    let empty = api.get("/v1/upstreams").expect(200).json();
    assert_eq!(empty["items"], json!([]));

    let created = api.post("/v1/upstreams?bind=false", &web()).expect(201);
    assert_eq!(created.field("location"), Some("/v1/upstreams/web"));
    let etag = created.etag();
    assert!(
        etag.starts_with("\"r") && etag.ends_with('"') && etag.contains('.') && !etag.contains(' '),
        "{etag}"
    );

    let read = api.get("/v1/upstreams/web").expect(200);
    assert_eq!(read.etag(), etag);
    let upstream = read.json();
    assert_eq!(upstream["id"], "web");
    assert_eq!(upstream["servers"][0]["id"], "127.0.0.1-3001");
    assert_eq!(upstream["servers"][1]["address"], "127.0.0.1:3002");
    assert!(upstream["revision"].is_u64() && upstream["created_at"].is_string(), "{upstream}");

    let list = api.get("/v1/upstreams").expect(200).json();
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    assert_eq!(list["items"][0]["id"], "web");
    assert!(list["revision"].is_u64(), "{list}");

    let deleted = api.delete("/v1/upstreams/web").expect(204);
    assert!(deleted.response.body.is_empty());
    assert_problem(&api.get("/v1/upstreams/web"), 404, "not_found");
    assert_problem(&api.delete("/v1/upstreams/web"), 404, "not_found");
}

#[test]
fn defaults_are_shown() {
    let weir = Weir::start();
    let upstream =
        weir.api().post("/v1/upstreams", &json!({ "servers": ["127.0.0.1:3001"] })).expect(201).json();
    let expected = json!({
        "id": "default", "algorithm": "least_time", "panic_threshold_percent": 50,
        "connect_timeout": "3s", "response_timeout": "60s", "idle_timeout": "60s",
        "keepalive_connections": 256,
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&upstream[name], value, "{name} in {upstream}");
    }
    let check = &upstream["health_check"];
    assert_eq!((&check["enabled"], &check["type"]), (&json!(true), &json!(null)), "by path: {check}");
    assert_eq!((&check["interval"], &check["timeout"]), (&json!("5s"), &json!(null)), "{check}");
    assert_eq!(
        (&check["healthy_threshold"], &check["unhealthy_threshold"]),
        (&json!(2), &json!(3)),
        "{check}"
    );
    let outlier = &upstream["outlier_detection"];
    assert_eq!((&outlier["enabled"], &outlier["consecutive_5xx"]), (&json!(true), &json!(5)), "{outlier}");
    assert_eq!(
        (&outlier["base_ejection_time"], &outlier["max_ejection_percent"]),
        (&json!("30s"), &json!(50))
    );
    assert_eq!(upstream["retries"]["attempts"], 2);
    assert_eq!(upstream["retries"]["budget_percent"], 20);
    let server = &upstream["servers"][0];
    assert_eq!(
        (&server["weight"], &server["priority"], &server["admin_state"]),
        (&json!(1), &json!(0), &json!("ready"))
    );
}

/// What the API gives out it takes back: read, edit, write.
#[test]
fn what_was_read_can_be_written() {
    let weir = Weir::start();
    let api = weir.api();
    api.post("/v1/upstreams", &web()).assert(201);
    let revision = api.revision();
    let mut document = api.get("/v1/upstreams/web").expect(200).json();
    api.put("/v1/upstreams/web", &document).assert(200);
    document["algorithm"] = json!("random");
    document["servers"][1]["weight"] = json!(7);
    let written = api.put("/v1/upstreams/web", &document).expect(200).json();
    assert_eq!((&written["algorithm"], &written["servers"][1]["weight"]), (&json!("random"), &json!(7)));
    assert!(api.revision() > revision);
}

#[test]
fn put_creates_and_replaces_whole() {
    let weir = Weir::start();
    let api = weir.api();
    let created =
        api.put("/v1/upstreams/web", &json!({ "algorithm": "random", "servers": ["127.0.0.1:3001"] }));
    assert_eq!(created.status(), 201, "{created:?}");
    let replaced = api.put("/v1/upstreams/web", &json!({ "servers": ["127.0.0.1:3002"] })).expect(200).json();
    assert_eq!(replaced["algorithm"], "least_time", "what is not said is the default again");
    let servers = replaced["servers"].as_array().unwrap();
    assert_eq!((servers.len(), &servers[0]["address"]), (1, &json!("127.0.0.1:3002")));
    let other_id = api.put("/v1/upstreams/web", &json!({ "id": "other", "servers": [] }));
    assert_eq!(super::problem::pointers(&assert_problem(&other_id, 422, "validation")), ["#/id"]);
}

/// RFC 7396: named members change, null goes back to the default, the rest stays.
#[test]
fn patch_merges() {
    let weir = Weir::start();
    let api = weir.api();
    let mut document = web();
    document["description"] = json!("shop front");
    document["labels"] = json!({ "team": "shop", "tier": "1" });
    document["connect_timeout"] = json!("1s");
    api.post("/v1/upstreams", &document).assert(201);
    let patch = json!({
        "algorithm": "round_robin",
        "connect_timeout": null,
        "labels": { "tier": null, "zone": "a" },
        "health_check": { "interval": "9s" },
    });
    let patched = api.patch("/v1/upstreams/web", &patch).expect(200).json();
    assert_eq!(patched["algorithm"], "round_robin");
    assert_eq!(patched["connect_timeout"], "3s");
    assert_eq!(patched["labels"], json!({ "team": "shop", "zone": "a" }));
    assert_eq!(
        (&patched["health_check"]["interval"], &patched["health_check"]["timeout"]),
        (&json!("9s"), &json!(null))
    );
    assert_eq!(patched["description"], "shop front");
    assert_eq!(patched["servers"].as_array().unwrap().len(), 2);
    let servers = api.patch("/v1/upstreams/web", &json!({ "servers": [] }));
    assert_eq!(super::problem::pointers(&assert_problem(&servers, 422, "validation")), ["#/servers"]);
    assert_problem(&api.patch("/v1/upstreams/none", &json!({})), 404, "not_found");
}

#[test]
fn an_id_is_used_once() {
    let weir = Weir::start();
    let api = weir.api();
    let first = api.post("/v1/upstreams", &web()).expect(201);
    let again = api.post("/v1/upstreams", &web());
    let problem = assert_problem(&again, 409, "exists");
    assert!(problem.to_string().contains("/v1/upstreams/web"), "{problem}");
    assert!(problem.to_string().contains(first.etag().trim_matches('"')), "{problem}");
}

/// Without an id the first upstream is `default`; the second has to say who it is.
#[test]
fn only_one_upstream_can_go_without_an_id() {
    let weir = Weir::start();
    let api = weir.api();
    api.post("/v1/upstreams", &json!({ "servers": [] })).assert(201);
    let second = api.post("/v1/upstreams", &json!({ "servers": [] }));
    assert_eq!(super::problem::pointers(&assert_problem(&second, 422, "validation")), ["#/id"]);
}

#[test]
fn an_upstream_in_use_is_not_deleted_by_accident() {
    let weir = Weir::start();
    let api = weir.api();
    api.post("/v1/upstreams", &web()).assert(201);
    assert_problem(&api.delete("/v1/upstreams/web"), 409, "in_use");
    api.get("/v1/upstreams/web").assert(200);
    api.delete("/v1/upstreams/web?cascade=true").assert(204);
    assert_problem(&api.get("/v1/upstreams/web"), 404, "not_found");
    let again = api.post("/v1/upstreams", &web()).expect(201).json();
    assert_eq!(again["bound_routes"], json!(["default"]), "the route is free again");
}

#[test]
fn pages_hold_what_was_asked_for_and_miss_nothing() {
    let weir = Weir::start();
    let api = weir.api();
    for number in 0..25 {
        api.post("/v1/upstreams", &json!({ "id": format!("u{number:02}"), "servers": [] })).assert(201);
    }
    let mut ids = Vec::new();
    let mut path = "/v1/upstreams?limit=10".to_owned();
    for _ in 0..3 {
        let page = api.get(&path).expect(200).json();
        let items = page["items"].as_array().unwrap().clone();
        assert!(items.len() <= 10, "{}", items.len());
        ids.extend(items.iter().map(|item| item["id"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => path = format!("/v1/upstreams?limit=10&after={next}"),
            None => break,
        }
    }
    let expected: Vec<String> = (0..25).map(|number| format!("u{number:02}")).collect();
    assert_eq!(ids, expected);
}

#[test]
fn a_dry_run_answers_and_changes_nothing() {
    let weir = Weir::start();
    let api = weir.api();
    let before = api.revision();
    let answer = api.post("/v1/upstreams?dry_run=true", &web());
    assert!(matches!(answer.status(), 200 | 201), "{answer:?}");
    assert_eq!(answer.field("weir-dry-run"), Some("true"));
    assert_problem(&api.get("/v1/upstreams/web"), 404, "not_found");
    let bad = api.post("/v1/upstreams?dry_run=true", &json!({ "servers": ["nonsense"] }));
    assert_problem(&bad, 422, "validation");
    api.post("/v1/upstreams", &web()).assert(201);
    api.call("DELETE", "/v1/upstreams/web?cascade=true&dry_run=true").send();
    api.get("/v1/upstreams/web").assert(200);
    assert_eq!(api.revision(), before + 1);
}

/// One commit, one number, no gaps; a write that changes nothing is still answered with what is there.
#[test]
fn revisions_have_no_gaps() {
    let weir = Weir::start();
    let api = weir.api();
    let first = api.revision();
    for number in 0..5 {
        let answer =
            api.post("/v1/upstreams", &json!({ "id": format!("u{number}"), "servers": [] })).expect(201);
        let revision: u64 = answer.field("weir-revision").unwrap().parse().unwrap();
        assert_eq!(revision, first + number + 1);
        assert_eq!(answer.json()["revision"], json!(revision));
    }
    assert_problem(&api.post("/v1/upstreams", &json!({ "id": "NO" })), 422, "validation");
    assert_eq!(api.revision(), first + 5);
}
