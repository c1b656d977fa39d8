//! Ejection by what real requests come to: which detector finds what, and what a change of its settings leaves alone.

use serde_json::{Value, json};
use weir_tests::client::Wire;
use weir_tests::config;
use weir_tests::eventually::eventually;
use weir_tests::origin::Origin;
use weir_tests::reply::{self, Reply, Step};
use weir_tests::weir::Weir;

/// A Weir before `bad` and four good servers, each of which gets every fifth request. Requests are not repeated, and checks
/// say nothing.
fn scene(bad: &Origin, good: &[Origin], outliers: &Value) -> Weir {
    let weir = Weir::start();
    let servers: Vec<_> = [bad].into_iter().chain(good).map(Origin::address).collect();
    weir.api().set_default(&json!({
        "servers": config::addresses(&servers),
        "algorithm": "round_robin",
        "retries": { "attempts": 0 },
        "health_check": { "enabled": false },
        "outlier_detection": outliers,
    }));
    weir
}

fn good() -> Vec<Origin> {
    (0..4).map(|n| Origin::named(&n.to_string())).collect()
}

/// Answers `bad` to every request of an even number, and well to the others: never twice the same.
fn every_other(bad: &'static str) -> Origin {
    Origin::script(move |seen| status(if seen.nth % 2 == 0 { bad } else { "200 OK" }))
}

fn status(line: &str) -> Reply {
    vec![Step::Send(reply::message(line, &[], "said"))]
}

/// Sends requests until the server is ejected, and returns what the API says of it.
fn drive_until_ejected(weir: &Weir, client: &mut Wire, server: &Origin) -> Value {
    eventually("the server is ejected", || {
        (0..50).for_each(|_| drop(client.get("/")));
        let health = weir.api().server_health(server.address());
        (health["reason"] == "ejected").then_some(health)
    })
}

fn ejections(weir: &Weir, server: &Origin, detector: &str) -> bool {
    let id = config::slug(server.address());
    let metrics = weir.api().get("/metrics").expect(200);
    let line =
        format!("weir_ejections_total{{upstream=\"default\",server=\"{id}\",detector=\"{detector}\"}} 1");
    metrics.response.text().lines().any(|found| found == line)
}

#[test]
fn a_server_that_fails_half_the_time_is_found_by_its_success_rate() {
    let (bad, good) = (every_other("500 Oops"), good());
    let quick = json!({ "interval": "1s", "success_rate_request_volume": 10 });
    let weir = scene(&bad, &good, &quick);
    let mut client = weir.client();
    let ejected = drive_until_ejected(&weir, &mut client, &bad);
    assert_eq!(ejected["passive"]["detector"], "success_rate", "{ejected}");
    let detail = ejected["detail"].as_str().unwrap();
    assert!(detail.starts_with("success_rate: ") && detail.contains("requests succeeded"), "{detail}");
    let rate = ejected["passive"]["success_rate_percent"].as_f64().unwrap();
    assert!((40.0..=60.0).contains(&rate), "{ejected}");
    assert!(ejections(&weir, &bad, "success_rate"));
    assert!((0..50).all(|_| client.get("/").status == 200), "and is out of the way");
}

#[test]
fn a_share_of_failures_ejects_where_it_is_asked_for() {
    let (bad, good) = (every_other("503 Busy"), good());
    let shares = json!({
        "interval": "1s",
        "success_rate_stdev_factor": 0,
        "failure_percentage_threshold": 40,
        "failure_percentage_request_volume": 10,
    });
    let weir = scene(&bad, &good, &shares);
    let mut client = weir.client();
    let ejected = drive_until_ejected(&weir, &mut client, &bad);
    assert_eq!(ejected["passive"]["detector"], "failure_percentage", "{ejected}");
    assert!(ejections(&weir, &bad, "failure_percentage"));
    let path = format!("/v1/upstreams/default/servers/{}/explain", config::slug(bad.address()));
    let explained = weir.api().get(&path).expect(200).json();
    let entry = &explained["ejections"][0];
    assert_eq!((&entry["threshold_percent"], &entry["consecutive_errors"]), (&json!(60.0), &Value::Null));
    assert!(entry["requests"].as_u64() >= Some(10), "{entry}");
}

