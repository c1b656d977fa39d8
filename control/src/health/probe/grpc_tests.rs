//! gRPC checks against a server that speaks HTTP/2 and answers byte for byte as told.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Response, request};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt as _, net::TcpListener, task::JoinSet};
use weir_shared::{
    model::{HealthCheck, ServerProtocol, address::Address},
    state::{Reason, Resolved},
};

use super::{Answer, Lookups, Probe};

/// `SERVING`, as a server of the reference implementation sends it: field 1 of the message is 1.
const SERVING: &[u8] = &[0, 0, 0, 0, 2, 8, 1];

/// How a call is answered.
#[derive(Clone, Debug)]
struct Reply {
    status: u16,
    kind: &'static str,
    /// `grpc-status` and `grpc-message` of the head, which then is all there is unless there is a body.
    head: Option<(&'static str, &'static str)>,
    body: Vec<u8>,
    /// The same after the body.
    trailers: Option<(&'static str, &'static str)>,
}

/// A good answer with this body.
fn answer(body: &[u8]) -> Reply {
    Reply {
        status: 200,
        kind: "application/grpc",
        head: None,
        body: body.to_vec(),
        trailers: Some(("0", "")),
    }
}

/// An error without a message.
fn error(code: &'static str, message: &'static str) -> Reply {
    Reply { head: Some((code, message)), body: Vec::new(), trailers: None, ..answer(&[]) }
}

fn put(headers: &mut HeaderMap, (code, message): (&'static str, &'static str)) {
    headers.insert("grpc-status", code.parse().unwrap());
    if !message.is_empty() {
        headers.insert("grpc-message", message.parse().unwrap());
    }
}

/// A server for one connection, and what it was asked.
struct Server {
    address: SocketAddr,
    asked: JoinSet<(request::Parts, Vec<u8>)>,
}

impl Server {
    async fn new(reply: Reply) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut asked = JoinSet::new();
        asked.spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut connection = h2::server::handshake(stream).await.unwrap();
            let (request, mut respond) = connection.accept().await.unwrap().unwrap();
            let handling = async move {
                let (parts, mut body) = request.into_parts();
                let mut received = Vec::new();
                while let Some(data) = body.data().await {
                    received.extend_from_slice(&data.unwrap());
                }
                let mut head = Response::builder()
                    .status(reply.status)
                    .header("content-type", reply.kind)
                    .body(())
                    .unwrap();
                if let Some(error) = reply.head {
                    put(head.headers_mut(), error);
                }
                let is_all = reply.body.is_empty() && reply.trailers.is_none();
                let mut sending = respond.send_response(head, is_all).unwrap();
                if !reply.body.is_empty() {
                    sending.send_data(Bytes::from(reply.body), reply.trailers.is_none()).unwrap();
                }
                if let Some(last) = reply.trailers {
                    let mut trailers = HeaderMap::new();
                    put(&mut trailers, last);
                    sending.send_trailers(trailers).unwrap();
                }
                (parts, received)
            };
            let rest = async { while connection.accept().await.is_some() {} };
            let (asked, ()) = tokio::join!(handling, rest);
            asked
        });
        Self { address, asked }
    }

    async fn asked(mut self) -> (request::Parts, Vec<u8>) {
        self.asked.join_next().await.unwrap().unwrap()
    }
}

async fn check(spec: Value, address: SocketAddr) -> Answer {
    let spec: HealthCheck = serde_json::from_value(spec).unwrap();
    let address = Address::parse(&address.to_string()).unwrap();
    Probe::new(&spec, ServerProtocol::Http1).check(&Lookups::default(), &address, &Resolved::default()).await
}

async fn outcome(reply: Reply) -> Answer {
    let server = Server::new(reply).await;
    check(json!({"type": "grpc"}), server.address).await
}

#[track_caller]
fn assert_failed(answer: &Answer, expected: Reason, hint: &str) {
    let Answer::Failed { reason, detail, .. } = answer else { panic!("{answer:?}") };
    assert_eq!(*reason, expected, "{detail}");
    assert!(detail.contains(hint), "{detail}");
}

