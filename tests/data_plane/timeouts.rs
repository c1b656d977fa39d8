//! Clients and servers that take too long: 408 and 504, on time.

use std::time::{Duration, Instant};

use serde_json::json;
use weir_tests::client::WireError;
use weir_tests::config;
use weir_tests::origin::Origin;
use weir_tests::reply::{self, Step};
use weir_tests::weir::{Launch, Weir};

use super::semantics::assert_own_error;

/// The time a client has for a request's header section in these tests.
const HEADER_TIMEOUT: Duration = Duration::from_secs(1);

/// A Weir in front of `origin` with that limit.
fn impatient(origin: &Origin) -> Weir {
    let weir = Launch::default().arg("--header-timeout").arg("1s").start();
    weir.api().set_default(&config::bare(&[origin.address()]));
    weir
}

#[test]
fn half_a_header_section_gets_408_on_time() {
    let origin = Origin::named("origin");
    let weir = impatient(&origin);
    let halves = ["G", "GET / HTTP/1.1\r\nHost: weir.test\r\n", "GET / HTTP/1.1\r\nHost: weir.test\r\nX-A: "];
    let started = Instant::now();
    let mut clients: Vec<_> = halves.iter().map(|_| weir.client()).collect();
    for (client, half) in clients.iter_mut().zip(halves) {
        client.send(half);
    }
    assert_eq!(weir.client().get("/").status, 200, "others are served meanwhile");
    for (client, half) in clients.iter_mut().zip(halves) {
        let response = client.response("GET").unwrap_or_else(|error| panic!("{half:?}: {error:?}"));
        assert_eq!(response.status, 408, "{half:?}");
        assert!(client.is_closed());
        let took = started.elapsed();
        assert!(took > HEADER_TIMEOUT * 9 / 10 && took < HEADER_TIMEOUT * 4, "{half:?}: {took:?}");
    }
    assert_eq!(origin.count(), 1);
}

/// Half a head that came along with a request before it has no more time than one that came by itself, whatever the body
/// of that request looked like.
#[test]
fn half_a_header_section_behind_a_request_gets_408_on_time() {
    let requests = [
        "GET / HTTP/1.1\r\nHost: weir.test\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: weir.test\r\nContent-Length: 5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: weir.test\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
    ];
    let origin = Origin::named("origin");
    let weir = impatient(&origin);
    let mut clients: Vec<_> = requests.iter().map(|_| weir.client()).collect();
    let started = Instant::now();
    for (client, request) in clients.iter_mut().zip(requests) {
        client.send(format!("{request}GET /half HTTP/1.1\r\nHost: we"));
    }
    for (client, request) in clients.iter_mut().zip(requests) {
        let method = if request.starts_with("GET") { "GET" } else { "POST" };
        assert_eq!(client.response(method).unwrap().status, 200, "{request:?}");
        let late = client.response("GET").unwrap_or_else(|error| panic!("{request:?}: {error:?}"));
        assert_eq!(late.status, 408, "{request:?}");
        assert!(client.is_closed());
        let took = started.elapsed();
        assert!(took > HEADER_TIMEOUT * 9 / 10 && took < HEADER_TIMEOUT * 4, "{request:?}: {took:?}");
    }
    assert_eq!(origin.count(), requests.len());
}

/// A connection at rest has its idle time, whatever its last request was.
#[test]
fn a_whole_request_leaves_no_half_behind() {
    let origin = Origin::named("origin");
    let weir = impatient(&origin);
    let mut clients: Vec<_> = (0..3).map(|_| weir.client()).collect();
    clients[0].get("/");
    clients[1].post("/", "hello");
    clients[2].send("POST / HTTP/1.1\r\nHost: weir.test\r\nContent-Length: 5\r\n\r\nhe");
    clients[2].send("llo");
    assert_eq!(clients[2].response("POST").unwrap().status, 200);
    std::thread::sleep(HEADER_TIMEOUT * 2);
    for client in &mut clients {
        assert_eq!(client.get("/").status, 200);
    }
}

/// A trickle of bytes does not buy more time. The second request of a connection has the same limit.
#[test]
fn a_trickled_header_section_gets_408_on_time() {
    let origin = Origin::named("origin");
    let weir = impatient(&origin);
    let mut client = weir.client();
    assert_eq!(client.get("/").status, 200);
    let mut client = client.patience(Duration::from_millis(100));
    client.send("GET / HTTP/1.1\r\n");
    let started = Instant::now();
    let response = loop {
        match client.response("GET") {
            Err(WireError::Timeout) => client.send("X-A: b\r\n"),
            other => break other,
        }
        assert!(started.elapsed() < HEADER_TIMEOUT * 4, "still open after {:?}", started.elapsed());
    };
    assert_eq!(response.unwrap().status, 408);
    assert!(started.elapsed() > HEADER_TIMEOUT * 9 / 10, "{:?}", started.elapsed());
}

