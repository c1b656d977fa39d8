//! Clients that begin something over HTTP/2 and do not end it: RFC 9113 §10.5.

use std::time::{Duration, Instant};

use weir_tests::frame_client::{
    END_STREAM, Frames, HEADERS, PING, PREFACE, SETTINGS, block, frame, get, is_ok,
};
use weir_tests::origin::Origin;
use weir_tests::reply::{self, Gate, Step};
use weir_tests::weir::Launch;

use super::in_front_of;
use crate::semantics::metric;

/// Each is over after the header timeout, and not before.
#[test]
fn what_is_begun_must_be_ended() {
    let head = block(&get("/"));
    let settings = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    let then = |bytes: &[u8]| [settings.as_slice(), bytes].concat();
    let cases = [
        ("three bytes", b"PRI".to_vec()),
        ("half a preface", PREFACE[..20].to_vec()),
        ("half the settings", [PREFACE, &frame(SETTINGS, 0, 0, &[0; 6])[..12]].concat()),
        ("half a head", then(&frame(HEADERS, END_STREAM, 1, &head)[..30])),
        ("a head without its end", then(&frame(HEADERS, END_STREAM, 1, &head))),
        ("half a PING", then(&frame(PING, 0, 0, &[0; 8])[..12])),
    ];
    let origin = Origin::named("origin");
    let weir = in_front_of(
        &origin,
        Launch::default().arg("--header-timeout").arg("1s").arg("--idle-timeout").arg("60s"),
    );
    for (what, bytes) in cases {
        let mut client = Frames::silent(weir.data());
        let began = Instant::now();
        client.send(&bytes);
        client.farewells();
        let took = began.elapsed();
        assert!((Duration::from_millis(900)..Duration::from_secs(4)).contains(&took), "{what}: {took:?}");
    }
    assert_eq!(metric(&weir, "weir_client_timeouts_total"), 6);
    assert_eq!(origin.count(), 0);
}

/// A request under way does not excuse a head that is not ended; and does not fall victim to one that is late in time.
#[test]
fn a_request_under_way_is_no_excuse() {
    let gate = Gate::default();
    let held = gate.clone();
    let origin = Origin::script(move |_| {
        vec![Step::Wait(held.clone()), Step::Send(reply::message("200 OK", &[], ""))]
    });
    let weir = in_front_of(&origin, Launch::default().arg("--header-timeout").arg("1s"));
    let mut client = Frames::connect(weir.data(), &[]);
    client.request(1, &get("/"));
    client.frame(HEADERS, END_STREAM, 3, &block(&get("/")));
    let began = Instant::now();
    client.farewells();
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    gate.open();
    let mut client = Frames::connect(weir.data(), &[]);
    let head = block(&get("/"));
    client.frame(HEADERS, END_STREAM, 1, &head[..20]);
    // Late, and far from too late.
    std::thread::sleep(Duration::from_millis(100));
    client.frame(9, 4, 1, &head[20..]);
    assert!(client.answer(1).is_some_and(|answer| is_ok(&answer)));
}
