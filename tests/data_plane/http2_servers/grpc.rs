//! Calls of gRPC: deadlines, errors of Weir's own, and what the status of a call is for. What gRPC's own client and servers
//! make of it all is in `scripts/protocols`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderValue, Request, Response};
use serde_json::json;
use weir_tests::frames::{self, DATA, END_HEADERS, END_STREAM, FrameServer, HEADERS, Peer, RST_STREAM};
use weir_tests::http2_client::{Answer, Http2Client, block_on, request};
use weir_tests::http2_origin::{Http2Origin, Parts};
use weir_tests::origin::Refusing;
use weir_tests::weir::Weir;

use super::{in_front_of, in_front_of_all};

/// A call with these fields.
fn call(fields: &[(&'static str, &'static str)]) -> Request<Parts> {
    let mut request = request("POST", "/weir.Test/Call", "\0\0\0\0\x01x");
    let headers = request.headers_mut();
    headers.insert("content-type", HeaderValue::from_static("application/grpc"));
    headers.insert("te", HeaderValue::from_static("trailers"));
    for (name, value) in fields {
        headers.insert(*name, HeaderValue::from_static(value));
    }
    request
}

fn answer(weir: &Weir, fields: &[(&'static str, &'static str)]) -> Answer {
    block_on(async { Http2Client::connect(weir.data()).await.send(call(fields)).await.unwrap() })
}

/// A server whose calls all end with this status, and the number of them. Without a message and in one piece.
fn failing(status: &'static str) -> (FrameServer, Arc<AtomicUsize>) {
    let head = [(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", status)];
    counting(move |peer, stream| {
        peer.send(HEADERS, END_HEADERS | END_STREAM, stream, &frames::fields(&head));
    })
}

fn counting(act: impl Fn(&mut Peer, u32) + Send + Sync + 'static) -> (FrameServer, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let server = FrameServer::start(move |_, peer| {
        peer.greet(&[]);
        while let Some(stream) = peer.request() {
            counted.fetch_add(1, Ordering::SeqCst);
            act(peer, stream);
        }
    });
    (server, count)
}

#[test]
fn a_call_passes_with_its_trailers() {
    let origin = Http2Origin::script(|seen| {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        trailers.insert("x-trailing-bin", HeaderValue::from_static("AAEC"));
        let mut response = Response::new(Parts::of(seen.body.clone()).then(trailers));
        response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
        response
    });
    let weir = in_front_of(origin.address(), &json!({}));
    let answer = answer(&weir, &[("x-leading", "a")]);
    assert_eq!((answer.said("grpc-status"), answer.said("x-trailing-bin")), ("0", "AAEC"));
    assert_eq!(answer.body, "\0\0\0\0\x01x");
    let seen = origin.only();
    assert_eq!(
        (&seen.head.headers["te"], &seen.head.headers["x-leading"]),
        (&"trailers".parse().unwrap(), &"a".parse().unwrap())
    );
}

#[test]
fn a_call_that_no_server_answers_fails_in_grpcs_words() {
    let refusing = Refusing::start();
    let weir = in_front_of(refusing.address(), &json!({}));
    let answer = answer(&weir, &[]);
    assert_eq!((answer.head.status.as_u16(), answer.said("grpc-status")), (200, "14"));
    assert_eq!(answer.said("content-type"), "application/grpc");
    assert_eq!(answer.said("grpc-message"), "the server refused the connection");
    assert_eq!(answer.said("proxy-status"), "weir; error=connection_refused");
    assert!(answer.body.is_empty() && answer.trailers.is_none(), "{answer:?}");
}

/// A deadline is the client's, and takes the place of the upstream's own patience.
#[test]
fn a_deadline_ends_a_call_that_is_not_answered() {
    let resets = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&resets);
    let server = FrameServer::start(move |_, peer| {
        peer.greet(&[]);
        peer.request().unwrap();
        if peer.next(RST_STREAM).is_some_and(|reset| reset.number(0) == frames::CANCEL) {
            counted.fetch_add(1, Ordering::SeqCst);
        }
        peer.drain();
    });
    let weir = in_front_of(server.address(), &json!({ "response_timeout": "50ms" }));
    let began = Instant::now();
    let answer = answer(&weir, &[("grpc-timeout", "400m")]);
    let took = began.elapsed();
    assert_eq!((answer.head.status.as_u16(), answer.said("grpc-status")), (200, "4"));
    assert!(answer.trailers.is_none(), "{answer:?}");
    assert!(took >= Duration::from_millis(400) && took < Duration::from_secs(5), "{took:?}");
    weir_tests::eventually::eventually("the server is told", || {
        (resets.load(Ordering::SeqCst) == 1).then_some(())
    });
}

