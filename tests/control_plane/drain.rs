//! Drains on a real Weir with real traffic: nothing new arrives, nothing under way is lost, and the end comes as asked for.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use weir_tests::client::{Wire, WireError};
use weir_tests::config;
use weir_tests::eventually::eventually;
use weir_tests::load::{Load, Plan};
use weir_tests::origin::Origin;
use weir_tests::reply::{self, Gate, Step};
use weir_tests::weir::{Launch, Weir};

use super::problem::assert_problem;

const SERVERS: &str = "/v1/upstreams/default/servers";

fn path(server: SocketAddr) -> String {
    format!("{SERVERS}/{}", config::slug(server))
}

fn drain(weir: &Weir, server: SocketAddr, body: &Value) -> Value {
    let answer = weir.api().post(&format!("{}/drain", path(server)), body).expect(202);
    assert_eq!(answer.field("location"), Some(format!("{}/health", path(server)).as_str()));
    answer.json()
}

fn drains(weir: &Weir) -> usize {
    weir.api().get("/v1/drains").expect(200).json()["items"].as_array().unwrap().len()
}

fn in_flight(weir: &Weir, server: SocketAddr) -> Value {
    weir.api().get(&format!("{}/drain", path(server))).expect(200).json()["in_flight"].clone()
}

/// A server that answers when the gate opens.
fn gated(gate: &Gate) -> Origin {
    let gate = gate.clone();
    Origin::script(move |_| vec![Step::Wait(gate.clone()), Step::Send(reply::message("200 OK", &[], "late"))])
}

/// A server that never answers `/head`, and never ends its answer to anything else.
fn hanging() -> Origin {
    Origin::script(|seen| {
        let part = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart".to_vec();
        if seen.request.head.target == "/head" {
            vec![Step::Hold]
        } else {
            vec![Step::Send(part), Step::Hold]
        }
    })
}

fn ask(weir: &Weir, target: &str) -> Wire {
    let mut client = weir.client();
    client.send(format!("GET {target} HTTP/1.1\r\nHost: weir.test\r\n\r\n"));
    client
}

#[test]
fn nothing_new_arrives_nothing_is_lost_and_a_cancel_brings_the_traffic_back() {
    let (one, two) = (Origin::named("one"), Origin::named("two"));
    let weir = Weir::start();
    weir.api().set_default(&config::plain(&[one.address(), two.address()]));
    let load = Load::start(Plan::gets(weir.data()));
    eventually("both servers are used", || (one.count() > 10 && two.count() > 10).then_some(()));

    let mut checker = weir.client();
    assert_eq!(drain(&weir, one.address(), &json!({}))["done"], false);
    for _ in 0..20 {
        assert_eq!(checker.get("/").text(), "two", "a request behind the answer");
    }
    eventually("the drain is done", || {
        let drain = weir.api().get(&format!("{}/drain", path(one.address()))).expect(200).json();
        (drain["done"] == true).then(|| assert_eq!(drain["outcome"], "drained"))
    });
    let (arrived, elsewhere) = (one.count(), two.count());
    eventually("the load goes on", || (two.count() > elsewhere + 100).then_some(()));
    assert_eq!(one.count(), arrived, "a drained server gets nothing");
    assert_eq!(weir.api().server_health(one.address())["reason"], "admin_drain");

    weir.api().delete(&format!("{}/drain", path(one.address()))).assert(200);
    eventually("the traffic is back", || (one.count() > arrived + 10).then_some(()));
    let tally = load.stop();
    tally.assert_flawless();
    assert_eq!(tally.closed_announced, 0, "client connections are none of a drain's business");
    weir.assert_no_errors();
}

#[test]
fn requests_under_way_finish_and_can_be_watched_to_the_last() {
    let (gate, fast) = (Gate::default(), Origin::named("fast"));
    let slow = gated(&gate);
    let weir = Weir::start();
    weir.api().set_default(&config::bare(&[slow.address()]));
    let mut clients: Vec<Wire> = (0..3).map(|_| ask(&weir, "/")).collect();
    eventually("three requests are under way", || (gate.arrivals() == 3).then_some(()));
    weir.api().post(SERVERS, &json!(fast.address().to_string())).assert(201);

    let begun = drain(&weir, slow.address(), &json!({"timeout": "1m", "then": "maint"}));
    assert_eq!((&begun["in_flight"], &begun["connections"]), (&json!(3), &json!(3)));
    let health = weir.api().server_health(slow.address());
    assert_eq!((&health["state"], &health["drain"]["in_flight"]), (&json!("draining"), &json!(3)));
    assert_eq!(weir.client().get("/").text(), "fast");
    clients.pop().unwrap().reset();
    eventually("the client that left is counted off", || {
        (in_flight(&weir, slow.address()) == 2).then_some(())
    });

    gate.open();
    for client in &mut clients {
        assert_eq!(client.response("GET").unwrap().text(), "late");
        assert!(client.is_idle(), "the connection stands");
        assert_eq!(client.get("/").text(), "fast");
    }
    eventually("the server is out of use", || {
        (weir.api().server_health(slow.address())["reason"] == "admin_maint").then_some(())
    });
    assert_eq!(drains(&weir), 0);
    let ended = weir.api().get(&format!("{}/drain", path(slow.address()))).expect(200).json();
    assert_eq!(
        (&ended["outcome"], &ended["in_flight"]),
        (&json!("drained"), &json!(0)),
        "how it ended is known"
    );
}

