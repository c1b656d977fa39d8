//! Who gets the requests: algorithms, weights, priorities.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use weir_tests::config;
use weir_tests::origin::Origin;
use weir_tests::reply::{self, Step};
use weir_tests::weir::{Launch, Weir};

/// How many of `count` requests on one connection each server answered.
fn shares(weir: &Weir, count: usize) -> HashMap<String, usize> {
    let mut client = weir.client();
    let mut shares = HashMap::new();
    for _ in 0..count {
        *shares.entry(client.get("/").text()).or_default() += 1;
    }
    shares
}

fn server(address: SocketAddr, more: &Value) -> Value {
    let mut server = json!({ "address": address.to_string() });
    for (name, value) in more.as_object().unwrap() {
        server[name] = value.clone();
    }
    server
}

#[test]
fn round_robin_takes_turns_by_weight() {
    let (one, two, three) = (Origin::named("one"), Origin::named("two"), Origin::named("three"));
    let weir = Weir::start();
    weir.api().set_default(&config::with(
        &[],
        &json!({
            "algorithm": "round_robin",
            "servers": [
                server(one.address(), &json!({ "weight": 3 })),
                server(two.address(), &json!({ "weight": 1 })),
                server(three.address(), &json!({ "weight": 0 })),
            ],
        }),
    ));
    let shares = shares(&weir, 40);
    assert_eq!(
        (shares["one"], shares["two"], shares.get("three")),
        (30, 10, None),
        "exact on one worker: {shares:?}"
    );
}

#[test]
fn every_algorithm_spreads() {
    let origins: Vec<Origin> = (0..3).map(|n| Origin::named(&n.to_string())).collect();
    let addresses: Vec<_> = origins.iter().map(Origin::address).collect();
    let weir = Weir::start();
    for algorithm in ["least_request", "round_robin", "random"] {
        weir.api().set_default(&config::with(&addresses, &json!({ "algorithm": algorithm })));
        let shares = shares(&weir, 150);
        // A fair draw leaves this band less than once in 10^7 runs.
        assert!(
            shares.len() == 3 && shares.values().all(|share| (15..=95).contains(share)),
            "{algorithm}: {shares:?}"
        );
    }
}

/// One request at a time leaves nothing to balance; but whatever the algorithm, each is answered, and what it goes by
/// can be changed while requests come.
#[test]
fn every_algorithm_answers_and_is_changed_at_run_time() {
    let origins: Vec<Origin> = (0..3).map(|n| Origin::named(&n.to_string())).collect();
    let addresses: Vec<_> = origins.iter().map(Origin::address).collect();
    let weir = Weir::start();
    weir.api().set_default(&config::bare(&addresses));
    let mut client = weir.client();
    for algorithm in ["least_time", "peak_ewma", "prequal", "ring_hash", "maglev"] {
        let changed = weir.api().patch("/v1/upstreams/default", &json!({ "algorithm": algorithm }));
        assert_eq!(changed.status(), 200, "{algorithm}: {changed:?}");
        for _ in 0..20 {
            assert_eq!(client.get("/").status, 200, "{algorithm}");
        }
    }
}

#[test]
fn a_key_keeps_its_server() {
    let origins: Vec<Origin> = (0..4).map(|n| Origin::named(&n.to_string())).collect();
    let addresses: Vec<_> = origins.iter().map(Origin::address).collect();
    let weir = Weir::start();
    let mut client = weir.client();
    let cases = [
        (json!({ "on": "header", "name": "X-User" }), "/", "X-User: @\r\n"),
        (json!({ "on": "cookie", "name": "sid" }), "/", "Cookie: other=1; sid=@\r\n"),
        (json!({ "on": "query", "name": "user" }), "/?page=2&user=@", ""),
        (json!({ "on": "path" }), "/users/@", ""),
    ];
    for (hash, target, field) in cases {
        let more = json!({ "algorithm": "ring_hash", "hash": hash });
        weir.api().set_default(&config::with(&addresses, &more));
        let mut ask = |user: usize| {
            let (target, field) =
                (target.replace('@', &user.to_string()), field.replace('@', &user.to_string()));
            client.exchange(format!("GET {target} HTTP/1.1\r\nHost: weir.test\r\n{field}\r\n")).text()
        };
        let homes: Vec<String> = (0..40).map(&mut ask).collect();
        let again: Vec<String> = (0..40).map(&mut ask).collect();
        assert_eq!(homes, again, "{hash}");
        let used: std::collections::HashSet<&String> = homes.iter().collect();
        assert_eq!(used.len(), 4, "{hash}: {homes:?}");
    }
}

