//! A second server is asked when the first takes long: what the client gets, what the servers see, and what it may cost.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use weir_tests::config;
use weir_tests::eventually::eventually;
use weir_tests::origin::Origin;
use weir_tests::reply::{self, Gate, Step};
use weir_tests::weir::Weir;

/// A server that answers `name` once the gate is open.
fn behind(gate: &Gate, name: &'static str) -> Origin {
    let gate = gate.clone();
    Origin::script(move |_| [vec![Step::Wait(gate.clone())], reply::ok(name)].concat())
}

/// Two servers in turn, hedged after 20 ms without a limit, with what `more` says on top.
fn hedged(servers: &[&Origin], more: &Value) -> Weir {
    let addresses: Vec<_> = servers.iter().map(|origin| origin.address()).collect();
    let mut document = config::with(
        &addresses,
        &json!({
            "algorithm": "round_robin",
            "hedging": { "enabled": true, "delay": "20ms", "max_percent": 100 },
        }),
    );
    for (name, value) in more.as_object().unwrap() {
        document[name] = value.clone();
    }
    let weir = Weir::start();
    weir.api().set_default(&document);
    weir
}

fn metric(weir: &Weir, name: &str) -> u64 {
    let text = weir.api().get("/metrics").response.text();
    let line = text.lines().find(|line| line.starts_with(&format!("{name}{{upstream=\"default\"}}")));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_else(|| panic!("no {name}"))
}

#[test]
fn the_first_good_answer_is_taken() {
    let gate = Gate::default();
    let (slow, quick) = (behind(&gate, "slow"), Origin::named("quick"));
    let weir = hedged(
        &[&slow, &quick],
        &json!({ "outlier_detection": { "consecutive_5xx": 1, "consecutive_local_origin_failure": 1 } }),
    );
    let mut client = weir.client();
    // The slow server answers nobody until the gate opens.
    for _ in 0..10 {
        assert_eq!(client.get("/").text(), "quick");
    }
    assert!(slow.count() >= 4, "the case came up: {}", slow.count());
    let (sent, won) = (metric(&weir, "weir_hedges_total"), metric(&weir, "weir_hedges_won_total"));
    assert!(sent >= 4 && won >= 4 && won <= sent, "{won} of {sent}");
    assert_eq!(metric(&weir, "weir_retries_total"), 0, "hedges are no retries");
    let health = weir.api().server_health(slow.address());
    assert_ne!(health["reason"], "ejected", "to be slower is no fault: {health}");
    gate.open();
    eventually("the slow server's connections are closed", || (slow.open_connections() == 0).then_some(()));
    assert_eq!(client.get("/").status, 200);
    weir.assert_no_errors();
}

/// Beside one that is hedged after the same time, and asked later.
#[test]
fn without_being_asked_to_nothing_is_hedged() {
    let gate = Gate::default();
    let (one, two) = (behind(&gate, "one"), behind(&gate, "two"));
    let weir = hedged(&[&one, &two], &json!({ "hedging": { "delay": "1ms" } }));
    let later = Gate::default();
    let (slow, also_slow) = (behind(&later, "slow"), behind(&later, "slow"));
    let witness = hedged(
        &[&slow, &also_slow],
        &json!({ "hedging": { "enabled": true, "delay": "1ms", "max_percent": 100 } }),
    );
    thread::scope(|scope| {
        let answers: Vec<_> = (0..2).map(|_| scope.spawn(|| weir.client().get("/").status)).collect();
        eventually("both have arrived", || (gate.arrivals() == 2).then_some(()));
        let hedged = scope.spawn(|| witness.client().get("/").status);
        eventually("the other one is hedged", || (later.arrivals() == 2).then_some(()));
        gate.open();
        later.open();
        assert!(answers.into_iter().all(|answer| answer.join().unwrap() == 200));
        assert_eq!(hedged.join().unwrap(), 200);
    });
    assert_eq!(one.count() + two.count(), 2);
}

/// Both servers would run it.
#[test]
fn what_may_not_run_twice_or_has_a_body_waits_for_its_server() {
    let gate = Gate::default();
    let (slow, quick) = (behind(&gate, "slow"), Origin::named("quick"));
    let weir = hedged(
        &[&slow, &quick],
        &json!({ "hedging": { "enabled": true, "delay": "1ms", "max_percent": 100 } }),
    );
    let put = "PUT / HTTP/1.1\r\nHost: weir.test\r\nContent-Length: 5\r\n\r\nhello";
    thread::scope(|scope| {
        let posts = (0..8).map(|_| scope.spawn(|| weir.client().post("/", "hello").status));
        let puts = (0..8).map(|_| scope.spawn(|| weir.client().exchange(put).status));
        let all: Vec<_> = posts.chain(puts).collect();
        eventually("each has reached its server", || (gate.arrivals() + quick.count() >= 16).then_some(()));
        gate.open();
        assert!(all.into_iter().all(|one| one.join().unwrap() == 200));
    });
    assert!(slow.count() > 0, "the case came up");
    assert_eq!(slow.count() + quick.count(), 16, "one attempt each");
    assert_eq!(metric(&weir, "weir_hedges_total"), 0);
}