#[test]
fn the_deadline_breaks_off_what_hangs_and_removes_the_server() {
    let hanging = hanging();
    let weir = Weir::start();
    weir.api().set_default(&config::bare(&[hanging.address()]));
    let (mut head, mut body) = (ask(&weir, "/head"), ask(&weir, "/body"));
    eventually("both requests hang", || (hanging.count() == 2).then_some(()));
    let started = Instant::now();
    let removed =
        weir.api().delete(&format!("{}?drain=true&timeout=500ms", path(hanging.address()))).expect(202);
    assert_eq!((&removed.json()["then"], &removed.json()["in_flight"]), (&json!("remove"), &json!(2)));
    assert_eq!(weir.api().server_health(hanging.address())["reason"], "removing");

    let answer = head.response("GET").unwrap();
    assert!(started.elapsed() >= Duration::from_millis(500), "not before the deadline");
    assert_eq!(answer.status, 502);
    assert!(answer.text().contains("server-drained"), "{}", answer.text());
    assert!(head.is_idle(), "the connection stands");
    assert!(
        matches!(body.response("GET"), Err(WireError::Truncated(_))),
        "half an answer does not pass for a whole"
    );
    assert_problem(&weir.api().get(&path(hanging.address())), 404, "not_found");
    eventually("the server is let go", || (hanging.open_connections() == 0).then_some(()));
    weir.assert_no_errors();
}

/// A request that may be sent again is: its client does not notice the deadline.
#[test]
fn what_may_be_tried_again_is_tried_on_another_server_at_the_deadline() {
    let (hanging, fast) = (hanging(), Origin::named("fast"));
    let weir = Weir::start();
    let servers = [hanging.address(), fast.address()];
    weir.api().set_default(&config::with(&servers, &json!({"retries": {"attempts": 1}})));
    let mut client = eventually("a request hangs", || {
        let (before, mut client) = (fast.count(), ask(&weir, "/head"));
        eventually("the request arrives", || (fast.count() > before || hanging.count() > 0).then_some(()));
        if hanging.count() > 0 {
            return Some(client);
        }
        client.response("GET").unwrap();
        None
    });
    drain(&weir, hanging.address(), &json!({"timeout": "0s", "then": "maint"}));
    assert_eq!(client.response("GET").unwrap().text(), "fast");
    let health = weir.api().server_health(hanging.address());
    assert_eq!((&health["admin_state"], &health["counters"]["cut"]), (&json!("maint"), &json!(1)));
    assert_eq!(health["counters"]["resets"], 0, "the server is not to blame");
}

/// A request keeps the table it began with; that does not lead its second attempt to a server drained meanwhile.
#[test]
fn a_second_attempt_does_not_go_to_a_drained_server() {
    for change in ["drain", "remove"] {
        let gate = Gate::default();
        let waiting = gate.clone();
        let failing = Origin::script(move |_| vec![Step::Wait(waiting.clone()), Step::Close]);
        let other = Origin::named("other");
        let weir = Weir::start();
        let servers = [failing.address(), other.address()];
        weir.api().set_default(&config::with(&servers, &json!({"retries": {"attempts": 2}})));
        let mut client = eventually("a request waits", || {
            let (before, mut client) = (other.count(), ask(&weir, "/"));
            let arrived = || (other.count() > before || gate.arrivals() > 0).then_some(());
            eventually("the request arrives", arrived);
            if gate.arrivals() > 0 {
                return Some(client);
            }
            client.response("GET").unwrap();
            None
        });
        if change == "drain" {
            drain(&weir, other.address(), &json!({}));
        } else {
            weir.api().delete(&path(other.address())).assert(204);
        }
        let count = other.count();
        gate.open();
        assert_eq!(client.response("GET").unwrap().status, 502, "{change}");
        assert_eq!(other.count(), count, "{change}");
    }
}

