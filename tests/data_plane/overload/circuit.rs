//! A circuit breaker: open while most requests fail, and closed again once trials succeed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use weir_tests::config;
use weir_tests::eventually::eventually;
use weir_tests::origin::Origin;
use weir_tests::reply::{self, Step};
use weir_tests::weir::Weir;

fn shown(weir: &Weir) -> Value {
    weir.api().get("/v1/upstreams/default/health").expect(200).json()["circuit_breaker"].clone()
}

/// A server that answers every request with 500 as long as it is ill.
fn ill() -> (Arc<AtomicBool>, Origin) {
    let is_ill = Arc::new(AtomicBool::new(true));
    let ill = Arc::clone(&is_ill);
    let origin = Origin::script(move |_| match ill.load(Ordering::SeqCst) {
        true => vec![Step::Send(reply::message("500 Internal Server Error", &[], "ill"))],
        false => reply::ok("well"),
    });
    (is_ill, origin)
}

#[test]
fn it_opens_when_most_requests_fail_and_closes_when_trials_succeed() {
    let (is_ill, origin) = ill();
    let weir = Weir::start();
    let breaker = json!({"enabled": true, "min_requests": 6, "error_percent": 50, "open_time": "1s", "trial_requests": 2});
    let settings = json!({"retries": {"attempts": 0}, "circuit_breaker": breaker});
    weir.api().set_default(&config::with(&[origin.address()], &settings));
    assert_eq!(shown(&weir), json!({"state": "closed", "since": null, "opened": 0, "refused": 0}));
    let mut client = weir.client();
    assert_eq!((0..6).map(|_| client.get("/").status).collect::<Vec<_>>(), [500; 6]);
    let refused = client.get("/");
    assert_eq!(refused.status, 503);
    assert_eq!(refused.fields.one("retry-after"), Some("1"));
    let problem: Value = serde_json::from_slice(&refused.body).unwrap();
    assert_eq!(problem["code"], "circuit-open");
    assert_eq!(origin.count(), 6, "the server is left alone");
    let open = shown(&weir);
    assert_eq!((&open["state"], &open["opened"]), (&json!("open"), &json!(1)), "{open}");
    assert!(open["since"].is_string(), "{open}");
    let change = json!({"description": "a change"});
    weir.api().patch("/v1/upstreams/default", &change).assert(200);
    assert_eq!(client.get("/").status, 503, "a change leaves it open");

    // A trial that fails opens it again.
    eventually("a trial is made", || (client.get("/").status == 500).then_some(()));
    assert_eq!(client.get("/").status, 503);
    assert_eq!(shown(&weir)["opened"], 2);
    is_ill.store(false, Ordering::SeqCst);
    eventually("a trial succeeds", || (client.get("/").status == 200).then_some(()));
    assert_eq!((0..20).map(|_| client.get("/").status).collect::<Vec<_>>(), [200; 20]);
    assert_eq!(shown(&weir)["state"], "closed");
    weir.assert_no_errors();
}

/// Trials that come to nothing: a client that does not finish its request, and one that leaves. Nobody else is kept out by them
/// for longer than the breaker is open.
#[test]
fn a_trial_without_an_end_keeps_nobody_out() {
    let (is_ill, origin) = ill();
    let weir = Weir::start();
    let breaker = json!({"enabled": true, "min_requests": 2, "open_time": "500ms", "trial_requests": 1});
    let settings = json!({"retries": {"attempts": 0}, "circuit_breaker": breaker});
    weir.api().set_default(&config::with(&[origin.address()], &settings));
    let mut client = weir.client();
    assert_eq!((0..2).map(|_| client.get("/").status).collect::<Vec<_>>(), [500; 2]);
    is_ill.store(false, Ordering::SeqCst);
    let half = "POST / HTTP/1.1\r\nHost: weir.test\r\nContent-Length: 10\r\n\r\nhalf";
    let mut dawdlers = Vec::new();
    eventually("a trial begins", || {
        let mut dawdler = weir.client();
        dawdler.send(half);
        dawdlers.push(dawdler);
        (shown(&weir)["state"] == "half_open").then_some(())
    });
    let began = Instant::now();
    eventually("another may try", || (client.get("/").status == 200).then_some(()));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(shown(&weir)["state"], "closed");
    drop(dawdlers);
    assert_eq!((0..5).map(|_| client.get("/").status).collect::<Vec<_>>(), [200; 5]);
}
