//! What is spoken to servers over TLS: as said, or as they choose.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};
use weir_tests::eventually::eventually;
use weir_tests::weir::Weir;

use crate::pki::{Authority, Identity};
use crate::speaker::Speaker;

/// A Weir that believes the authority, which signs the certificate of servers.
fn scene() -> (Weir, Authority, Identity) {
    let (weir, authority) = (Weir::start(), Authority::new());
    assert_eq!(weir.api().post("/v1/certificates", &authority.body("roots")).status(), 201);
    let identity = authority.sign(&["a.test"]);
    (weir, authority, identity)
}

/// Puts `servers` behind `weir`, with TLS and what `more` says.
fn behind(weir: &Weir, servers: &[&Speaker], more: &Value) {
    let servers: Vec<String> = servers.iter().map(|server| server.address().to_string()).collect();
    let tls = json!({"enabled": true, "ca": "roots", "server_name": "a.test"});
    let mut upstream = json!({"servers": servers, "tls": tls, "health_check": {"enabled": false}});
    upstream.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    weir.api().set_default(&upstream);
}

fn get(weir: &Weir) -> String {
    let answer = weir.client().get("/");
    assert_eq!(answer.status, 200, "{:?}", answer.fields);
    String::from_utf8(answer.body).unwrap()
}

#[test]
fn http2_to_servers_over_tls() {
    let (weir, _, identity) = scene();
    let server = Speaker::start(&identity, &["h2", "http/1.1"]);
    behind(&weir, &[&server], &json!({"protocol": "http2"}));
    let mut client = weir.client();
    for _ in 0..5 {
        let answer = client.post("/", &"y".repeat(300_000));
        assert_eq!((answer.status, answer.body.as_slice()), (200, &b"h2 300000"[..]), "{:?}", answer.fields);
    }
    let (http1, http2) = server.connections();
    assert!(http1 == 0 && (1..=2).contains(&http2), "one for each worker: {http1} {http2}");
    // Who agrees to HTTP/1.1 alone is no server of HTTP/2.
    let old = Speaker::start(&identity, &["http/1.1"]);
    behind(&weir, &[&old], &json!({"protocol": "http2"}));
    let answer = weir.client().get("/");
    let told = answer.fields.one("proxy-status").unwrap_or_default().to_owned();
    assert_eq!(answer.status, 502, "{told}");
    assert!(told.contains("tls_alert_received"), "{told}");
    weir.assert_no_errors();
}

#[test]
fn each_server_chooses_what_is_spoken_to_it() {
    let (weir, _, identity) = scene();
    let new = Speaker::start(&identity, &["h2", "http/1.1"]);
    let old = Speaker::start(&identity, &["http/1.1"]);
    let silent = Speaker::start(&identity, &[]);
    behind(&weir, &[&new, &old, &silent], &json!({"protocol": "auto", "algorithm": "round_robin"}));
    let told: Vec<String> = (0..30).map(|_| get(&weir)).collect();
    let count = |what: &str| told.iter().filter(|told| *told == what).count();
    // In turn at each worker.
    assert!(count("h1 0") >= 18 && count("h2 0") >= 8 && count("h1 0") + count("h2 0") == 30, "{told:?}");
    for (server, is_new) in [(&new, true), (&old, false), (&silent, false)] {
        let (http1, http2) = server.connections();
        assert!(if is_new { http1 == 0 && http2 <= 2 } else { http2 == 0 }, "{http1} {http2}");
    }
    let plain = weir_tests::origin::Origin::named("plain");
    let servers = [plain.address().to_string()];
    let upstream = json!({"servers": servers, "protocol": "auto", "health_check": {"enabled": false}});
    weir.api().set_default(&upstream);
    assert_eq!(get(&weir), "plain", "without TLS nothing is agreed on");
    weir.assert_no_errors();
}

/// Many requests at once make one connection to ask with, and then those that they need.
#[test]
fn a_burst_asks_once() {
    let (weir, _, identity) = scene();
    let server = Speaker::start(&identity, &["h2", "http/1.1"]);
    behind(&weir, &[&server], &json!({"protocol": "auto"}));
    let clients: Vec<_> = (0..40)
        .map(|_| {
            let mut client = weir.client();
            std::thread::spawn(move || client.get("/").status)
        })
        .collect();
    assert!(clients.into_iter().all(|client| client.join().unwrap() == 200));
    let (http1, http2) = server.connections();
    assert!(http1 == 0 && http2 <= 2, "one for each worker: {http1} {http2}");
}

