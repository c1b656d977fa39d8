//! The whole configuration on a real Weir: writers side by side, and what a change of everything leaves alone.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use serde_json::{Value, json};
use weir_tests::{
    api::{Answer, Api},
    client::Wire,
    config,
    eventually::eventually,
    origin::Origin,
    reply::{self, Gate, Step},
    weir::Weir,
};

const CONFIG: &str = "/v1/config";
const WRITERS: usize = 8;
const EACH: usize = 10;

fn read(api: Api) -> Answer {
    api.get(CONFIG).expect(200)
}

fn path(server: SocketAddr) -> String {
    format!("/v1/upstreams/default/servers/{}", config::slug(server))
}

/// A server that answers when the gate opens.
fn gated(gate: &Gate) -> Origin {
    let gate = gate.clone();
    Origin::script(move |_| vec![Step::Wait(gate.clone()), Step::Send(reply::message("200 OK", &[], "late"))])
}

fn ask(weir: &Weir) -> Wire {
    let mut client = weir.client();
    client.send("GET / HTTP/1.1\r\nHost: weir.test\r\n\r\n");
    client
}

/// Each adds one to the weight of a server in a whole configuration it has read: what was accepted adds up.
#[test]
fn with_if_match_no_writer_undoes_another() {
    let weir = Weir::start();
    let api = weir.api();
    let servers = json!([{ "address": "127.0.0.1:1", "weight": 0, "admin_state": "maint" }]);
    api.post("/v1/upstreams", &json!({ "id": "web", "servers": servers })).assert(201);
    let accepted = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| {
                for _ in 0..EACH {
                    let before = read(api);
                    let mut document = before.json();
                    let weight = &mut document["upstreams"][0]["servers"][0]["weight"];
                    *weight = json!(weight.as_u64().unwrap() + 1);
                    let put =
                        api.call("PUT", CONFIG).field("If-Match", &before.etag()).json(&document).send();
                    assert!(matches!(put.status(), 200 | 412), "{put:?}");
                    accepted.fetch_add(usize::from(put.status() == 200), Ordering::SeqCst);
                }
            });
        }
    });
    let accepted = accepted.load(Ordering::SeqCst);
    assert!(accepted >= EACH, "the first of each round is accepted: {accepted}");
    assert_eq!(read(api).json()["upstreams"][0]["servers"][0]["weight"], json!(accepted));
    assert_eq!(api.revision(), accepted as u64 + 1, "a revision for each that was accepted, and no other");
}

/// Writers without `If-Match` overwrite one another, but each document is in force whole or not at all, at every revision.
#[test]
fn without_if_match_nothing_is_torn() {
    let weir = Weir::start();
    let api = weir.api();
    let document = |mark: usize| {
        let upstream = |id: &str, ports: usize| {
            let servers: Vec<String> = (1..=ports).map(|port| format!("10.{mark}.0.1:{port}")).collect();
            json!({ "id": id, "labels": { "mark": mark.to_string() }, "servers": servers,
                "health_check": { "enabled": false } })
        };
        json!({ "upstreams": [upstream("api", 2), upstream("web", 3)] })
    };
    let assert_whole = |found: &Value, what: &str| {
        let mark = found["upstreams"][0]["labels"]["mark"].as_str().unwrap().to_owned();
        for (place, count) in [(0, 2), (1, 3)] {
            let upstream = &found["upstreams"][place];
            let servers = upstream["servers"].as_array().unwrap();
            let mine =
                |server: &Value| server["address"].as_str().unwrap().starts_with(&format!("10.{mark}."));
            assert!(
                upstream["labels"]["mark"] == mark && servers.len() == count && servers.iter().all(mine),
                "{what}: {found}"
            );
        }
    };
    api.put(CONFIG, &document(0)).assert(200);
    thread::scope(|scope| {
        for writer in 1..=WRITERS {
            scope.spawn(move || {
                for _ in 0..EACH {
                    api.put(CONFIG, &document(writer)).assert(200);
                    assert_whole(&read(api).json(), "between writes");
                }
            });
        }
    });
    for revision in 1..=api.revision() {
        let found = api.get(&format!("{CONFIG}?revision={revision}")).expect(200).json();
        assert_whole(&found, &format!("revision {revision}"));
    }
    weir.assert_no_errors();
}

