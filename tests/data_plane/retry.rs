//! What is tried again on another server, and what must not be. RFC 9110 §9.2.2.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::json;
use weir_tests::config;
use weir_tests::eventually::eventually;
use weir_tests::origin::{Origin, Refusing};
use weir_tests::reply::{self, Step};
use weir_tests::weir::Weir;

/// A server that answers the first request of each connection and drops the connection at the second, unanswered.
fn drops_at_second() -> Origin {
    Origin::script(|seen| if seen.nth_on_connection == 0 { reply::ok("first") } else { vec![Step::Close] })
}

#[test]
fn a_refused_connection_is_made_up_for_by_another_server() {
    let (nobody, origin) = (Refusing::start(), Origin::named("origin"));
    let weir = Weir::start();
    weir.api().set_default(&config::with(&[nobody.address(), origin.address()], &json!({})));
    let mut client = weir.client();
    for _ in 0..20 {
        assert_eq!(client.get("/").text(), "origin");
        assert_eq!(client.post("/", "hello").text(), "origin", "a POST that was never sent");
    }
    assert_eq!(origin.count(), 40);
    assert!(origin.seen().iter().skip(1).step_by(2).all(|seen| seen.request.body == b"hello"));
}

#[test]
fn a_refused_connection_without_retries_is_an_error() {
    let (nobody, origin) = (Refusing::start(), Origin::named("origin"));
    let weir = Weir::start();
    let document = config::with(
        &[nobody.address(), origin.address()],
        &json!({ "algorithm": "round_robin", "retries": { "attempts": 0 } }),
    );
    weir.api().set_default(&document);
    let mut client = weir.client();
    let statuses: Vec<u16> = (0..10).map(|_| client.get("/").status).collect();
    assert!(statuses.contains(&502) && statuses.contains(&200), "{statuses:?}");
}

#[test]
fn a_get_that_meets_a_dying_connection_is_repeated() {
    let (dying, origin) = (drops_at_second(), Origin::named("origin"));
    let weir = Weir::start();
    weir.api().set_default(&config::with(
        &[dying.address(), origin.address()],
        &json!({ "algorithm": "round_robin" }),
    ));
    let mut client = weir.client();
    for _ in 0..20 {
        assert_eq!(client.get("/").status, 200);
    }
    assert!(dying.count() >= 2, "the case came up: {}", dying.count());
}

/// The server may have run it: one try, and an honest error.
#[test]
fn a_post_that_may_have_run_is_never_repeated() {
    let (dying, origin) = (drops_at_second(), Origin::named("origin"));
    let weir = Weir::start();
    weir.api().set_default(&config::with(
        &[dying.address(), origin.address()],
        &json!({ "algorithm": "round_robin" }),
    ));
    let mut client = weir.client();
    let mut failed = 0;
    for number in 0..20 {
        let response = client.post("/", &format!("id-{number}"));
        assert!(matches!(response.status, 200 | 502), "{response:?}");
        failed += usize::from(response.status == 502);
    }
    assert!(failed > 0, "the case came up");
    let mut runs: HashMap<Vec<u8>, usize> = HashMap::new();
    for seen in dying.seen().into_iter().chain(origin.seen()) {
        *runs.entry(seen.request.body).or_default() += 1;
    }
    assert_eq!(runs.len(), 20, "each arrived");
    assert!(runs.values().all(|count| *count == 1), "one arrived twice: {runs:?}");
}

/// A pooled connection that the server has closed is not used, so not even a POST is lost.
#[test]
fn a_connection_closed_while_idle_is_noticed_before_it_is_used() {
    let origin = Origin::named("origin");
    let weir = Weir::start();
    weir.api().set_default(&config::bare(&[origin.address()]));
    let mut client = weir.client();
    for _ in 0..10 {
        assert_eq!(client.post("/", "hello").status, 200);
        origin.close_connections();
        eventually("the server has closed", || (origin.open_connections() == 0).then_some(()));
    }
    assert_eq!(origin.count(), 10);
}

