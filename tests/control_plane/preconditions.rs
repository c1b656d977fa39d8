//! Conditional requests: ETag, If-None-Match, If-Match. RFC 9110 §13.1.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use weir_tests::weir::Weir;

use super::problem::assert_problem;

const WEB: &str = "/v1/upstreams/web";

fn started() -> Weir {
    let weir = Weir::start();
    weir.api().post("/v1/upstreams", &json!({ "id": "web", "servers": ["127.0.0.1:3001"] })).assert(201);
    weir
}

#[test]
fn an_unchanged_resource_is_not_sent_again() {
    let weir = started();
    let etag = weir.api().get(WEB).expect(200).etag();
    for value in [etag.clone(), format!("\"other\", {etag}"), format!("W/{etag}"), "*".to_owned()] {
        let answer = weir.api().call("GET", WEB).field("If-None-Match", &value).send().expect(304);
        assert!(answer.response.body.is_empty());
        assert_eq!(answer.etag(), etag);
    }
    weir.api().call("GET", WEB).field("If-None-Match", "\"other\"").send().assert(200);
    weir.api().patch(WEB, &json!({ "algorithm": "random" })).assert(200);
    weir.api().call("GET", WEB).field("If-None-Match", &etag).send().assert(200);
}

#[test]
fn a_change_elsewhere_keeps_the_tag() {
    let weir = started();
    let etag = weir.api().get(WEB).expect(200).etag();
    weir.api().post("/v1/upstreams", &json!({ "id": "api", "servers": [] })).assert(201);
    assert_eq!(weir.api().get(WEB).expect(200).etag(), etag);
}

#[test]
fn a_stale_tag_changes_nothing_and_shows_what_is_there() {
    let weir = started();
    let api = weir.api();
    let stale = api.get(WEB).expect(200).etag();
    let current = api.patch(WEB, &json!({ "description": "newer" })).expect(200).etag();
    let revision = api.revision();
    let body = json!({ "servers": [] });
    let merge = "application/merge-patch+json";
    let attempts = [
        api.call("PUT", WEB).field("If-Match", &stale).json(&body).send(),
        api.call("PATCH", WEB).field("If-Match", &stale).field("Content-Type", merge).body("{}").send(),
        api.call("DELETE", &format!("{WEB}?cascade=true")).field("If-Match", &stale).send(),
        api.call("PUT", WEB).field("If-Match", &format!("W/{current}")).json(&body).send(),
        api.call("PUT", WEB).field("If-None-Match", "*").json(&body).send(),
    ];
    for answer in &attempts {
        let problem = assert_problem(answer, 412, "etag_mismatch");
        assert_eq!(problem["current_etag"], json!(current), "{problem}");
        assert_eq!(problem["current"]["description"], "newer", "{problem}");
    }
    assert_eq!(api.revision(), revision);
}

#[test]
fn a_fresh_tag_goes_through() {
    let weir = started();
    let api = weir.api();
    let etag = api.get(WEB).expect(200).etag();
    let put =
        api.call("PUT", WEB).field("If-Match", &etag).json(&json!({ "servers": [] })).send().expect(200);
    assert_ne!(put.etag(), etag);
    let list = format!("\"r1.000000\", {}", put.etag());
    api.call("PUT", WEB).field("If-Match", &list).json(&json!({ "servers": [] })).send().assert(200);
    api.call("DELETE", &format!("{WEB}?cascade=true")).field("If-Match", "*").send().assert(204);
    let gone = api.call("PUT", WEB).field("If-Match", "*").json(&json!({ "servers": [] })).send();
    assert_eq!(gone.status(), 412, "nothing is there to match: {gone:?}");
    api.call("PUT", WEB).field("If-None-Match", "*").json(&json!({ "servers": [] })).send().assert(201);
}

#[test]
fn servers_have_tags_too() {
    let weir = started();
    let api = weir.api();
    let path = format!("{WEB}/servers/127.0.0.1-3001");
    let etag = api.get(&path).expect(200).etag();
    api.call("GET", &path).field("If-None-Match", &etag).send().assert(304);
    let merge = "application/merge-patch+json";
    let patch = |tag: &str| {
        api.call("PATCH", &path)
            .field("If-Match", tag)
            .field("Content-Type", merge)
            .body("{\"weight\":2}")
            .send()
    };
    let newer = patch(&etag).expect(200).etag();
    assert_problem(&patch(&etag), 412, "etag_mismatch");
    assert_problem(&api.call("DELETE", &path).field("If-Match", &etag).send(), 412, "etag_mismatch");
    patch(&newer).assert(200);
}

/// Eight writers count up one number under If-Match: what was accepted adds up, so no update was lost.
#[test]
fn no_update_is_lost() {
    let weir = started();
    let api = weir.api();
    let accepted = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..10 {
                    let read = api.get(WEB).expect(200);
                    let count: usize =
                        read.json()["labels"]["count"].as_str().map_or(0, |text| text.parse().unwrap());
                    let patch = json!({ "labels": { "count": (count + 1).to_string() } }).to_string();
                    let answer = api
                        .call("PATCH", WEB)
                        .field("If-Match", &read.etag())
                        .field("Content-Type", "application/merge-patch+json")
                        .body(patch)
                        .send();
                    assert!(matches!(answer.status(), 200 | 412), "{answer:?}");
                    accepted.fetch_add(usize::from(answer.status() == 200), Ordering::SeqCst);
                }
            });
        }
    });
    let accepted = accepted.load(Ordering::SeqCst);
    assert!(accepted > 0);
    assert_eq!(api.get(WEB).expect(200).json()["labels"]["count"], json!(accepted.to_string()));
}
