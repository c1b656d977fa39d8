//! `Upgrade` over HTTP/1.1: RFC 9110 §7.8, RFC 9112 §9.9, RFC 6455 §4.

use std::thread;

use serde_json::json;
use weir_tests::client::Wire;
use weir_tests::config;
use weir_tests::eventually::eventually;
use weir_tests::origin::{Origin, Refusing};
use weir_tests::reply;
use weir_tests::switcher::{FAREWELL, Switcher, field, switching};
use weir_tests::weir::Weir;

use super::{asking, await_in_flight, await_tunnels, echo, in_front_of, switched};
use crate::semantics::{assert_own_error, metric};

#[test]
fn bytes_go_both_ways_until_both_sides_have_ended() {
    let server = Switcher::willing();
    let weir = in_front_of(&[&server], &json!({}));
    let mut client = switched(&weir);
    assert_eq!(echo(&mut client, b"hello"), b"hello");
    await_tunnels(&weir, 1);
    await_in_flight(&weir, &server, 1);
    // The client has ended; the server has not said its last word.
    client.finish();
    assert_eq!(client.rest().unwrap(), FAREWELL);
    await_tunnels(&weir, 0);
    await_in_flight(&weir, &server, 0);
    assert_eq!(metric(&weir, "weir_tunnels_total"), 1);
    assert_eq!(metric(&weir, "weir_client_aborts_total"), 0);
    weir.assert_no_errors();
}

#[test]
fn the_request_and_the_answer_keep_what_the_protocol_needs() {
    let server = Switcher::start(|_| {
        switching("websocket", &["Sec-WebSocket-Accept: proof", "Keep-Alive: timeout=5"])
    });
    let weir = in_front_of(&[&server], &json!({}));
    let mut client = weir.client();
    client.send(asking(
        "Sec-WebSocket-Key: key\r\nSec-WebSocket-Version: 13\r\nKeep-Alive: 5\r\nTE: trailers\r\n",
    ));
    let (_, status, fields) = client.response_head().unwrap();
    assert_eq!(status, 101);
    assert_eq!(fields.list("connection"), ["upgrade"]);
    assert_eq!(
        (fields.one("upgrade"), fields.one("sec-websocket-accept")),
        (Some("websocket"), Some("proof"))
    );
    assert!(!fields.has("keep-alive") && !fields.has("content-length") && !fields.has("transfer-encoding"));
    let head = server.only();
    assert_eq!((field(&head, "connection"), field(&head, "upgrade")), (Some("upgrade"), Some("websocket")));
    assert_eq!(
        (field(&head, "sec-websocket-key"), field(&head, "sec-websocket-version")),
        (Some("key"), Some("13"))
    );
    assert_eq!((field(&head, "keep-alive"), field(&head, "te")), (None, None));
}

/// As clients of container runtimes ask.
#[test]
fn a_request_with_an_empty_body_may_switch() {
    let server = Switcher::willing();
    let weir = in_front_of(&[&server], &json!({}));
    let mut client = weir.client();
    client.send(asking("Content-Length: 0\r\n").replace("GET /", "POST /"));
    assert_eq!(client.response_head().unwrap().1, 101);
    assert_eq!(echo(&mut client, b"attached"), b"attached");
    assert!(server.only().starts_with("POST /chat HTTP/1.1\r\n"), "{}", server.only());
}

/// What was sent in one go with the head, or comes with the answer, belongs to the new protocol.
#[test]
fn bytes_that_come_with_the_heads_are_not_lost() {
    let server = Switcher::start(|_| [switching("websocket", &[]), b"welcome ".to_vec()].concat());
    let weir = in_front_of(&[&server], &json!({}));
    let mut client = weir.client();
    client.send(asking("") + "early");
    assert_eq!(client.response_head().unwrap().1, 101);
    let mut received = Vec::new();
    while received.len() < 13 {
        received.extend(client.some().unwrap());
    }
    assert_eq!(received, b"welcome early");
}

#[test]
fn much_goes_both_ways_at_once() {
    const SIZE: usize = 8 << 20;
    let server = Switcher::willing();
    let weir = in_front_of(&[&server], &json!({}));
    let client = switched(&weir);
    let content: Vec<u8> = (0..SIZE).map(|place| (place % 251) as u8).collect();
    let mut reader = Wire::of(client.stream().try_clone().unwrap());
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut writer = Wire::of(client.stream().try_clone().unwrap());
            writer.try_send(&content).unwrap();
            writer.finish();
        });
        let received = reader.rest().unwrap();
        assert_eq!(received.len(), SIZE + FAREWELL.len());
        assert!(received.starts_with(&content));
    });
}