#[test]
fn a_deadline_ends_a_call_that_is_being_answered() {
    let (server, _) = counting(|peer, stream| {
        peer.send(HEADERS, END_HEADERS, stream, &frames::fields(&[(":status", "200")]));
        peer.send(DATA, 0, stream, b"\0\0\0\0\x01y");
    });
    let weir = in_front_of(server.address(), &json!({}));
    let answer = answer(&weir, &[("grpc-timeout", "300m")]);
    assert_eq!((answer.said("grpc-status"), answer.body.as_ref()), ("4", &b"\0\0\0\0\x01y"[..]));
}

/// A call is a POST: that a server answered it is no reason to repeat it, unless the operator says so.
#[test]
fn calls_are_repeated_by_status_on_demand_alone() {
    let default = json!(["connect_error", "reset_before_response", "status_503"]);
    let asked = json!(["connect_error", "grpc_unavailable"]);
    for (status, on, attempts) in
        [("14", &default, 1), ("14", &asked, 2), ("13", &asked, 1), ("0", &asked, 1)]
    {
        let servers = [failing(status), failing(status)];
        let addresses = [servers[0].0.address(), servers[1].0.address()];
        let weir = in_front_of_all(&addresses, &json!({ "retries": { "attempts": 2, "on": on } }));
        assert_eq!(answer(&weir, &[]).said("grpc-status"), status);
        let count: usize = servers.iter().map(|(_, count)| count.load(Ordering::SeqCst)).sum();
        assert_eq!(count, attempts, "{status} with {on}");
    }
}

/// Some servers say the status in trailers of their own even when there is no message.
#[test]
fn a_call_that_failed_before_its_first_message_can_be_repeated() {
    let late = || {
        counting(|peer, stream| {
            // In one write, as servers do it.
            let mut bytes = Vec::new();
            for (flags, block) in [
                (END_HEADERS, frames::fields(&[(":status", "200"), ("content-type", "application/grpc")])),
                (END_HEADERS | END_STREAM, frames::fields(&[("grpc-status", "14")])),
            ] {
                bytes.extend(&(block.len() as u32).to_be_bytes()[1..]);
                bytes.extend([HEADERS, flags]);
                bytes.extend(stream.to_be_bytes());
                bytes.extend(block);
            }
            peer.write(&bytes);
        })
    };
    let servers = [late(), late()];
    let addresses = [servers[0].0.address(), servers[1].0.address()];
    let on = json!({ "attempts": 2, "on": ["grpc_unavailable"] });
    let weir = in_front_of_all(&addresses, &json!({ "retries": on }));
    assert_eq!(answer(&weir, &[]).said("grpc-status"), "14");
    for (_, count) in &servers {
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }
}

/// The status of a call counts like the HTTP status that says the same.
#[test]
fn failed_calls_count_against_a_server() {
    let after_messages = || {
        counting(|peer, stream| {
            peer.send(HEADERS, END_HEADERS, stream, &frames::fields(&[(":status", "200")]));
            peer.send(DATA, 0, stream, b"\0\0\0\0\x01y");
            peer.send(HEADERS, END_HEADERS | END_STREAM, stream, &frames::fields(&[("grpc-status", "13")]));
        })
    };
    for (bad, is_ejected) in [(failing("14"), true), (failing("5"), false), (after_messages(), true)] {
        let (good, _) = failing("0");
        let weir = in_front_of_all(
            &[bad.0.address(), good.address()],
            &json!({ "outlier_detection": {}, "algorithm": "round_robin" }),
        );
        block_on(async {
            let client = Http2Client::connect(weir.data()).await;
            for _ in 0..30 {
                client.send(call(&[])).await.unwrap();
            }
        });
        let health = weir.api().server_health(bad.0.address());
        assert_eq!(health["reason"] == "ejected", is_ejected, "{health}");
    }
}
