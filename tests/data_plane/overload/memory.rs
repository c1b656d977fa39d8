//! Memory: above the limit new work is refused, and the API goes on.

use serde_json::{Value, json};
use weir_tests::reply::Gate;
use weir_tests::weir::{Launch, Weir};
use weir_tests::{config, eventually::eventually, origin::Origin};

#[test]
fn new_connections_are_refused_while_memory_is_short() {
    let origin = Origin::named("one");
    let weir = Launch::default().arg("--max-memory-bytes").arg("4096").start();
    weir.api().set_default(&config::bare(&[origin.address()]));
    for _ in 0..5 {
        let answer = weir.client().get("/");
        assert_eq!((answer.status, answer.announces_close()), (503, true));
        assert_eq!(answer.fields.one("proxy-status"), Some("weir; error=proxy_internal_error"));
    }
    assert_eq!(origin.count(), 0);
    eventually("what was refused is counted", || {
        let health = weir.api().get("/v1/health").expect(200).json();
        (health["listener"]["connections_shed"] == 5).then_some(())
    });
}

#[test]
fn enough_memory_is_no_limit() {
    let origin = Origin::named("one");
    let weir = Launch::default().arg("--max-memory-bytes").arg("4294967296").start();
    weir.api().set_default(&config::bare(&[origin.address()]));
    assert_eq!(weir.client().get("/").status, 200);
}

fn shed(weir: &Weir, what: &str) -> u64 {
    let listener: Value = weir.api().get("/v1/health").expect(200).json()["listener"].clone();
    listener[what].as_u64().unwrap()
}

/// Servers that nobody uses, to fill memory with.
fn idle_upstream(number: u32) -> Value {
    let servers: Vec<String> = (0..1000).map(|n| format!("10.{number}.{}.{}:80", n / 250, n % 250)).collect();
    json!({ "id": format!("idle-{number}"), "servers": servers, "health_check": { "enabled": false } })
}

/// What was begun before memory was short is finished, with its connection; what begins then is refused, be it on a connection
/// that stands or on a new one.
#[test]
fn the_newest_work_is_refused_first() {
    let gate = Gate::default();
    let (slow, quick) = (super::gated(&gate), Origin::named("quick"));
    let at_rest = {
        let weir = Weir::start();
        weir.api().set_default(&config::bare(&[quick.address()]));
        assert_eq!(weir.client().get("/").status, 200);
        weir.anonymous_bytes()
    };
    // Two processes differ by less than this.
    let limit = at_rest + 8 * 1024 * 1024;
    let weir = Launch::default().arg("--max-memory-bytes").arg(limit.to_string()).start();
    weir.api().set_default(&config::bare(&[slow.address()]));
    let (mut old, mut idle) = (super::asking(&weir, "/", ""), weir.client());
    eventually("the oldest request is under way", || (gate.arrivals() == 1).then_some(()));
    weir.api().set_default(&config::bare(&[quick.address()]));
    assert_eq!(idle.get("/").status, 200, "there is enough memory so far");

    for number in 0..100 {
        if weir.anonymous_bytes() > limit + 8 * 1024 * 1024 {
            break;
        }
        weir.api().post("/v1/upstreams", &idle_upstream(number)).assert(201);
    }
    eventually("a new connection is refused", || (weir.client().get("/").status == 503).then_some(()));
    assert!(shed(&weir, "connections_shed") > 0);
    let refused = idle.get("/");
    assert_eq!(
        (refused.status, refused.fields.one("proxy-status")),
        (503, Some("weir; error=proxy_internal_error"))
    );
    assert_eq!(shed(&weir, "requests_shed"), 1);
    gate.open();
    assert_eq!(old.response("GET").unwrap().text(), "done");
    weir.api().get("/v1/upstreams/default").assert(200);
    weir.assert_no_errors();
}