/// Each of these is an ordinary request to the server, as if the client had not asked.
#[test]
fn what_may_not_be_switched_is_not_asked_for() {
    let websocket = json!({});
    let cases = [
        ("not in the list", json!({"upgrades": []}), asking("")),
        ("another one is in the list", json!({"upgrades": ["echo/2"]}), asking("")),
        (
            "h2c",
            websocket.clone(),
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n"
                .to_owned(),
        ),
        (
            "Connection does not name it",
            websocket.clone(),
            "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n".to_owned(),
        ),
        (
            "HTTP/1.0",
            websocket.clone(),
            "GET / HTTP/1.0\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n".to_owned(),
        ),
        ("with a body", websocket.clone(), asking("Content-Length: 5\r\n") + "hello"),
        ("with chunks", websocket, asking("Transfer-Encoding: chunked\r\n") + "0\r\n\r\n"),
    ];
    for (what, more, request) in cases {
        let origin = Origin::named("origin");
        let weir = Weir::start();
        weir.api().set_default(&config::with(&[origin.address()], &more));
        let response = weir.client().exchange(request);
        assert_eq!((response.status, response.text().as_str()), (200, "origin"), "{what}");
        assert_eq!(origin.violations(), Vec::<String>::new(), "{what}");
    }
}

/// Of several protocols those that are allowed are passed on, as they are written.
#[test]
fn only_allowed_protocols_are_offered() {
    let server = Switcher::start(|_| switching("echo/2", &[]));
    let weir = in_front_of(&[&server], &json!({"upgrades": ["Echo/2", "websocket"]}));
    let mut client = weir.client();
    client
        .send(asking("").replace("Upgrade: websocket", "Upgrade: h2c, WebSocket\r\nUpgrade: echo/2,tls/1.2"));
    let (_, status, fields) = client.response_head().unwrap();
    assert_eq!((status, fields.one("upgrade")), (101, Some("echo/2")));
    assert_eq!(field(&server.only(), "upgrade"), Some("WebSocket, echo/2"));
}

/// What follows the request is the next request, unless the server has said 101: no client can hide a request from the
/// proxy by claiming that it speaks something else.
#[test]
fn an_answer_that_is_no_switch_is_an_ordinary_answer() {
    let server = Switcher::start(|head| {
        let (status, body) =
            if head.starts_with("GET /chat ") { ("426 Upgrade Required", "no") } else { ("200 OK", "next") };
        reply::message(status, &["Connection: close"], body)
    });
    let weir = in_front_of(&[&server], &json!({}));
    let mut client = weir.client();
    client.send(asking("") + "GET /next HTTP/1.1\r\nHost: weir.test\r\n\r\n");
    let response = client.response("GET").unwrap();
    assert_eq!((response.status, response.text().as_str()), (426, "no"));
    assert_eq!(client.response("GET").unwrap().text(), "next");
    assert!(server.heads()[1].starts_with("GET /next "), "{:#?}", server.heads());
    assert_eq!(metric(&weir, "weir_tunnels_total"), 0);
}

#[test]
fn a_switch_that_was_not_asked_for_is_an_error() {
    let asked = asking("");
    let plain = "GET / HTTP/1.1\r\nHost: weir.test\r\n\r\n";
    for (what, request, answer) in [
        ("unasked", plain, switching("websocket", &[])),
        ("another protocol", &asked, switching("echo/2", &[])),
        ("two protocols", &asked, switching("websocket, echo/2", &[])),
        ("no protocol", &asked, b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n\r\n".to_vec()),
        (
            "a field for one connection that is not named",
            &asked,
            b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\n\r\n".to_vec(),
        ),
    ] {
        let server = Switcher::start(move |_| answer.clone());
        let weir = in_front_of(&[&server], &json!({}));
        let response = weir.client().exchange(request);
        assert_own_error(&response, 502, "http_upgrade_failed");
        assert_eq!(metric(&weir, "weir_tunnels_total"), 0, "{what}");
        assert_eq!(server.heads().len(), 1, "{what}: nobody else is asked");
        weir.assert_no_errors();
    }
}

#[test]
fn a_server_that_cannot_be_reached_is_passed_over() {
    let (refusing, server) = (Refusing::start(), Switcher::willing());
    let weir = Weir::start();
    let servers = [refusing.address(), server.address()];
    weir.api().set_default(&config::with(&servers, &json!({"algorithm": "round_robin"})));
    for _ in 0..6 {
        assert_eq!(echo(&mut switched(&weir), b"x"), b"x");
    }
    assert_eq!(server.heads().len(), 6);
}

/// A client that breaks off takes the server's connection with it, and the other way round.
#[test]
fn one_side_that_breaks_ends_both() {
    let server = Switcher::willing();
    let weir = in_front_of(&[&server], &json!({}));
    let mut client = switched(&weir);
    echo(&mut client, b"x");
    client.reset();
    await_tunnels(&weir, 0);
    await_in_flight(&weir, &server, 0);
    let mut client = switched(&weir);
    drop(server);
    assert!(client.is_closed());
    // Only writing tells it from a server that has no more to say, but listens.
    eventually("the tunnel has ended", || {
        client.send("x");
        (metric(&weir, "weir_tunnels_active") == 0).then_some(())
    });
}
