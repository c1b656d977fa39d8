//! HTTP/2 from the client, with prior knowledge, to HTTP/1.1 servers. RFC 9113 §3.3 and §8.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use weir_tests::config;
use weir_tests::eventually::eventually;
use weir_tests::origin::Origin;
use weir_tests::reply;
use weir_tests::strict::Framing;
use weir_tests::weir::{Launch, Weir};

use super::{in_front_of, metric};

struct Client {
    sender: SendRequest<Full<Bytes>>,
    _driver: JoinSet<()>,
}

async fn connect(weir: &Weir) -> Client {
    connect_as(weir, &http2::Builder::new(TokioExecutor::new())).await
}

async fn connect_as(weir: &Weir, settings: &http2::Builder<TokioExecutor>) -> Client {
    let stream = TcpStream::connect(weir.data()).await.unwrap();
    let (sender, connection) = settings.handshake(TokioIo::new(stream)).await.unwrap();
    let mut driver = JoinSet::new();
    driver.spawn(async move {
        // The connection ends with the test.
        let _ = connection.await;
    });
    Client { sender, _driver: driver }
}

async fn send(
    client: &mut Client,
    method: &str,
    path: &str,
    body: &'static str,
) -> (http::response::Parts, Bytes) {
    let uri = format!("http://shop.test{path}");
    let request =
        Request::builder().method(method).uri(uri).version(Version::HTTP_2).body(Full::from(body)).unwrap();
    let (parts, body) = client.sender.send_request(request).await.unwrap().into_parts();
    (parts, body.collect().await.unwrap().to_bytes())
}

