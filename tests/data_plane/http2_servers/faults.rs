//! Servers of HTTP/2 that break its rules, or stop: each request gets a documented answer within its time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use serde_json::json;
use weir_tests::client::Response;
use weir_tests::eventually::PATIENCE;
use weir_tests::frames::{self, CONTINUATION, DATA, END_HEADERS, END_STREAM, FrameServer, HEADERS, Peer};
use weir_tests::origin::{Origin, Refusing};
use weir_tests::reply::Gate;
use weir_tests::weir::Weir;

use super::{in_front_of, in_front_of_all};

/// What a client gets from a server that reads one request and then does this.
fn answer_of(method: &str, act: impl Fn(&mut Peer, u32) + Send + Sync + 'static) -> Response {
    let server = FrameServer::start(move |_, peer| {
        peer.greet(&[]);
        if let Some(stream) = peer.request() {
            act(peer, stream);
            peer.drain();
        }
    });
    let weir = in_front_of(server.address(), &json!({ "response_timeout": "1s" }));
    let response = if method == "POST" { weir.client().post("/", "x") } else { weir.client().get("/") };
    weir.assert_no_errors();
    response
}

fn assert_error(response: &Response, status: u16, error: &str) {
    let proxy_status = response.fields.one("proxy-status").unwrap_or_default();
    assert_eq!(
        (response.status, proxy_status),
        (status, format!("weir; error={error}").as_str()),
        "{response:?}"
    );
}

