//! The event stream of a real Weir: what is told, in which order, and what becomes of those who fall behind.

use std::{
    io::Read,
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;
use weir_tests::{
    client::Wire,
    events::{EventStream, Told},
    eventually::eventually,
    process_origin::ProcessOrigin,
    signal::Signal,
    weir::{Launch, Weir},
};

fn revision(told: &Told) -> u64 {
    assert_eq!(told.kind, "config", "{told:?}");
    told.data["revision"].as_u64().unwrap()
}

fn put(weir: &Weir, id: &str, generation: usize) {
    let body = json!({"labels": {"generation": generation.to_string()}, "health_check": {"enabled": false}});
    assert!(matches!(weir.api().put(&format!("/v1/upstreams/{id}"), &body).status(), 200 | 201));
}

#[test]
fn writers_at_once_are_told_of_one_after_the_other_without_a_gap() {
    const WRITERS: usize = 20;
    const WRITES: usize = 10;
    let weir = Weir::start();
    let mut streams: Vec<EventStream> =
        (0..3).map(|_| EventStream::open(weir.admin(), "/v1/events?topics=config")).collect();
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let weir = &weir;
            scope.spawn(move || (0..WRITES).for_each(|n| put(weir, &format!("w{writer}"), n)));
        }
        for stream in &mut streams {
            scope.spawn(move || {
                for expected in 1..=(WRITERS * WRITES) as u64 {
                    assert_eq!(revision(&stream.read().unwrap()), expected);
                }
            });
        }
    });
    // Whoever comes later reads the same from the store.
    let mut late = EventStream::open(weir.admin(), "/v1/events?since=0");
    for expected in 1..=(WRITERS * WRITES) as u64 {
        assert_eq!(revision(&late.until("a change", |told| told.kind == "config")), expected);
    }
    weir.assert_no_errors();
}

#[test]
fn a_killed_server_is_told_of_and_so_is_its_return() {
    let folder = TempDir::new().unwrap();
    let mut origin = ProcessOrigin::start(folder.path(), 0);
    let weir = Weir::start();
    let mut stream = EventStream::open(weir.admin(), "/v1/events?topics=health&upstream=default");
    let address = origin.address();
    weir.api().set_default(&json!({
        "servers": [address.to_string()],
        "panic_threshold_percent": 0,
        "health_check": {"type": "tcp", "interval": "100ms", "timeout": "90ms", "unhealthy_threshold": 2}
    }));
    let turned = |told: &Told, to: &str| told.kind == "health" && told.data["to"] == to;
    let server =
        stream.until("the first pass", |told| turned(told, "healthy") && told.data["server"].is_string());
    assert_eq!((&server.data["upstream"], &server.data["from"]), (&json!("default"), &json!("initial")));
    origin.kill();
    let server = stream.until("the failure", |told| turned(told, "unhealthy"));
    assert_eq!(
        (&server.data["from"], &server.data["reason"]),
        (&json!("healthy"), &json!("connect_refused"))
    );
    assert_eq!(server.data["server"], weir.api().server_health(address)["id"]);
    assert!(
        server.data["at"].is_string() && server.data["node"].is_string() && server.data["detail"].is_string()
    );
    let upstream = stream.read().unwrap();
    assert_eq!((&upstream.data["server"], &upstream.data["to"]), (&Value::Null, &json!("down")));
    origin.restart();
    let server = stream.until("the return", |told| turned(told, "healthy"));
    assert_eq!((&server.data["from"], &server.data["reason"]), (&json!("unhealthy"), &Value::Null));
    assert_eq!(stream.read().unwrap().data["to"], "healthy");
    weir.assert_no_errors();
}

