//! A second algorithm that picks as well: what it would have done is told, and nothing is sent to its servers.

use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use weir_tests::config;
use weir_tests::eventually::eventually;
use weir_tests::origin::Origin;
use weir_tests::reply;
use weir_tests::weir::Weir;

/// A server that takes this long for each request.
fn taking(millis: u64) -> Origin {
    Origin::script(move |_| {
        thread::sleep(Duration::from_millis(millis));
        reply::ok("done")
    })
}

fn report(weir: &Weir) -> Value {
    weir.api().get("/v1/upstreams/default/shadow").expect(200).json()
}

fn set(weir: &Weir, change: &Value) {
    weir.api().patch("/v1/upstreams/default", change).assert(200);
}

/// Sends so many requests, four at a time.
fn send(weir: &Weir, each: usize) {
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = weir.client();
                assert!((0..each).all(|_| client.get("/").status == 200));
            });
        }
    });
}

#[test]
fn it_tells_what_another_algorithm_would_do_about_a_slow_server() {
    let (fast, slow) = (taking(2), taking(40));
    let weir = Weir::start();
    let settings = json!({"algorithm": "round_robin", "shadow": {"algorithm": "least_time"}});
    weir.api().set_default(&config::with(&[fast.address(), slow.address()], &settings));
    send(&weir, 50);
    assert_eq!(fast.count() + slow.count(), 200, "nothing is sent for the shadow");
    let told = report(&weir);
    assert_eq!((&told["requests"], &told["unplaced"]), (&json!(200), &json!(0)), "{told:#}");
    assert_eq!(told["shadow"]["algorithm"], "least_time");
    let share = |server: usize, name: &str| told["servers"][server][name].as_f64().unwrap();
    // Each of two workers has turns of its own, and begins them anywhere: a request more or less each.
    assert!((49.5..=50.5).contains(&share(1, "real_percent")), "{told:#}");
    // Less than half of that: what is not known yet, before the eighth answer of the slow server, is a tenth of the requests.
    assert!(share(1, "shadow_percent") < 25.0, "{told:#}");
    assert!(told["elsewhere_percent"].as_f64().unwrap() > 10.0, "{told:#}");
    let mean = |policy: &str| told[policy]["expected_latency_us"]["mean"].as_u64().unwrap();
    assert!(mean("shadow") < mean("real"), "{told:#}");
    eventually("nothing is in flight any more, on paper neither", || {
        let told = report(&weir);
        let counts = |name: &str| (0..2).all(|server| told["servers"][server][name] == 0);
        (counts("in_flight") && counts("shadow_in_flight")).then_some(())
    });
    let metrics = weir.api().get("/metrics").expect(200).response.text();
    for line in [
        "weir_shadow_requests_total{upstream=\"default\"} 200",
        "weir_shadow_imbalance{upstream=\"default\",policy=\"shadow\"} 1.",
        "weir_shadow_expected_latency_seconds_count{upstream=\"default\",policy=\"real\"} ",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    weir.assert_no_errors();
}

#[test]
fn it_is_changed_while_traffic_flows_and_costs_the_real_algorithm_nothing() {
    let servers = [Origin::named("a"), Origin::named("b")];
    let addresses = servers.each_ref().map(Origin::address);
    let weir = Weir::start();
    let breaker = json!({"circuit_breaker": {"enabled": true}, "algorithm": "least_request"});
    weir.api().set_default(&config::with(&addresses, &breaker));
    weir.api().get("/v1/upstreams/default/shadow").assert(404);
    thread::scope(|scope| {
        let traffic = scope.spawn(|| send(&weir, 300));
        for shadow in ["prequal", "maglev", "round_robin", "first"] {
            set(&weir, &json!({"shadow": {"algorithm": shadow, "hash": {"on": "path"}}}));
            eventually("requests are compared", || {
                let told = report(&weir);
                let is_idle = traffic.is_finished();
                (told["requests"].as_u64() > Some(0) || is_idle).then_some(())
            });
        }
        traffic.join().unwrap();
    });
    send(&weir, 5);
    let before = report(&weir);
    set(&weir, &json!({"description": "something else"}));
    assert_eq!(report(&weir)["requests"], before["requests"], "other changes leave the numbers alone");
    let share = before["servers"][0]["shadow_percent"].as_f64().unwrap();
    assert!((99.0..=100.0).contains(&share), "the first has everything: {before:#}");
    set(&weir, &json!({"shadow": {"algorithm": "random"}}));
    assert_eq!(report(&weir)["requests"], 0, "another shadow begins anew");
    set(&weir, &json!({"shadow": null}));
    weir.api().get("/v1/upstreams/default/shadow").assert(404);
    assert_eq!(weir.client().get("/").status, 200);
    let metrics = weir.api().get("/metrics").expect(200).response.text();
    assert!(!metrics.contains("weir_shadow_requests_total{"), "{metrics}");
    weir.assert_no_errors();
}
