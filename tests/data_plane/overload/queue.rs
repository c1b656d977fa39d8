//! Requests that wait for room: in which order, how many, for how long, and who leaves before.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use http_body_util::Empty;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use weir_tests::client::Wire;
use weir_tests::config;
use weir_tests::eventually::{PATIENCE, eventually};
use weir_tests::origin::Origin;
use weir_tests::reply::Gate;
use weir_tests::weir::Weir;

use super::{asking, gated, queue, until_waiting};

/// A Weir whose only server works on one request at a time.
fn narrow(origin: &Origin, queue: &serde_json::Value) -> Weir {
    let weir = Weir::start();
    let limits = json!({"max_requests": 1, "queue": queue});
    weir.api().set_default(&config::with(&[origin.address()], &json!({ "limits": limits })));
    weir
}

/// Takes the only place there is.
fn occupy(weir: &Weir, gate: &Gate) -> Wire {
    let client = asking(weir, "/first", "");
    eventually("the place is taken", || (gate.arrivals() == 1).then_some(()));
    client
}

fn status(client: &mut Wire) -> u16 {
    client.response("GET").unwrap().status
}

#[test]
fn who_waits_is_served_by_urgency_and_then_in_turn() {
    let gate = Gate::default();
    let origin = gated(&gate);
    let weir = narrow(&origin, &json!({"timeout": "60s", "priority_header": "X-Priority"}));
    let mut clients = vec![occupy(&weir, &gate)];
    let arrivals = ["u=5", "", "0", "7", "nonsense", "0", "u=5, i"];
    for (number, urgency) in (1..).zip(arrivals) {
        let field = if urgency.is_empty() { String::new() } else { format!("X-Priority: {urgency}\r\n") };
        clients.push(asking(&weir, &format!("/{number}"), &field));
        until_waiting(&weir, number);
    }
    gate.open();
    assert!(clients.iter_mut().all(|client| status(client) == 200));
    assert_eq!(origin.targets(), ["/first", "/3", "/6", "/2", "/5", "/1", "/7", "/4"]);
    until_waiting(&weir, 0);
    assert_eq!(queue(&weir), json!({"waiting": 0, "queued": 7, "timeouts": 0, "refused": 0}));
}

#[test]
fn who_waits_for_too_long_is_told_so() {
    let gate = Gate::default();
    let origin = gated(&gate);
    let weir = narrow(&origin, &json!({"timeout": "200ms"}));
    let mut first = occupy(&weir, &gate);
    let began = Instant::now();
    let answer = weir.client().get("/second");
    assert!(began.elapsed() >= Duration::from_millis(200), "{:?}", began.elapsed());
    assert_eq!(answer.status, 503);
    assert_eq!(answer.fields.one("proxy-status"), Some("weir; error=connection_limit_reached"));
    assert_eq!(answer.fields.one("retry-after"), Some("1"));
    let problem: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(problem["code"], "queue-timeout");
    assert_eq!(queue(&weir), json!({"waiting": 0, "queued": 1, "timeouts": 1, "refused": 0}));
    gate.open();
    assert_eq!((status(&mut first), origin.targets()), (200, vec!["/first".to_owned()]));
}

#[test]
fn a_full_queue_puts_out_the_newest_of_the_least_urgent() {
    let gate = Gate::default();
    let origin = gated(&gate);
    let weir = narrow(&origin, &json!({"size": 2, "timeout": "60s", "priority_header": "priority"}));
    let mut first = occupy(&weir, &gate);
    let mut older = asking(&weir, "/older", "");
    until_waiting(&weir, 1);
    let mut newer = asking(&weir, "/newer", "");
    until_waiting(&weir, 2);
    let refused = weir.client().get("/refused");
    assert_eq!((refused.status, refused.fields.one("retry-after")), (503, Some("1")));
    let problem: serde_json::Value = serde_json::from_slice(&refused.body).unwrap();
    assert_eq!(problem["code"], "limit-reached");
    let mut urgent = asking(&weir, "/urgent", "Priority: u=1\r\n");
    assert_eq!(status(&mut newer), 503, "put out for a more urgent one");
    gate.open();
    assert_eq!([&mut first, &mut older, &mut urgent].map(status), [200; 3]);
    assert_eq!(origin.targets(), ["/first", "/urgent", "/older"]);
    assert_eq!(queue(&weir)["refused"], 2);
}