fn block_on(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

#[test]
fn get_and_post() {
    let origin = Origin::named("origin");
    let weir = in_front_of(&origin);
    block_on(async {
        let mut client = connect(&weir).await;
        let (parts, body) = send(&mut client, "GET", "/a?b=c", "").await;
        assert_eq!(
            (parts.status, parts.version, body.as_ref()),
            (StatusCode::OK, Version::HTTP_2, b"origin".as_slice())
        );
        assert!(!parts.headers.contains_key("connection"), "{parts:?}");
        let (parts, _) = send(&mut client, "POST", "/post", "hello").await;
        assert_eq!(parts.status, StatusCode::OK);
    });
    let seen = origin.seen();
    assert_eq!(seen[0].request.head.target, "/a?b=c");
    assert_eq!(seen[0].request.head.fields.all("host"), ["shop.test"]);
    assert_eq!(seen[0].request.head.framing, Framing::None, "a GET without a body gets none");
    assert!(seen[0].request.head.fields.one("via").is_some_and(|via| via.starts_with("2")), "{:?}", seen[0]);
    assert_eq!(seen[1].request.body, b"hello");
    assert_eq!(origin.violations(), Vec::<String>::new());
}

#[test]
fn many_streams_on_one_connection() {
    let origin = Origin::script(|seen| reply::ok(&seen.request.head.target));
    let weir = in_front_of(&origin);
    block_on(async {
        let client = connect(&weir).await;
        let mut streams = JoinSet::new();
        for number in 0..50 {
            let mut sender = client.sender.clone();
            streams.spawn(async move {
                let uri = format!("http://shop.test/{number}");
                let request = Request::builder().uri(uri).body(Full::default()).unwrap();
                let response = sender.send_request(request).await.unwrap();
                let body = response.into_body().collect().await.unwrap().to_bytes();
                assert_eq!(body, format!("/{number}"));
            });
        }
        while let Some(done) = streams.join_next().await {
            done.unwrap();
        }
    });
    assert_eq!(origin.count(), 50);
    assert_eq!(metric(&weir, "weir_client_aborts_total"), 0);
}

#[test]
fn an_error_of_weirs_own_speaks_http2_too() {
    let weir = Weir::start();
    block_on(async {
        let mut client = connect(&weir).await;
        let (parts, _) = send(&mut client, "GET", "/", "").await;
        assert_eq!(parts.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(parts.headers["content-type"], "application/problem+json");
    });
}

#[test]
fn a_head_response_has_no_body() {
    let origin = Origin::script(|_| reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"));
    let weir = in_front_of(&origin);
    block_on(async {
        let mut client = connect(&weir).await;
        for _ in 0..2 {
            let (parts, body) = send(&mut client, "HEAD", "/", "").await;
            assert_eq!((parts.headers["content-length"].as_bytes(), body.len()), (b"9".as_slice(), 0));
        }
    });
}

/// A client opens streams and takes nothing, or nothing more, of the responses: each is given up after
/// `stream_idle_timeout`, or at the end of the time its route allows, and what it held of the server with it.
#[test]
fn a_stream_that_takes_nothing_is_given_up() {
    const STREAMS: u64 = 10;
    let (idle, route) = (("1s", "1h"), ("1h", "1s"));
    for (window, size, (idle, route)) in
        [(0, 20, idle), (0, 1 << 20, idle), (1000, 1 << 20, idle), (1000, 1 << 20, route)]
    {
        let body = "x".repeat(size);
        let origin = Origin::script(move |_| reply::ok(&body));
        let weir = Weir::start();
        weir.api().set_default(&config::with(&[origin.address()], &json!({ "stream_idle_timeout": idle })));
        weir.api().patch("/v1/routes/default", &json!({ "action": { "timeout": route } })).assert(200);
        let in_flight = |count: u64| {
            (weir.api().server_health(origin.address())["in_flight"] == json!(count)).then_some(())
        };
        block_on(async {
            let mut settings = http2::Builder::new(TokioExecutor::new());
            settings.initial_stream_window_size(window);
            let client = connect_as(&weir, &settings).await;
            let began = Instant::now();
            let mut bodies = Vec::new();
            for _ in 0..STREAMS {
                let request = Request::builder().uri("http://shop.test/").body(Full::default()).unwrap();
                let response = client.sender.clone().send_request(request).await.unwrap();
                assert_eq!(response.status(), StatusCode::OK);
                bodies.push(response.into_body());
            }
            in_flight(STREAMS)
                .unwrap_or_else(|| panic!("window {window}, {size} bytes: no longer in flight"));
            eventually("no stream is left in flight", || in_flight(0));
            let took = began.elapsed();
            assert!(took > Duration::from_millis(900) && took < Duration::from_secs(5), "{took:?}");
            for body in bodies {
                body.collect().await.unwrap_err();
            }
        });
        assert_eq!(metric(&weir, "weir_client_timeouts_total"), STREAMS);
        assert_eq!(metric(&weir, "weir_client_aborts_total"), 0);
        weir.assert_no_errors();
    }
}

/// A stream that waits for its server is not the client's doing, and a slow reader is no stalled one.
#[test]
fn a_stream_that_is_taken_slowly_is_not_given_up() {
    let body = "x".repeat(200_000);
    let origin = Origin::script(move |_| reply::ok(&body));
    let weir = Weir::start();
    weir.api().set_default(&config::with(&[origin.address()], &json!({ "stream_idle_timeout": "1s" })));
    block_on(async {
        let mut settings = http2::Builder::new(TokioExecutor::new());
        settings.initial_stream_window_size(30_000);
        let client = connect_as(&weir, &settings).await;
        let request = Request::builder().uri("http://shop.test/").body(Full::default()).unwrap();
        let mut body = client.sender.clone().send_request(request).await.unwrap().into_body();
        let mut received = 0;
        while let Some(frame) = body.frame().await {
            received += frame.unwrap().into_data().unwrap().len();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(received, 200_000);
    });
}

/// The next frame's type and payload, RFC 9113 §4.1.
fn frame(mut stream: impl Read) -> std::io::Result<(u8, Vec<u8>)> {
    let mut head = [0; 9];
    stream.read_exact(&mut head)?;
    let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
    stream.read_exact(&mut payload)?;
    Ok((head[3], payload))
}

/// RFC 9113 §6.8: an idle connection is announced to end, and ended when the client has confirmed having seen it.
#[test]
fn an_idle_connection_is_ended_in_order() {
    const PING: u8 = 6;
    const GOAWAY: u8 = 7;
    let weir = Launch::default().arg("--header-timeout").arg("1s").start();
    let client = weir.client();
    let mut stream = client.stream();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
    let mut announced = Vec::new();
    while let Ok((kind, payload)) = frame(stream) {
        match kind {
            GOAWAY => announced.push(u32::from_be_bytes([payload[0], payload[1], payload[2], payload[3]])),
            PING => {
                let mut confirmation = b"\0\0\x08\x06\x01\0\0\0\0".to_vec();
                confirmation.extend(payload);
                stream.write_all(&confirmation).unwrap();
            }
            _ => {}
        }
    }
    assert_eq!(announced, [u32::MAX >> 1, 0], "first that it ends, then with which stream");
}

/// RFC 9113 §8.2.3: whatever looks at cookies sees them as an HTTP/1.1 client would have sent them.
#[test]
fn cookies_in_pieces_are_matched_as_one() {
    let origin = Origin::named("origin");
    let weir = in_front_of(&origin);
    let route = json!({
        "match": {"headers": [{"name": "cookie", "value": "a=1; b=2"}]},
        "action": {"fixed_response": {"status": 418}}
    });
    weir.api().put("/v1/routes/both", &route).assert(201);
    block_on(async {
        let mut client = connect(&weir).await;
        for (pieces, status) in [(&["a=1", "b=2"][..], 418), (&["a=1; b=2"], 418), (&["b=2", "a=1"], 200)] {
            let mut request = Request::get("http://shop.test/").body(Full::from("")).unwrap();
            for piece in pieces {
                request.headers_mut().append("cookie", piece.parse().unwrap());
            }
            assert_eq!(client.sender.send_request(request).await.unwrap().status(), status, "{pieces:?}");
        }
    });
}
