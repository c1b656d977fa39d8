//! SIGTERM and SIGINT: no request is lost, every client is told, and the wait has an end.

use std::time::{Duration, Instant};

use weir_tests::client::Wire;
use weir_tests::config;
use weir_tests::eventually::eventually;
use weir_tests::load::{AfterClose, Load, Mix, Plan};
use weir_tests::origin::Origin;
use weir_tests::reply::{self, Gate, Step};
use weir_tests::signal::Signal;
use weir_tests::weir::{Launch, Weir};

/// A server that answers when the gate opens.
fn gated(gate: &Gate) -> Origin {
    let gate = gate.clone();
    Origin::script(move |_| vec![Step::Wait(gate.clone()), Step::Send(reply::message("200 OK", &[], "late"))])
}

/// A client with a request that waits at the gate.
fn in_flight(weir: &Weir, gate: &Gate) -> Wire {
    let before = gate.arrivals();
    let mut client = weir.client();
    client.send("GET / HTTP/1.1\r\nHost: weir.test\r\n\r\n");
    eventually("the request is in flight", || (gate.arrivals() > before).then_some(()));
    client
}

fn stops_under_load(signal: Signal) {
    let origins: Vec<Origin> = (0..2).map(|n| Origin::named(&n.to_string())).collect();
    let addresses: Vec<_> = origins.iter().map(Origin::address).collect();
    let mut weir = Launch::default().arg("--drain-timeout").arg("5s").start();
    weir.api().set_default(&config::plain(&addresses));
    let load =
        Load::start(Plan { mix: Mix::GetsAndPosts, after_close: AfterClose::End, ..Plan::gets(weir.data()) });
    load.run_for(Duration::from_millis(300));
    weir.signal(signal);
    let tally = load.join();
    tally.assert_flawless();
    assert_eq!(tally.closed_announced, 8, "every client is told by Connection: close");
    let status = weir.wait(Duration::from_secs(8));
    assert!(status.success(), "{status}");
    weir.assert_no_errors();
}

#[test]
fn sigterm_under_load_loses_nothing() {
    stops_under_load(Signal::TERM);
}

#[test]
fn sigint_does_the_same() {
    stops_under_load(Signal::INT);
}

#[test]
fn a_request_in_flight_is_finished_and_nothing_new_is_accepted() {
    let gate = Gate::default();
    let origin = gated(&gate);
    let mut weir = Weir::start();
    weir.api().set_default(&config::bare(&[origin.address()]));
    let mut client = in_flight(&weir, &gate);
    weir.signal(Signal::TERM);
    eventually("the port is closed", || Wire::try_connect(weir.data()).is_err().then_some(()));
    assert!(weir.is_running());
    let probe = |path| weir.api().get(path).status();
    assert_eq!(
        (probe("/readyz"), probe("/livez")),
        (503, 200),
        "a balancer in front sends no more, and kills nothing"
    );
    gate.open();
    let response = client.response("GET").unwrap();
    assert_eq!(response.text(), "late");
    assert!(response.announces_close(), "{response:?}");
    assert!(client.is_closed());
    assert!(weir.wait(Duration::from_secs(10)).success());
}

#[test]
fn the_drain_timeout_ends_the_wait() {
    let gate = Gate::default();
    let origin = gated(&gate);
    let mut weir = Launch::default().arg("--drain-timeout").arg("1s").start();
    weir.api().set_default(&config::bare(&[origin.address()]));
    let _client = in_flight(&weir, &gate);
    let started = Instant::now();
    weir.signal(Signal::TERM);
    weir.wait(Duration::from_secs(6));
    assert!(started.elapsed() >= Duration::from_millis(900), "it waited {:?}", started.elapsed());
    gate.open();
}

#[test]
fn a_second_signal_ends_at_once() {
    let gate = Gate::default();
    let origin = gated(&gate);
    let mut weir = Launch::default().arg("--drain-timeout").arg("60s").start();
    weir.api().set_default(&config::bare(&[origin.address()]));
    let _client = in_flight(&weir, &gate);
    weir.signal(Signal::TERM);
    eventually("the first signal is taken", || Wire::try_connect(weir.data()).is_err().then_some(()));
    assert!(weir.is_running());
    weir.signal(Signal::TERM);
    weir.wait(Duration::from_secs(3));
    gate.open();
}

#[test]
fn without_clients_it_ends_soon() {
    let mut weir = Launch::default().arg("--drain-timeout").arg("60s").start();
    weir.signal(Signal::TERM);
    assert!(weir.wait(Duration::from_secs(5)).success());
}
