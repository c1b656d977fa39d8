//! How long a switched connection lasts, and what ends it.

use std::time::{Duration, Instant};

use serde_json::json;
use weir_tests::client::Wire;
use weir_tests::config;
use weir_tests::eventually::{eventually, settled};
use weir_tests::frame_client::{DATA, END_HEADERS, Field, Frames, HEADERS, RST_STREAM, block, is_ok};
use weir_tests::signal::Signal;
use weir_tests::switcher::{FAREWELL, Switcher, switching};
use weir_tests::weir::{Launch, Weir};

use super::{asking, await_in_flight, await_tunnels, breaking, echo, in_front_of, switched};
use crate::semantics::metric;

#[test]
fn a_silent_one_is_closed_after_its_time_and_a_busy_one_is_not() {
    let server = Switcher::willing();
    let weir = in_front_of(&[&server], &json!({"tunnel_idle_timeout": "1s"}));
    let (mut silent, mut busy) = (switched(&weir), switched(&weir));
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(2500) {
        assert_eq!(echo(&mut busy, b"x"), b"x");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(silent.is_closed());
    assert_eq!(metric(&weir, "weir_tunnel_timeouts_total"), 1);
    await_tunnels(&weir, 1);
}

/// Other timeouts, of requests and of connections without one, are none of a tunnel's.
#[test]
fn a_silent_one_outlives_the_timeouts_of_http() {
    let server = Switcher::willing();
    let weir = Launch::default().arg("--idle-timeout").arg("1s").arg("--header-timeout").arg("1s").start();
    let brief = json!({"stream_idle_timeout": "1s", "response_timeout": "1s", "idle_timeout": "1s"});
    weir.api().set_default(&config::with(&[server.address()], &brief));
    let mut client = switched(&weir);
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(echo(&mut client, b"still there"), b"still there");
}

/// A client that takes nothing: the server is held back, and no more than a few reads wait in between.
#[test]
fn a_client_that_takes_nothing_holds_the_server_back() {
    const MUCH: usize = 64 << 20;
    let server = Switcher::start(|_| [switching("websocket", &[]), vec![b'x'; MUCH]].concat());
    let weir = in_front_of(&[&server], &json!({}));
    let before = weir.resident_bytes();
    let clients: Vec<Wire> = (0..8).map(|_| switched(&weir)).collect();
    let received = || {
        let health = weir.api().server_health(server.address());
        health["counters"]["bytes_received"]
            .as_u64()
            .unwrap_or_else(|| panic!("no bytes_received in {health}"))
    };
    let received = settled("nothing moves any more", Duration::from_millis(500), received);
    assert!(received < 8 * (16 << 20), "{received} bytes were taken for nobody");
    let grown = weir.resident_bytes().saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes more");
    drop(clients);
    await_tunnels(&weir, 0);
}

/// What the client got may not be all there was: it is told so.
#[test]
fn a_server_that_breaks_off_is_not_taken_for_one_that_ends() {
    let (address, accepted) = breaking();
    let weir = Weir::start();
    weir.api().set_default(&config::with(&[address], &json!({"upgrades": ["echo"]})));
    let mut client = weir.client();
    client.send(asking("").replace("websocket", "echo"));
    assert_eq!(client.response_head().unwrap().1, 101);
    assert_eq!(client.some().unwrap(), b"part");
    Wire::of(accepted.recv().unwrap()).reset();
    assert!(client.is_reset(), "over HTTP/1.1");

    let mut client = Frames::connect(weir.data(), &[]);
    let fields: [Field<'_>; 5] = [
        (b":method", b"CONNECT"),
        (b":protocol", b"echo"),
        (b":scheme", b"http"),
        (b":authority", b"weir.test"),
        (b":path", b"/chat"),
    ];
    client.frame(HEADERS, END_HEADERS, 1, &block(&fields));
    assert!(is_ok(&client.answer(1).unwrap()));
    let part = client.until(|frame| frame.kind == DATA).unwrap();
    assert_eq!((part.payload.as_slice(), part.flags), (&b"part"[..], 0));
    Wire::of(accepted.recv().unwrap()).reset();
    let end = client.until(|frame| frame.stream == 1).unwrap();
    assert_eq!((end.kind, end.payload.as_slice()), (RST_STREAM, &[0, 0, 0, 8][..]), "{end:?}");
    assert!(client.sync(), "the other streams go on");
}

/// A drain waits for tunnels as it does for requests, and ends them at its deadline.
#[test]
fn a_drain_ends_them_at_its_deadline() {
    let (server, other) = (Switcher::willing(), Switcher::willing());
    let weir = in_front_of(&[&server], &json!({}));
    let mut client = switched(&weir);
    await_in_flight(&weir, &server, 1);
    let path = format!("/v1/upstreams/default/servers/{}", config::slug(server.address()));
    weir.api()
        .post("/v1/upstreams/default/servers", &json!({"address": other.address().to_string()}))
        .assert(201);
    let drain = json!({"timeout": "2s", "then": "maint"});
    let drain = weir.api().post(&format!("{path}/drain"), &drain).expect(202).json();
    assert_eq!(drain["in_flight"], 1);
    assert_eq!(echo(&mut client, b"until then"), b"until then");
    let began = Instant::now();
    assert!(client.is_reset());
    assert!(began.elapsed() > Duration::from_millis(500), "{:?}", began.elapsed());
    await_tunnels(&weir, 0);
    assert_eq!(echo(&mut switched(&weir), b"x"), b"x");
    assert_eq!((server.heads().len(), other.heads().len()), (1, 1));
}

#[test]
fn the_process_waits_for_them_until_its_deadline() {
    let server = Switcher::willing();
    let mut weir = Launch::default().arg("--drain-timeout").arg("2s").start();
    weir.api().set_default(&config::bare(&[server.address()]));
    let mut client = switched(&weir);
    weir.signal(Signal::TERM);
    eventually("the port is closed", || Wire::try_connect(weir.data()).is_err().then_some(()));
    assert_eq!(echo(&mut client, b"until then"), b"until then");
    weir.wait(Duration::from_secs(8));
    assert!(client.is_reset());
}

#[test]
fn the_process_ends_with_the_last_of_them() {
    let server = Switcher::willing();
    let mut weir = Launch::default().arg("--drain-timeout").arg("60s").start();
    weir.api().set_default(&config::bare(&[server.address()]));
    let mut client = switched(&weir);
    weir.signal(Signal::TERM);
    eventually("the port is closed", || Wire::try_connect(weir.data()).is_err().then_some(()));
    assert!(weir.is_running());
    client.finish();
    assert_eq!(client.rest().unwrap(), FAREWELL);
    assert!(weir.wait(Duration::from_secs(10)).success());
}

/// A change of the configuration is none of an open tunnel's business.
#[test]
fn changes_leave_open_ones_alone() {
    let (server, other) = (Switcher::willing(), Switcher::willing());
    let weir = in_front_of(&[&server], &json!({}));
    let mut client = switched(&weir);
    weir.api().set_default(&config::bare(&[other.address()]));
    assert_eq!(echo(&mut client, b"x"), b"x");
    assert_eq!(echo(&mut switched(&weir), b"y"), b"y");
    assert_eq!((server.heads().len(), other.heads().len()), (1, 1));
}
