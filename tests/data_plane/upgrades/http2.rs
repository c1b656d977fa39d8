//! Extended CONNECT: a stream becomes a connection (RFC 8441), and the server sees an HTTP/1.1 upgrade.

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2::{self, SendRequest};
use hyper::ext::Protocol;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use weir_tests::frame_client::{Frames, SETTINGS};
use weir_tests::switcher::{FAREWELL, Switcher, field, switching, websocket_accept};
use weir_tests::weir::Weir;

use super::{await_in_flight, await_tunnels, in_front_of};
use crate::semantics::metric;

struct Client {
    sender: SendRequest<Empty<Bytes>>,
    _driver: JoinSet<()>,
}

async fn connect(weir: &Weir) -> Client {
    let stream = TcpStream::connect(weir.data()).await.unwrap();
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let mut driver = JoinSet::new();
    driver.spawn(async move {
        // The connection ends with the test.
        let _ = connection.await;
    });
    Client { sender, _driver: driver }
}

async fn ask(client: &Client, protocol: &'static str) -> http::Response<hyper::body::Incoming> {
    let request = Request::builder()
        .method(Method::CONNECT)
        .uri("http://weir.test/chat?room=1")
        .extension(Protocol::from_static(protocol))
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "the client's own")
        .body(Empty::new())
        .unwrap();
    client.sender.clone().send_request(request).await.unwrap()
}

fn block_on(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

/// A server that knows what a WebSocket server has to answer.
fn websocket_server() -> Switcher {
    Switcher::start(|head| {
        let accept = websocket_accept(field(head, "sec-websocket-key").unwrap());
        switching("websocket", &[&format!("Sec-WebSocket-Accept: {accept}"), "Sec-WebSocket-Protocol: a"])
    })
}

#[test]
fn a_stream_becomes_a_websocket() {
    let server = websocket_server();
    let weir = in_front_of(&[&server], &json!({}));
    block_on(async {
        let client = connect(&weir).await;
        let response = ask(&client, "websocket").await;
        assert_eq!(response.status(), StatusCode::OK);
        let fields = response.headers();
        assert_eq!(fields["sec-websocket-protocol"], "a");
        for name in ["connection", "upgrade", "sec-websocket-accept", "content-length"] {
            assert!(!fields.contains_key(name), "{name}: {fields:?}");
        }
        let mut stream = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
        await_in_flight(&weir, &server, 1);
        await_tunnels(&weir, 1);
        let content = vec![7; 3 << 20];
        let (mut from, mut to) = tokio::io::split(&mut stream);
        let (received, ()) = tokio::join!(
            async {
                let mut received = Vec::new();
                from.read_to_end(&mut received).await.unwrap();
                received
            },
            async {
                to.write_all(&content).await.unwrap();
                to.shutdown().await.unwrap();
            },
        );
        assert_eq!(received.len(), content.len() + FAREWELL.len());
        assert!(received.ends_with(FAREWELL));
    });
    await_tunnels(&weir, 0);
    await_in_flight(&weir, &server, 0);
    let head = server.only();
    assert!(head.starts_with("GET /chat?room=1 HTTP/1.1\r\nhost: weir.test\r\n"), "{head}");
    assert_eq!((field(&head, "connection"), field(&head, "upgrade")), (Some("upgrade"), Some("websocket")));
    assert_eq!(head.matches("sec-websocket-key").count(), 1, "RFC 8441 §5: the client has none");
    assert!(!head.contains("the client's own"));
    weir.assert_no_errors();
}

/// Other streams go on beside it, and it outlives what a connection without a request has.
#[test]
fn a_tunnel_is_one_stream_among_others() {
    let server = Switcher::willing();
    let weir = in_front_of(&[&server], &json!({"upgrades": ["echo"]}));
    block_on(async {
        let client = connect(&weir).await;
        let mut streams = Vec::new();
        for _ in 0..20 {
            let response = ask(&client, "echo").await;
            streams.push(TokioIo::new(hyper::upgrade::on(response).await.unwrap()));
        }
        await_tunnels(&weir, 20);
        for (place, stream) in streams.iter_mut().enumerate() {
            let text = format!("stream {place}");
            stream.write_all(text.as_bytes()).await.unwrap();
            let mut back = vec![0; text.len()];
            stream.read_exact(&mut back).await.unwrap();
            assert_eq!(back, text.as_bytes());
        }
    });
    await_tunnels(&weir, 0);
    assert_eq!(metric(&weir, "weir_tunnels_total"), 20);
}

/// An answer of the server that would be taken for an open stream is not passed on; any other is.
#[test]
fn what_is_no_switch_opens_no_stream() {
    let refusal = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno".to_vec();
    for (what, protocol, upgrades, answer, status) in [
        (
            "plain 200",
            "websocket",
            json!(["websocket"]),
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec(),
            502,
        ),
        (
            "a wrong proof",
            "websocket",
            json!(["websocket"]),
            switching("websocket", &["Sec-WebSocket-Accept: x"]),
            502,
        ),
        ("no proof", "websocket", json!(["websocket"]), switching("websocket", &[]), 502),
        ("another protocol", "echo", json!(["echo", "websocket"]), switching("websocket", &[]), 502),
        ("a refusal", "websocket", json!(["websocket"]), refusal.clone(), 403),
        ("not allowed", "echo", json!(["websocket"]), refusal.clone(), 501),
        ("nothing allowed", "websocket", json!([]), refusal, 501),
    ] {
        let server = Switcher::start(move |_| answer.clone());
        let weir = in_front_of(&[&server], &json!({"upgrades": upgrades, "retries": {"attempts": 0}}));
        block_on(async {
            let client = connect(&weir).await;
            let response = ask(&client, protocol).await;
            assert_eq!(response.status(), status, "{what}");
            let body = response.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body == "no", status == 403, "{what}: {body:?}");
        });
        assert_eq!(server.heads().len(), usize::from(status != 501), "{what}");
        assert_eq!(metric(&weir, "weir_tunnels_total"), 0, "{what}");
        weir.assert_no_errors();
    }
}

