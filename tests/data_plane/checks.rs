//! What checks ask for beyond a status: a text in the body, gRPC's own protocol; and how soon they look again.

use std::net::SocketAddr;
use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use weir_tests::config;
use weir_tests::eventually::eventually;
use weir_tests::grpc::{HealthServer, Serving};
use weir_tests::origin::Origin;
use weir_tests::reply::{self, Step};
use weir_tests::weir::Weir;

fn await_reason(weir: &Weir, server: SocketAddr, reason: Option<&str>) -> Value {
    eventually(&format!("the reason is {reason:?}"), || {
        let health = weir.api().server_health(server);
        let is_checked = health["check"]["total"].as_u64() > Some(0);
        (is_checked && health["reason"] == json!(reason)).then_some(health)
    })
}

fn checked(servers: &[SocketAddr], check: Value) -> Value {
    let mut quick = json!({
        "interval": "100ms", "timeout": "90ms", "healthy_threshold": 1, "unhealthy_threshold": 1, "jitter_percent": 0,
    });
    for (name, value) in check.as_object().unwrap() {
        quick[name] = value.clone();
    }
    config::with(servers, &json!({ "health_check": quick }))
}

#[test]
fn the_body_has_to_hold_the_text() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                   9\r\n{\"ready\":\r\n5\r\ntrue}\r\n0\r\n\r\n";
    let well = Origin::script(move |_| reply::raw(chunked));
    let ill = Origin::script(|_| vec![Step::Send(reply::message("200 OK", &[], "{\"ready\":false}"))]);
    let weir = Weir::start();
    let check = json!({ "path": "/ready", "expected_body": "\"ready\":true" });
    weir.api().set_default(&checked(&[well.address(), ill.address()], check));
    await_reason(&weir, well.address(), None);
    let health = await_reason(&weir, ill.address(), Some("body_mismatch"));
    let detail = health["detail"].as_str().unwrap();
    assert!(detail.contains("/ready") && detail.contains("\"ready\":true"), "{detail}");
    // Another text, and the verdicts turn.
    let check = json!({ "health_check": { "expected_body": "false}" } });
    weir.api().patch("/v1/upstreams/default", &check).assert(200);
    await_reason(&weir, ill.address(), None);
    await_reason(&weir, well.address(), Some("body_mismatch"));
}

#[test]
fn a_grpc_server_is_healthy_while_it_serves() {
    let server = HealthServer::start("shop.Cart");
    let weir = Weir::start();
    let check = json!({ "type": "grpc", "grpc_service": "shop.Cart" });
    weir.api().set_default(&checked(&[server.address()], check));
    let health = await_reason(&weir, server.address(), None);
    assert_eq!((&health["state"], &health["check"]["type"]), (&json!("healthy"), &json!("grpc")));
    let url = health["check"]["url"].as_str().unwrap();
    assert_eq!(url, format!("grpc://{}/shop.Cart", server.address()));
    server.say(Serving::No);
    let health = await_reason(&weir, server.address(), Some("grpc_not_serving"));
    assert!(health["detail"].as_str().unwrap().contains("NOT_SERVING"), "{health}");
    assert_eq!(health["eligible"], false);
    server.say(Serving::Yes);
    await_reason(&weir, server.address(), None);
    let other = json!({ "health_check": { "grpc_service": "shop.Till" } });
    weir.api().patch("/v1/upstreams/default", &other).assert(200);
    await_reason(&weir, server.address(), Some("grpc_service_unknown"));
}

#[test]
fn what_does_not_go_together_is_pointed_at() {
    let weir = Weir::start();
    for (check, pointer) in [
        (json!({ "type": "grpc", "path": "/" }), "path"),
        (json!({ "type": "grpc", "expected_body": "x" }), "expected_body"),
        (json!({ "type": "tcp", "expected_body": "x" }), "expected_body"),
        (json!({ "type": "http", "expected_body": "" }), "expected_body"),
        (json!({ "type": "http", "method": "HEAD", "expected_body": "x" }), "expected_body"),
        (json!({ "type": "http", "grpc_service": "x" }), "grpc_service"),
        (json!({ "type": "grpc", "grpc_service": "a b" }), "grpc_service"),
        (json!({ "fast_interval": "1ms" }), "fast_interval"),
        (json!({ "type": "grpc", "headers": { "te": "x" } }), "headers/te"),
    ] {
        let document = json!({ "id": "a", "health_check": check });
        let answer = weir.api().post("/v1/upstreams", &document).expect(422).json();
        let expected = format!("#/health_check/{pointer}");
        assert_eq!(answer["errors"][0]["pointer"], expected, "{check}: {answer}");
    }
}

#[test]
fn a_verdict_that_is_turning_is_looked_at_again_soon() {
    let status = Arc::new(AtomicU8::new(200));
    let said = Arc::clone(&status);
    let origin = Origin::script(move |_| {
        let line = if said.load(Ordering::SeqCst) == 200 { "200 OK" } else { "500 Oops" };
        vec![Step::Send(reply::message(line, &[], ""))]
    });
    let weir = Weir::start();
    // At the interval alone nine more failures would take a minute.
    let check = json!({
        "path": "/", "interval": "6s", "fast_interval": "100ms", "timeout": "2s",
        "healthy_threshold": 10, "unhealthy_threshold": 10,
    });
    weir.api().set_default(&checked(&[origin.address()], check));
    await_reason(&weir, origin.address(), None);
    status.store(50, Ordering::SeqCst);
    let began = Instant::now();
    let health = await_reason(&weir, origin.address(), Some("status_mismatch"));
    assert_eq!(health["check"]["consecutive_failed"], 10, "{health}");
    assert!(began.elapsed() < Duration::from_secs(30));
}