#[test]
fn an_ejection_by_real_requests_is_told_of_and_so_is_its_end() {
    let (good, bad) = (weir_tests::origin::Origin::named("good"), broken());
    let weir = Weir::start();
    let mut stream = EventStream::open(weir.admin(), "/v1/events?topics=health");
    weir.api().set_default(&json!({
        "servers": [good.address().to_string(), bad.address().to_string()],
        "health_check": {"enabled": false},
        "retries": {"attempts": 0},
        "outlier_detection": {"consecutive_5xx": 2, "base_ejection_time": "1s", "max_ejection_time": "1s"}
    }));
    let id = weir.api().server_health(bad.address())["id"].clone();
    let is_of_bad = |told: &Told| told.data["server"] == id;
    let first = stream.until("the bad one is used", is_of_bad);
    assert_eq!(first.data["to"], "healthy");
    let mut client = weir.client();
    eventually("the bad one is ejected", || {
        client.get("/");
        (weir.api().server_health(bad.address())["state"] == "unhealthy").then_some(())
    });
    let ejected = stream.until("the ejection", is_of_bad);
    assert_eq!((&ejected.data["to"], &ejected.data["reason"]), (&json!("unhealthy"), &json!("ejected")));
    assert_eq!(ejected.data["detector"], "consecutive_5xx", "{}", ejected.data);
    // Nobody asks and nothing checks: the end is a matter of time alone.
    let back = stream.until("the end of the ejection", is_of_bad);
    assert_eq!((&back.data["from"], &back.data["to"]), (&json!("unhealthy"), &json!("healthy")));
}

fn broken() -> weir_tests::origin::Origin {
    weir_tests::origin::Origin::script(|_| {
        weir_tests::reply::raw(weir_tests::reply::message("503 Service Unavailable", &[], ""))
    })
}

#[test]
fn a_listener_goes_on_across_a_restart() {
    let folder = TempDir::new().unwrap();
    let mut weir = Launch::default().data_dir(folder.path()).start();
    put(&weir, "web", 0);
    let mut stream = EventStream::open(weir.admin(), "/v1/events");
    put(&weir, "web", 1);
    assert_eq!(revision(&stream.until("the change", |told| told.kind == "config")), 2);
    let id = stream.last_id().to_owned();
    put(&weir, "web", 2);
    weir.signal(Signal::TERM);
    assert!(weir.wait(Duration::from_secs(10)).success());

    let weir = Launch::default().data_dir(folder.path()).start();
    put(&weir, "web", 3);
    let mut changes = EventStream::resume(weir.admin(), "/v1/events?topics=config", &id);
    assert_eq!([changes.read(), changes.read()].map(|told| revision(&told.unwrap())), [3, 4]);
    // What the process before observed is gone with it, and that is said.
    let mut all = EventStream::resume(weir.admin(), "/v1/events", &id);
    let reset = all.read().unwrap();
    assert_eq!((reset.kind.as_str(), &reset.data["reason"]), ("reset", &json!("restarted")));
    assert_eq!(reset.data["topics"], json!(["health", "drain", "listeners", "certificates"]));
    assert_eq!([all.read(), all.read()].map(|told| revision(&told.unwrap())), [3, 4]);
    // Another life of the store has other revisions.
    let mut other = EventStream::resume(weir.admin(), "/v1/events?topics=config", "ffffff.3.0");
    let reset = other.read().unwrap();
    assert_eq!((&reset.data["reason"], &reset.data["revision"]), (&json!("epoch"), &json!(4)));
    put(&weir, "web", 4);
    assert_eq!(revision(&other.read().unwrap()), 5);
    weir.assert_no_errors();
}

/// Connects with so little room for what is not read that a stream comes to a stop soon.
fn narrow(admin: SocketAddr) -> Wire {
    let socket =
        socket2::Socket::new(socket2::Domain::for_address(admin), socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&admin.into()).unwrap();
    Wire::of(TcpStream::from(socket))
}

/// An upstream of many servers that all change their state with `generation`.
fn turn_all(weir: &Weir, generation: usize) {
    let state = ["maint", "drain"][generation % 2];
    let servers: Vec<Value> = (0..1000)
        .map(|n| json!({"address": format!("127.8.{}.{}:80", n / 250, n % 250 + 1), "admin_state": state}))
        .collect();
    let body = json!({"servers": servers, "health_check": {"enabled": false}});
    assert!(matches!(weir.api().put("/v1/upstreams/many?bind=false", &body).status(), 200 | 201));
}

