//! What a server of HTTP/2 is told, and what clients are told of its answers. RFC 9113 §8.

use http::{HeaderMap, HeaderValue, Response, Version};
use serde_json::json;
use weir_tests::eventually::eventually;
use weir_tests::frames::{self, DATA, END_HEADERS, END_STREAM, FrameServer, HEADERS};
use weir_tests::http2_client::{Http2Client, block_on, request};
use weir_tests::http2_origin::{Http2Origin, Parts};

use super::in_front_of;

#[test]
fn a_request_of_http1_is_one_of_http2() {
    let origin = Http2Origin::named("two");
    let weir = in_front_of(origin.address(), &json!({}));
    let mut client = weir.client();
    let response = client.exchange(
        "POST /a/b?c=d HTTP/1.1\r\nHost: shop.test:81\r\nCookie: a=1\r\nX-One: 1\r\nX-One: 2\r\nTE: trailers, gzip\r\n\
         Connection: x-mine, te\r\nX-Mine: secret\r\nKeep-Alive: 5\r\nContent-Length: 5\r\n\r\nhello",
    );
    assert_eq!((response.status, response.text().as_str()), (200, "two"));
    assert!(!response.announces_close());
    let seen = origin.only();
    assert_eq!(seen.head.version, Version::HTTP_2);
    assert_eq!(seen.head.uri, "http://shop.test:81/a/b?c=d");
    assert_eq!(seen.body, "hello");
    let headers = &seen.head.headers;
    let all = |name: &str| -> Vec<&str> {
        headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
    };
    assert_eq!(
        (all("x-one"), all("te"), all("content-length")),
        (vec!["1", "2"], vec!["trailers"], vec!["5"])
    );
    assert_eq!((all("cookie"), all("via")), (vec!["a=1"], vec!["1.1 weir"]));
    assert_eq!(all("x-forwarded-host"), ["shop.test:81"]);
    for gone in ["host", "connection", "keep-alive", "x-mine", "transfer-encoding"] {
        assert!(!headers.contains_key(gone), "{gone} in {headers:?}");
    }
    assert_eq!(client.get("/again").status, 200);
    assert_eq!(origin.seen()[1].connection, 0, "one connection serves both");
}

#[test]
fn bodies_without_a_length_have_none_on_the_other_side_either() {
    let origin = Http2Origin::script(|seen| Response::new(Parts::of(seen.body.clone())));
    let weir = in_front_of(origin.address(), &json!({}));
    let response = weir.client().exchange(
        "POST / HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
    );
    assert_eq!(response.text(), "hello world");
    assert!(!origin.only().head.headers.contains_key("content-length"));
}

#[test]
fn trailers_pass_in_both_directions() {
    let origin = Http2Origin::script(|seen| {
        let trailers = seen.trailers.clone().unwrap_or_default();
        Response::new(Parts::of("content").then(trailers))
    });
    let weir = in_front_of(origin.address(), &json!({}));
    block_on(async {
        let client = Http2Client::connect(weir.data()).await;
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", HeaderValue::from_static("12"));
        trailers.insert("content-type", HeaderValue::from_static("text/plain"));
        trailers.insert("x-forwarded-for", HeaderValue::from_static("192.0.2.1"));
        let sent = request("POST", "/", "").map(|_| Parts::of("content").then(trailers));
        let answer = client.send(sent).await.unwrap();
        let trailers = answer.trailers.expect("trailers");
        assert_eq!((trailers.len(), trailers["x-sum"].as_bytes()), (1, &b"12"[..]), "{trailers:?}");
    });
    assert_eq!(
        origin.only().trailers.map(|trailers| trailers.len()),
        Some(1),
        "what may not be a trailer is none"
    );
}

#[test]
fn responses_without_a_body_have_none() {
    let origin = Http2Origin::script(|seen| {
        let status = seen.head.uri.path().trim_start_matches('/').parse().unwrap();
        let mut response = Response::new(Parts::default());
        *response.status_mut() = http::StatusCode::from_u16(status).unwrap();
        if status != 204 {
            response.headers_mut().insert("content-length", HeaderValue::from_static("9"));
        }
        response
    });
    let weir = in_front_of(origin.address(), &json!({}));
    let mut client = weir.client();
    let head = client.exchange("HEAD /200 HTTP/1.1\r\nHost: shop.test\r\n\r\n");
    assert_eq!((head.status, head.fields.one("content-length")), (200, Some("9")));
    assert_eq!(client.get("/304").status, 304);
    let empty = client.get("/204");
    assert_eq!((empty.status, empty.fields.one("content-length")), (204, None));
    assert_eq!(client.get("/204").status, 204, "the connection is still in step");
}

