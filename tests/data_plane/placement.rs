//! Where requests go because of where servers are and how long they have been there: zones, subsets, slow start.

use std::collections::HashMap;

use serde_json::{Value, json};
use weir_tests::config;
use weir_tests::eventually::eventually;
use weir_tests::origin::Origin;
use weir_tests::weir::{Launch, Weir};

fn shares(weir: &Weir, count: usize) -> HashMap<String, usize> {
    let mut client = weir.client();
    let mut shares = HashMap::new();
    for _ in 0..count {
        *shares.entry(client.get("/").text()).or_default() += 1;
    }
    shares
}

fn of(shares: &HashMap<String, usize>, name: &str) -> usize {
    shares.get(name).copied().unwrap_or(0)
}

fn explain(weir: &Weir, origin: &Origin) -> Value {
    let id = config::slug(origin.address());
    weir.api().get(&format!("/v1/upstreams/default/servers/{id}/explain")).expect(200).json()
}

fn factor<'a>(explanation: &'a Value, name: &str) -> &'a Value {
    explanation["factors"].as_array().unwrap().iter().find(|factor| factor["name"] == name).unwrap()
}

#[test]
fn requests_stay_in_the_zone_until_it_is_short() {
    let (here, also_here, there) =
        (Origin::named("here"), Origin::named("also here"), Origin::named("there"));
    let in_zone =
        |origin: &Origin, zone: &str| json!({"address": origin.address().to_string(), "zone": zone});
    let servers = json!([in_zone(&here, "a"), in_zone(&also_here, "a"), in_zone(&there, "b")]);
    let weir = Launch::default().arg("--zone").arg("a").start();
    // By chance and not by latency: a busy machine makes some of its servers look slower than others.
    let among = |servers: &Value| config::with(&[], &json!({ "servers": servers, "algorithm": "random" }));
    weir.api().set_default(&among(&servers));
    assert_eq!(of(&shares(&weir, 60), "there"), 0);
    let found = explain(&weir, &there);
    assert_eq!(
        (&found["cause"]["factor"], &found["gets_requests"]),
        (&json!("zone"), &json!(false)),
        "{found:#}"
    );

    // With one server in the zone and three outside, a quarter of the capacity has to do for half of the traffic: × 1.4,
    // 70 % stays. Five standard deviations of 300 draws are 40.
    let (far, farther) = (Origin::named("there"), Origin::named("there"));
    let servers =
        json!([in_zone(&here, "a"), in_zone(&there, "b"), in_zone(&far, "b"), in_zone(&farther, "b")]);
    weir.api().set_default(&among(&servers));
    let found = shares(&weir, 300);
    assert!(of(&found, "here").abs_diff(210) <= 40, "{found:?}");
    weir.api().patch("/v1/upstreams/default", &json!({ "zone_awareness": { "mode": "off" } })).assert(200);
    let found = shares(&weir, 300);
    assert!(of(&found, "here").abs_diff(75) <= 38, "{found:?}");
    weir.assert_no_errors();
}

/// With an aggression of 0.1 a server has a tenth of its weight until four fifths of the time are over.
#[test]
fn a_server_that_comes_back_is_not_flooded() {
    let origins: Vec<Origin> = (0..4).map(|n| Origin::named(&n.to_string())).collect();
    let addresses: Vec<_> = origins.iter().map(Origin::address).collect();
    let weir = Weir::start();
    weir.api().set_default(&config::with(
        &addresses,
        &json!({
            "algorithm": "random",
            "slow_start": { "duration": "6s", "min_weight_percent": 5, "aggression": 0.1 },
            "health_check": {
                "enabled": true, "interval": "100ms", "timeout": "80ms", "unhealthy_threshold": 2,
                "healthy_threshold": 1,
            },
        }),
    ));
    let eligible = |count: usize| {
        let health = weir.api().get("/v1/upstreams/default/health").expect(200).json();
        (health["eligible"] == count).then_some(())
    };
    eventually("all are healthy", || eligible(4));
    // All began at once: nobody is held back. Five standard deviations of 400 draws are 43.
    let found = shares(&weir, 400);
    assert!((0..4).all(|n| of(&found, &n.to_string()).abs_diff(100) <= 43), "{found:?}");
    let multiplier =
        |origin: &Origin| factor(&explain(&weir, origin), "slow_start")["multiplier"].as_f64().unwrap();
    eventually("all are warm", || origins.iter().all(|origin| multiplier(origin) == 1.0).then_some(()));

    let mut origins = origins.into_iter();
    drop(origins.next());
    eventually("one is gone", || eligible(3));
    let back = Origin::named_at(addresses[0], "0");
    eventually("it is back", || eligible(4));
    let found = shares(&weir, 200);
    assert!(multiplier(&back) < 0.15, "{:#}", explain(&weir, &back));
    // At most 0.15 of 3.15 are ten, and five standard deviations 15.
    assert!(of(&found, "0") <= 25, "{found:?}");
    eventually("it is warm", || (multiplier(&back) == 1.0).then_some(()));
    let found = shares(&weir, 400);
    assert!(of(&found, "0").abs_diff(100) <= 43, "{found:?}");
    weir.assert_no_errors();
}

#[test]
fn balancers_share_servers_out() {
    let origins: Vec<Origin> = (0..6).map(|n| Origin::named(&n.to_string())).collect();
    let addresses: Vec<_> = origins.iter().map(Origin::address).collect();
    let mut uses = HashMap::new();
    for index in ["0", "1", "2"] {
        let flags = ["--balancer-index", index, "--balancer-count", "3"];
        let weir = flags.into_iter().fold(Launch::default(), |weir, flag| weir.arg(flag)).start();
        let upstream = json!({ "algorithm": "round_robin", "subset": { "size": 2 } });
        weir.api().set_default(&config::with(&addresses, &upstream));
        for (name, count) in shares(&weir, 20) {
            assert_eq!(count, 10);
            *uses.entry(name).or_insert(0) += 1;
        }
    }
    assert_eq!((uses.len(), uses.values().max()), (6, Some(&1)), "{uses:?}");
}

#[test]
fn a_balancer_that_cannot_be_is_refused() {
    let flags = ["--balancer-index", "3", "--balancer-count", "3"];
    let (status, lines) = flags.into_iter().fold(Launch::default(), |weir, flag| weir.arg(flag)).refused();
    assert!(
        !status.success() && lines.join("\n").contains("--balancer-index 3 is not one of 3"),
        "{lines:?}"
    );
}
