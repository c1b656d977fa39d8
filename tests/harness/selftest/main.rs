//! The harness against itself: a client and a server of ours must agree before either judges anything else.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "test code: a broken expectation is reported by a panic"
)]

use std::time::Duration;

use tempfile::TempDir;
use weir_tests::client::{Ending, Wire, WireError};
use weir_tests::eventually::{eventually, settled};
use weir_tests::load::{AfterClose, Load, Mix, Plan};
use weir_tests::origin::{AtHead, Origin, Refusing};
use weir_tests::process_origin::ProcessOrigin;
use weir_tests::reply::{self, Gate, Reply, Step};

fn outcome(steps: Reply) -> Result<weir_tests::client::Response, WireError> {
    let origin = Origin::script(move |_| steps.clone());
    let mut client = Wire::connect(origin.address());
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.response("GET")
}

#[test]
fn a_server_keeps_the_raw_bytes() {
    let origin = Origin::named("name");
    let mut client = Wire::connect(origin.address());
    assert_eq!(client.get("/one").text(), "name");
    assert_eq!(client.post("/two", "body").text(), "name");
    let seen = origin.seen();
    assert_eq!(seen[0].raw, b"GET /one HTTP/1.1\r\nHost: weir.test\r\n\r\n");
    assert_eq!((seen[1].nth, seen[1].nth_on_connection, seen[1].connection), (1, 1, 0));
    assert_eq!((seen[1].request.body.as_slice(), origin.targets().len()), (b"body".as_slice(), 2));
}

#[test]
fn a_server_refuses_what_is_not_strict() {
    let origin = Origin::named("name");
    let mut client = Wire::connect(origin.address());
    client.send("GET / HTTP/1.1\nHost: a\n\n");
    assert!(client.is_closed());
    assert_eq!((origin.count(), origin.violations().len()), (0, 1));
}

#[test]
fn every_way_to_end_is_told_apart() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n";
    assert!(matches!(outcome(vec![Step::Close]), Err(WireError::Closed)));
    assert!(matches!(outcome(vec![Step::Reset]), Err(WireError::Closed)));
    assert!(matches!(outcome(reply::raw_close(format!("{head}ab"))), Err(WireError::Truncated(_))));
    assert!(matches!(outcome(reply::raw_close("HTTP/1.1 200")), Err(WireError::Truncated(_))));
    assert!(matches!(outcome(reply::raw_close("HTTP/1.1 200 OK\n\n")), Err(WireError::Malformed(_))));
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n";
    assert!(matches!(outcome(reply::raw_close(chunked)), Err(WireError::Truncated(_))));
    let whole = outcome(reply::raw(format!("{chunked}0\r\nX: y\r\n\r\n"))).unwrap();
    assert_eq!(
        (whole.text().as_str(), whole.ending, whole.trailers.one("x")),
        ("ab", Ending::Chunked, Some("y"))
    );
    let until_close = outcome(reply::raw_close("HTTP/1.1 200 OK\r\n\r\nall")).unwrap();
    assert_eq!((until_close.text().as_str(), until_close.ending), ("all", Ending::Close));
    let interim = outcome(reply::raw(format!("HTTP/1.1 103 Early\r\n\r\n{head}abcd"))).unwrap();
    assert_eq!((interim.interim.as_slice(), interim.text().as_str()), ([103].as_slice(), "abcd"));
}

#[test]
fn a_server_that_is_dropped_refuses_and_another_takes_its_place() {
    let origin = Origin::named("first");
    let address = origin.address();
    drop(origin);
    assert!(Wire::try_connect(address).is_err());
    let again = Origin::named_at(address, "second");
    assert_eq!(Wire::connect(again.address()).get("/").text(), "second");
    assert!(Wire::try_connect(Refusing::start().address()).is_err());
}