/// The client's address is a key, or the network it is in.
#[test]
fn a_clients_network_keeps_its_server() {
    let origins: Vec<Origin> = (0..4).map(|n| Origin::named(&n.to_string())).collect();
    let addresses: Vec<_> = origins.iter().map(Origin::address).collect();
    let weir = Launch::default().arg("--trusted-proxies").arg("127.0.0.1/32").start();
    let mut client = weir.client();
    for algorithm in ["ring_hash", "maglev"] {
        let hash = json!({ "on": "client_ip", "ipv4_prefix": 24, "ipv6_prefix": 48 });
        weir.api().set_default(&config::with(&addresses, &json!({ "algorithm": algorithm, "hash": hash })));
        let mut ask = |address: String| {
            let field = format!("X-Forwarded-For: {address}\r\n");
            client.exchange(format!("GET / HTTP/1.1\r\nHost: weir.test\r\n{field}\r\n")).text()
        };
        let homes: Vec<String> = (0..40).map(|n| ask(format!("10.1.{n}.1"))).collect();
        let neighbours: Vec<String> = (0..40).map(|n| ask(format!("10.1.{n}.254"))).collect();
        assert_eq!(homes, neighbours, "{algorithm}");
        let homes: Vec<String> = (0..40).map(|n| ask(format!("2001:db8:{n:x}::1"))).collect();
        let neighbours: Vec<String> = (0..40).map(|n| ask(format!("2001:db8:{n:x}:ffff::2"))).collect();
        assert_eq!(homes, neighbours, "{algorithm}");
        let used: std::collections::HashSet<&String> = homes.iter().collect();
        assert_eq!(used.len(), 4, "{algorithm}: {homes:?}");
    }
}

#[test]
fn random_follows_weights() {
    let (one, two) = (Origin::named("one"), Origin::named("two"));
    let weir = Weir::start();
    weir.api().set_default(&config::with(&[], &json!({
        "algorithm": "random",
        "servers": [server(one.address(), &json!({ "weight": 9 })), server(two.address(), &json!({ "weight": 1 }))],
    })));
    let shares = shares(&weir, 300);
    assert!(shares["one"] > 220, "{shares:?}");
}

/// The reason why it is the default: a slow server holds its requests longer, and so gets fewer.
#[test]
fn least_request_spares_a_slow_server() {
    let slow = Origin::script(|_| {
        vec![Step::Pause(Duration::from_millis(100)), Step::Send(reply::message("200 OK", &[], "slow"))]
    });
    let fast = Origin::named("fast");
    let weir = Weir::start();
    weir.api().set_default(&config::bare(&[slow.address(), fast.address()]));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| shares(&weir, 50));
        }
    });
    assert!(fast.count() > 3 * slow.count(), "fast {} slow {}", fast.count(), slow.count());
    assert!(slow.count() > 0, "slow is not forgotten");
}

#[test]
fn a_backup_works_only_when_the_others_cannot() {
    let (main, backup) = (Origin::named("main"), Origin::named("backup"));
    let weir = Weir::start();
    weir.api().set_default(&config::with(&[], &json!({
        "servers": [server(main.address(), &json!({})), server(backup.address(), &json!({ "priority": 1 }))],
    })));
    assert_eq!(shares(&weir, 20), HashMap::from([("main".to_owned(), 20)]));
    let path = format!("/v1/upstreams/default/servers/{}", config::slug(main.address()));
    weir.api().patch(&path, &json!({ "admin_state": "maint" })).assert(200);
    assert_eq!(shares(&weir, 20), HashMap::from([("backup".to_owned(), 20)]));
    weir.api().patch(&path, &json!({ "admin_state": "ready" })).assert(200);
    assert_eq!(shares(&weir, 20), HashMap::from([("main".to_owned(), 20)]));
}