#[test]
fn who_does_not_read_is_told_a_reset_costs_no_memory_and_delays_nobody() {
    const TURNS: usize = 40;
    let weir = Weir::start();
    let mut slow = EventStream::try_open(narrow(weir.admin()), "/v1/events", None).unwrap();
    let mut quick = EventStream::open(weir.admin(), "/v1/events?topics=config");
    let mut health = EventStream::open(weir.admin(), "/v1/events?topics=health");
    turn_all(&weir, 0);
    assert_eq!(revision(&slow.until("the first change", |told| told.kind == "config")), 1);
    let before = weir.resident_bytes();
    let told = AtomicUsize::new(0);
    let is_last = |event: &Told| event.kind == "config" && revision(event) == TURNS as u64 + 1;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            quick.until("the last change", is_last);
        });
        scope.spawn(|| {
            while told.load(Ordering::SeqCst) < (TURNS + 1) * 1000 {
                let event = health.read().unwrap();
                assert_eq!(event.kind, "health", "whoever reads is never reset: {event:?}");
                told.fetch_add(usize::from(event.data["server"].is_string()), Ordering::SeqCst);
            }
        });
        for generation in 0..=TURNS {
            // The first one was made above. Each has to last until it is noticed: a state that does not is not told.
            if generation > 0 {
                turn_all(&weir, generation);
            }
            eventually("the turns are told", || {
                (told.load(Ordering::SeqCst) >= (generation + 1) * 1000).then_some(())
            });
        }
    });
    let grown = weir.resident_bytes().saturating_sub(before);
    assert!(grown < 64 << 20, "{} KiB more", grown >> 10);
    let reset = slow.until("the reset", |told| told.kind == "reset");
    assert_eq!(reset.data["reason"], "slow");
    assert_eq!(
        reset.data["topics"],
        json!(["health", "drain", "listeners", "certificates"]),
        "changes are in the store"
    );
    put(&weir, "web", 0);
    let last = slow.until("the present", |told| told.kind == "reset" || told.data["revision"] == TURNS + 2);
    assert_eq!(last.kind, "config", "one reset is enough");
    weir.assert_no_errors();
}

#[test]
fn a_listener_that_hangs_delays_no_change_and_misses_none() {
    const WRITES: usize = 500;
    let weir = Weir::start();
    let mut hanging = EventStream::try_open(narrow(weir.admin()), "/v1/events?topics=config", None).unwrap();
    // Each is told at some length, so that all of them are more than the connection holds.
    for weight in 1..=WRITES {
        let servers: Vec<Value> = (1..=100)
            .map(|n| json!({"address": format!("127.9.0.{n}:80"), "weight": weight % 2 + 1}))
            .collect();
        let body = json!({"servers": servers, "health_check": {"enabled": false}});
        assert!(matches!(weir.api().put("/v1/upstreams/many", &body).status(), 200 | 201));
    }
    for expected in 1..=WRITES as u64 {
        assert_eq!(revision(&hanging.read().unwrap()), expected);
    }
    weir.assert_no_errors();
}

#[test]
fn a_thousand_listeners_leave_the_api_alone_and_one_more_is_refused() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, rustix::process::Rlimit { current: limit.maximum, ..limit }).unwrap();
    let weir = Weir::start();
    let open = || EventStream::try_open(Wire::connect(weir.admin()), "/v1/events?topics=config", None);
    let mut streams: Vec<EventStream> = (0..1000).map(|_| open().unwrap()).collect();
    let refused = weir.api().get("/v1/events").expect(429);
    assert_eq!(refused.field("retry-after"), Some("10"));
    assert_eq!(refused.json()["code"], "rate_limited");
    put(&weir, "web", 0);
    for stream in &mut streams {
        assert_eq!(revision(&stream.read().unwrap()), 1);
    }
    streams.pop();
    eventually("the place is free again", || open().ok());
    weir.assert_no_errors();
}

