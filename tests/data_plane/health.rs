//! Health as the API shows it and as requests feel it: active checks, ejection, panic, and the last server.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use weir_tests::config;
use weir_tests::eventually::eventually;
use weir_tests::origin::{Origin, Refusing};
use weir_tests::reply::{self, Reply, Step};
use weir_tests::weir::Weir;

/// An upstream with quick checks and no ejection.
fn checked(servers: &[SocketAddr], check: &Value) -> Value {
    let mut health_check = json!({
        "interval": "100ms", "timeout": "80ms", "healthy_threshold": 1, "unhealthy_threshold": 1, "jitter_percent": 0,
    });
    for (name, value) in check.as_object().unwrap() {
        health_check[name] = value.clone();
    }
    config::with(servers, &json!({ "health_check": health_check }))
}

/// Waits until the server is in this state for this reason, and returns what the API says.
fn await_state(weir: &Weir, server: SocketAddr, state: &str, reason: Option<&str>) -> Value {
    let mut last = Value::Null;
    let probe = || {
        last = weir.api().server_health(server);
        (last["state"] == state && last["reason"] == json!(reason)).then(|| last.clone())
    };
    let what = format!("{server} is {state} for {reason:?}");
    let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| eventually(&what, probe)));
    found.unwrap_or_else(|_| panic!("{what}; it is {last}"))
}

fn is_rfc3339_utc(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.len() >= 20 && text.ends_with('Z') && text.as_bytes()[10] == b'T')
}

#[test]
fn every_server_is_listed_from_the_commit_on() {
    let (origin, nobody) = (Origin::named("origin"), Refusing::start());
    let weir = Weir::start();
    weir.api().set_default(&config::plain(&[origin.address(), nobody.address()]));
    let health = weir.api().get("/v1/health").expect(200).json();
    let servers = health["upstreams"][0]["servers"].as_array().unwrap();
    assert_eq!(servers.len(), 2);
    for server in servers {
        let state = server["state"].as_str().unwrap();
        assert!(["initial", "healthy", "unhealthy"].contains(&state), "{server}");
        assert!(is_rfc3339_utc(&server["since"]), "{server}");
        assert!(state == "healthy" || server["reason"].is_string(), "{server}");
        assert!(server["eligible"].is_boolean() && server["in_flight"].is_u64(), "{server}");
    }
    // The first check runs at once, although the interval is five seconds.
    await_state(&weir, origin.address(), "healthy", None);
    await_state(&weir, nobody.address(), "unhealthy", Some("connect_refused"));
}

#[test]
fn a_server_goes_down_and_comes_back() {
    let origins: Vec<Origin> = (0..3).map(|n| Origin::named(&n.to_string())).collect();
    let addresses: Vec<_> = origins.iter().map(Origin::address).collect();
    let weir = Weir::start();
    weir.api().set_default(&checked(&addresses, &json!({ "type": "tcp" })));
    for address in &addresses {
        await_state(&weir, *address, "healthy", None);
    }
    let mut origins = origins.into_iter();
    drop(origins.next());

    let down = await_state(&weir, addresses[0], "unhealthy", Some("connect_refused"));
    assert_eq!(down["eligible"], false);
    assert!(is_rfc3339_utc(&down["since"]), "{down}");
    assert!(down["detail"].is_string(), "{down}");
    let history = down["check"]["history"].as_str().unwrap();
    assert!(history.starts_with('+') && history.ends_with('-') && history.len() <= 32, "{history:?}");
    assert!(down["check"]["consecutive_failed"].as_u64() >= Some(1), "{down}");
    let upstream = weir.api().get("/v1/upstreams/default/health").expect(200).json();
    assert_eq!((&upstream["state"], &upstream["panic"]), (&json!("degraded"), &json!(false)));
    assert_eq!((&upstream["eligible"], &upstream["total"]), (&json!(2), &json!(3)));
    assert_eq!(weir.api().get("/v1/health").expect(200).json()["status"], "degraded");

    let back = Origin::named_at(addresses[0], "back");
    let up = await_state(&weir, addresses[0], "healthy", None);
    assert_eq!(up["eligible"], true);
    assert!(up["check"]["history"].as_str().unwrap().ends_with('+'));
    let mut client = weir.client();
    eventually("the server that came back is used", || (client.get("/").text() == "back").then_some(()));
    drop(back);
    weir.assert_no_errors();
}

