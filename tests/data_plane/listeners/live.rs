//! Binding and giving up under load.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;
use weir_tests::client::Wire;
use weir_tests::config;
use weir_tests::eventually::eventually;
use weir_tests::load::{Load, Plan};
use weir_tests::origin::Origin;
use weir_tests::reply::{self, Step};
use weir_tests::signal::Signal;
use weir_tests::weir::{Launch, Weir};

use super::{add, add_with, listener};

const ROUNDS: usize = 100;

#[test]
fn a_listener_that_comes_and_goes_a_hundred_times_costs_the_others_nothing() {
    let origin = Origin::named("origin");
    let weir = Weir::start();
    weir.api().set_default(&config::plain(&[origin.address()]));
    let stable = add_with(&weir, "stable", json!({}));
    let loads = [Load::start(Plan::gets(weir.data())), Load::start(Plan::gets(stable))];
    let port = add_with(&weir, "guest", json!({}));
    weir.api().delete("/v1/listeners/guest").assert(204);
    for round in 0..ROUNDS {
        let address = add(&weir, &json!({"id": "guest", "address": port.to_string()}));
        // The very next connections are served, whichever worker they come to.
        for _ in 0..4 {
            assert_eq!(Wire::connect(address).get("/guest").text(), "origin", "round {round}");
        }
        weir.api().delete("/v1/listeners/guest").assert(204);
        let refused = TcpStream::connect(address);
        assert!(refused.is_err(), "round {round}: nobody listens any more");
    }
    for load in loads {
        let tally = load.stop();
        tally.assert_flawless();
        assert!(tally.ok() > 100, "a steady load: {}", tally.ok());
    }
    weir.assert_no_errors();
}

#[test]
fn an_address_in_use_is_told_and_heals_when_it_is_free() {
    let origin = Origin::named("origin");
    let weir = Weir::start();
    weir.api().set_default(&config::plain(&[origin.address()]));
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let body = json!({"id": "late", "address": address.to_string()});
    let answer = weir.api().post("/v1/listeners", &body).expect(201).json();
    let error = answer["status"]["error"].as_str().unwrap();
    assert!(answer["status"]["bound"] == false && error.contains("in use"), "{answer}");
    let ready = weir.api().get("/readyz?verbose").expect(200).json();
    assert_eq!(ready["status"], "warn");
    let health = weir.api().get("/v1/health").expect(200).json();
    assert_eq!(health["listeners_unbound"][0]["id"], "late");
    assert_eq!(weir.client().get("/").status, 200, "the rest serves");
    drop(taken);
    eventually("it is bound", || (listener(&weir, "late")["status"]["bound"] == true).then_some(()));
    assert_eq!(Wire::connect(address).get("/").status, 200);
    assert_eq!(weir.api().get("/readyz").expect(200).json()["status"], "pass");
    let told = weir.api().get("/v1/health").expect(200).json();
    assert_eq!(told["listeners_unbound"], json!([]));
}

#[test]
fn a_deleted_listener_finishes_what_is_under_way_and_tells_the_rest_to_close() {
    let gate = reply::Gate::default();
    let held = gate.clone();
    let origin = Origin::script(move |seen| match seen.request.head.target.as_str() {
        "/slow" => vec![Step::Wait(held.clone()), Step::Send(reply::message("200 OK", &[], "slow"))],
        _ => reply::ok("quick"),
    });
    let weir = Weir::start();
    weir.api().set_default(&config::bare(&[origin.address()]));
    let address = add_with(&weir, "going", json!({}));
    let mut idle = Wire::connect(address);
    assert_eq!(idle.get("/").status, 200);
    let mut slow = Wire::connect(address);
    slow.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually("the request is under way", || (origin.count() == 2).then_some(()));
    weir.api().delete("/v1/listeners/going").assert(204);
    let answer = idle.get("/");
    assert!(answer.status == 200 && answer.announces_close(), "{answer:?}");
    gate.open();
    let answer = slow.response("GET").unwrap();
    assert!(answer.status == 200 && answer.announces_close(), "{answer:?}");
    assert!(slow.is_closed());
}