/// RFC 8441 §5: it stands for what is a GET over HTTP/1.1, and so routes see it.
#[test]
fn routes_take_it_for_a_get() {
    let server = Switcher::willing();
    let weir = in_front_of(&[&server], &json!({"upgrades": ["echo"]}));
    let put = |id: &str, method: &str, status: u16| {
        let route = json!({
            "match": {"path": {"value": "/chat"}, "methods": [method]},
            "action": {"fixed_response": {"status": status}}
        });
        weir.api().put(&format!("/v1/routes/{id}"), &route)
    };
    let never = put("connect", "CONNECT", 418).expect(422).json();
    assert_eq!(never["errors"][0]["pointer"], "#/match/methods/0", "no request would be for it: {never}");
    put("post", "POST", 403).assert(201);
    block_on(async {
        let client = connect(&weir).await;
        let response = ask(&client, "echo").await;
        assert_eq!(response.status(), StatusCode::OK, "the other is not for it");
        drop(hyper::upgrade::on(response).await.unwrap());
        put("get", "GET", 404).assert(201);
        assert_eq!(ask(&client, "echo").await.status(), StatusCode::NOT_FOUND);
    });
    assert!(server.only().starts_with("GET /chat?room=1 HTTP/1.1\r\n"));
}

/// RFC 8441 §3.
#[test]
fn that_it_is_there_is_announced() {
    let weir = Weir::start();
    let mut client = Frames::connect(weir.data(), &[]);
    let settings = client.until(|frame| frame.kind == SETTINGS && frame.flags == 0).unwrap();
    let settings: Vec<&[u8]> = settings.payload.chunks(6).collect();
    assert!(settings.contains(&&[0, 8, 0, 0, 0, 1][..]), "{settings:?}");
}