#[test]
fn each_failure_of_an_http_check_has_its_reason() {
    let cases: [(&str, Reply); 5] = [
        ("status_mismatch", vec![Step::Send(reply::message("500 Oops", &[], "no"))]),
        ("response_timeout", vec![Step::Hold]),
        ("reset", vec![Step::Reset]),
        ("malformed_response", reply::raw_close("nonsense\r\n\r\n")),
        ("malformed_response", reply::raw_close("HTTP/1.1 2x0 OK\r\n\r\n")),
    ];
    let origins: Vec<(&str, Origin)> =
        cases.into_iter().map(|(reason, steps)| (reason, Origin::script(move |_| steps.clone()))).collect();
    let addresses: Vec<_> = origins.iter().map(|(_, origin)| origin.address()).collect();
    let weir = Weir::start();
    weir.api().set_default(&checked(&addresses, &json!({ "path": "/healthz" })));
    for (reason, origin) in &origins {
        let health = await_state(&weir, origin.address(), "unhealthy", Some(*reason));
        assert_eq!(health["check"]["type"], "http");
        assert_eq!(origin.seen()[0].request.head.target, "/healthz");
    }
}

#[test]
fn a_check_is_made_as_configured() {
    let origin = Origin::script(|_| vec![Step::Send(reply::message("418 Teapot", &[], "short"))]);
    let weir = Weir::start();
    weir.api().set_default(&checked(
        &[origin.address()],
        &json!({
            "path": "/up?deep=1", "method": "GET", "host": "health.test", "headers": { "X-Check": "yes" },
            "expected_statuses": ["418", "200-204"],
        }),
    ));
    await_state(&weir, origin.address(), "healthy", None);
    let head = origin.seen()[0].request.head.clone();
    assert_eq!((head.method.as_str(), head.target.as_str()), ("GET", "/up?deep=1"));
    assert_eq!((head.fields.one("host"), head.fields.one("x-check")), (Some("health.test"), Some("yes")));
    assert_eq!(origin.violations(), Vec::<String>::new());
}

#[test]
fn nobody_healthy_means_panic_and_a_try() {
    let (one, two) = (Origin::named("one"), Origin::named("two"));
    let weir = Weir::start();
    let check = json!({ "path": "/", "expected_statuses": ["299"] });
    weir.api().set_default(&checked(&[one.address(), two.address()], &check));
    for origin in [&one, &two] {
        await_state(&weir, origin.address(), "unhealthy", Some("status_mismatch"));
    }
    let upstream = weir.api().get("/v1/upstreams/default/health").expect(200).json();
    assert_eq!((&upstream["panic"], &upstream["state"]), (&json!(true), &json!("panic")));
    assert_eq!(weir.client().get("/").status, 200, "the checks may be wrong: all are tried");

    let mut strict = checked(&[one.address(), two.address()], &check);
    strict["panic_threshold_percent"] = json!(0);
    weir.api().set_default(&strict);
    eventually("without panic nobody is left", || (weir.client().get("/").status == 503).then_some(()));
    let upstream = weir.api().get("/v1/upstreams/default/health").expect(200).json();
    assert_eq!((&upstream["panic"], &upstream["state"]), (&json!(false), &json!("down")));
}

/// Servers in `maint` and `drain` are off on purpose: panic does not bring them back.
#[test]
fn admin_states_have_states_and_reasons_of_their_own() {
    let origins: Vec<Origin> = (0..4).map(|n| Origin::named(&n.to_string())).collect();
    let server = |n: usize, field: &str, value: Value| json!({ "address": origins[n].address().to_string(), field: value });
    let weir = Weir::start();
    weir.api().set_default(&config::with(
        &[],
        &json!({ "servers": [
            server(0, "admin_state", json!("drain")),
            server(1, "admin_state", json!("maint")),
            server(2, "weight", json!(0)),
            server(3, "weight", json!(1)),
        ]}),
    ));
    await_state(&weir, origins[0].address(), "draining", Some("admin_drain"));
    await_state(&weir, origins[1].address(), "unused", Some("admin_maint"));
    await_state(&weir, origins[2].address(), "unused", Some("weight_zero"));
    let ready = weir.api().server_health(origins[3].address());
    assert_eq!((&ready["state"], &ready["eligible"]), (&json!("healthy"), &json!(true)), "{ready}");
    let mut client = weir.client();
    assert!((0..12).all(|_| client.get("/").text() == "3"));
}

