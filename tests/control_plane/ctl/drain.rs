//! A drain from the command line: it is done when no request is under way, and not before.

use std::thread;

use weir_tests::config;
use weir_tests::ctl::Ctl;
use weir_tests::eventually::eventually;
use weir_tests::origin::Origin;
use weir_tests::reply::{self, Gate, Step};
use weir_tests::weir::Weir;

/// A server whose answers wait for `gate`.
fn slow(gate: &Gate) -> Origin {
    let gate = gate.clone();
    Origin::script(move |_| vec![Step::Wait(gate.clone()), Step::Send(reply::message("200 OK", &[], "late"))])
}

fn with(origin: &Origin) -> (Weir, String) {
    let weir = Weir::start();
    weir.api().set_default(&config::plain(&[origin.address()]));
    let server = config::slug(origin.address());
    (weir, format!("default {server}"))
}

#[test]
fn waiting_ends_with_the_last_request() {
    let gate = Gate::default();
    let origin = slow(&gate);
    let (weir, server) = with(&origin);
    thread::scope(|scope| {
        let request = scope.spawn(|| weir.client().get("/"));
        eventually("the request is at the server", || (gate.arrivals() == 1).then_some(()));
        let mut waiting = Ctl::on(&weir, &format!("drain {server} --wait --timeout 60s")).start();
        waiting.line("draining, 1 under way");
        let drains = Ctl::on(&weir, "get drains").run().expect(0).out;
        assert!(drains.lines().nth(1).is_some_and(|line| line.contains("keep")), "{drains}");
        assert!(waiting.is_running(), "a request is under way");
        gate.open();
        assert_eq!(request.join().unwrap().text(), "late");
        assert_eq!(waiting.ended(), 0);
        waiting.line(": drained");
    });
    let health = Ctl::on(&weir, "health default").run();
    assert!(health.out.contains("draining"), "{health:?}");
    let said = Ctl::on(&weir, &format!("undrain {server}")).run().expect(0);
    assert!(said.out.contains(": ready (revision"), "{said:?}");
    assert_eq!(weir.client().get("/").text(), "late");
}

#[test]
fn waiting_for_a_server_that_is_to_go() {
    for (then, said) in [("remove", "drained and removed"), ("maint", "drained, now in maintenance")] {
        let origin = Origin::named("origin");
        let (weir, server) = with(&origin);
        let ended = Ctl::on(&weir, &format!("drain {server} --wait --then {then}")).run().expect(0);
        assert!(ended.out.contains(said), "{ended:?}");
        let left = Ctl::on(&weir, &format!("get server {server}")).run();
        assert_eq!(left.code, if then == "remove" { 1 } else { 0 }, "{left:?}");
    }
}

/// The server before, which had its address, is remembered as drained too, under a name that comes first.
#[test]
fn waiting_by_address_is_for_the_server_that_has_it_now() {
    let origin = Origin::named("origin");
    let weir = Weir::start();
    let address = origin.address().to_string();
    weir.api().set_default(&config::plain(&[]));
    for name in ["a", "b"] {
        let server = serde_json::json!({"id": name, "address": address});
        weir.api().post("/v1/upstreams/default/servers", &server).assert(201);
        let ended = Ctl::on(&weir, &format!("drain default {address} --wait --then remove")).run().expect(0);
        assert!(ended.out.contains("drained and removed"), "{ended:?}");
    }
}

/// A deadline that passes with requests under way is no drained server.
#[test]
fn a_deadline_is_not_done() {
    let gate = Gate::default();
    let origin = slow(&gate);
    let (weir, server) = with(&origin);
    thread::scope(|scope| {
        let request = scope.spawn(|| weir.client().get("/"));
        eventually("the request is at the server", || (gate.arrivals() == 1).then_some(()));
        let ended = Ctl::on(&weir, &format!("drain {server} --wait --timeout 300ms")).run().expect(1);
        assert!(ended.err.contains("not drained"), "{ended:?}");
        gate.open();
        assert_eq!(request.join().unwrap().text(), "late", "kept to its end");
    });
}

#[test]
fn a_drain_that_somebody_cancels_is_not_done() {
    let gate = Gate::default();
    let origin = slow(&gate);
    let (weir, server) = with(&origin);
    thread::scope(|scope| {
        scope.spawn(|| weir.client().get("/"));
        eventually("the request is at the server", || (gate.arrivals() == 1).then_some(()));
        let mut waiting =
            Ctl::on(&weir, &format!("drain {server} --wait --timeout 60s --then remove")).start();
        waiting.line("draining, 1 under way");
        Ctl::on(&weir, &format!("undrain {server}")).run().assert(0);
        assert_eq!(waiting.ended(), 1);
        gate.open();
    });
}
