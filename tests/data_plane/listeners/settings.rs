//! Limits and timeouts of each listener, changed without closing a connection.

use std::time::{Duration, Instant};

use serde_json::json;
use weir_tests::client::Wire;
use weir_tests::config;
use weir_tests::events::EventStream;
use weir_tests::origin::Origin;
use weir_tests::weir::{Launch, Weir};

use super::{add_with, is_empty, listener, metric};

#[test]
fn each_listener_has_limits_of_its_own_and_a_change_holds_for_the_next_request() {
    let origin = Origin::named("origin");
    let weir = Weir::start();
    weir.api().set_default(&config::plain(&[origin.address()]));
    let address = add_with(&weir, "small", json!({"max_uri_bytes": 256, "max_body_bytes": 10}));
    let target = format!("/{}", "a".repeat(300));
    assert_eq!(weir.client().get(&target).status, 200, "the other listener has its own limits");
    assert_eq!(Wire::connect(address).get(&target).status, 414);
    assert_eq!(Wire::connect(address).post("/", "more than ten").status, 413);

    let mut client = Wire::connect(address);
    assert_eq!(client.get("/").status, 200);
    weir.api()
        .patch("/v1/listeners/small", &json!({"max_uri_bytes": 400, "max_body_bytes": null}))
        .assert(200);
    assert_eq!(client.get(&target).status, 200, "on the connection that was open");
    assert_eq!(client.post("/", "more than ten").status, 200);
    assert_eq!(metric(&weir, "weir_listener_connections_accepted_total", "small"), 3);
    assert_eq!(metric(&weir, "weir_listener_requests_total", "small"), 5);
}

#[test]
fn a_changed_idle_timeout_holds_for_connections_that_are_open() {
    let origin = Origin::named("origin");
    let weir = Weir::start();
    weir.api().set_default(&config::plain(&[origin.address()]));
    let address = add_with(&weir, "brief", json!({}));
    let mut client = Wire::connect(address);
    assert_eq!(client.get("/").status, 200);
    weir.api().patch("/v1/listeners/brief", &json!({"idle_timeout": "300ms"})).assert(200);
    assert!(client.is_idle(), "no connection is closed for the change");
    assert_eq!(client.get("/").status, 200);
    let began = Instant::now();
    assert!(client.is_closed());
    let waited = began.elapsed();
    assert!((Duration::from_millis(250)..Duration::from_secs(10)).contains(&waited), "{waited:?}");
}

#[test]
fn connections_beyond_a_listeners_limit_wait_and_others_do_not() {
    let origin = Origin::named("origin");
    let weir = Weir::start();
    weir.api().set_default(&config::plain(&[origin.address()]));
    let address = add_with(&weir, "narrow", json!({"max_connections": 1}));
    let mut first = Wire::connect(address);
    assert_eq!(first.get("/").status, 200);
    let mut second = Wire::connect(address);
    second.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut second = second.patience(Duration::from_millis(300));
    assert!(second.response("GET").is_err(), "it waits");
    assert_eq!(weir.client().get("/").status, 200);
    weir.api().patch("/v1/listeners/narrow", &json!({"max_connections": 2})).assert(200);
    let mut second = second.patience(Duration::from_secs(10));
    assert_eq!(second.response("GET").unwrap().status, 200, "the changed limit lets it in");
    drop((first, second));
    is_empty(&weir, "narrow");
}

#[test]
fn without_http2_its_preface_ends_the_connection() {
    let weir = Weir::start();
    let address = add_with(&weir, "plain", json!({"http2": false}));
    let mut client = Wire::connect(address);
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    // To HTTP/1.1 it is a malformed request like any other.
    assert_eq!(client.response("GET").unwrap().status, 400);
    assert!(client.is_closed());
    assert_eq!(Wire::connect(address).get("/").status, 503, "HTTP/1.1 is spoken");
}

#[test]
fn a_flag_wins_over_the_api_and_says_so() {
    let origin = Origin::named("origin");
    let weir = Launch::default().arg("--max-uri-bytes").arg("300").start();
    weir.api().set_default(&config::plain(&[origin.address()]));
    let shown = listener(&weir, "default");
    assert_eq!(shown["max_uri_bytes"], 300);
    let refused =
        weir.api().patch("/v1/listeners/default", &json!({"max_uri_bytes": 400})).expect(422).json();
    assert_eq!(refused["errors"][0]["pointer"], "#/max_uri_bytes");
    assert!(refused["errors"][0]["detail"].as_str().unwrap().contains("--max-uri-bytes"), "{refused}");
    // What was read can be put back, and what the flag does not say be changed.
    weir.api().put("/v1/listeners/default", &shown).assert(200);
    weir.api().patch("/v1/listeners/default", &json!({"max_headers": 11, "max_uri_bytes": 300})).assert(200);
    weir.api().delete("/v1/listeners/default").assert(409);
    let lines: String = (0..12).map(|n| format!("X-{n}: 1\r\n")).collect();
    let mut client = weir.client();
    assert_eq!(client.exchange(format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n")).status, 431);
}

#[test]
fn what_a_listener_turns_is_told_to_who_listens_for_events() {
    let weir = Weir::start();
    let mut events = EventStream::open(weir.admin(), "/v1/events?topics=listeners");
    let address = add_with(&weir, "told", json!({}));
    let told = events.until("the listener is bound", |told| told.data["listener"] == "told");
    assert_eq!((&told.data["event"], &told.data["address"]), (&json!("bound"), &json!(address.to_string())));
    weir.api().delete("/v1/listeners/told").assert(204);
    events.until("the listener is gone", |told| {
        told.data["listener"] == "told" && told.data["event"] == "closed"
    });
}