#[test]
fn a_server_that_changes_its_mind_is_asked_again() {
    let (weir, _, identity) = scene();
    let server = Speaker::start(&identity, &["h2", "http/1.1"]);
    let upstream = json!({"protocol": "auto", "keepalive_connections": 0, "keepalive_time": "1s"});
    behind(&weir, &[&server], &upstream);
    assert_eq!(get(&weir), "h2 0");
    server.take(&identity, &["http/1.1"]);
    eventually("it is spoken to as it wants now", || (get(&weir) == "h1 0").then_some(()));
    server.take(&identity, &["h2", "http/1.1"]);
    eventually("and now", || (get(&weir) == "h2 0").then_some(()));

    let server = Speaker::start(&identity, &["http/1.1"]);
    behind(&weir, &[&server], &json!({"protocol": "auto", "keepalive_connections": 0}));
    assert_eq!(get(&weir), "h1 0");
    server.take(&identity, &["h2"]);
    let mut in_a_row = 0;
    eventually("a connection that cannot be opened is reason enough", || {
        let answer = weir.client().get("/");
        in_a_row = if answer.body == b"h2 0" { in_a_row + 1 } else { 0 };
        (in_a_row == 20).then_some(())
    });
}

/// An upgrade is asked for over HTTP/1.1, whatever else was agreed on.
#[test]
fn connections_are_switched_over_http1() {
    let (weir, _, identity) = scene();
    let server = Speaker::start(&identity, &["h2", "http/1.1"]);
    behind(&weir, &[&server], &json!({"protocol": "auto"}));
    assert_eq!(get(&weir), "h2 0");
    let mut client = TcpStream::connect(weir.data()).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let fields = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13";
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    write!(client, "GET / HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n{key}\r\n\r\n").unwrap();
    let mut head = [0; 12];
    client.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 101");
    assert_eq!(server.connections().0, 1);
}

#[test]
fn checks_speak_what_requests_do() {
    let (weir, _, identity) = scene();
    let both = Speaker::start(&identity, &["h2", "http/1.1"]);
    let old = Speaker::start(&identity, &["http/1.1"]);
    for (more, servers) in [
        (json!({"protocol": "auto"}), vec![&both, &old]),
        (json!({"protocol": "http2"}), vec![&both]),
        (json!({"protocol": "http2", "health_check": {"type": "grpc"}}), vec![&both]),
        (json!({"protocol": "auto", "health_check": {"type": "grpc"}}), vec![&both]),
    ] {
        let (before, mut more) = (both.connections().1, more);
        more["health_check"]["interval"] = json!("200ms");
        more["health_check"]["timeout"] = json!("150ms");
        more["health_check"]["path"] = json!("/");
        if more["health_check"]["type"] == "grpc" {
            more["health_check"].as_object_mut().unwrap().remove("path");
        }
        behind(&weir, &servers, &more);
        let health = eventually("all are checked and healthy", || {
            let health = weir.api().get("/v1/upstreams/default/health").expect(200).json();
            let is_well = health["servers"].as_array()?.iter().all(|server| {
                let check = &server["check"];
                server["state"] == "healthy" && check["last_ok"] == true && check["recheck_pending"] == false
            });
            (is_well && both.connections().1 > before).then_some(health)
        });
        assert_eq!(health["servers"].as_array().unwrap().len(), servers.len(), "{health}");
    }
    // One that speaks no HTTP/2 does not pass for a server of gRPC.
    let check = json!({"type": "grpc", "interval": "200ms", "timeout": "150ms"});
    behind(&weir, &[&old], &json!({"protocol": "http2", "health_check": check}));
    eventually("it is not healthy", || {
        let health = weir.api().get("/v1/upstreams/default/health").expect(200).json();
        let server = &health["servers"][0];
        (server["state"] == "unhealthy" && server["reason"] == "tls_error").then_some(())
    });
    weir.assert_no_errors();
}

/// Bytes are secured on their way to servers, and offer no protocol: a server may know none by name.
#[test]
fn connections_of_a_tcp_listener_are_secured_to_the_server() {
    let (weir, authority, identity) = scene();
    let server = Speaker::start(&identity, &["h2"]);
    behind(&weir, &[&server], &json!({}));
    let listener = json!({"address": "127.0.0.1:0", "protocol": "tcp", "upstream": "default"});
    assert_eq!(weir.api().put("/v1/listeners/raw", &listener).status(), 201);
    let address = eventually("the listener is bound", || {
        let shown = weir.api().get("/v1/listeners/raw").expect(200).json();
        shown["status"]["address"].as_str()?.parse::<std::net::SocketAddr>().ok()
    });
    let ask = || {
        let mut client = TcpStream::connect(address).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        write!(client, "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        // Of a server that is not believed nothing comes but a reset.
        let _ = client.read_to_end(&mut answer);
        String::from_utf8(answer).unwrap()
    };
    let answer = ask();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("h1 0"), "{answer}");
    server.take(&Authority::new().sign(&["a.test"]), &[]);
    assert_eq!(ask(), "", "nothing is passed on to who cannot prove who it is");
    server.take(&authority.sign(&["a.test"]), &[]);
    assert!(ask().starts_with("HTTP/1.1 200"));
    weir.assert_no_errors();
}
