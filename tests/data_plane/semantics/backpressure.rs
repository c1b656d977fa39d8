//! Bodies stream: a side that stops reading stops the other side, and Weir's memory does not grow.

use std::time::Duration;

use weir_tests::eventually::{eventually, settled};
use weir_tests::origin::{AtHead, Origin};
use weir_tests::reply::{self, Step};

use super::in_front_of;

const BODY: u64 = 64 * 1024 * 1024;
/// Far below the body, far above what buffers and the allocator's arenas take.
const MAX_GROWTH: u64 = 8 * 1024 * 1024;
/// Kernel socket buffers on both sides of Weir grow to several MiB each on loopback.
const MAX_IN_FLIGHT: u64 = 32 * 1024 * 1024;

#[test]
fn a_client_that_stops_reading_stops_the_server() {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {BODY}\r\n\r\n");
    let origin = Origin::script(move |seen| match seen.nth {
        0 => reply::ok("warm"),
        _ => vec![Step::Send(head.clone().into_bytes()), Step::Fill(BODY)],
    });
    let weir = in_front_of(&origin);
    let mut client = weir.client();
    assert_eq!(client.get("/").text(), "warm");
    let before = weir.resident_bytes();

    client.send("GET / HTTP/1.1\r\nHost: weir.test\r\n\r\n");
    let (_, status, _) = client.response_head().unwrap();
    assert_eq!(status, 200);
    let sent = settled("the server has come to a halt", Duration::from_millis(500), || origin.sent());
    assert!(sent < MAX_IN_FLIGHT, "the server could send {sent} bytes to a client that does not read");
    let grown = weir.resident_bytes().saturating_sub(before);
    assert!(grown < MAX_GROWTH, "memory grew by {grown} bytes");

    client.skip(BODY);
    assert!(origin.sent() > BODY);
    assert!(weir.resident_bytes().saturating_sub(before) < MAX_GROWTH);
}

#[test]
fn a_server_that_stops_reading_stops_the_client() {
    let gate = reply::Gate::default();
    let waiting = gate.clone();
    let origin = Origin::with_head(
        move |head| match head.method.as_str() {
            "PUT" => AtHead::Answer(vec![
                Step::Wait(waiting.clone()),
                Step::Send(reply::message("200 OK", &["Connection: close"], "at last")),
            ]),
            _ => AtHead::Go(Vec::new()),
        },
        |_| reply::ok("warm"),
    );
    let weir = in_front_of(&origin);
    let mut client = weir.client().patience(Duration::from_secs(20));
    assert_eq!(client.get("/").text(), "warm");
    let before = weir.resident_bytes();

    client.send(format!("PUT / HTTP/1.1\r\nHost: weir.test\r\nContent-Length: {BODY}\r\n\r\n"));
    client.stream().set_write_timeout(Some(Duration::from_millis(700))).unwrap();
    let piece = vec![b'x'; 65_536];
    let mut sent = 0;
    // The loop ends with the first write that is stuck for a while.
    while sent < BODY && client.try_send(&piece).is_ok() {
        sent += piece.len() as u64;
    }
    assert!(sent < MAX_IN_FLIGHT, "the client could send {sent} bytes to a server that does not read");
    let grown = weir.resident_bytes().saturating_sub(before);
    assert!(grown < MAX_GROWTH, "memory grew by {grown} bytes");
    gate.open();
    assert_eq!(client.response("PUT").unwrap().text(), "at last");
}

#[test]
fn a_large_upload_arrives_whole() {
    let origin = Origin::script(|seen| reply::ok(&seen.request.body.len().to_string()));
    let weir = in_front_of(&origin);
    let body = "0123456789abcdef".repeat(256 * 1024);
    let response = weir.client().post("/", &body);
    assert_eq!(response.text(), body.len().to_string());
    assert!(origin.only().request.body == body.as_bytes(), "the bytes differ");
}

/// The first piece of a response does not wait for the second.
#[test]
fn pieces_of_a_response_arrive_as_they_are_sent() {
    let gate = reply::Gate::default();
    let waiting = gate.clone();
    let origin = Origin::script(move |_| {
        vec![
            Step::Send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n".to_vec()),
            Step::Wait(waiting.clone()),
            Step::Send(b"6\r\nsecond\r\n0\r\n\r\n".to_vec()),
        ]
    });
    let weir = in_front_of(&origin);
    let mut client = weir.client();
    client.send("GET / HTTP/1.1\r\nHost: weir.test\r\n\r\n");
    client.response_head().unwrap();
    client.skip("5\r\nfirst".len() as u64);
    gate.open();
    eventually("the rest arrives", || (!client.is_idle()).then_some(()));
}
