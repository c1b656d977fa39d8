//! HTTP/2 from the client, with prior knowledge, to HTTP/1.1 servers. RFC 9113 §3.3 and §8.

use bytes::Bytes;
use http::{Request, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use weir_tests::origin::Origin;
use weir_tests::reply;
use weir_tests::strict::Framing;
use weir_tests::weir::Weir;

use super::in_front_of;

struct Client {
    sender: SendRequest<Full<Bytes>>,
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
