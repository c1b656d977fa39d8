//! One check at a time against real sockets.

use std::{net::SocketAddr, time::Duration};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinSet,
    time::sleep,
};
use weir_shared::{
    model::{HealthCheck, ServerProtocol, address::Address},
    state::{Reason, Resolved},
};

use super::{Answer, Lookups, Probe};

/// A server that answers one connection with these pieces and then closes it; `None` = never answers.
struct Server {
    address: SocketAddr,
    requests: JoinSet<String>,
}

impl Server {
    async fn new(pieces: Option<Vec<Vec<u8>>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut requests = JoinSet::new();
        requests.spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut chunk = [0; 512];
                match stream.read(&mut chunk).await {
                    Ok(read) if read > 0 => request.extend_from_slice(&chunk[..read]),
                    _ => break,
                }
            }
            let Some(pieces) = pieces else { return std::future::pending().await };
            for piece in pieces {
                if stream.write_all(&piece).await.is_err() {
                    break;
                }
                sleep(Duration::from_millis(2)).await;
            }
            String::from_utf8(request).unwrap()
        });
        Self { address, requests }
    }

    async fn request(mut self) -> String {
        self.requests.join_next().await.unwrap().unwrap()
    }
}

async fn check_noting(spec: Value, address: &str, resolved: &Resolved) -> Answer {
    let spec: HealthCheck = serde_json::from_value(spec).unwrap();
    let probe = Probe::new(&spec, ServerProtocol::Http1);
    probe.check(&Lookups::default(), &Address::parse(address).unwrap(), resolved).await
}

async fn check(spec: Value, address: &str) -> Answer {
    check_noting(spec, address, &Resolved::default()).await
}

async fn http(answer: &str) -> Answer {
    let server = Server::new(Some(vec![answer.into()])).await;
    check(json!({"path": "/healthz"}), &server.address.to_string()).await
}

fn passed(status: u16) -> Answer {
    Answer::Passed { status: Some(status) }
}

#[track_caller]
fn assert_failed(answer: &Answer, expected: Reason, hint: &str) {
    let Answer::Failed { reason, detail, .. } = answer else { panic!("{answer:?}") };
    assert_eq!(*reason, expected, "{detail}");
    assert!(detail.contains(hint), "{detail}");
}

#[tokio::test]
async fn expected_statuses_pass_and_others_fail() {
    assert_eq!(http("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await, passed(200));
    assert_eq!(http("HTTP/1.0 302 \r\n\r\n").await, passed(302));
    assert_eq!(http("HTTP/1.1 204\r\n\r\n").await, passed(204));
    let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\n\r\n";
    assert_eq!(http(interim).await, passed(200));
    let failed = http("HTTP/1.1 500 Oops\r\n\r\n").await;
    assert_failed(&failed, Reason::StatusMismatch, "/healthz: status 500, expected 200-399");
    assert!(matches!(failed, Answer::Failed { status: Some(500), .. }));
}

#[tokio::test]
async fn what_is_no_complete_answer_fails_with_its_own_reason() {
    assert_failed(&http("").await, Reason::Reset, "closed before the answer was complete");
    assert_failed(&http("HTTP/1.1 200 OK\r\nA: b\r\n").await, Reason::Reset, "closed before");
    assert_failed(&http("SSH-2.0-OpenSSH_9\r\n").await, Reason::MalformedResponse, "not HTTP/1");
    let endless = format!("HTTP/1.1 200 OK\r\nA: {}", "b".repeat(20_000));
    assert_failed(&http(&endless).await, Reason::MalformedResponse, "larger than 16384 bytes");
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(200));
    assert_failed(&http(&many).await, Reason::MalformedResponse, "not HTTP/1");
}

#[tokio::test]
async fn a_text_is_looked_for_in_the_body_of_an_expected_answer() {
    let ask = async |answer: &str| {
        let pieces = answer.as_bytes().chunks(7).map(<[u8]>::to_vec).collect();
        let server = Server::new(Some(pieces)).await;
        let spec = json!({"path": "/", "expected_body": "all well", "timeout": "1s"});
        check(spec, &server.address.to_string()).await
    };
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n<all well>",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 200 OK\r\n\r\n<all well>",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n4\r\nall \r\n4\r\nwell\r\n0\r\n\r\n",
    ] {
        assert_eq!(ask(answer).await, passed(200), "{answer}");
    }
    let other = ask("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nall wrong").await;
    assert_failed(&other, Reason::BodyMismatch, "do not hold all well");
    assert!(matches!(other, Answer::Failed { status: Some(200), .. }));
    assert_failed(&ask("HTTP/1.1 204 No\r\n\r\n").await, Reason::BodyMismatch, "do not hold");
    let oops = ask("HTTP/1.1 500 Oops\r\nContent-Length: 8\r\n\r\nall well").await;
    assert_failed(&oops, Reason::StatusMismatch, "status 500");
    let short = ask("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nall w").await;
    assert_failed(&short, Reason::Reset, "closed before");
    let unclear = ask("HTTP/1.1 200 OK\r\nContent-Length: 8\r\nContent-Length: 9\r\n\r\nall well").await;
    assert_failed(&unclear, Reason::MalformedResponse, "no clear length");
}

