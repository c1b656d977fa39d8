//! Connections that could not be made any more: what a listener asks of its clients holds for those that are there, too.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use rustls::version::{TLS12, TLS13};
use rustls::{ClientConnection, StreamOwned};
use serde_json::json;
use weir_tests::client::Wire;
use weir_tests::frame_client::{Frames, GOAWAY, HEADERS, get};
use weir_tests::origin::Origin;
use weir_tests::weir::Weir;

use crate::client::{connect, listen};
use crate::pki::Authority;

type Secured = StreamOwned<ClientConnection, TcpStream>;

/// The head of the answer to one more request, in lower case; empty when the connection has ended.
fn ask(client: &mut Secured) -> String {
    let mut answer = Vec::new();
    if client.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").is_err() {
        return String::new();
    }
    let mut piece = [0; 4096];
    while !answer.ends_with(b"one") && !answer.ends_with(b"}") {
        match client.read(&mut piece) {
            Ok(count @ 1..) => answer.extend_from_slice(&piece[..count]),
            Ok(0) | Err(_) => break,
        }
    }
    String::from_utf8(answer).unwrap().to_ascii_lowercase()
}

#[test]
fn what_is_asked_of_clients_holds_for_open_connections() {
    let (weir, authority, server) = (Weir::start(), Authority::new(), Origin::named("one"));
    assert_eq!(weir.api().post("/v1/certificates", &authority.sign(&["a.test"]).body("site")).status(), 201);
    assert_eq!(weir.api().post("/v1/certificates", &authority.body("clients")).status(), 201);
    let asking =
        |mode: &str, ca: &str| json!({"certificates": ["site"], "client_auth": {"mode": mode, "ca": ca}});
    let change = |mode: &str, ca: &str| {
        weir.api().patch("/v1/listeners/edge", &json!({"tls": asking(mode, ca)})).assert(200);
    };
    let edge = listen(&weir, &server, &asking("optional", "clients"));
    let own = authority.sign(&["client.test"]);
    let open =
        |identity| connect(edge, &authority.client(&[&TLS13], &["http/1.1"], identity), "a.test").unwrap();
    let (mut named, mut unnamed) = (open(Some(&own)), open(None));
    for client in [&mut named, &mut unnamed] {
        assert!(ask(client).starts_with("http/1.1 200 "));
    }
    // Nothing more is asked: a certificate of the listener's own, and less than before.
    weir.api().put("/v1/certificates/site", &authority.sign(&["a.test"]).body("site")).assert(200);
    for client in [&mut named, &mut unnamed] {
        let answer = ask(client);
        assert!(answer.starts_with("http/1.1 200 ") && !answer.contains("connection: close"), "{answer}");
    }
    change("required", "clients");
    let refused = ask(&mut unnamed);
    assert!(refused.starts_with("http/1.1 421 ") && refused.contains("connection: close"), "{refused}");
    assert_eq!(ask(&mut unnamed), "", "and closed");
    assert!(ask(&mut named).starts_with("http/1.1 200 "));
    assert_eq!(server.seen().len(), 5, "no server has heard of what was refused");
    // Whoever vouched for the client is not believed any more.
    assert_eq!(weir.api().post("/v1/certificates", &Authority::new().body("others")).status(), 201);
    change("optional", "others");
    assert!(ask(&mut named).starts_with("http/1.1 421 "));
    weir.assert_no_errors();
}

#[test]
fn a_version_that_is_spoken_no_more_ends_with_the_next_request() {
    let (weir, authority, server) = (Weir::start(), Authority::new(), Origin::named("one"));
    assert_eq!(weir.api().post("/v1/certificates", &authority.sign(&["a.test"]).body("site")).status(), 201);
    let edge = listen(&weir, &server, &json!({"certificates": ["site"]}));
    let open = |version| connect(edge, &authority.client(&[version], &["http/1.1"], None), "a.test").unwrap();
    let (mut older, mut newer) = (open(&TLS12), open(&TLS13));
    for client in [&mut older, &mut newer] {
        assert!(ask(client).starts_with("http/1.1 200 "));
    }
    weir.api().patch("/v1/listeners/edge", &json!({"tls": {"min_version": "1.3"}})).assert(200);
    assert!(ask(&mut newer).starts_with("http/1.1 200 "));
    let refused = ask(&mut older);
    assert!(refused.starts_with("http/1.1 421 ") && refused.contains("connection: close"), "{refused}");
    assert_eq!(ask(&mut older), "", "and closed");
    assert_eq!(server.seen().len(), 3, "no server has heard of what was refused");
    weir.assert_no_errors();
}

#[test]
fn a_listener_that_is_secured_serves_no_plain_text_any_more() {
    let (weir, authority, server) = (Weir::start(), Authority::new(), Origin::named("one"));
    assert_eq!(weir.api().post("/v1/certificates", &authority.sign(&["a.test"]).body("site")).status(), 201);
    let servers = [server.address().to_string()];
    weir.api().set_default(&json!({"servers": servers, "health_check": {"enabled": false}}));
    let made =
        weir.api().post("/v1/listeners", &json!({"id": "edge", "address": "127.0.0.1:0"})).expect(201).json();
    let edge: SocketAddr = made["status"]["address"].as_str().unwrap().parse().unwrap();
    let (mut plain, mut frames) = (Wire::connect(edge), Frames::connect(edge, &[]));
    assert!(plain.get("/").status == 200 && frames.is_served(1));
    let secured = json!({"protocol": "https", "tls": {"certificates": ["site"]}});
    weir.api().patch("/v1/listeners/edge", &secured).assert(200);
    let refused = plain.get("/");
    assert!(refused.status == 421 && refused.announces_close() && plain.is_closed(), "{refused:?}");
    frames.request(3, &get("/"));
    let (mut is_refused, mut is_told) = (false, false);
    while let Some(frame) = frames.read() {
        is_refused |= frame.kind == HEADERS && frame.stream == 3;
        is_told |= frame.kind == GOAWAY;
        if is_refused && is_told {
            break;
        }
    }
    assert!(is_refused && is_told);
    assert_eq!(server.seen().len(), 2);
}