#[test]
fn with_keep_the_deadline_breaks_nothing_off() {
    let gate = Gate::default();
    let slow = gated(&gate);
    let weir = Weir::start();
    weir.api().set_default(&config::bare(&[slow.address()]));
    let mut client = ask(&weir, "/");
    eventually("the request is under way", || (gate.arrivals() == 1).then_some(()));
    drain(&weir, slow.address(), &json!({"timeout": "100ms"}));
    eventually("the deadline has come", || {
        let drain = weir.api().get(&format!("{}/drain", path(slow.address()))).expect(200).json();
        (drain["outcome"] == "deadline").then(|| assert_eq!(drain["in_flight"], 1))
    });
    gate.open();
    assert_eq!(client.response("GET").unwrap().text(), "late");
    eventually("nothing is under way", || (in_flight(&weir, slow.address()) == 0).then_some(()));
}

#[test]
fn a_drain_outlives_a_crash() {
    let folder = TempDir::new().unwrap();
    let (one, two, three) = (hanging(), hanging(), Origin::named("three"));
    let weir = Launch::default().data_dir(folder.path()).start();
    weir.api().set_default(&config::bare(&[one.address(), two.address()]));
    let mut clients = Vec::new();
    while one.count() == 0 || two.count() == 0 {
        let before = one.count() + two.count();
        clients.push(ask(&weir, "/head"));
        eventually("the request arrives", || (one.count() + two.count() > before).then_some(()));
    }
    weir.api().post(SERVERS, &json!(three.address().to_string())).assert(201);
    drain(&weir, one.address(), &json!({"timeout": "1h", "then": "remove"}));
    drain(&weir, two.address(), &json!({"timeout": "1h"}));
    assert_eq!(drains(&weir), 2);
    weir.kill();

    // With the old process all that was under way is gone.
    let weir = Launch::default().data_dir(folder.path()).start();
    eventually("the server is removed", || {
        (weir.api().get(&path(one.address())).status() == 404).then_some(())
    });
    eventually("both drains are done", || (drains(&weir) == 0).then_some(()));
    let kept = weir.api().get(&format!("{}/drain", path(two.address()))).expect(200).json();
    assert_eq!((&kept["done"], &kept["outcome"]), (&json!(true), &json!("drained")));
    assert_eq!(weir.client().get("/").text(), "three");
    let gone = weir.api().get(&format!("{}/drain", path(one.address()))).expect(200).json();
    assert_eq!((&gone["done"], &gone["outcome"]), (&json!(true), &json!("drained")), "its server is no more");
    weir.kill();
    let weir = Launch::default().data_dir(folder.path()).start();
    let again = weir.api().get(&format!("{}/drain", path(one.address()))).expect(200).json();
    assert_eq!(again, gone, "how it ended is known after another crash");
    let cancelled = weir.api().delete(&format!("{}/drain", path(two.address()))).expect(200);
    assert_eq!(cancelled.json()["admin_state"], "ready");
    weir.assert_no_errors();
}

#[test]
fn whoever_puts_the_server_back_to_use_ends_the_drain() {
    let gate = Gate::default();
    let slow = gated(&gate);
    let weir = Weir::start();
    weir.api().set_default(&config::bare(&[slow.address()]));
    let mut client = ask(&weir, "/");
    eventually("the request is under way", || (gate.arrivals() == 1).then_some(()));
    weir.api().patch(&path(slow.address()), &json!({"admin_state": "drain"})).assert(200);
    let later = hanging();
    weir.api().post(SERVERS, &json!(later.address().to_string())).assert(201);
    let _other_client = ask(&weir, "/");
    eventually("a request is under way elsewhere", || (later.count() == 1).then_some(()));

    let brief = json!({"timeout": "300ms", "then": "remove"});
    drain(&weir, slow.address(), &brief);
    weir.api().patch(&path(slow.address()), &json!({"admin_state": "ready"})).assert(200);
    assert_eq!(drains(&weir), 0);
    // Begun later with the same time: once this one is over, so is the deadline that no longer counts.
    drain(&weir, later.address(), &brief);
    eventually("the later drain is over", || {
        (weir.api().get(&path(later.address())).status() == 404).then_some(())
    });
    gate.open();
    assert_eq!(client.response("GET").unwrap().text(), "late");
    assert_eq!(client.get("/").text(), "late");
    assert_eq!(weir.api().get(&path(slow.address())).expect(200).json()["admin_state"], "ready");
}
