//! Clients that take their time to send a request: that says nothing of the server that waits for it.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

use http::Response;
use serde_json::{Value, json};
use weir_tests::config;
use weir_tests::eventually::within;
use weir_tests::http2_origin::{Http2Origin, Parts};
use weir_tests::origin::Origin;
use weir_tests::reply::{self, Step};
use weir_tests::weir::Weir;

/// Asks until both servers have answered: one that was taken for slow would have none of the requests for longer than this.
fn both_answer(weir: &Weir, when: &str) {
    let (mut client, mut answered) = (weir.client(), HashSet::new());
    within(Duration::from_secs(5), when, || {
        answered.insert(client.get("/").text());
        (answered.len() == 2).then_some(())
    });
}

/// Whether both servers go on having requests after an upload that took most of a second.
fn assert_not_held_against(servers: &[SocketAddr], more: &Value) {
    let weir = Weir::start();
    weir.api().set_default(&config::with(servers, more));
    both_answer(&weir, &format!("{more}: both are known"));
    let mut client = weir.client();
    client.send("POST / HTTP/1.1\r\nHost: weir.test\r\nContent-Length: 8\r\n\r\n");
    for _ in 0..8 {
        std::thread::sleep(Duration::from_millis(100));
        client.send("x");
    }
    assert_eq!(client.response("POST").unwrap().status, 200);
    both_answer(&weir, &format!("{more}: neither was slow"));
    let health = weir.api().get("/v1/upstreams/default/health").expect(200).json();
    for server in health["servers"].as_array().unwrap() {
        let slowest = server["latency_ms"]["ttfb_p99"].as_u64().unwrap();
        assert!(slowest < 400, "{more}: {server}");
    }
}

/// What a server takes, so that what the machine adds is little beside it.
const TIME: Duration = Duration::from_millis(20);

fn over_http1(name: &'static str) -> Origin {
    Origin::script(move |_| [vec![Step::Pause(TIME)], reply::ok(name)].concat())
}

fn over_http2(name: &'static str) -> Http2Origin {
    Http2Origin::script(move |_| {
        std::thread::sleep(TIME);
        Response::new(Parts::of(name))
    })
}

#[test]
fn a_slow_upload_says_nothing_of_its_server() {
    let (one, two) = (over_http1("one"), over_http1("two"));
    assert_not_held_against(&[one.address(), two.address()], &json!({}));
    let (one, two) = (over_http2("one"), over_http2("two"));
    assert_not_held_against(&[one.address(), two.address()], &json!({"protocol": "http2"}));
}