#[test]
fn an_erring_server_is_ejected_and_the_others_go_on() {
    let bad = Origin::script(|_| vec![Step::Send(reply::message("500 Oops", &[], "bad"))]);
    let (one, two) = (Origin::named("one"), Origin::named("two"));
    let weir = Weir::start();
    let document = json!({
        "servers": config::addresses(&[bad.address(), one.address(), two.address()]),
        "algorithm": "round_robin",
        "health_check": { "enabled": false },
        "outlier_detection": { "consecutive_5xx": 3, "base_ejection_time": "1s", "max_ejection_percent": 50 },
    });
    weir.api().set_default(&document);
    let mut client = weir.client();
    eventually("three errors came through", || {
        client.get("/");
        (bad.count() >= 3).then_some(())
    });
    let ejected = await_state(&weir, bad.address(), "unhealthy", Some("ejected"));
    assert_eq!(ejected["eligible"], false);
    assert!(is_rfc3339_utc(&ejected["passive"]["ejected_until"]), "{ejected}");
    assert_eq!(ejected["passive"]["ejections"], 1);
    let before = bad.count();
    assert!((0..20).all(|_| client.get("/").status == 200));
    assert_eq!(bad.count(), before);
    await_state(&weir, bad.address(), "healthy", Some("checks_disabled"));
    eventually("it is tried again", || {
        client.get("/");
        (bad.count() > before).then_some(())
    });
}

#[test]
fn the_last_server_is_never_ejected() {
    let bad = Origin::script(|_| vec![Step::Send(reply::message("500 Oops", &[], "bad"))]);
    let weir = Weir::start();
    weir.api().set_default(&json!({
        "servers": config::addresses(&[bad.address()]),
        "panic_threshold_percent": 0,
        "outlier_detection": { "consecutive_5xx": 2, "max_ejection_percent": 100 },
    }));
    // Without panic a server that was not checked yet gets nothing.
    await_state(&weir, bad.address(), "healthy", None);
    let mut client = weir.client();
    for _ in 0..20 {
        assert_eq!(client.get("/").text(), "bad", "its own answer, not ours");
    }
    assert_ne!(weir.api().server_health(bad.address())["reason"], "ejected");
}

#[test]
fn a_change_elsewhere_resets_nothing() {
    let (up, down) = (Origin::named("up"), Refusing::start());
    let weir = Weir::start();
    weir.api().set_default(&checked(&[up.address(), down.address()], &json!({ "type": "tcp" })));
    await_state(&weir, up.address(), "healthy", None);
    let before = await_state(&weir, down.address(), "unhealthy", Some("connect_refused"));
    let path = format!("/v1/upstreams/default/servers/{}", config::slug(up.address()));
    for weight in 2..12 {
        weir.api().patch(&path, &json!({ "weight": weight })).assert(200);
        let after = weir.api().server_health(down.address());
        assert_eq!((&after["state"], &after["since"]), (&before["state"], &before["since"]));
        assert!(after["check"]["total"].as_u64() >= before["check"]["total"].as_u64(), "{after}");
    }
    weir.api().post("/v1/upstreams/default/servers", &json!("127.0.0.1:1")).assert(201);
    let after = weir.api().server_health(down.address());
    assert_eq!((&after["state"], &after["since"]), (&before["state"], &before["since"]));
}

#[test]
fn an_upstream_without_servers_is_empty() {
    let weir = Weir::start();
    weir.api().set_default(&json!({ "servers": [] }));
    let health = weir.api().get("/v1/upstreams/default/health").expect(200).json();
    assert_eq!((&health["state"], &health["total"]), (&json!("empty"), &json!(0)));
}

#[test]
fn counters_count() {
    let origin = Origin::script(|seen| match seen.nth % 2 {
        0 => reply::ok("fine"),
        _ => vec![Step::Send(reply::message("404 Not Found", &[], "gone"))],
    });
    let weir = Weir::start();
    weir.api().set_default(&config::bare(&[origin.address()]));
    let mut client = weir.client();
    for _ in 0..10 {
        client.get("/");
    }
    eventually("ten requests are counted", || {
        let counters = weir.api().server_health(origin.address())["counters"].clone();
        let found = [&counters["requests"], &counters["responses_2xx"], &counters["responses_4xx"]];
        (found == [&json!(10), &json!(5), &json!(5)]).then_some(())
    });
}

#[test]
fn in_flight_is_seen_and_falls_back() {
    let gate = reply::Gate::default();
    let waiting = gate.clone();
    let origin = Origin::script(move |_| {
        vec![Step::Wait(waiting.clone()), Step::Send(reply::message("200 OK", &[], "late"))]
    });
    let weir = Weir::start();
    weir.api().set_default(&config::bare(&[origin.address()]));
    let mut clients: Vec<_> = (0..3).map(|_| weir.client().patience(Duration::from_secs(20))).collect();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: weir.test\r\n\r\n");
    }
    let in_flight =
        |count: u64| (weir.api().server_health(origin.address())["in_flight"] == json!(count)).then_some(());
    eventually("three are in flight", || in_flight(3));
    gate.open();
    for client in &mut clients {
        assert_eq!(client.response("GET").unwrap().text(), "late");
    }
    eventually("none is in flight", || in_flight(0));
}