#[tokio::test]
async fn an_answer_in_single_bytes_is_put_together() {
    let pieces = b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n".iter().map(|byte| vec![*byte]).collect();
    let server = Server::new(Some(pieces)).await;
    assert_eq!(check(json!({"type": "http"}), &server.address.to_string()).await, passed(200));
}

#[tokio::test]
async fn a_server_that_says_nothing_times_out() {
    let server = Server::new(None).await;
    let answer = check(json!({"path": "/", "timeout": "50ms"}), &server.address.to_string()).await;
    assert_failed(&answer, Reason::ResponseTimeout, "no answer within 50ms");
}

#[tokio::test]
async fn nobody_listening_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    for spec in [json!({}), json!({"path": "/"})] {
        let answer = check(spec, &address).await;
        assert_failed(
            &answer,
            Reason::ConnectRefused,
            &format!("tcp connect to {address}: connection refused"),
        );
    }
}

#[tokio::test]
async fn a_full_queue_of_connections_times_out() {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    // Linux keeps one more than asked for and drops the requests for further ones.
    let mut connects = JoinSet::new();
    for _ in 0..8 {
        connects.spawn(tokio::net::TcpStream::connect(address));
    }
    let _queued = (connects.join_next().await, connects.join_next().await);
    let answer = check(json!({"timeout": "100ms"}), &address.to_string()).await;
    assert_failed(&answer, Reason::ConnectTimeout, "no connection within 100ms");
}

#[tokio::test]
async fn opening_a_connection_is_all_a_tcp_check_asks() {
    let server = Server::new(Some(Vec::new())).await;
    assert_eq!(check(json!({}), &server.address.to_string()).await, Answer::Passed { status: None });
    assert_eq!(server.request().await, "", "and it sends nothing");
}

#[tokio::test]
async fn a_name_is_looked_up_and_every_address_of_it_tried() {
    let server = Server::new(Some(Vec::new())).await;
    let by_name = format!("localhost:{}", server.address.port());
    let resolved = Resolved::default();
    assert_eq!(check_noting(json!({}), &by_name, &resolved).await, Answer::Passed { status: None });
    assert!(resolved.addresses().contains(&server.address.ip()), "{resolved:?}");
    // Too long for a question to be sent at all.
    let impossible = Address::Name { host: "x".repeat(300).into(), port: 80 };
    let probe = Probe::new(&HealthCheck::default(), ServerProtocol::Http1);
    let answer = probe.check(&Lookups::default(), &impossible, &resolved).await;
    assert_failed(&answer, Reason::DnsError, "lookup of xxx");
    assert!(!resolved.addresses().is_empty(), "what was known stays");
}

#[tokio::test]
async fn the_request_is_as_configured() {
    let ok = || Some(vec![b"HTTP/1.1 200 OK\r\n\r\n".to_vec()]);
    let server = Server::new(ok()).await;
    let address = server.address.to_string();
    assert_eq!(check(json!({"path": "/a?b"}), &address).await, passed(200));
    let version = env!("CARGO_PKG_VERSION");
    let expected = format!(
        "GET /a?b HTTP/1.1\r\nHost: {address}\r\nUser-Agent: weir-health/{version}\r\nConnection: close\r\n\r\n"
    );
    assert_eq!(server.request().await, expected);

    let server = Server::new(ok()).await;
    let spec = json!({
        "type": "http", "method": "HEAD", "host": "shop.example", "port": server.address.port(),
        "headers": {"user-agent": "mine", "X-A": "b"},
    });
    assert_eq!(check(spec, "127.0.0.1:1").await, passed(200));
    let expected =
        "HEAD / HTTP/1.1\r\nHost: shop.example\r\nX-A: b\r\nuser-agent: mine\r\nConnection: close\r\n\r\n";
    assert_eq!(server.request().await, expected);
}

#[test]
fn urls_tell_what_is_checked() {
    let url = |spec: Value, address: &str| {
        Probe::url(&serde_json::from_value(spec).unwrap(), &Address::parse(address).unwrap())
    };
    assert_eq!(url(json!({"path": "/x"}), "web:80"), "http://web:80/x");
    assert_eq!(url(json!({"type": "http", "port": 81}), "[::1]:80"), "http://[::1]:81/");
    assert_eq!(url(json!({}), "10.0.0.7:8080"), "tcp://10.0.0.7:8080");
    let grpc = json!({"type": "grpc", "grpc_service": "shop.Cart", "port": 99});
    assert_eq!(url(grpc, "10.0.0.7:8080"), "grpc://10.0.0.7:99/shop.Cart");
}