#[test]
fn who_leaves_waits_no_more() {
    let gate = Gate::default();
    let origin = gated(&gate);
    let weir = narrow(&origin, &json!({"timeout": "60s"}));
    let mut first = occupy(&weir, &gate);
    let reset = asking(&weir, "/reset", "");
    until_waiting(&weir, 1);
    let closed = asking(&weir, "/closed", "");
    until_waiting(&weir, 2);
    let mut stays = asking(&weir, "/stays", "");
    until_waiting(&weir, 3);
    reset.reset();
    drop(closed);
    until_waiting(&weir, 1);
    gate.open();
    assert_eq!([&mut first, &mut stays].map(status), [200; 2]);
    assert_eq!(origin.targets(), ["/first", "/stays"]);
}

#[test]
fn what_an_operator_adds_helps_those_who_wait_already() {
    let (gate, spare) = (Gate::default(), Gate::default());
    let (origin, other) = (gated(&gate), gated(&spare));
    spare.open();
    let weir = Weir::start();
    let limited = |origin: &Origin| json!({"address": origin.address().to_string(), "max_requests": 1});
    let settings = json!({"servers": [limited(&origin)], "limits": {"queue": {"timeout": "60s"}}});
    weir.api().set_default(&config::with(&[], &settings));
    let mut first = occupy(&weir, &gate);
    let mut second = asking(&weir, "/second", "");
    until_waiting(&weir, 1);
    weir.api().post("/v1/upstreams/default/servers", &limited(&other)).assert(201);
    assert_eq!(status(&mut second), 200, "by the server that was added");
    // Both places are taken again, and then there is a third.
    let mut third = asking(&weir, "/third", "");
    assert_eq!(status(&mut third), 200);
    weir.api()
        .patch(
            &format!("/v1/upstreams/default/servers/{}", config::slug(other.address())),
            &json!({"admin_state": "maint"}),
        )
        .assert(200);
    let mut fourth = asking(&weir, "/fourth", "");
    until_waiting(&weir, 1);
    let server = format!("/v1/upstreams/default/servers/{}", config::slug(origin.address()));
    weir.api().patch(&server, &json!({"max_requests": 2})).assert(200);
    until_waiting(&weir, 0);
    gate.open();
    assert_eq!([&mut first, &mut fourth].map(status), [200; 2]);
}

#[test]
fn who_waits_for_servers_that_are_gone_is_told_so_at_once() {
    let gate = Gate::default();
    let origin = gated(&gate);
    let weir = narrow(&origin, &json!({"timeout": "60s"}));
    let mut first = occupy(&weir, &gate);
    let mut second = asking(&weir, "/second", "");
    until_waiting(&weir, 1);
    let server = format!("/v1/upstreams/default/servers/{}", config::slug(origin.address()));
    weir.api().patch(&server, &json!({"admin_state": "maint"})).assert(200);
    assert_eq!(status(&mut second), 503);
    gate.open();
    assert_eq!(status(&mut first), 200);
}

#[test]
fn a_stream_that_is_given_up_waits_no_more() {
    let gate = Gate::default();
    let origin = gated(&gate);
    let weir = narrow(&origin, &json!({"timeout": "60s"}));
    let mut first = occupy(&weir, &gate);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(weir.data()).await.unwrap();
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (mut sender, connection) = handshake.await.unwrap();
        let mut driver = tokio::task::JoinSet::new();
        driver.spawn(connection);
        let request =
            |path: &str| Request::get(format!("http://shop.test{path}")).body(Empty::<Bytes>::new()).unwrap();
        let waiting = async |count: u64| {
            let began = Instant::now();
            while queue(&weir)["waiting"] != count {
                assert!(began.elapsed() < PATIENCE, "{count} should wait: {}", queue(&weir));
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let stays = sender.send_request(request("/stays"));
        let mut leaves = tokio::task::JoinSet::new();
        leaves.spawn(sender.send_request(request("/leaves")));
        waiting(2).await;
        leaves.abort_all();
        waiting(1).await;
        gate.open();
        assert_eq!(stays.await.unwrap().status(), 200);
    });
    assert_eq!(status(&mut first), 200);
    assert_eq!(origin.targets(), ["/first", "/stays"]);
}
