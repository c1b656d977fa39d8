//! Answers that say a server failed: made good by another server where the request may run twice, else passed on as they are.

use std::net::SocketAddr;

use serde_json::json;
use weir_tests::config;
use weir_tests::origin::{Origin, Refusing};
use weir_tests::reply::{self, Step};
use weir_tests::weir::Weir;

/// A server that answers everything with `status`, in words of its own.
fn failing(status: &'static str, words: &'static str) -> Origin {
    Origin::script(move |_| vec![Step::Send(reply::message(status, &["X-Own: yes"], words))])
}

/// Weir with these servers in turn, so that each is met.
fn in_turn(servers: &[SocketAddr]) -> Weir {
    let weir = Weir::start();
    weir.api().set_default(&config::with(servers, &json!({ "algorithm": "round_robin" })));
    weir
}

#[test]
fn a_failing_servers_errors_reach_no_client_that_may_ask_again() {
    for status in ["500 Oops", "502 Oops", "503 Oops"] {
        let (bad, good) = (failing(status, "bad"), Origin::named("good"));
        let weir = in_turn(&[bad.address(), good.address()]);
        let mut client = weir.client();
        // In turn means that each request meets the bad one first: ten retries, which are always allowed.
        for _ in 0..5 {
            assert_eq!(client.get("/").text(), "good", "{status}");
            let put = client.exchange("PUT / HTTP/1.1\r\nHost: weir.test\r\nContent-Length: 5\r\n\r\nhello");
            assert_eq!(put.text(), "good", "{status}");
        }
        assert!(bad.count() > 0, "the case came up");
        let puts = good.seen().into_iter().filter(|seen| seen.request.head.method == "PUT");
        assert!(puts.into_iter().all(|seen| seen.request.body == b"hello"), "the same body again");
        weir.assert_no_errors();
    }
}

/// The same with nothing configured at all, at a load where retries have to fit their budget.
#[test]
fn with_every_default_a_server_that_only_fails_is_not_noticed() {
    let (bad, good) = (failing("500 Oops", "bad"), Origin::named("good"));
    let others: Vec<Origin> = (0..2).map(|_| Origin::named("good")).collect();
    let mut servers = vec![bad.address(), good.address()];
    servers.extend(others.iter().map(Origin::address));
    let weir = Weir::start();
    weir.api().set_default(&config::plain(&servers));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut client = weir.client();
                for _ in 0..50 {
                    assert_eq!(client.get("/").text(), "good");
                }
            });
        }
    });
    assert!(bad.count() > 0, "the case came up");
    assert!(bad.count() < 50, "it was ejected: {}", bad.count());
}

#[test]
fn a_request_that_may_not_run_twice_gets_the_answer_there_is() {
    let (bad, good) = (failing("500 Oops", "bad"), Origin::named("good"));
    let weir = in_turn(&[bad.address(), good.address()]);
    let mut client = weir.client();
    let texts: Vec<String> = (0..10).map(|_| client.post("/", "hello").text()).collect();
    assert_eq!(bad.count() + good.count(), 10, "one attempt each");
    assert_eq!(texts.iter().filter(|text| *text == "bad").count(), bad.count());
    assert!(bad.count() > 0, "the case came up");
}

#[test]
fn when_all_servers_fail_the_client_gets_what_the_last_one_said() {
    let origins: Vec<Origin> = (0..2).map(|_| failing("500 Oops", "own words")).collect();
    let addresses: Vec<_> = origins.iter().map(Origin::address).collect();
    let weir = in_turn(&addresses);
    let response = weir.client().get("/");
    assert_eq!((response.status, response.text()), (500, "own words".to_owned()));
    assert!(response.fields.has("x-own") && !response.fields.has("proxy-status"), "{response:?}");
    assert_eq!(origins.iter().map(Origin::count).sum::<usize>(), 2, "each was asked once");
}

/// An answer is worth more than the news that nobody else could be asked.
#[test]
fn what_a_server_said_is_passed_on_when_the_next_ones_cannot_answer() {
    let bad = failing("500 Oops", "own words");
    let (nobody, deaf) = (Refusing::start(), Origin::script(|_| vec![Step::Reset]));
    let weir = in_turn(&[bad.address(), nobody.address(), deaf.address()]);
    for _ in 0..6 {
        let response = weir.client().get("/");
        assert_eq!((response.status, response.text()), (500, "own words".to_owned()));
    }
    weir.assert_no_errors();
}

#[test]
fn the_only_server_is_not_asked_the_same_twice() {
    let bad = failing("500 Oops", "own words");
    let weir = in_turn(&[bad.address()]);
    for number in 1..=3 {
        assert_eq!(weir.client().get("/").text(), "own words");
        assert_eq!(bad.count(), number);
    }
}

#[test]
fn what_no_server_of_the_kind_can_do_is_not_asked_again() {
    for status in ["501 Oops", "505 Oops", "404 Oops"] {
        let (bad, good) = (failing(status, "bad"), Origin::named("good"));
        let weir = in_turn(&[bad.address(), good.address()]);
        let mut client = weir.client();
        let bad_ones = (0..10).filter(|_| client.get("/").text() == "bad").count();
        assert_eq!((bad_ones, bad.count() + good.count()), (bad.count(), 10), "{status}");
        assert!(bad_ones > 0, "the case came up");
    }
}