#[test]
fn gates_early_answers_and_holds() {
    let gate = Gate::default();
    let waiting = gate.clone();
    let origin = Origin::with_head(
        |head| match head.method.as_str() {
            "POST" => AtHead::Answer(vec![Step::Send(reply::message("401 No", &[], "early"))]),
            "PUT" => AtHead::Answer(vec![Step::Hold]),
            _ => AtHead::Go(Vec::new()),
        },
        move |_| vec![Step::Wait(waiting.clone()), Step::Send(reply::message("200 OK", &[], "late"))],
    );
    let mut early = Wire::connect(origin.address());
    early.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n");
    assert_eq!(early.response("POST").unwrap().status, 401);
    let mut held = Wire::connect(origin.address()).patience(Duration::from_millis(100));
    held.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n");
    assert!(matches!(held.response("PUT"), Err(WireError::Timeout)));
    let mut late = Wire::connect(origin.address());
    late.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually("the request is at the gate", || (gate.arrivals() == 1).then_some(()));
    assert!(late.is_idle());
    gate.open();
    assert_eq!(late.response("GET").unwrap().text(), "late");
}

#[test]
fn a_client_that_does_not_read_stops_a_server() {
    let total = 64 * 1024 * 1024;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {total}\r\n\r\n").into_bytes();
    let origin = Origin::script(move |_| vec![Step::Send(head.clone()), Step::Fill(total)]);
    let mut client = Wire::connect(origin.address());
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.response_head().unwrap();
    let sent = settled("the server has come to a halt", Duration::from_millis(300), || origin.sent());
    assert!(sent < total / 2, "{sent}");
    client.skip(total);
    assert!(origin.sent() > total);
}

#[test]
fn a_load_counts_what_happens() {
    let origin = Origin::script(|seen| match seen.nth {
        40 => vec![Step::Reset],
        50 => vec![Step::Send(reply::message("500 No", &[], "no"))],
        60 => vec![Step::Send(reply::message("200 OK", &["Connection: close"], "")), Step::Close],
        70 => vec![Step::Send(reply::message("200 OK", &[], "")), Step::Close],
        80 => vec![Step::Pause(Duration::from_millis(300)), Step::Send(reply::message("200 OK", &[], ""))],
        _ => reply::ok("ok"),
    });
    let load = Load::start(Plan {
        target: origin.address(),
        connections: 2,
        pace: Duration::from_millis(5),
        mix: Mix::GetsAndPosts,
        after_close: AfterClose::Reconnect,
    });
    eventually("a hundred requests", || (load.ok() > 100).then_some(()));
    let tally = load.stop();
    assert_eq!(tally.failures.len(), 2, "{:?}", tally.failures);
    assert_eq!((tally.closed_unannounced, tally.closed_announced), (2, 1));
    assert_eq!(tally.ok() + 2, origin.count());
    assert!(tally.gets > 20 && tally.posted.len() > 20, "{} and {}", tally.gets, tally.posted.len());
    assert!(tally.worst_gap() < Duration::from_secs(5));
}

#[test]
fn a_process_is_killed_restarted_and_frozen() {
    let folder = TempDir::new().unwrap();
    let mut origin = ProcessOrigin::start(folder.path(), 0);
    let address = origin.address();
    assert_eq!(Wire::connect(address).post("/", "one").status, 200);
    origin.kill();
    assert!(Wire::try_connect(address).is_err());
    for _ in 0..5 {
        origin.restart();
        assert_eq!(origin.address(), address);
        let mut client = Wire::connect(address);
        assert_eq!(client.get("/").status, 200);
        // The connection is open when the process dies: its successor must get the port all the same.
        origin.kill();
        assert!(client.is_closed());
    }
    origin.restart();
    assert_eq!(Wire::connect(address).post("/", "two").status, 200);
    assert_eq!(origin.ran(), ["one", "two"]);
    origin.freeze();
    let mut client = Wire::connect(address).patience(Duration::from_millis(200));
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(matches!(client.response("GET"), Err(WireError::Timeout)));
    origin.thaw();
    assert_eq!(client.patience(Duration::from_secs(5)).response("GET").unwrap().status, 200);
}