#[test]
fn what_breaks_the_rules_is_no_answer() {
    type Act = fn(&mut Peer, u32);
    let acts: [(&str, Act); 9] = [
        ("a head without a status", |peer, stream| {
            peer.send(HEADERS, END_HEADERS | END_STREAM, stream, &frames::fields(&[("x", "y")]));
        }),
        ("content before a head", |peer, stream| peer.send(DATA, END_STREAM, stream, b"x")),
        ("a field of the connection", |peer, stream| {
            let head = frames::fields(&[(":status", "200"), ("connection", "x")]);
            peer.send(HEADERS, END_HEADERS | END_STREAM, stream, &head);
        }),
        ("an uppercase name", |peer, stream| {
            let head = frames::fields(&[(":status", "200"), ("X-Upper", "x")]);
            peer.send(HEADERS, END_HEADERS | END_STREAM, stream, &head);
        }),
        ("two lengths", |peer, stream| {
            let head =
                frames::fields(&[(":status", "200"), ("content-length", "1"), ("content-length", "2")]);
            peer.send(HEADERS, END_HEADERS, stream, &head);
        }),
        ("a stream nobody opened", |peer, _| {
            peer.send(HEADERS, END_HEADERS | END_STREAM, 101, &frames::fields(&[(":status", "200")]));
        }),
        ("a frame larger than allowed", |peer, stream| peer.send(DATA, 0, stream, &[0; 100_000])),
        ("compression that is none", |peer, stream| peer.send(HEADERS, END_HEADERS, stream, &[0xff; 20])),
        ("no frames", |peer, _| peer.write(&b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".repeat(10))),
    ];
    for (what, act) in acts {
        let response = answer_of("GET", act);
        assert_eq!(response.status, 502, "{what}: {response:?}");
        assert_error(&response, 502, "http_protocol_error");
    }
}

#[test]
fn a_head_that_never_ends_is_cut_off() {
    let began = Instant::now();
    let response = answer_of("GET", |peer, stream| {
        peer.send(HEADERS, 0, stream, &frames::fields(&[(":status", "200")]));
        for _ in 0..5000 {
            peer.send(CONTINUATION, 0, stream, &frames::fields(&[("x-more", &"y".repeat(100))]));
        }
    });
    assert_error(&response, 502, "http_protocol_error");
    assert!(began.elapsed() < PATIENCE);
}

#[test]
fn a_head_that_is_too_large_is_refused() {
    let response = answer_of("GET", |peer, stream| {
        let field = frames::fields(&[("x-more", &"y".repeat(120))]);
        let mut left = field.repeat(1000);
        peer.send(HEADERS, 0, stream, &frames::fields(&[(":status", "200")]));
        while !left.is_empty() {
            let rest = left.split_off(left.len().min(16_000));
            peer.send(CONTINUATION, if rest.is_empty() { END_HEADERS } else { 0 }, stream, &left);
            left = rest;
        }
    });
    assert_eq!(response.status, 502, "{response:?}");
}

#[test]
fn a_silent_server_is_given_up() {
    let response = answer_of("GET", |_, _| {});
    assert_error(&response, 504, "http_response_timeout");
}

#[test]
fn a_reset_is_repeated_only_if_the_request_may_be() {
    for (method, status, requests) in [("GET", 200, 2), ("POST", 502, 1)] {
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        let server = FrameServer::start(move |_, peer| {
            peer.greet(&[]);
            while let Some(stream) = peer.request() {
                match counted.fetch_add(1, Ordering::SeqCst) {
                    0 => peer.reset(stream, frames::INTERNAL_ERROR),
                    _ => peer.answer(stream, "well"),
                }
            }
        });
        let weir = in_front_of(server.address(), &json!({ "retries": { "attempts": 1 } }));
        let mut client = weir.client();
        let response = if method == "POST" { client.post("/", "x") } else { client.get("/") };
        assert_eq!((response.status, count.load(Ordering::SeqCst)), (status, requests), "{method}");
        assert_eq!(client.get("/").status, 200, "the connection is used on");
        assert_eq!(server.connections(), 1);
    }
}

/// A response that breaks off is seen to by the client: it is not a shorter one.
#[test]
fn a_response_that_breaks_off_is_broken_off() {
    let gate = Gate::default();
    let held = gate.clone();
    let server = FrameServer::start(move |_, peer| {
        peer.greet(&[]);
        let stream = peer.request().unwrap();
        peer.send(HEADERS, END_HEADERS, stream, &frames::fields(&[(":status", "200")]));
        peer.send(DATA, 0, stream, b"half");
        held.pass();
        peer.reset(stream, frames::INTERNAL_ERROR);
        peer.drain();
    });
    let weir = in_front_of(server.address(), &json!({}));
    let mut client = weir.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let (_, status, fields) = client.response_head().unwrap();
    assert_eq!((status, fields.one("transfer-encoding")), (200, Some("chunked")));
    gate.open();
    let rest = client.rest().map(|rest| String::from_utf8_lossy(&rest).into_owned());
    assert!(!rest.is_ok_and(|rest| rest.ends_with("0\r\n\r\n")), "half a response passed for a whole one");
}

/// A server that opens no window gets no more of a request, and the request an answer in time.
#[test]
fn a_window_that_stays_shut_is_given_up() {
    let server = FrameServer::start(|_, peer| {
        peer.greet(&[(frames::INITIAL_WINDOW_SIZE, 100)]);
        let mut received = 0;
        while let Some(frame) = peer.next(DATA) {
            received += frame.payload.len();
            assert!(received <= 100);
        }
    });
    let weir = in_front_of(server.address(), &json!({ "stream_idle_timeout": "1s" }));
    let mut client = weir.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10000\r\n\r\n");
    client.send(vec![b'x'; 10_000]);
    assert_error(&client.response("POST").unwrap(), 504, "http_response_timeout");
}

/// RFC 9113 §3.4: a server says its settings first. Before that it may be one that takes a request for something else.
#[test]
fn a_server_of_another_protocol_is_never_sent_a_request() {
    let heads = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&heads);
    let server = FrameServer::start(move |_, peer| {
        peer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        peer.preface();
        let frames = peer.drain();
        counted.fetch_add(frames.iter().filter(|frame| frame.kind == HEADERS).count(), Ordering::SeqCst);
    });
    let weir = in_front_of(server.address(), &json!({}));
    let response = weir.client().post("/", "x");
    assert_error(&response, 502, "http_protocol_error");
    assert!(response.text().contains("not-http2"), "{}", response.text());
    assert_eq!((heads.load(Ordering::SeqCst), server.connections()), (0, 1));
}

/// Servers that cannot be used for whatever reason cost no request while there is one that can.
#[test]
fn the_next_server_is_tried() {
    let refusing = Refusing::start();
    let other = Origin::named("one");
    let closing = FrameServer::start(|_, _| {});
    let good = FrameServer::start(|_, peer| {
        peer.greet(&[]);
        peer.answer_all("good");
    });
    let servers = [refusing.address(), other.address(), closing.address(), good.address()];
    let weir: Weir =
        in_front_of_all(&servers, &json!({ "retries": { "attempts": 3 }, "algorithm": "round_robin" }));
    let mut client = weir.client();
    for _ in 0..12 {
        assert_eq!(client.post("/", "x").text(), "good");
    }
}

#[test]
fn failures_eject() {
    let bad = FrameServer::start(|_, peer| {
        peer.greet(&[]);
        while let Some(stream) = peer.request() {
            peer.reset(stream, frames::INTERNAL_ERROR);
        }
    });
    let good = FrameServer::start(|_, peer| {
        peer.greet(&[]);
        peer.answer_all("good");
    });
    let weir = in_front_of_all(
        &[bad.address(), good.address()],
        &json!({
            "retries": { "attempts": 1, "budget_percent": 100 },
            "outlier_detection": {},
            "algorithm": "round_robin",
        }),
    );
    let mut client = weir.client();
    for _ in 0..40 {
        assert_eq!(client.get("/").text(), "good");
    }
    assert_eq!(weir.api().server_health(bad.address())["reason"], "ejected");
}
