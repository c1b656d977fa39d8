//! Connections to servers over TLS.

use std::time::Duration;

use serde_json::{Value, json};
use weir_tests::eventually::eventually;
use weir_tests::weir::Weir;

use crate::pki::Authority;
use crate::server::Server;

/// Puts the upstream `default` with `server` alone, checked by `check` and secured by `tls`.
fn upstream(weir: &Weir, server: &Server, check: Value, tls: Value) {
    let servers = [json!({"id": "one", "address": server.address().to_string()})];
    let mut check = check;
    check["interval"] = json!("200ms");
    check["timeout"] = json!("150ms");
    weir.api().set_default(&json!({"servers": servers, "health_check": check, "tls": tls}));
}

fn health(weir: &Weir) -> Value {
    weir.api().get("/v1/upstreams/default/servers/one/health").expect(200).json()
}

fn becomes(weir: &Weir, state: &str) -> Value {
    eventually(state, || Some(health(weir)).filter(|health| health["state"] == state))
}

#[test]
fn requests_and_checks_go_over_connections_that_are_secured_and_kept() {
    let (weir, authority) = (Weir::start(), Authority::new());
    let server = Server::start(&authority.sign(&["a.test"]), None);
    assert_eq!(weir.api().post("/v1/certificates", &authority.body("roots")).status(), 201);
    let tls = json!({"enabled": true, "ca": "roots", "server_name": "a.test"});
    upstream(&weir, &server, json!({"path": "/"}), tls.clone());
    let checked = becomes(&weir, "healthy");
    assert!(checked["check"]["url"].as_str().unwrap().starts_with("https://"), "{checked}");
    let before = server.requests();
    let mut client = weir.client();
    let large = "y".repeat(300_000);
    for _ in 0..5 {
        let answer = client.post("/", &large);
        assert_eq!((answer.status, answer.body.len()), (200, 100_007), "{:?}", answer.fields);
        assert!(answer.body.starts_with(b"300000 "));
    }
    assert_eq!(server.requests() - before, 5);
    let health = health(&weir);
    assert_eq!(health["connections"]["idle"], 1, "one connection is kept for all: {health}");
    assert!(server.names().iter().all(|name| name.as_deref() == Some("a.test")));
    assert!(server.resumed() > 0, "checks go on with the sessions of earlier ones: {}", server.connections());
    upstream(&weir, &server, json!({"type": "tcp"}), tls);
    let checked = becomes(&weir, "healthy");
    assert!(checked["check"]["url"].as_str().unwrap().starts_with("tls://"), "{checked}");
    weir.assert_no_errors();
}

#[test]
fn a_server_that_cannot_prove_who_it_is_gets_nothing() {
    let (weir, authority) = (Weir::start(), Authority::new());
    assert_eq!(weir.api().post("/v1/certificates", &authority.body("roots")).status(), 201);
    for (identity, says) in [
        (authority.sign(&["b.test"]), "another name"),
        (Authority::new().sign(&["a.test"]), "nobody who is trusted"),
        (authority.sign_expired(&["a.test"]), "expired"),
    ] {
        let server = Server::start(&identity, None);
        let tls = json!({"enabled": true, "ca": "roots", "server_name": "a.test"});
        upstream(&weir, &server, json!({"path": "/"}), tls);
        let checked = becomes(&weir, "unhealthy");
        assert_eq!(checked["reason"], "tls_error");
        assert!(checked["detail"].as_str().unwrap().contains(says), "{checked}");
        // Without checks a request finds out.
        let tls = json!({"enabled": true, "ca": "roots", "server_name": "a.test"});
        upstream(&weir, &server, json!({"enabled": false}), tls);
        let answer = weir.client().get("/");
        let told = answer.fields.one("proxy-status").unwrap_or_default().to_owned();
        assert_eq!(answer.status, 502, "{told}");
        assert!(told.contains("error=tls_certificate_error") && told.contains(says), "{told}");
        assert_eq!(server.requests(), 0);
        let off = json!({"enabled": true, "verify": "off", "server_name": "a.test"});
        upstream(&weir, &server, json!({"enabled": false}), off);
        assert_eq!(weir.client().get("/").status, 200, "{says}");
    }
}

