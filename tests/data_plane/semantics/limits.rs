//! What is too large: 414, 431, 413, each with a connection that ends and a server that hears nothing of it.

use std::time::Duration;

use weir_tests::client::WireError;
use weir_tests::config;
use weir_tests::origin::Origin;
use weir_tests::weir::Launch;

use super::in_front_of;

/// Sends a request to a Weir with these flags and requires this status.
fn refused_by(flags: &[&str], request: &str, status: u16) {
    let origin = Origin::named("origin");
    let weir = flags.iter().fold(Launch::default(), |launch, flag| launch.arg(*flag)).start();
    weir.api().set_default(&config::bare(&[origin.address()]));
    let mut client = weir.client();
    client.send(request);
    let response = client.response("GET").unwrap();
    assert_eq!(response.status, status, "{response:?}");
    assert!(client.is_closed());
    assert_eq!(origin.count(), 0);
    assert_eq!(weir.client().get("/").status, 200, "others are served");
}

fn refused(request: &str, status: u16) {
    refused_by(&[], request, status);
}

#[test]
fn a_target_too_long() {
    refused(&format!("GET /{} HTTP/1.1\r\nHost: weir.test\r\n\r\n", "a".repeat(65_536)), 414);
}

#[test]
fn a_field_too_large() {
    refused(&format!("GET / HTTP/1.1\r\nHost: weir.test\r\nX-A: {}\r\n\r\n", "a".repeat(262_144)), 431);
}

#[test]
fn fields_too_large_together() {
    let fields: String = (0..90).map(|n| format!("X-{n}: {}\r\n", "a".repeat(4096))).collect();
    refused(&format!("GET / HTTP/1.1\r\nHost: weir.test\r\n{fields}\r\n"), 431);
}

#[test]
fn too_many_fields() {
    let fields: String = (0..1000).map(|n| format!("X-{n}: a\r\n")).collect();
    refused(&format!("GET / HTTP/1.1\r\nHost: weir.test\r\n{fields}\r\n"), 431);
}

#[test]
fn large_but_ordinary_requests_pass() {
    let origin = Origin::named("origin");
    let weir = in_front_of(&origin);
    let cookie = "a".repeat(7 * 1024);
    let target = format!("/{}", "b".repeat(4000));
    let response = weir
        .client()
        .exchange(format!("GET {target} HTTP/1.1\r\nHost: weir.test\r\nCookie: {cookie}\r\n\r\n"));
    assert_eq!(response.status, 200);
    let head = origin.only().request.head;
    assert_eq!((head.target, head.fields.one("cookie")), (target, Some(cookie.as_str())));
}

#[test]
fn a_large_response_header_passes() {
    let value = "v".repeat(12 * 1024);
    let field = format!("X-Large: {value}");
    let origin = Origin::script(move |_| {
        vec![weir_tests::reply::Step::Send(weir_tests::reply::message("200 OK", &[&field], "ok"))]
    });
    let weir = in_front_of(&origin);
    assert_eq!(weir.client().get("/").fields.one("x-large"), Some(value.as_str()));
}

#[test]
fn a_body_too_large() {
    let request = "POST / HTTP/1.1\r\nHost: weir.test\r\nContent-Length: 1001\r\n\r\n";
    refused_by(&["--max-body-bytes", "1000"], request, 413);
}

/// Without a length only the bytes tell; the server must not take the part for the whole.
#[test]
fn a_chunked_body_too_large() {
    let body = format!("3e9\r\n{}\r\n0\r\n\r\n", "x".repeat(1001));
    let request = format!("POST / HTTP/1.1\r\nHost: weir.test\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
    refused_by(&["--max-body-bytes", "1000"], &request, 413);
}

#[test]
fn limits_of_the_operators_own() {
    let uri = format!("GET /{} HTTP/1.1\r\nHost: weir.test\r\n\r\n", "a".repeat(300));
    refused_by(&["--max-uri-bytes", "256"], &uri, 414);
    let fields: String = (0..11).map(|n| format!("X-{n}: a\r\n")).collect();
    refused_by(&["--max-headers", "10"], &format!("GET / HTTP/1.1\r\nHost: weir.test\r\n{fields}\r\n"), 431);
    let field = format!("GET / HTTP/1.1\r\nHost: weir.test\r\nX-A: {}\r\n\r\n", "a".repeat(10_000));
    refused_by(&["--max-header-bytes", "8192"], &field, 431);
}

/// The limit holds for all workers together: as many connections as it says are served, whichever worker the system
/// hands them to, and the next one as soon as one of them closes.
#[test]
fn no_more_connections_than_allowed() {
    const LIMIT: usize = 6;
    let origin = Origin::named("origin");
    let weir = Launch::default().arg("--max-connections").arg(LIMIT.to_string()).start();
    weir.api().set_default(&config::bare(&[origin.address()]));
    let connect = || weir.client().patience(Duration::from_secs(5));
    let mut clients: Vec<_> = (0..LIMIT).map(|_| connect()).collect();
    for _ in 0..10 {
        assert!(clients.iter_mut().all(|client| client.get("/").status == 200));
        let mut next = weir.client().patience(Duration::from_millis(200));
        next.send("GET / HTTP/1.1\r\nHost: weir.test\r\n\r\n");
        assert!(matches!(next.response("GET"), Err(WireError::Timeout)), "one too many");
        clients.remove(0);
        let mut next = next.patience(Duration::from_secs(5));
        assert_eq!(next.response("GET").unwrap().status, 200);
        clients.push(next);
    }
}
