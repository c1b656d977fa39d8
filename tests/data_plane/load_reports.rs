//! What servers say of their load: taken in where the upstream says so, and kept from clients.

use serde_json::json;
use weir_tests::config;
use weir_tests::origin::Origin;
use weir_tests::reply::{self, Step};
use weir_tests::weir::Weir;

/// A server that says it has so many requests.
fn saying(requests: &'static str) -> Origin {
    Origin::script(move |_| {
        let requests = format!("X-Prequal-RIF: {requests}");
        let fields = [requests.as_str(), "x-prequal-latency-us: 1000"];
        vec![Step::Send(reply::message("200 OK", &fields, "done"))]
    })
}

#[test]
fn a_server_that_others_keep_busy_is_spared_and_clients_are_not_told() {
    let servers = [saying("1"), saying("500")];
    let addresses = servers.each_ref().map(Origin::address);
    let weir = Weir::start();
    let settings = json!({"algorithm": "prequal", "load_reports": {"enabled": true, "max_age": "1m"}});
    weir.api().set_default(&config::with(&addresses, &settings));
    let mut client = weir.client();
    for _ in 0..60 {
        let answer = client.get("/");
        assert_eq!(answer.status, 200);
        assert_eq!(
            (answer.fields.one("x-prequal-rif"), answer.fields.one("x-prequal-latency-us")),
            (None, None)
        );
    }
    // Once it has said so, there is no reason to ask it again.
    assert!(servers[1].count() < 10, "{} of 60", servers[1].count());
    let off = json!({"load_reports": {"enabled": false}});
    weir.api().patch("/v1/upstreams/default", &off).assert(200);
    assert!(
        client.get("/").fields.one("x-prequal-rif").is_some(),
        "nobody asked: the application's own field"
    );
    let bad = json!({"load_reports": {"max_age": "0s"}});
    let answer = weir.api().patch("/v1/upstreams/default", &bad).expect(422).json();
    assert_eq!(answer["errors"][0]["pointer"], "#/load_reports/max_age", "{answer}");
    weir.assert_no_errors();
}