#[test]
fn a_server_that_never_answers_is_given_up() {
    let origin = Origin::script(|_| vec![Step::Hold]);
    let weir = Weir::start();
    weir.api().set_default(&config::with(&[origin.address()], &json!({ "response_timeout": "300ms" })));
    let mut client = weir.client();
    for _ in 0..2 {
        let started = Instant::now();
        let response = client.get("/");
        assert_own_error(&response, 504, "http_response_timeout");
        let took = started.elapsed();
        assert!(took >= Duration::from_millis(290) && took < Duration::from_secs(5), "{took:?}");
    }
    // A POST too: whether it ran is unknown, and it is not sent again.
    assert_eq!(client.post("/", "hello").status, 504);
    assert_eq!(origin.seen().iter().filter(|seen| seen.request.head.method == "POST").count(), 1);
}

/// The limit is for the first byte; a response that flows slowly is not cut.
#[test]
fn a_slow_body_is_not_cut_by_the_response_timeout() {
    let origin = Origin::script(|_| {
        let mut steps = vec![Step::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n".to_vec())];
        for _ in 0..8 {
            steps.extend([Step::Pause(Duration::from_millis(100)), Step::Send(b"x".to_vec())]);
        }
        steps
    });
    let weir = Weir::start();
    weir.api().set_default(&config::with(&[origin.address()], &json!({ "response_timeout": "300ms" })));
    assert_eq!(weir.client().get("/").text(), "xxxxxxxx");
}

/// A slow upload is the client's doing; the server's time runs from the end of the request.
#[test]
fn a_slow_upload_is_not_the_servers_fault() {
    let origin = Origin::named("origin");
    let weir = Weir::start();
    weir.api().set_default(&config::with(&[origin.address()], &json!({ "response_timeout": "300ms" })));
    let mut client = weir.client();
    client.send("POST / HTTP/1.1\r\nHost: weir.test\r\nContent-Length: 6\r\n\r\n");
    for _ in 0..6 {
        std::thread::sleep(Duration::from_millis(100));
        client.send("x");
    }
    assert_eq!(client.response("POST").unwrap().text(), "origin");
}

#[test]
fn a_pooled_connection_is_closed_after_its_idle_time() {
    let origin = Origin::script(|_| reply::ok("origin"));
    let weir = Weir::start();
    weir.api().set_default(&config::with(&[origin.address()], &json!({ "idle_timeout": "1s" })));
    assert_eq!(weir.client().get("/").status, 200);
    assert_eq!(origin.open_connections(), 1, "kept for the next request");
    weir_tests::eventually::eventually("the idle connection is closed", || {
        (origin.open_connections() == 0).then_some(())
    });
    assert_eq!(weir.client().get("/").status, 200);
}

/// A connection on which nothing happens is closed without a word: there is no request to answer.
#[test]
fn a_client_connection_is_closed_after_its_idle_time() {
    let origin = Origin::named("origin");
    let weir = Launch::default().arg("--idle-timeout").arg("1s").start();
    weir.api().set_default(&config::bare(&[origin.address()]));
    let mut client = weir.client();
    assert_eq!(client.get("/").status, 200);
    let started = Instant::now();
    assert!(client.is_closed());
    assert!(started.elapsed() > Duration::from_millis(900), "{:?}", started.elapsed());
}

/// Idle time begins when the response is sent, not when the last of it waits for the client to read.
#[test]
fn a_paused_client_gets_its_whole_response() {
    const PAUSE: Duration = Duration::from_secs(3);
    const STEP: usize = 128 * 1024;
    let origin = Origin::script(|seen| {
        let steps: usize = seen.request.head.target.trim_start_matches('/').parse().unwrap();
        reply::ok(&"x".repeat(steps * STEP))
    });
    let weir = Launch::default().arg("--idle-timeout").arg("1s").start();
    weir.api().set_default(&config::bare(&[origin.address()]));
    // How much the system keeps of a response is not known: with one of these sizes the rest is what Weir keeps.
    let mut clients: Vec<_> = (1..=40)
        .map(|steps| {
            let mut client = weir.client();
            client.send(format!("GET /{steps} HTTP/1.1\r\nHost: weir.test\r\n\r\n"));
            (steps, client)
        })
        .collect();
    std::thread::sleep(PAUSE);
    for (steps, client) in &mut clients {
        // Not the error itself: it carries the bytes received.
        let received = client.response("GET").map_or(0, |response| response.body.len());
        assert_eq!(received, *steps * STEP);
    }
    let started = Instant::now();
    assert!(clients.iter_mut().all(|(_, client)| client.is_closed()), "idle from then on");
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
}

/// RFC 9112 §2.2: an empty line before a request is no request, so nobody is told that one came too late.
#[test]
fn a_stray_empty_line_begins_no_request() {
    let origin = Origin::named("origin");
    let weir = impatient(&origin);
    let mut client = weir.client();
    client.send("POST / HTTP/1.1\r\nHost: weir.test\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(client.response("POST").unwrap().status, 200);
    client.send("\r\n");
    let mut client = client.patience(HEADER_TIMEOUT * 2);
    assert!(matches!(client.response("GET"), Err(WireError::Timeout)), "not an answer, nor the end");
    assert_eq!(client.get("/").status, 200);
}
