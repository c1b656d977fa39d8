//! Servers that break the protocol: the client gets an honest error, the next client gets its answer.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::json;
use socket2::{Domain, Socket, Type};
use weir_tests::client::{Response, WireError};
use weir_tests::config;
use weir_tests::eventually::within;
use weir_tests::origin::Origin;
use weir_tests::reply::{self, Reply, Step};
use weir_tests::weir::Weir;

/// What a client got, as far as these tests care.
fn outcome(weir: &Weir) -> Result<Response, WireError> {
    let mut client = weir.client();
    client.send("GET / HTTP/1.1\r\nHost: weir.test\r\n\r\n");
    client.response("GET")
}

/// Each answer must become a 502 and leave Weir in good order.
fn check_bad_gateway(answers: Vec<(&'static str, Reply)>) {
    let weir = Weir::start();
    let mut faults = Vec::new();
    for (what, steps) in answers {
        let origin = Origin::script(move |_| steps.clone());
        weir.api().set_default(&config::bare(&[origin.address()]));
        match outcome(&weir) {
            Ok(response) if response.status == 502 && response.fields.has("proxy-status") => {}
            other => faults.push(format!("{what}: {other:?}")),
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let origin = Origin::named("origin");
    weir.api().set_default(&config::bare(&[origin.address()]));
    assert_eq!(weir.client().get("/").text(), "origin");
    weir.assert_no_errors();
}

#[test]
fn no_response_at_all() {
    check_bad_gateway(vec![
        ("an orderly close", vec![Step::Close]),
        ("a reset", vec![Step::Reset]),
        ("a close inside the status line", reply::raw_close("HTTP/1.1 2")),
        ("a close inside the header section", reply::raw_close("HTTP/1.1 200 OK\r\nX-A: b\r\nX-")),
        (
            "a reset inside the header section",
            vec![Step::Send(b"HTTP/1.1 200 OK\r\nX-A".to_vec()), Step::Reset],
        ),
        ("an interim response and nothing more", reply::raw_close("HTTP/1.1 103 Early Hints\r\n\r\n")),
    ]);
}

#[test]
fn something_that_is_no_response() {
    let raw = |text: &'static str| reply::raw_close(text);
    check_bad_gateway(vec![
        ("another protocol", raw("220 mail.test ESMTP\r\n")),
        ("binary", reply::raw_close(b"\x16\x03\x01\x02\x00\x01\x00\xfc\r\n\r\n")),
        ("HTTP/0.9", raw("<html>hello</html>")),
        ("another version", raw("HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n")),
        ("no status", raw("HTTP/1.1 OK\r\nContent-Length: 0\r\n\r\n")),
        ("a status of two digits", raw("HTTP/1.1 99 Low\r\nContent-Length: 0\r\n\r\n")),
        ("a status of four digits", raw("HTTP/1.1 2000 High\r\nContent-Length: 0\r\n\r\n")),
        (
            "an upgrade nobody asked for",
            raw("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"),
        ),
    ]);
}

#[test]
fn fields_that_are_none() {
    let with =
        |field: &str| reply::raw_close(format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{field}\r\n\r\nok"));
    check_bad_gateway(vec![
        ("no colon", with("nonsense")),
        ("no name", with(": a")),
        ("a space in a name", with("X A: b")),
        ("a NUL in a value", with("X-A: a\0b")),
        ("a bare CR in a value", with("X-A: a\rb")),
        ("a control byte in a value", with("X-A: a\x01b")),
    ]);
}

#[test]
fn framing_that_is_ambiguous() {
    let with = |fields: &str| {
        reply::raw_close(format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n5\r\nhello\r\n0\r\n\r\n"))
    };
    check_bad_gateway(vec![
        ("two lengths", with("Content-Length: 5\r\nContent-Length: 6")),
        ("two lengths in a list", with("Content-Length: 5, 6")),
        ("a length with a sign", with("Content-Length: +5")),
        ("a negative length", with("Content-Length: -5")),
        ("a length that is a word", with("Content-Length: five")),
        ("a length of 65 bits", with("Content-Length: 18446744073709551621")),
        ("an unknown coding", with("Transfer-Encoding: xchunked")),
        ("chunked twice", with("Transfer-Encoding: chunked, chunked")),
    ]);
}

/// Once the head is through, all that is left is to break off: the client must be able to tell.
/// A good head is no success when the body after it never ends: such a server is ejected like any other that fails.
#[test]
fn a_server_that_always_breaks_off_is_ejected() {
    let broken = Origin::script(|_| reply::raw_close("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf"));
    let good = Origin::named("good");
    let weir = Weir::start();
    weir.api().set_default(&config::with(
        &[broken.address(), good.address()],
        &serde_json::json!({ "algorithm": "round_robin", "outlier_detection": { "consecutive_5xx": 3 } }),
    ));
    weir_tests::eventually::eventually("it is ejected", || {
        // Whatever the outcome of one request: half of them are broken off until then.
        let _ = outcome(&weir);
        let state = weir.api().server_health(broken.address());
        (state["reason"] == "ejected").then_some(())
    });
    for _ in 0..10 {
        assert_eq!(outcome(&weir).unwrap().text(), "good");
    }
}

#[test]
fn a_body_that_breaks_is_broken_off() {
    let chunked =
        |body: &str| reply::raw_close(format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}"));
    let cases = [
        ("a short body", reply::raw_close("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf")),
        (
            "a reset inside the body",
            vec![Step::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf".to_vec()), Step::Reset],
        ),
        ("no last chunk", chunked("4\r\nhalf\r\n")),
        ("a chunk size that is a word", chunked("4\r\nhalf\r\nfive\r\nhello\r\n0\r\n\r\n")),
        ("a chunk size of 65 bits", chunked("4\r\nhalf\r\n10000000000000005\r\nhello\r\n0\r\n\r\n")),
        ("a chunk without its end", chunked("4\r\nhalfmore\r\n0\r\n\r\n")),
        ("no end of the trailer section", chunked("4\r\nhalf\r\n0\r\nX-A: b\r\n")),
    ];
    let weir = Weir::start();
    for (what, steps) in cases {
        let origin = Origin::script(move |_| steps.clone());
        weir.api().set_default(&config::bare(&[origin.address()]));
        match outcome(&weir) {
            Err(WireError::Truncated(_) | WireError::Closed) => {}
            Ok(response) if response.status == 502 => {}
            other => panic!("{what}: {other:?}"),
        }
    }
    weir.assert_no_errors();
}

#[test]
fn a_header_section_without_end_is_given_up_soon() {
    let origin = Origin::script(|_| vec![Step::Send(b"HTTP/1.1 200 OK\r\n".to_vec()), Step::EndlessHeader]);
    let weir = Weir::start();
    weir.api().set_default(&config::bare(&[origin.address()]));
    let before = weir.resident_bytes();
    assert_eq!(outcome(&weir).unwrap().status, 502);
    let grown = weir.resident_bytes().saturating_sub(before);
    assert!(grown < 8 * 1024 * 1024, "memory grew by {grown} bytes");
}

/// Bytes behind a response belong to nobody; least of all to the next client.
#[test]
fn a_second_response_nobody_asked_for_reaches_nobody() {
    let origin = Origin::script(|seen| {
        let mut answer = reply::message("200 OK", &[], &seen.request.head.target);
        answer.extend(reply::message("200 OK", &["X-Stray: yes"], "stray"));
        reply::raw(answer)
    });
    let weir = Weir::start();
    weir.api().set_default(&config::bare(&[origin.address()]));
    let mut client = weir.client();
    for number in 0..20 {
        let target = format!("/{number}");
        let response = client.get(&target);
        assert_eq!((response.status, response.text()), (200, target), "{response:?}");
    }
}

/// The same with the stray bytes a moment later, when the connection lies in the pool.
#[test]
fn bytes_on_an_idle_connection_condemn_it() {
    let origin = Origin::script(|seen| {
        let answer = reply::message("200 OK", &[], &seen.request.head.target);
        vec![
            Step::Send(answer),
            Step::Pause(Duration::from_millis(20)),
            Step::Send(reply::message("200 OK", &[], "stray")),
        ]
    });
    let weir = Weir::start();
    weir.api().set_default(&config::bare(&[origin.address()]));
    let mut client = weir.client();
    for number in 0..5 {
        let target = format!("/{number}");
        let sent = origin.sent();
        assert_eq!(client.get(&target).text(), target);
        within(Duration::from_secs(5), "the stray bytes are out", || {
            (origin.sent() > sent + 60).then_some(())
        });
    }
}

#[test]
fn a_black_hole_is_given_up_after_the_connect_timeout() {
    let hole = BlackHole::start();
    let weir = Weir::start();
    weir.api().set_default(&config::with(&[hole.address], &json!({ "connect_timeout": "300ms" })));
    let started = Instant::now();
    let response = weir.client().get("/");
    super::semantics::assert_own_error(&response, 504, "connection_timeout");
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(250) && took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn a_black_hole_beside_a_good_server_costs_time_only() {
    let (hole, origin) = (BlackHole::start(), Origin::named("origin"));
    let weir = Weir::start();
    let document = config::with(&[hole.address, origin.address()], &json!({ "connect_timeout": "100ms" }));
    weir.api().set_default(&document);
    let mut client = weir.client();
    for _ in 0..6 {
        assert_eq!(client.get("/").text(), "origin");
        assert_eq!(client.post("/", "hello").text(), "origin");
    }
}

/// A listener whose queue is full: the kernel drops further connection attempts without a word.
pub(super) struct BlackHole {
    pub(super) address: SocketAddr,
    _listener: Socket,
    _queued: Vec<Socket>,
}

impl BlackHole {
    pub(super) fn start() -> Self {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        listener.bind(&any.into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        let mut queued = Vec::new();
        // The queue takes one more than its length; the first attempt that does not get through proves it full.
        let is_full = (0..8).any(|_| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            let result = socket.connect_timeout(&address.into(), Duration::from_millis(200));
            queued.push(socket);
            result.is_err()
        });
        assert!(is_full, "the queue never filled");
        Self { address, _listener: listener, _queued: queued }
    }
}
