//! Servers that come and go by the API under load: no request fails, no client connection closes, every answer holds at once.

use std::time::{Duration, Instant};

use serde_json::json;
use weir_tests::config;
use weir_tests::load::{Load, Plan};
use weir_tests::origin::Origin;
use weir_tests::weir::Weir;

#[test]
fn a_hundred_changes_a_second_cost_no_request() {
    let origins: Vec<Origin> = (0..8).map(|n| Origin::named(&n.to_string())).collect();
    let weir = Weir::start();
    let stable: Vec<_> = origins[..2].iter().map(Origin::address).collect();
    weir.api().set_default(&config::plain(&stable));
    let load = Load::start(Plan::gets(weir.data()));

    let mut checker = weir.client();
    let pace = Duration::from_millis(10);
    let started = Instant::now();
    let mut changes: u32 = 0;
    let servers = "/v1/upstreams/default/servers";
    'rounds: loop {
        for (number, origin) in origins.iter().enumerate().skip(2) {
            let added = weir.api().post(servers, &json!(origin.address().to_string()));
            assert!(matches!(added.status(), 200 | 201), "{added:?}");
            std::thread::sleep((pace * (changes + 1)).saturating_sub(started.elapsed()));
            let removed = weir.api().delete(&format!("{servers}/{}", config::slug(origin.address())));
            assert!(matches!(removed.status(), 202 | 204), "{removed:?}");
            let next = checker.get("/checker");
            assert_eq!(next.status, 200);
            assert_ne!(
                next.text(),
                number.to_string(),
                "a request behind the answer went to the removed server"
            );
            changes += 2;
            std::thread::sleep((pace * changes).saturating_sub(started.elapsed()));
            if changes >= 500 {
                break 'rounds;
            }
        }
    }
    let tally = load.stop();
    tally.assert_flawless();
    assert!(checker.is_idle(), "the checker's connection stands");
    assert!(tally.ok() > 500, "a steady load: {}", tally.ok());
    assert!(origins[2..].iter().any(|origin| origin.count() > 0), "the added servers were used");
    weir.assert_no_errors();
}

#[test]
fn the_request_behind_a_replacement_goes_to_the_new_server() {
    let origins: Vec<Origin> = (0..4).map(|n| Origin::named(&n.to_string())).collect();
    let weir = Weir::start();
    let mut clients: Vec<_> = Vec::new();
    for round in 0..60 {
        let number = round % 4;
        weir.api().set_default(&config::bare(&[origins[number].address()]));
        if round < 8 {
            // Several connections, so that every worker has to know.
            clients.push(weir.client());
        }
        for client in &mut clients {
            assert_eq!(client.get("/").text(), number.to_string(), "round {round}");
        }
    }
}

#[test]
fn each_kind_of_change_holds_at_once() {
    let (one, two) = (Origin::named("one"), Origin::named("two"));
    let weir = Weir::start();
    let api = weir.api();
    // In turn: by latency one may be left alone for a while.
    api.set_default(&config::with(&[one.address(), two.address()], &json!({ "algorithm": "round_robin" })));
    let path = format!("/v1/upstreams/default/servers/{}", config::slug(one.address()));
    let mut client = weir.client();
    let mut texts = || -> Vec<String> { (0..12).map(|_| client.get("/").text()).collect() };
    for change in
        [json!({ "weight": 0 }), json!({ "admin_state": "drain" }), json!({ "admin_state": "maint" })]
    {
        api.patch(&path, &change).assert(200);
        assert!(texts().iter().all(|text| text == "two"), "behind {change}");
        api.patch(&path, &json!({ "weight": 1, "admin_state": "ready" })).assert(200);
        assert!(texts().contains(&"one".to_owned()), "back again behind {change}");
    }
}

/// A request in flight outlives the server's place in the table.
#[test]
fn a_request_in_flight_survives_the_removal_of_its_server() {
    let gate = weir_tests::reply::Gate::default();
    let waiting = gate.clone();
    let slow = Origin::script(move |_| {
        vec![
            weir_tests::reply::Step::Wait(waiting.clone()),
            weir_tests::reply::Step::Send(weir_tests::reply::message("200 OK", &[], "slow")),
        ]
    });
    let fast = Origin::named("fast");
    let weir = Weir::start();
    weir.api().set_default(&config::bare(&[slow.address()]));
    let mut client = weir.client();
    client.send("GET / HTTP/1.1\r\nHost: weir.test\r\n\r\n");
    weir_tests::eventually::eventually("the request is in flight", || (gate.arrivals() == 1).then_some(()));
    weir.api().set_default(&config::bare(&[fast.address()]));
    assert_eq!(weir.client().get("/").text(), "fast");
    gate.open();
    assert_eq!(client.response("GET").unwrap().text(), "slow");
}
