//! `…/timeseries`: what clients did, as columns; and that a change of the upstream does not cut them off.

use serde_json::{Value, json};
use weir_tests::config;
use weir_tests::eventually::eventually;
use weir_tests::origin::Origin;
use weir_tests::weir::Weir;

fn column(weir: &Weir, path: &str, metric: &str) -> Vec<Value> {
    let answer = weir.api().get(&format!("{path}/timeseries?step=1s&metrics={metric}")).expect(200).json();
    answer["series"][metric].as_array().unwrap().clone()
}

/// Requests over all steps: the rate of each second added up.
fn requests(weir: &Weir, path: &str) -> f64 {
    column(weir, path, "rps").iter().filter_map(Value::as_f64).sum()
}

#[test]
fn requests_are_drawn_for_the_upstream_and_the_server() {
    let origin = Origin::named("origin");
    let weir = Weir::start();
    weir.api().set_default(&config::bare(&[origin.address()]));
    let upstream = "/v1/upstreams/default";
    let server = format!("{upstream}/servers/{}", origin.address());
    eventually("the first point is taken", || {
        column(&weir, &server, "eligible").iter().any(Value::is_number).then_some(())
    });
    let mut client = weir.client();
    for _ in 0..20 {
        client.get("/");
    }
    // A second is a little longer or shorter than that, and the rate with it.
    for path in [upstream, &server] {
        eventually("all of them are drawn", || (requests(&weir, path) > 15.0).then_some(()));
    }
    assert!(column(&weir, upstream, "p99_ms").iter().any(Value::is_number));
    weir.api().patch(upstream, &json!({"description": "changed"})).assert(200);
    assert!(requests(&weir, upstream) > 15.0, "a change of the upstream keeps them");
    assert_eq!(column(&weir, upstream, "eligible").len(), 120);
}

#[test]
fn what_is_not_drawn_is_refused() {
    let weir = Weir::start();
    weir.api().set_default(&config::plain(&["127.0.0.1:1".parse().unwrap()]));
    weir.api().get("/v1/upstreams/default/timeseries?metrics=rps,load").assert(422);
    weir.api().get("/v1/upstreams/default/timeseries?window=2h").assert(422);
    weir.api().get("/v1/upstreams/none/timeseries").assert(404);
}