#[test]
fn what_is_left_after_the_drain_timeout_is_broken_off() {
    let gate = reply::Gate::default();
    let held = gate.clone();
    let origin = Origin::script(move |_| vec![Step::Wait(held.clone())]);
    let weir = Weir::start();
    weir.api().set_default(&config::bare(&[origin.address()]));
    let address = add_with(&weir, "going", json!({"drain_timeout": "200ms"}));
    let mut slow = Wire::connect(address);
    slow.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually("the request is under way", || (origin.count() == 1).then_some(()));
    weir.api().delete("/v1/listeners/going").assert(204);
    assert!(slow.patience(Duration::from_secs(5)).is_reset());
    gate.open();
}

/// A response that ends with its connection would look whole if that ended in order.
#[test]
fn a_response_that_is_broken_off_does_not_look_whole() {
    let gate = reply::Gate::default();
    let held = gate.clone();
    let part = b"HTTP/1.1 200 OK\r\n\r\npart".to_vec();
    let origin = Origin::script(move |_| vec![Step::Send(part.clone()), Step::Wait(held.clone())]);
    let begun = |address| {
        let mut client = Wire::connect(address);
        client.send("GET / HTTP/1.0\r\n\r\n");
        let (_, status, fields) = client.response_head().unwrap();
        assert!(status == 200 && !fields.has("content-length"), "{fields:?}");
        let mut content = Vec::new();
        while content.len() < 4 {
            content.extend(client.some().unwrap());
        }
        assert_eq!(content, b"part");
        client
    };
    let mut weir = Launch::default().arg("--drain-timeout").arg("200ms").start();
    weir.api().set_default(&config::bare(&[origin.address()]));
    let address = add_with(&weir, "going", json!({"drain_timeout": "200ms"}));
    let mut client = begun(address);
    weir.api().delete("/v1/listeners/going").assert(204);
    assert!(client.is_reset(), "its listener is gone");
    let (mut client, mut idle) = (begun(weir.data()), Wire::connect(weir.data()));
    weir.signal(Signal::TERM);
    assert!(client.is_reset(), "the process ends");
    assert_eq!(idle.rest().unwrap(), b"", "nothing was under way");
    weir.wait(Duration::from_secs(10));
    gate.open();
}

/// Killed and started again: the same listeners, the same settings, and the command line's address.
#[test]
fn a_restart_restores_listeners() {
    let origin = Origin::named("origin");
    let folder = TempDir::new().unwrap();
    let start = |folder: &Path| Launch::default().data_dir(folder).start();
    let weir = start(folder.path());
    weir.api().set_default(&config::plain(&[origin.address()]));
    let address = add_with(&weir, "kept", json!({}));
    let fixed = json!({"address": address.to_string(), "max_uri_bytes": 256});
    weir.api().patch("/v1/listeners/kept", &fixed).assert(200);
    weir.api().patch("/v1/listeners/default", &json!({"max_uri_bytes": 300})).assert(200);
    weir.kill();
    let weir = start(folder.path());
    let target = format!("/{}", "a".repeat(280));
    assert_eq!(Wire::connect(address).get(&target).status, 414);
    assert_eq!(weir.client().get(&target).status, 200);
    assert_eq!(listener(&weir, "default")["address"], weir.data().to_string());
    let target = format!("/{}", "a".repeat(310));
    assert_eq!(weir.client().get(&target).status, 414);
}

/// Started with another address, which a listener has: a machine's port is the machine's.
#[test]
fn the_default_listener_is_bound_before_one_that_has_its_address() {
    let folder = TempDir::new().unwrap();
    let start = || Launch::default().data_dir(folder.path());
    let weir = start().start();
    // Of a name that comes before "default".
    let address = add_with(&weir, "a", json!({}));
    weir.api().patch("/v1/listeners/a", &json!({"address": address.to_string()})).assert(200);
    weir.kill();
    let weir = start().listen(address).start();
    assert_eq!(listener(&weir, "default")["status"]["bound"], true);
    assert_eq!(listener(&weir, "a")["status"]["bound"], false);
    weir.api().get("/readyz").assert(200);
    weir.api().post("/v1/listeners", &json!({"id": "b", "address": address.to_string()})).assert(422);
}