#[test]
fn open_streams_do_not_hold_up_a_stop() {
    let mut weir = Weir::start();
    let mut streams: Vec<EventStream> =
        (0..50).map(|_| EventStream::open(weir.admin(), "/v1/events?topics=config")).collect();
    // One whose listener has stopped reading in the middle.
    let mut stuck = narrow(weir.admin());
    stuck.send("GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
    eventually("it listens", || {
        weir.api().get("/metrics").response.text().contains("weir_events_subscribers 51").then_some(())
    });
    for generation in 0..8 {
        turn_all(&weir, generation);
    }
    let begun = Instant::now();
    weir.signal(Signal::TERM);
    for stream in &mut streams {
        while stream.read().is_some() {}
    }
    assert!(weir.wait(Duration::from_secs(10)).success());
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert!(weir.logs().event("the control plane did not finish in time").is_none());
    // What it was sent before is still there; then the connection ends.
    let mut rest = Vec::new();
    let _ = stuck.stream().read_to_end(&mut rest);
    weir.assert_no_errors();
}

/// Makes a token for `scopes`, as `by`; answers its text.
fn token(weir: &Weir, by: Option<&str>, id: &str, scopes: &[&str]) -> String {
    let call = weir.api().call("POST", "/v1/tokens").json(&json!({"id": id, "scopes": scopes}));
    let call = match by {
        Some(by) => call.field("Authorization", &format!("Bearer {by}")),
        None => call,
    };
    call.send().expect(201).json()["token"].as_str().unwrap().to_owned()
}

/// The event stream for `query`, with a ticket for the holder of `token`.
fn with_ticket(weir: &Weir, token: &str, query: &str) -> String {
    let call =
        weir.api().call("POST", "/v1/events/ticket").field("Authorization", &format!("Bearer {token}"));
    let answer = call.send().expect(200).json();
    assert!(answer["expires_at"].is_string(), "{answer}");
    format!("/v1/events?{query}ticket={}", answer["ticket"].as_str().unwrap())
}

/// Makes an upstream with one server, as the holder of `token`.
fn make(weir: &Weir, token: &str, id: &str) {
    let body = json!({"servers": ["127.0.0.1:9"], "health_check": {"enabled": false}});
    let call = weir.api().call("PUT", &format!("/v1/upstreams/{id}")).json(&body);
    call.field("Authorization", &format!("Bearer {token}")).send().assert(201);
}

#[test]
fn where_callers_must_be_known_a_ticket_opens_one_stream() {
    let weir = Weir::start();
    let root = token(&weir, None, "root", &["admin"]);
    let status = |target: &str| EventStream::try_open(Wire::connect(weir.admin()), target, None).err();
    for target in ["/v1/events", "/v1/events?ticket=0", "/v1/events?ticket="] {
        assert_eq!(status(target), Some(401), "{target}");
    }
    assert_eq!(weir.api().call("POST", "/v1/events/ticket").send().status(), 401);
    let target = with_ticket(&weir, &root, "topics=config&");
    let mut stream = EventStream::open(weir.admin(), &target);
    assert_eq!(status(&target), Some(401), "used already");
    assert_eq!(status(&with_ticket(&weir, &root, "").replace("/events", "/health")), Some(401));
    make(&weir, &root, "web");
    let told = stream.read().unwrap();
    assert_eq!((revision(&told), &told.data["actor"]), (1, &json!("token:root")));
    let revoked = weir.api().call("DELETE", "/v1/tokens/root?open=true");
    revoked.field("Authorization", &format!("Bearer {root}")).send().assert(204);
    put(&weir, "web", 1);
    assert_eq!(stream.read(), None, "the caller is nobody any more");
    weir.assert_no_errors();
}

#[test]
fn changes_are_told_to_those_who_may_read_them_and_health_to_the_others() {
    let weir = Weir::start();
    let root = token(&weir, None, "root", &["admin"]);
    let watcher = token(&weir, Some(&root), "watcher", &["health:read"]);
    let reader = token(&weir, Some(&root), "reader", &["health:read", "config:read"]);
    let scaler = token(&weir, Some(&root), "scaler", &["servers:write:web"]);
    let open = |token: &str, query: &str| {
        EventStream::try_open(Wire::connect(weir.admin()), &with_ticket(&weir, token, query), None)
    };
    for (token, query) in [
        (&watcher, "topics=config&"),
        (&scaler, ""),
        (&scaler, "upstream=other&"),
        (&scaler, "topics=config&upstream=web&"),
    ] {
        assert_eq!(open(token, query).err(), Some(403), "{query}");
    }
    let mut watching = open(&watcher, "").unwrap();
    let mut reading = open(&reader, "").unwrap();
    let mut scaling = open(&scaler, "upstream=web&").unwrap();
    make(&weir, &root, "other");
    make(&weir, &root, "web");
    assert_eq!(revision(&reading.read().unwrap()), 1);
    // A change is told before what comes of it.
    let told = watching.read().unwrap();
    assert_eq!((told.kind.as_str(), &told.data["upstream"]), ("health", &json!("other")));
    let told = scaling.read().unwrap();
    assert_eq!((told.kind.as_str(), &told.data["upstream"]), ("health", &json!("web")));
    weir.assert_no_errors();
}
