//! Connections that many requests share: how many there are, and how they end.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::BodyExt;
use serde_json::json;
use tokio::task::JoinSet;
use weir_tests::eventually::{eventually, settled};
use weir_tests::frames::{self, DATA, END_HEADERS, FrameServer, GOAWAY, HEADERS, RST_STREAM};
use weir_tests::http2_client::{Http2Client, block_on, request};
use weir_tests::http2_origin::Http2Origin;
use weir_tests::reply::Gate;

use super::in_front_of;

#[test]
fn requests_share_one_connection() {
    let origin = Http2Origin::named("two");
    let weir = in_front_of(origin.address(), &json!({}));
    block_on(async {
        let client = Arc::new(Http2Client::connect(weir.data()).await);
        let mut streams = JoinSet::new();
        for number in 0..100 {
            let client = Arc::clone(&client);
            streams.spawn(async move {
                let answer = client.send(request("GET", &format!("/{number}"), "")).await.unwrap();
                assert_eq!(answer.body, "two");
            });
        }
        while let Some(done) = streams.join_next().await {
            done.unwrap();
        }
    });
    let seen = origin.seen();
    assert_eq!((seen.len(), seen.iter().map(|seen| seen.connection).max()), (100, Some(0)));
}

/// A server that takes two streams at once gets as many connections as the requests under way need.
#[test]
fn a_full_connection_is_joined_by_another() {
    let gate = Gate::default();
    let waiting = gate.clone();
    let server = FrameServer::start(move |_, peer| {
        peer.greet(&[(frames::MAX_CONCURRENT_STREAMS, 2)]);
        let streams: Vec<u32> = (0..2).map_while(|_| peer.request()).collect();
        waiting.pass();
        for stream in streams {
            peer.answer(stream, "done");
        }
        peer.answer_all("done");
    });
    let weir = in_front_of(server.address(), &json!({}));
    block_on(async {
        let client = Arc::new(Http2Client::connect(weir.data()).await);
        let mut streams = JoinSet::new();
        for _ in 0..6 {
            let client = Arc::clone(&client);
            streams.spawn(async move { client.send(request("GET", "/", "")).await.unwrap().body });
        }
        let waiting = gate.clone();
        let opener = tokio::task::spawn_blocking(move || {
            eventually("three connections, two requests on each", || (waiting.arrivals() == 3).then_some(()));
            waiting.open();
        });
        while let Some(done) = streams.join_next().await {
            assert_eq!(done.unwrap(), "done");
        }
        opener.await.unwrap();
    });
    assert_eq!(server.connections(), 3);
}

/// What a server has not begun with when it says that it goes is sent elsewhere, whatever its method; what it has begun
/// with is waited for.
#[test]
fn a_server_that_goes_away_loses_nothing() {
    let ran = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&ran);
    let server = FrameServer::start(move |number, peer| {
        peer.greet(&[]);
        if number > 0 {
            while let Some(stream) = peer.request() {
                log.lock().unwrap().push((number, stream));
                peer.answer(stream, "later");
            }
            return;
        }
        let (first, second) = (peer.request().unwrap(), peer.request().unwrap());
        log.lock().unwrap().push((number, first));
        peer.go_away(first, frames::NO_ERROR);
        assert!(second > first);
        eventually("the other one is sent elsewhere", || (log.lock().unwrap().len() > 1).then_some(()));
        peer.answer(first, "first");
        assert!(peer.drain().iter().all(|frame| frame.kind != HEADERS), "nothing new is sent here");
    });
    let weir = in_front_of(server.address(), &json!({ "retries": { "attempts": 1 } }));
    block_on(async {
        let client = Http2Client::connect(weir.data()).await;
        let both = [client.send(request("POST", "/", "a")), client.send(request("POST", "/", "b"))];
        let [one, other] = both;
        let (one, other) = tokio::join!(one, other);
        let mut bodies = [one.unwrap().body, other.unwrap().body];
        bodies.sort();
        assert_eq!(bodies, ["first", "later"], "whichever came first");
    });
    assert_eq!(ran.lock().unwrap().len(), 2, "each ran once");
    weir.assert_no_errors();
}