#[test]
fn a_server_without_tls_and_one_with_it_unasked_are_told_apart() {
    let (weir, authority) = (Weir::start(), Authority::new());
    let server = Server::start(&authority.sign(&["a.test"]), None);
    upstream(&weir, &server, json!({"enabled": false}), json!({}));
    assert_eq!(weir.client().get("/").status, 502);
    let plain = weir_tests::origin::Origin::named("plain");
    let servers = [json!({"id": "one", "address": plain.address().to_string()})];
    let tls = json!({"enabled": true, "verify": "off"});
    weir.api().set_default(&json!({"servers": servers, "health_check": {"enabled": false}, "tls": tls}));
    let answer = weir.client().get("/");
    let told = answer.fields.one("proxy-status").unwrap_or_default().to_owned();
    assert_eq!(answer.status, 502, "{told}");
    assert!(told.contains("tls_protocol_error") || told.contains("connection_terminated"), "{told}");
}

#[test]
fn a_server_that_demands_a_certificate_is_shown_one() {
    let (weir, authority) = (Weir::start(), Authority::new());
    assert_eq!(weir.api().post("/v1/certificates", &authority.body("roots")).status(), 201);
    assert_eq!(
        weir.api().post("/v1/certificates", &authority.sign(&["weir.test"]).body("own")).status(),
        201
    );
    let server = Server::start(&authority.sign(&["a.test"]), Some(&authority));
    let anonymous = json!({"enabled": true, "ca": "roots", "server_name": "a.test"});
    upstream(&weir, &server, json!({"enabled": false}), anonymous.clone());
    let answer = weir.client().get("/");
    let told = answer.fields.one("proxy-status").unwrap_or_default().to_owned();
    assert_eq!(answer.status, 502, "{told}");
    assert!(told.contains("tls_alert_received") && told.contains("certificate_required"), "{told}");
    let mut known = anonymous;
    known["certificate"] = json!("own");
    upstream(&weir, &server, json!({"path": "/"}), known);
    becomes(&weir, "healthy");
    assert_eq!(weir.client().get("/").status, 200);
}

#[test]
fn a_connection_is_not_used_on_when_another_proof_is_demanded() {
    let (weir, authority) = (Weir::start(), Authority::new());
    assert_eq!(weir.api().post("/v1/certificates", &authority.body("roots")).status(), 201);
    let server = Server::start(&Authority::new().sign(&["a.test"]), None);
    let off = json!({"enabled": true, "verify": "off", "ca": "roots", "server_name": "a.test"});
    upstream(&weir, &server, json!({"enabled": false}), off.clone());
    let mut client = weir.client();
    assert_eq!(client.get("/").status, 200);
    let mut full = off.clone();
    full["verify"] = json!("full");
    upstream(&weir, &server, json!({"enabled": false}), full);
    assert_eq!(client.get("/").status, 502, "the connection that was there proves nothing");
    upstream(&weir, &server, json!({"enabled": false}), off);
    assert_eq!(client.get("/").status, 200);
}

#[test]
fn a_handshake_that_hangs_ends_with_the_connect_timeout() {
    let weir = Weir::start();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let servers = [json!({"id": "one", "address": silent.local_addr().unwrap().to_string()})];
    weir.api().set_default(&json!({
        "servers": servers, "health_check": {"enabled": false}, "tls": {"enabled": true}, "connect_timeout": "300ms"
    }));
    let began = std::time::Instant::now();
    let answer = weir.client().get("/");
    assert_eq!(answer.status, 504, "{:?}", answer.fields);
    assert!(began.elapsed() >= Duration::from_millis(300));
}