/// What a server has gone through is kept when everything is put again, and when all but the server is changed.
#[test]
fn health_and_counters_survive_a_change_of_everything() {
    let (one, two) = (Origin::named("one"), Origin::named("two"));
    let weir = Weir::start();
    let api = weir.api();
    let fast = json!({ "interval": "300ms", "timeout": "200ms", "unhealthy_interval": "300ms" });
    let servers = [one.address(), two.address(), "127.0.0.1:1".parse().unwrap()];
    api.set_default(&config::with(&servers, &json!({ "health_check": fast, "retries": { "attempts": 2 } })));
    let state = |server: SocketAddr| api.server_health(server)["state"].clone();
    eventually("every verdict is reached", || {
        (state(servers[0]) == "healthy" && state(servers[1]) == "healthy" && state(servers[2]) == "unhealthy")
            .then_some(())
    });
    for _ in 0..20 {
        assert_eq!(weir.client().get("/").status, 200);
    }
    let seen = || servers.map(|server| api.server_health(server));
    let before = seen();
    let mut document = read(api).json();
    let equal = api.put(CONFIG, &document).expect(200).json();
    assert_eq!((&equal["unchanged"], &equal["diff"]), (&json!(true), &json!([])));

    document["upstreams"][0]["description"] = json!("changed");
    document["upstreams"][0]["servers"][0]["weight"] = json!(7);
    document["upstreams"].as_array_mut().unwrap().push(json!({ "id": "other", "servers": ["127.0.0.1:2"] }));
    let changed = api.put(CONFIG, &document).expect(200).json();
    assert_eq!((&changed["unchanged"], changed["diff"].as_array().map(Vec::len)), (&json!(false), Some(3)));
    for (before, after) in before.iter().zip(seen()) {
        for field in ["state", "reason", "since", "counters"] {
            assert_eq!(before[field], after[field], "{field} of {}", before["address"]);
        }
        let passed = |health: &Value| health["check"]["consecutive_passed"].as_u64();
        let failed = |health: &Value| health["check"]["consecutive_failed"].as_u64();
        assert!(passed(&after) >= passed(before) && failed(&after) >= failed(before), "{before} {after}");
    }
    let total: u64 = [&one, &two].iter().map(|origin| origin.count() as u64).sum();
    assert_eq!(total, 20, "every request was answered once, and both ran on");
    assert_eq!(weir.client().get("/").status, 200);
    weir.assert_no_errors();
}

/// A drain is there exactly as long as its server is in `drain`, whichever change ends that.
#[test]
fn a_change_of_everything_that_ends_the_state_ends_the_drain() {
    let gate = Gate::default();
    let slow = gated(&gate);
    let weir = Weir::start();
    let api = weir.api();
    api.set_default(&config::bare(&[slow.address(), "127.0.0.1:1".parse().unwrap()]));
    api.patch(&path("127.0.0.1:1".parse().unwrap()), &json!({ "admin_state": "maint" })).assert(200);
    let ready = api.revision();
    let mut client = ask(&weir);
    eventually("a request is under way", || (gate.arrivals() == 1).then_some(()));
    let begin = || {
        api.post(&format!("{}/drain", path(slow.address())), &json!({ "timeout": "1h", "then": "remove" }))
            .assert(202);
        assert_eq!(drains(api), 1);
    };
    let with = |state: &str| {
        let mut document = read(api).json();
        document["upstreams"][0]["servers"][0]["admin_state"] = json!(state);
        document
    };
    let roll_back = || api.post("/v1/config/rollback", &json!({ "to": ready }));

    begin();
    api.put(CONFIG, &read(api).json()).assert(200);
    let mut elsewhere = with("drain");
    elsewhere["upstreams"][0]["description"] = json!("changed");
    api.put(CONFIG, &elsewhere).assert(200);
    assert_eq!(drains(api), 1, "the server is in drain still");
    for state in ["ready", "maint"] {
        api.call("PUT", &format!("{CONFIG}?dry_run=true")).json(&with(state)).send().assert(200);
        assert_eq!(drains(api), 1, "a trial ends nothing");
        api.put(CONFIG, &with(state)).assert(200);
        assert_eq!(drains(api), 0, "{state}");
        begin();
    }
    roll_back().assert(200);
    assert_eq!(drains(api), 0, "rolled back");
    begin();
    let mut without = read(api).json();
    without["upstreams"][0]["servers"].as_array_mut().unwrap().remove(0);
    api.put(CONFIG, &without).assert(200);
    assert_eq!(drains(api), 0, "the server is gone");
    roll_back().assert(200);
    assert_eq!(drains(api), 0, "a server that is there again is drained by nobody");

    gate.open();
    assert_eq!(client.response("GET").unwrap().text(), "late", "none of it touched what was under way");
    assert_eq!(weir.client().get("/").text(), "late");
    weir.assert_no_errors();
}

fn drains(api: Api) -> usize {
    api.get("/v1/drains").expect(200).json()["items"].as_array().unwrap().len()
}