#[test]
fn a_refused_stream_is_sent_again_whatever_its_method() {
    let server = FrameServer::start(|_, peer| {
        peer.greet(&[]);
        let stream = peer.request().unwrap();
        peer.reset(stream, frames::REFUSED_STREAM);
        while let Some(stream) = peer.request() {
            // A whole answer before the whole request would end the client's connection.
            peer.next(DATA);
            peer.answer(stream, "taken");
        }
    });
    let weir = in_front_of(server.address(), &json!({ "retries": { "attempts": 1 } }));
    // One connection of a client is served by one worker.
    let mut client = weir.client();
    assert_eq!(client.post("/", "body").text(), "taken");
    assert_eq!(client.post("/", "body").text(), "taken");
    assert_eq!(server.connections(), 1);
}

/// A client that leaves gives up its stream, and nothing else of the connection.
#[test]
fn a_client_that_leaves_cancels_its_stream() {
    let (codes, connections) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(0)));
    let (log, count) = (Arc::clone(&codes), Arc::clone(&connections));
    let server = FrameServer::start(move |_, peer| {
        *count.lock().unwrap() += 1;
        peer.greet(&[]);
        let stream = peer.request().unwrap();
        peer.send(HEADERS, END_HEADERS, stream, &frames::fields(&[(":status", "200")]));
        peer.send(DATA, 0, stream, b"begun");
        let reset = peer.next(RST_STREAM).unwrap();
        assert_eq!(reset.stream, stream);
        log.lock().unwrap().push(reset.number(0));
        peer.answer_all("next");
    });
    let weir = in_front_of(server.address(), &json!({}));
    block_on(async {
        let client = Http2Client::connect(weir.data()).await;
        let mut body = client.begin(request("GET", "/", "")).await.unwrap().into_body();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "begun");
        drop(body);
        let told = Arc::clone(&codes);
        let wait =
            move || eventually("the server is told", || (!told.lock().unwrap().is_empty()).then_some(()));
        tokio::task::spawn_blocking(wait).await.unwrap();
        assert_eq!(client.send(request("GET", "/", "")).await.unwrap().body, "next");
    });
    assert_eq!((codes.lock().unwrap().as_slice(), *connections.lock().unwrap()), (&[frames::CANCEL][..], 1));
}

/// A client that does not read holds up its own stream, and no other on the server's connection.
#[test]
fn a_client_that_does_not_read_holds_up_nobody_else() {
    let body = "x".repeat(8 << 20);
    let origin = Http2Origin::script(move |seen| {
        let content = if seen.head.uri.path() == "/large" { body.clone() } else { "small".to_owned() };
        http::Response::new(weir_tests::http2_origin::Parts::of(content))
    });
    let weir = in_front_of(origin.address(), &json!({}));
    block_on(async {
        let client = Http2Client::connect(weir.data()).await;
        let mut stalled = Vec::new();
        for _ in 0..20 {
            stalled.push(client.begin(request("GET", "/large", "")).await.unwrap());
        }
        let received = || {
            let server = weir.api().server_health(origin.address());
            server["counters"]["bytes_received"].as_u64()
        };
        settled("the server has sent what there is room for", Duration::from_millis(300), received);
        let other = Http2Client::connect(weir.data()).await;
        for _ in 0..20 {
            assert_eq!(other.send(request("GET", "/", "")).await.unwrap().body, "small");
        }
    });
}

#[test]
fn an_unused_connection_is_ended_in_order() {
    let ends = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&ends);
    let server = FrameServer::start(move |_, peer| {
        peer.greet(&[]);
        let stream = peer.request().unwrap();
        peer.answer(stream, "once");
        let frames = peer.drain();
        log.lock().unwrap().push(frames.last().map(|frame| (frame.kind, frame.number(4))));
    });
    let weir = in_front_of(server.address(), &json!({ "idle_timeout": "1s" }));
    assert_eq!(weir.client().get("/").text(), "once");
    eventually("the connection is closed", || (!ends.lock().unwrap().is_empty()).then_some(()));
    assert_eq!(ends.lock().unwrap().as_slice(), [Some((GOAWAY, frames::NO_ERROR))]);
}

/// A connection that the server closed at rest is not the server's fault, nor the client's.
#[test]
fn a_connection_closed_at_rest_costs_nothing() {
    let server = FrameServer::start(|_, peer| {
        peer.greet(&[]);
        let stream = peer.request().unwrap();
        peer.answer(stream, "once");
    });
    let weir = in_front_of(server.address(), &json!({}));
    let mut client = weir.client();
    for round in 1..=20 {
        assert_eq!(client.post("/", "x").text(), "once");
        eventually("the connection is closed", || (server.closed() == round).then_some(()));
    }
    assert_eq!(server.connections(), 20);
}
