//! Configurations and bodies beyond what is taken: refused as documented, and nothing of them is left.

use serde_json::json;
use weir_tests::{api::Api, weir::Weir};

const MEBIBYTE: usize = 1024 * 1024;
const MAX_CONFIG_BYTES: usize = 64 * MEBIBYTE;
/// The longest body of a fixed response.
const FIXED_BYTES: usize = 64 * 1024;

/// A route whose answer is six times as long in JSON as in memory.
fn add_route(api: Api, number: usize, bytes: usize) -> weir_tests::api::Answer {
    let answer = json!({ "status": 200, "body": "\u{1}".repeat(bytes) });
    let matched = json!({ "path": { "value": format!("/{number}") } });
    let route =
        json!({ "id": format!("r{number}"), "match": matched, "action": { "fixed_response": answer } });
    api.post("/v1/routes", &route)
}

/// As many bytes as can be put back are taken, and no more; what is refused has changed nothing.
#[test]
fn a_configuration_that_could_not_be_put_back_is_refused() {
    let weir = Weir::start();
    let api = weir.api();
    let most = MAX_CONFIG_BYTES / (6 * FIXED_BYTES);
    for number in 0..most {
        add_route(api, number, FIXED_BYTES).assert(201);
    }
    let before = api.revision();
    let refused = add_route(api, most, FIXED_BYTES).expect(422).json();
    assert_eq!((&refused["code"], &refused["revision"]), (&json!("validation"), &json!(before)), "{refused}");
    let fault = &refused["errors"][0];
    assert_eq!((&fault["pointer"], &fault["code"]), (&json!("#"), &json!("too_many")), "{refused}");
    let told = fault["detail"].as_str().unwrap();
    assert!(told.contains(&MAX_CONFIG_BYTES.to_string()), "{told}");
    assert_eq!(api.revision(), before, "nothing was changed");
    api.get(&format!("/v1/routes/r{most}")).assert(404);

    let whole = api.get("/v1/config").expect(200);
    let length = whole.response.body.len();
    assert!((MAX_CONFIG_BYTES - 6 * FIXED_BYTES..=2 * MAX_CONFIG_BYTES).contains(&length), "{length}");
    api.delete("/v1/routes/r0").assert(204);
    add_route(api, most, FIXED_BYTES).assert(201);
    weir.assert_no_errors();
}

/// A body that is announced as too long is refused before it is sent.
#[test]
fn a_body_that_is_announced_as_too_long_is_not_read() {
    let weir = Weir::start();
    let api = weir.api();
    let most = api.get("/v1/info").expect(200).json()["limits"]["max_body_bytes"].as_u64().unwrap();
    assert_eq!(most, 2 * MAX_CONFIG_BYTES as u64);
    for (method, path) in [("PUT", "/v1/config"), ("POST", "/v1/upstreams"), ("PUT", "/v1/routes/r")] {
        let call = api.call(method, path).field("Content-Type", "application/json");
        let refused = call.field("Content-Length", &(most + 1).to_string()).send().expect(413).json();
        assert_eq!(refused["code"], json!("body_too_large"), "{refused}");
        assert!(refused["detail"].as_str().unwrap().contains(&most.to_string()), "{refused}");
    }
    assert_eq!(api.revision(), 0);
    weir.assert_no_errors();
}
