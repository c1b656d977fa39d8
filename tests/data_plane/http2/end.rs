//! GOAWAY, from either side: RFC 9113 §6.8.

use std::time::Duration;

use weir_tests::eventually::eventually;
use weir_tests::frame_client::{ACK, Frames, GOAWAY, HEADERS, PING, get, is_ok};
use weir_tests::origin::Origin;
use weir_tests::reply::{self, Gate, Step};
use weir_tests::signal::Signal;
use weir_tests::weir::Launch;

use super::in_front_of;

fn gated(gate: &Gate) -> Origin {
    let gate = gate.clone();
    Origin::script(move |seen| match seen.request.head.target.as_str() {
        "/slow" => vec![Step::Wait(gate.clone()), Step::Send(reply::message("200 OK", &[], "late"))],
        _ => reply::ok("soon"),
    })
}

/// In two steps: first that the end is near, and a stream that crosses this is served; then which stream was the last.
#[test]
fn a_drain_loses_no_stream() {
    let gate = Gate::default();
    let origin = gated(&gate);
    let mut weir = in_front_of(&origin, Launch::default());
    let mut client = Frames::connect(weir.data(), &[]);
    client.request(1, &get("/slow"));
    eventually("the request is under way", || (gate.arrivals() == 1).then_some(()));
    weir.signal(Signal::TERM);
    let announced = client.until(|frame| frame.kind == GOAWAY).unwrap();
    assert_eq!(announced.payload, [0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0], "first that it ends");
    let ping = client.until(|frame| frame.kind == PING).unwrap();
    client.request(3, &get("/crossing"));
    client.frame(PING, ACK, 0, &ping.payload);
    let mut served = Vec::new();
    let mut last = None;
    let end = client.until(|frame| {
        match frame.kind {
            HEADERS if is_ok(frame) => served.push(frame.stream),
            GOAWAY => last = Some(frame.payload[..4].to_vec()),
            _ => {}
        }
        if last.is_some() && served == [3] {
            gate.open();
        }
        false
    });
    assert_eq!((end, served, last), (None, vec![3, 1], Some(vec![0, 0, 0, 3])));
    assert!(weir.wait(Duration::from_secs(10)).success());
}

/// A client that says goodbye gets what it has asked for, and then the end.
#[test]
fn a_client_that_goes_gets_its_answers() {
    let gate = Gate::default();
    let origin = gated(&gate);
    let weir = in_front_of(&origin, Launch::default());
    let mut client = Frames::connect(weir.data(), &[]);
    client.request(1, &get("/slow"));
    eventually("the request is under way", || (gate.arrivals() == 1).then_some(()));
    client.frame(GOAWAY, 0, 0, &[0; 8]);
    gate.open();
    assert!(client.answer(1).is_some_and(|answer| is_ok(&answer)));
    client.farewells();
    weir.assert_no_errors();
}