#[test]
fn a_client_that_asks_first_is_told_when_the_server_is() {
    let server = FrameServer::start(|_, peer| {
        peer.greet(&[]);
        let stream = peer.request().unwrap();
        peer.send(HEADERS, END_HEADERS, stream, &frames::fields(&[(":status", "100")]));
        let data = peer.next(DATA).unwrap();
        assert_eq!(data.payload, b"hello");
        peer.answer(stream, "thanks");
        peer.drain();
    });
    let weir = in_front_of(server.address(), &json!({}));
    let mut client = weir.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(client.response_head().unwrap().1, 100);
    client.send("hello");
    let response = client.response("POST").unwrap();
    assert_eq!((response.status, response.text().as_str()), (200, "thanks"));
}

#[test]
fn early_hints_are_relayed() {
    let server = FrameServer::start(|_, peer| {
        peer.greet(&[]);
        let stream = peer.request().unwrap();
        for link in ["</a.css>", "</b.js>"] {
            let head = frames::fields(&[(":status", "103"), ("link", link)]);
            peer.send(HEADERS, END_HEADERS, stream, &head);
        }
        peer.answer(stream, "at last");
        peer.drain();
    });
    let weir = in_front_of(server.address(), &json!({}));
    let response = weir.client().get("/");
    assert_eq!((response.interim, response.status), (vec![103, 103], 200));
}

/// A server need not read a request to answer it.
#[test]
fn an_early_answer_arrives() {
    let server = FrameServer::start(|_, peer| {
        peer.greet(&[(frames::INITIAL_WINDOW_SIZE, 10)]);
        let stream = peer.request().unwrap();
        peer.send(
            HEADERS,
            END_HEADERS,
            stream,
            &frames::fields(&[(":status", "413"), ("content-length", "2")]),
        );
        peer.send(DATA, END_STREAM, stream, b"no");
        peer.reset(stream, frames::NO_ERROR);
        peer.drain();
    });
    let weir = in_front_of(server.address(), &json!({}));
    let mut client = weir.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
    client.send(vec![b'x'; 1000]);
    let response = client.response("POST").unwrap();
    assert_eq!((response.status, response.text().as_str()), (413, "no"));
    assert!(response.announces_close(), "the rest of the request is not waited for");
}

/// Both sides of an exchange stream at once, each held back by whoever reads it.
#[test]
fn large_bodies_stream_both_ways() {
    let origin = Http2Origin::script(|seen| Response::new(Parts::of(seen.body.clone())));
    let weir = in_front_of(origin.address(), &json!({}));
    let body = "0123456789abcdef".repeat(256 * 1024);
    let length = body.len() as u64;
    let mut client = weir.client();
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"));
    client.send(&body);
    let response = client.response("POST").unwrap();
    assert_eq!((response.status, response.body.len() as u64), (200, length));
    assert!(response.body == body.as_bytes());
}

#[test]
fn a_check_speaks_what_requests_speak() {
    let origin = Http2Origin::script(|seen| {
        let mut response = Response::new(Parts::of("all is well"));
        if seen.head.uri.path() != "/health" {
            *response.status_mut() = http::StatusCode::NOT_FOUND;
        }
        response
    });
    let check = json!({ "path": "/health", "interval": "100ms", "timeout": "90ms", "expected_body": "well" });
    let weir = in_front_of(origin.address(), &json!({ "health_check": check }));
    eventually("the server is healthy", || {
        (weir.api().server_health(origin.address())["state"] == "healthy").then_some(())
    });
    let unwell = json!({ "health_check": { "expected_body": "ill", "unhealthy_threshold": 1 } });
    weir.api().patch("/v1/upstreams/default", &unwell).assert(200);
    eventually("the server is not", || {
        let health = weir.api().server_health(origin.address());
        (health["state"] == "unhealthy" && health["reason"] == "body_mismatch").then_some(())
    });
}