#[test]
fn each_row_of_errors_has_its_limit() {
    let cases: [(&str, Reply, Value, &str); 3] = [
        ("500s", status("500 Oops"), json!({ "consecutive_5xx": 3 }), "consecutive_5xx"),
        (
            "503s",
            status("503 Busy"),
            json!({ "consecutive_5xx": 1000, "consecutive_gateway_failure": 3 }),
            "consecutive_gateway_failure",
        ),
        (
            "resets",
            vec![Step::Reset],
            json!({ "consecutive_5xx": 0, "consecutive_gateway_failure": 0, "consecutive_local_origin_failure": 3 }),
            "consecutive_local_origin_failure",
        ),
    ];
    for (what, steps, outliers, detector) in cases {
        let bad = Origin::script(move |_| steps.clone());
        let good = good();
        let weir = scene(&bad, &good, &outliers);
        let mut client = weir.client();
        let failed = (0..50).filter(|_| client.get("/").status >= 500).count();
        assert_eq!(failed, 3, "{what}");
        let health = weir.api().server_health(bad.address());
        assert_eq!(health["passive"]["detector"], detector, "{what}: {health}");
        assert!(ejections(&weir, &bad, detector), "{what}");
    }
}

/// Rows, ejections and the comparison go on over any change of their settings.
#[test]
fn a_change_of_settings_loses_nothing() {
    let bad = Origin::script(|_| status("500 Oops"));
    let good = good();
    let weir = scene(&bad, &good, &json!({ "consecutive_5xx": 1000 }));
    let mut client = weir.client();
    let patch = |outliers: Value| {
        weir.api().patch("/v1/upstreams/default", &json!({ "outlier_detection": outliers })).assert(200);
    };
    (0..20).for_each(|_| drop(client.get("/")));
    let health = weir.api().server_health(bad.address());
    assert_eq!(health["passive"]["consecutive_errors"], 4, "{health}");
    patch(json!({ "consecutive_5xx": 5 }));
    let health = weir.api().server_health(bad.address());
    assert_eq!(health["passive"]["consecutive_errors"], 4, "{health}");
    let ejected = drive_until_ejected(&weir, &mut client, &bad);
    assert_eq!(bad.count(), 5, "the fifth in the row, not a row of five more");
    patch(json!({ "consecutive_5xx": 7, "base_ejection_time": "1s", "interval": "20s" }));
    let after = weir.api().server_health(bad.address());
    assert_eq!(after["passive"]["ejected_until"], ejected["passive"]["ejected_until"]);
    assert_eq!((&after["since"], &after["passive"]["ejections"]), (&ejected["since"], &json!(1)));
}

/// A port that accepts and closes because there is no server behind it (a container's, a tunnel's) passes every check that only
/// connects. That ends the first ejection, and none after it.
#[test]
fn a_port_that_only_accepts_is_not_given_requests_after_each_check() {
    let bad = Origin::script(|_| vec![Step::Close]);
    let good = Origin::named("good");
    let weir = Weir::start();
    weir.api().set_default(&config::with(
        &[bad.address(), good.address()],
        &json!({ "algorithm": "round_robin", "health_check": { "interval": "1s" }, "outlier_detection": {} }),
    ));
    let mut client = Wire::connect(weir.data());
    let mut failed = 0;
    let mut until = |what: &str, is_there: &dyn Fn(&Value) -> bool| {
        eventually(what, || {
            failed += usize::from(client.post("/", "once").status != 200);
            let health = weir.api().server_health(bad.address());
            is_there(&health).then_some(health)
        })
    };
    let is_ejected = |health: &Value| health["reason"] == "ejected";
    let ejections = |health: &Value| health["passive"]["ejections"].as_u64().unwrap();
    let checks = |health: &Value| health["check"]["total"].as_u64().unwrap();
    let twice = until("it is ejected again", &|health| is_ejected(health) && ejections(health) == 2);
    let later = until("checks go on", &|health| checks(health) >= checks(&twice) + 3);
    assert!(is_ejected(&later) && ejections(&later) == 2, "{later}");
    assert_eq!(failed, 10, "five for each ejection");
}
