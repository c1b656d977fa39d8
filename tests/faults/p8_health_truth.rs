//! Promise 8: every server is shown from the commit on, with its state, why, and since when; what has nothing to do with
//! it resets nothing.

use std::net::TcpListener;

use serde_json::{Value, json};
use weir_tests::eventually::eventually;
use weir_tests::origin::Origin;
use weir_tests::weir::Weir;

fn state(health: &Value) -> Option<&str> {
    health["state"].as_str()
}

#[test]
fn p8_health_truth() {
    let alive = Origin::named("alive");
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let weir = Weir::start();
    let api = weir.api();
    api.set_default(&json!({ "servers": [alive.address().to_string(), closed.to_string()] }));
    for address in [alive.address(), closed] {
        let shown = api.server_health(address);
        assert!(state(&shown).is_some() && shown["since"].is_string(), "shown from the commit on: {shown}");
        assert!(state(&shown) == Some("healthy") || shown["reason"].is_string(), "{shown}");
    }
    let known = eventually("both are known", || {
        let (up, down) = (api.server_health(alive.address()), api.server_health(closed));
        (state(&up) == Some("healthy") && state(&down) == Some("unhealthy")).then_some((up, down))
    });
    assert_eq!(known.1["reason"], "connect_refused", "{}", known.1);

    // Another server, a weight, a description: none of it is about what the checks have found.
    api.post("/v1/upstreams/default/servers", &json!("127.0.0.1:9")).assert(201);
    api.patch("/v1/upstreams/default", &json!({ "description": "another", "labels": { "a": "b" } }))
        .assert(200);
    let server = format!("/v1/upstreams/default/servers/{}", alive.address());
    api.patch(&server, &json!({ "weight": 7 })).assert(200);
    for (address, before) in [(alive.address(), known.0), (closed, known.1)] {
        let after = api.server_health(address);
        assert_eq!((&after["state"], &after["since"]), (&before["state"], &before["since"]), "{after}");
        assert!(after["check"]["total"].as_u64() >= before["check"]["total"].as_u64(), "{after}");
    }

    // Another kind of check keeps the verdict until it has made its own.
    api.patch("/v1/upstreams/default", &json!({ "health_check": { "type": "http", "path": "/" } }))
        .assert(200);
    let after = api.server_health(alive.address());
    assert_eq!(state(&after), Some("healthy"), "{after}");
    eventually("the new check has passed", || {
        let after = api.server_health(alive.address());
        let is_checked = after["check"]["recheck_pending"] == false && after["reason"].is_null();
        (is_checked && state(&after) == Some("healthy")).then_some(())
    });
}
