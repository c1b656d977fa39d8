//! Limits of requests under way: exact, whoever asks at the same time.

use std::thread;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;
use weir_tests::config;
use weir_tests::process_origin::ProcessOrigin;
use weir_tests::weir::Weir;

use super::Busy;

const CLIENTS: usize = 64;
const EACH: usize = 8;

/// Statuses of what 64 clients get who ask at the same time.
fn storm(weir: &Weir) -> Vec<u16> {
    thread::scope(|scope| {
        let client = || {
            let mut client = weir.client();
            (0..EACH).map(|_| client.get("/").status).collect::<Vec<_>>()
        };
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    })
}

#[test]
fn a_server_never_has_more_than_its_limit_and_nothing_is_lost() {
    let servers = [Busy::taking(Duration::from_millis(2)), Busy::taking(Duration::from_millis(2))];
    let weir = Weir::start();
    let limited = |server: &Busy| json!({"address": server.origin.address().to_string(), "max_requests": 3});
    for algorithm in ["least_request", "round_robin", "ring_hash"] {
        weir.api().set_default(&config::with(
            &[],
            &json!({
                "algorithm": algorithm,
                "servers": servers.iter().map(limited).collect::<Vec<_>>(),
                "limits": {"queue": {"timeout": "60s"}},
            }),
        ));
        let statuses = storm(&weir);
        assert!(statuses.iter().all(|status| *status == 200), "{algorithm}: {statuses:?}");
        assert_eq!(servers.each_ref().map(Busy::most), [3, 3], "{algorithm}");
    }
    weir.assert_no_errors();
}

#[test]
fn an_upstream_never_has_more_than_its_limit() {
    let servers = [Busy::taking(Duration::from_millis(2)), Busy::taking(Duration::from_millis(2))];
    let weir = Weir::start();
    let addresses = servers.each_ref().map(|server| server.origin.address());
    let limits = json!({"max_requests": 1, "queue": {"timeout": "60s"}});
    weir.api().set_default(&config::with(&addresses, &json!({ "limits": limits })));
    let statuses = storm(&weir);
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    assert_eq!(servers.each_ref().map(Busy::most), [1, 1]);
}

#[test]
fn without_a_queue_what_finds_no_room_is_refused_at_once() {
    let server = Busy::taking(Duration::from_millis(5));
    let weir = Weir::start();
    let limits = json!({"max_requests": 2, "queue": {"size": 0}});
    weir.api().set_default(&config::with(&[server.origin.address()], &json!({ "limits": limits })));
    let statuses = storm(&weir);
    let count = |status| statuses.iter().filter(|other| **other == status).count();
    assert_eq!((server.most(), count(200) + count(503)), (2, CLIENTS * EACH), "{statuses:?}");
    assert_eq!(count(200), server.origin.count(), "what was let through was answered");
    assert!(count(503) > 0, "{statuses:?}");
    let refused = super::queue(&weir)["refused"].as_u64();
    assert_eq!(refused, Some(count(503) as u64));
}

#[test]
fn a_frozen_server_takes_no_more_than_its_limit() {
    let folder = TempDir::new().unwrap();
    let (well, ill) = (ProcessOrigin::start(folder.path(), 1), ProcessOrigin::start(folder.path(), 1));
    let weir = Weir::start();
    let limited =
        |server: &ProcessOrigin| json!({"address": server.address().to_string(), "max_requests": 2});
    weir.api().set_default(&config::with(
        &[],
        &json!({"algorithm": "round_robin", "servers": [limited(&well), limited(&ill)]}),
    ));
    ill.freeze();
    // Two go astray; everybody else is served by the other.
    let mut lost: Vec<_> = (0..2).map(|_| weir.client().patience(Duration::from_millis(300))).collect();
    let mut stuck = 0;
    for _ in 0..20 {
        let Some(client) = lost.get_mut(stuck) else { break };
        client.send("GET / HTTP/1.1\r\nHost: weir.test\r\n\r\n");
        stuck += usize::from(client.response("GET").is_err());
    }
    assert_eq!(stuck, 2, "the frozen server takes two");
    let mut client = weir.client();
    for _ in 0..50 {
        assert_eq!(client.get("/").status, 200);
    }
    ill.thaw();
}

#[test]
fn settings_that_make_no_sense_are_pointed_at_and_change_nothing() {
    let weir = Weir::start();
    weir.api().set_default(&config::bare(&["127.0.0.1:9".parse().unwrap()]));
    let before = weir.api().revision();
    for (patch, pointer) in [
        (json!({"limits": {"max_requests": 1_000_001}}), "#/limits/max_requests"),
        (json!({"limits": {"queue": {"size": 70_000}}}), "#/limits/queue/size"),
        (json!({"limits": {"queue": {"timeout": "0s"}}}), "#/limits/queue/timeout"),
        (json!({"limits": {"queue": {"priority_header": "a b"}}}), "#/limits/queue/priority_header"),
        (json!({"limits": {"queue": {"sise": 1}}}), "#/limits/queue/sise"),
    ] {
        let answer = weir.api().patch("/v1/upstreams/default", &patch).expect(422).json();
        assert_eq!(answer["errors"][0]["pointer"], pointer, "{answer}");
    }
    let server = json!({"max_requests": 1_000_001});
    let answer = weir.api().patch("/v1/upstreams/default/servers/127.0.0.1-9", &server).expect(422).json();
    assert_eq!(answer["errors"][0]["pointer"], "#/max_requests", "{answer}");
    assert_eq!(weir.api().revision(), before);
}