#[test]
fn an_idempotent_request_is_replayed_with_its_body() {
    let body = "r".repeat(32 * 1024);
    let (deaf, origin) = (Origin::script(|_| vec![Step::Reset]), Origin::named("origin"));
    let weir = Weir::start();
    weir.api().set_default(&config::with(
        &[deaf.address(), origin.address()],
        &json!({ "algorithm": "round_robin" }),
    ));
    let mut client = weir.client();
    for _ in 0..6 {
        let request =
            format!("PUT / HTTP/1.1\r\nHost: weir.test\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        assert_eq!(client.exchange(request).text(), "origin");
    }
    assert!(deaf.count() > 0, "the case came up");
    assert_eq!(origin.count(), 6);
    assert!(origin.seen().iter().all(|seen| seen.request.body == body.as_bytes()), "the same bytes again");
}

/// What does not fit into the replay buffer is sent once.
#[test]
fn a_body_too_large_to_keep_is_not_replayed() {
    let body = "r".repeat(300 * 1024);
    let (deaf, origin) = (Origin::script(|_| vec![Step::Reset]), Origin::named("origin"));
    let weir = Weir::start();
    weir.api().set_default(&config::with(
        &[deaf.address(), origin.address()],
        &json!({ "algorithm": "round_robin" }),
    ));
    let mut statuses = Vec::new();
    for _ in 0..6 {
        let request =
            format!("PUT / HTTP/1.1\r\nHost: weir.test\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        statuses.push(weir.client().exchange(request).status);
    }
    let ok = statuses.iter().filter(|status| **status == 200).count();
    assert!(statuses.iter().all(|status| matches!(status, 200 | 502)), "{statuses:?}");
    assert_eq!((ok, deaf.count() + origin.count()), (origin.count(), 6), "one try each: {statuses:?}");
    assert!(deaf.count() > 0, "the case came up");
}

/// Retries are for the odd failure: when everything fails they must not multiply the load.
#[test]
fn a_budget_bounds_a_storm_of_retries() {
    let origins: Vec<Origin> = (0..3).map(|_| Origin::script(|_| vec![Step::Reset])).collect();
    let addresses: Vec<_> = origins.iter().map(Origin::address).collect();
    let weir = Weir::start();
    weir.api().set_default(&config::with(
        &addresses,
        &json!({ "retries": { "attempts": 2, "budget_percent": 20 } }),
    ));
    let requests: usize = 400;
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut client = weir.client();
                for _ in 0..requests / 8 {
                    assert_eq!(client.get("/").status, 502);
                }
            });
        }
    });
    let attempts: usize = origins.iter().map(Origin::count).sum();
    let seconds = started.elapsed().as_secs_f64().ceil() as usize + 1;
    // 20 % of the requests, or ten a second where that is more; both bounds together are generous.
    let most = requests + requests / 5 + 10 * seconds + 10;
    assert!(attempts <= most, "{attempts} attempts for {requests} requests in {:?}", started.elapsed());
    assert!(attempts > requests, "some were retried");
    assert!(started.elapsed() < Duration::from_secs(30));
}

#[test]
fn when_all_of_a_level_fail_a_request_the_backup_has_it() {
    let backup = Origin::named("backup");
    let gone = [Refusing::start(), Refusing::start()];
    let mut servers: Vec<_> =
        gone.iter().map(|gone| json!({"address": gone.address().to_string()})).collect();
    servers.push(json!({"address": backup.address().to_string(), "priority": 1}));
    let weir = Weir::start();
    let settings = json!({"servers": servers, "outlier_detection": {"enabled": false}});
    weir.api().set_default(&config::with(&[], &settings));
    assert_eq!((0..5).map(|_| weir.client().get("/").text()).collect::<Vec<_>>(), ["backup"; 5]);
}

/// What was kept of the body is in as many pieces as it came in, and more than go out at once.
#[test]
fn a_body_of_many_pieces_is_sent_again() {
    let failing =
        Origin::script(|_| reply::raw("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"));
    let origin = Origin::named("origin");
    let weir = Weir::start();
    let servers = [failing.address(), origin.address()];
    weir.api().set_default(&config::with(&servers, &json!({ "algorithm": "first" })));
    let body = format!("3e8\r\n{}\r\n", "x".repeat(1000)).repeat(60) + "0\r\n\r\n";
    let response = weir
        .client()
        .exchange(format!("PUT / HTTP/1.1\r\nHost: weir.test\r\nTransfer-Encoding: chunked\r\n\r\n{body}"));
    assert_eq!(response.text(), "origin");
    assert_eq!(failing.only().request.body.len(), 60_000);
    assert_eq!(origin.only().request.body.len(), 60_000);
}