#[tokio::test]
async fn the_call_is_that_of_the_protocol_byte_for_byte() {
    let server = Server::new(answer(SERVING)).await;
    let spec = json!({
        "type": "grpc", "grpc_service": "shop.Cart", "host": "cart.example:99", "headers": {"x-check": "yes"},
        "timeout": "1500ms",
    });
    assert_eq!(check(spec, server.address).await, Answer::Passed { status: Some(200) });
    let (head, body) = server.asked().await;
    assert_eq!(head.uri, "http://cart.example:99/grpc.health.v1.Health/Check");
    assert_eq!(head.method, "POST");
    for (name, value) in [
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("grpc-timeout", "1500m"),
        ("x-check", "yes"),
        ("user-agent", concat!("weir-health/", env!("CARGO_PKG_VERSION"))),
    ] {
        assert_eq!(head.headers[name], value, "{name}");
    }
    assert_eq!(body, b"\0\0\0\0\x0b\x0a\x09shop.Cart");

    let server = Server::new(answer(SERVING)).await;
    let address = server.address;
    assert_eq!(check(json!({"type": "grpc"}), address).await, Answer::Passed { status: Some(200) });
    let (head, body) = server.asked().await;
    assert_eq!(head.uri.authority().unwrap().as_str(), address.to_string());
    assert_eq!(body, [0, 0, 0, 0, 0], "the server as a whole is asked for with an empty message");
}

#[tokio::test]
async fn only_serving_passes() {
    for (body, reason, hint) in [
        (&[0, 0, 0, 0, 2, 8, 2][..], Reason::GrpcNotServing, "NOT_SERVING"),
        (&[0, 0, 0, 0, 0], Reason::GrpcNotServing, "UNKNOWN"),
        (&[0, 0, 0, 0, 2, 8, 3], Reason::GrpcServiceUnknown, "SERVICE_UNKNOWN"),
        (&[0, 0, 0, 0, 2, 8, 9], Reason::GrpcNotServing, "status 9"),
    ] {
        assert_failed(&outcome(answer(body)).await, reason, hint);
    }
    // Fields that later versions may add are passed over.
    let later = [0, 0, 0, 0, 16, 0x12, 1, b'x', 8, 1, 0x19, 1, 2, 3, 4, 5, 6, 7, 8, 0x30, 5];
    assert_eq!(outcome(answer(&later)).await, Answer::Passed { status: Some(200) });
}

#[tokio::test]
async fn errors_of_grpc_have_reasons_of_their_own() {
    for (reply, reason, hint) in [
        (error("12", "no%20such method"), Reason::GrpcUnimplemented, "12 (UNIMPLEMENTED): no such method"),
        (error("5", ""), Reason::GrpcServiceUnknown, "grpc-status 5 (NOT_FOUND)"),
        (error("14", "100%"), Reason::GrpcStatus, "14 (UNAVAILABLE): 100%"),
        (error("99", ""), Reason::GrpcStatus, "not a status of gRPC"),
        (Reply { trailers: Some(("13", "broken%0aline")), ..answer(&[]) }, Reason::GrpcStatus, "broken line"),
        (Reply { trailers: Some(("2", "")), ..answer(SERVING) }, Reason::GrpcStatus, "2 (UNKNOWN)"),
    ] {
        assert_failed(&outcome(reply).await, reason, hint);
    }
}

#[tokio::test]
async fn what_is_no_grpc_says_so() {
    let malformed = Reason::MalformedResponse;
    for (reply, reason, hint) in [
        (Reply { status: 404, ..answer(&[]) }, Reason::StatusMismatch, "HTTP status 404"),
        (Reply { kind: "text/html", ..answer(SERVING) }, malformed, "content-type"),
        (Reply { trailers: None, ..answer(SERVING) }, malformed, "no grpc-status"),
        (Reply { trailers: Some(("fine", "")), ..answer(SERVING) }, malformed, "not a number"),
        (answer(&[1, 0, 0, 0, 2, 8, 1]), malformed, "compressed"),
        (answer(&[0, 0, 0, 0, 3, 8, 1]), malformed, "cut short"),
        (answer(&[0, 0, 0, 0, 2, 8, 0x80]), malformed, "none of the health service"),
        (answer(&[0, 0, 0, 0, 2, 0x0b, 1]), malformed, "none of the health service"),
        (answer(&vec![0; 5000]), malformed, "too long"),
    ] {
        assert_failed(&outcome(reply).await, reason, hint);
    }
}

#[tokio::test]
async fn a_server_of_another_protocol_is_told_from_one_that_hangs() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut server = JoinSet::new();
    server.spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        let (mut reader, _writer) = stream.split();
        tokio::io::copy(&mut reader, &mut tokio::io::sink()).await.unwrap();
        // Holds its tongue from here on.
        let (_stream, _) = listener.accept().await.unwrap();
        std::future::pending::<()>().await;
    });
    let spec = json!({"type": "grpc", "timeout": "300ms"});
    assert_failed(&check(spec.clone(), address).await, Reason::MalformedResponse, "not HTTP/2");
    assert_failed(&check(spec, address).await, Reason::ResponseTimeout, "no answer within 300ms");
}