#[test]
fn an_error_does_not_win_over_an_answer_still_to_come() {
    let failing = Origin::script(|_| vec![Step::Send(reply::message("500 Oops", &[], "bad"))]);
    let deaf = Origin::script(|_| vec![Step::Reset]);
    for bad in [failing, deaf] {
        let gate = Gate::default();
        let slow = behind(&gate, "slow");
        let weir = hedged(&[&slow, &bad], &json!({ "retries": { "attempts": 0 } }));
        thread::scope(|scope| {
            let last = scope.spawn(|| {
                let mut client = weir.client();
                // In turn, so that the second request meets the slow server first if the first did not.
                let first = client.get("/");
                if first.text() == "slow" { first } else { client.get("/") }
            });
            eventually("both are asked", || {
                (gate.arrivals() == 1 && metric(&weir, "weir_hedges_total") == 1).then_some(())
            });
            gate.open();
            assert_eq!(last.join().unwrap().text(), "slow");
        });
        weir.assert_no_errors();
    }
}

#[test]
fn the_budget_bounds_what_is_asked_twice() {
    let origins: Vec<Origin> = (0..3)
        .map(|_| {
            Origin::script(|_| [vec![Step::Pause(Duration::from_millis(15))], reply::ok("slow")].concat())
        })
        .collect();
    let all: Vec<&Origin> = origins.iter().collect();
    let hedging = json!({ "hedging": { "enabled": true, "delay": "1ms", "max_percent": 10 } });
    let weir = hedged(&all, &hedging);
    let requests = 400;
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut client = weir.client();
                for _ in 0..requests / 8 {
                    assert_eq!(client.get("/").status, 200);
                }
            });
        }
    });
    let attempts: usize = origins.iter().map(Origin::count).sum();
    let hedges = usize::try_from(metric(&weir, "weir_hedges_total")).unwrap();
    assert!(hedges <= requests / 10 && attempts <= requests + requests / 10, "{hedges} in {attempts}");
    assert!(hedges >= requests / 20, "the budget was used: {hedges}");
}

#[test]
fn the_delay_follows_the_upstreams_own_answers() {
    let gate = Gate::default();
    let held = gate.clone();
    let sometimes = Origin::script(move |seen| match seen.request.head.target.as_str() {
        "/slow" => [vec![Step::Wait(held.clone())], reply::ok("slow")].concat(),
        _ => reply::ok("quick"),
    });
    let quick = Origin::named("quick");
    let hedging = json!({ "hedging": { "enabled": true, "percentile": 95, "max_percent": 5 } });
    let weir = hedged(&[&sometimes, &quick], &hedging);
    let mut client = weir.client();
    let began = Instant::now();
    // Weir looks at its answers once a second, and wants a hundred.
    while began.elapsed() < Duration::from_millis(2500) {
        (0..50).for_each(|_| assert_eq!(client.get("/").text(), "quick"));
    }
    // One of the two meets the server that holds it; nothing but a hedge gets an answer.
    for _ in 0..2 {
        assert_eq!(client.get("/slow").text(), "quick");
    }
    gate.open();
}

/// Whoever asked has gone, but the server does not know: it has that much less room for others.
#[test]
fn a_server_that_was_given_up_counts_as_busy_for_as_long_as_it_usually_is() {
    let gate = Gate::default();
    let held = gate.clone();
    let slow = Origin::script(move |seen| match seen.request.head.target.as_str() {
        "/held" => [vec![Step::Wait(held.clone())], reply::ok("slow")].concat(),
        _ => [vec![Step::Pause(Duration::from_secs(2))], reply::ok("slow")].concat(),
    });
    let quick = Origin::named("quick");
    let weir = hedged(&[&slow, &quick], &json!({ "hedging": { "enabled": true, "delay": "60s" } }));
    // As many answers as it takes to know a server, of two that take turns for each of two workers.
    thread::scope(|scope| (0..24).for_each(|_| drop(scope.spawn(|| weir.client().get("/").status))));
    let hedging = json!({ "hedging": { "delay": "20ms", "max_percent": 100 } });
    weir.api().patch("/v1/upstreams/default", &hedging).assert(200);
    let mut client = weir.client();
    while gate.arrivals() == 0 {
        assert_eq!(client.get("/held").text(), "quick");
    }
    let in_flight = || weir.api().server_health(slow.address())["in_flight"].as_u64().unwrap();
    assert_eq!(in_flight(), 1);
    eventually("it has probably done it", || (in_flight() == 0).then_some(()));
    gate.open();
}