/// Half of the primaries are worth 70 % of the requests (overprovisioning 140 %).
#[test]
fn primaries_that_are_short_are_helped_out_and_come_back() {
    let (main, late, backup) = (Origin::named("main"), Origin::named("late"), Origin::named("backup"));
    let dead = refusing();
    let weir = Weir::start();
    weir.api().set_default(&config::with(
        &[],
        &json!({
            "servers": [
                server(main.address(), &json!({})),
                server(dead, &json!({})),
                server(backup.address(), &json!({ "priority": 7 })),
            ],
            "health_check": { "enabled": true, "interval": "200ms", "timeout": "100ms" },
        }),
    ));
    wait_until_checked(&weir);
    // Five standard deviations of 400 draws are 46.
    let spilled = shares(&weir, 400);
    assert!(spilled["main"].abs_diff(280) <= 46 && spilled["backup"].abs_diff(120) <= 46, "{spilled:?}");
    let slug = config::slug(dead);
    weir.api().delete(&format!("/v1/upstreams/default/servers/{slug}")).assert(204);
    assert_eq!(shares(&weir, 50), HashMap::from([("main".to_owned(), 50)]));
    let added = server(late.address(), &json!({ "priority": 1 }));
    weir.api().post("/v1/upstreams/default/servers", &added).assert(201);
    weir.api()
        .patch(
            &format!("/v1/upstreams/default/servers/{}", config::slug(main.address())),
            &json!({ "weight": 0 }),
        )
        .assert(200);
    wait_until_checked(&weir);
    assert_eq!(shares(&weir, 50), HashMap::from([("late".to_owned(), 50)]), "levels need not be dense");
}

/// With every primary gone and most backups too, verdicts are distrusted; the healthy server must still be found.
#[test]
fn one_healthy_backup_among_the_dead_is_found() {
    let backup = Origin::named("backup");
    let dead: Vec<SocketAddr> = (0..5).map(|_| refusing()).collect();
    let mut servers: Vec<Value> = Vec::new();
    for (index, address) in dead.iter().enumerate() {
        servers.push(server(*address, &json!({ "priority": usize::from(index >= 3) })));
    }
    servers.push(server(backup.address(), &json!({ "priority": 1 })));
    let weir = Weir::start();
    weir.api().set_default(&config::plain(&[]));
    weir.api()
        .put(
            "/v1/upstreams/default",
            &json!({ "servers": servers, "health_check": { "interval": "200ms", "timeout": "100ms" } }),
        )
        .assert(200);
    wait_until_checked(&weir);
    assert_eq!(shares(&weir, 30), HashMap::from([("backup".to_owned(), 30)]));
}

fn wait_until_checked(weir: &Weir) {
    weir_tests::eventually::eventually("all are checked", || {
        let health = weir.api().get("/v1/upstreams/default/health").expect(200).json();
        let servers = health["servers"].as_array().unwrap().clone();
        servers.iter().all(|server| server["state"] != "initial").then_some(())
    });
}

/// A server may be written by name; the name is looked up when a connection is made.
#[test]
fn a_server_known_by_name_is_used() {
    let origin = Origin::named("by name");
    let weir = Weir::start();
    weir.api().set_default(&config::plain(&[]));
    let address = format!("localhost:{}", origin.address().port());
    weir.api().post("/v1/upstreams/default/servers", &json!(address)).assert(201);
    assert_eq!(shares(&weir, 10), HashMap::from([("by name".to_owned(), 10)]));
    weir.assert_no_errors();
}

/// A port nobody listens on.
fn refusing() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn nobody_left_is_said_so() {
    let origin = Origin::named("origin");
    let weir = Weir::start();
    for state in ["maint", "drain"] {
        weir.api().set_default(&config::with(
            &[],
            &json!({
                "servers": [server(origin.address(), &json!({ "admin_state": state }))],
            }),
        ));
        super::semantics::assert_own_error(&weir.client().get("/"), 503, "destination_unavailable");
    }
    assert_eq!(origin.count(), 0);
}
