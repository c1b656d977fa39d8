//! Promise 4: with `If-Match`, no writer undoes what another has written.

use serde_json::json;
use weir_tests::api::Api;
use weir_tests::weir::Weir;

const WRITERS: usize = 8;
const EACH: usize = 10;

#[test]
fn p4_no_lost_update() {
    let weir = Weir::start();
    let api = weir.api();
    api.post("/v1/upstreams", &json!({ "id": "web", "labels": { "count": "0" } })).assert(201);
    std::thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| (0..EACH).for_each(|_| add_one(api)));
        }
    });
    let after = api.get("/v1/upstreams/web").expect(200).json();
    assert_eq!(after["labels"]["count"], (WRITERS * EACH).to_string());
    assert_eq!(api.revision(), (WRITERS * EACH + 1) as u64, "every refused write left no revision");
}

/// Reads, adds and writes back until nobody has come in between.
fn add_one(api: Api) {
    loop {
        let read = api.get("/v1/upstreams/web").expect(200);
        let count: usize = read.json()["labels"]["count"].as_str().unwrap().parse().unwrap();
        let answer = api
            .call("PATCH", "/v1/upstreams/web")
            .field("If-Match", &read.etag())
            .field("Content-Type", "application/merge-patch+json")
            .body(json!({ "labels": { "count": (count + 1).to_string() } }).to_string())
            .send();
        match answer.status() {
            200 => return,
            412 => {}
            other => panic!("{other}: {answer:?}"),
        }
    }
}
