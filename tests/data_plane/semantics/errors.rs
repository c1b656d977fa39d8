//! Errors that Weir makes itself: problem+json (RFC 9457) and Proxy-Status (RFC 9209).

use serde_json::{Value, json};
use weir_tests::client::Response;
use weir_tests::config;
use weir_tests::origin::{Origin, Refusing};
use weir_tests::reply::{self, Step};
use weir_tests::weir::Weir;

use super::in_front_of;

/// Requires an error of Weir's own with this status and Proxy-Status error type.
pub(crate) fn assert_own_error(response: &Response, status: u16, kind: &str) {
    assert_eq!(response.status, status, "{response:?}");
    assert_eq!(response.fields.one("content-type"), Some("application/problem+json"), "{response:?}");
    let problem: Value = serde_json::from_slice(&response.body).unwrap();
    assert_eq!(problem["status"], status, "{problem}");
    assert!(problem["title"].is_string() && problem["type"].is_string(), "{problem}");
    let proxy_status =
        response.fields.one("proxy-status").unwrap_or_else(|| panic!("no Proxy-Status: {response:?}"));
    let parameters: Vec<&str> = proxy_status.split(';').map(str::trim).collect();
    assert!(
        parameters.contains(&format!("error={kind}").as_str()),
        "{proxy_status:?} where {kind} was meant"
    );
}

#[test]
fn nobody_to_send_to() {
    let weir = Weir::start();
    weir.api().set_default(&json!({ "servers": [] }));
    let mut client = weir.client();
    assert_own_error(&client.get("/"), 503, "destination_unavailable");
    assert_own_error(&client.get("/"), 503, "destination_unavailable");
}

#[test]
fn connection_refused() {
    let nobody = Refusing::start();
    let weir = Weir::start();
    weir.api().set_default(&config::bare(&[nobody.address()]));
    assert_own_error(&weir.client().get("/"), 502, "connection_refused");
}

#[test]
fn no_answer_in_time() {
    let origin = Origin::script(|_| vec![Step::Hold]);
    let weir = Weir::start();
    weir.api().set_default(&config::with(&[origin.address()], &json!({ "response_timeout": "200ms" })));
    assert_own_error(&weir.client().get("/"), 504, "http_response_timeout");
}

#[test]
fn garbage_from_the_server() {
    let origin = Origin::script(|_| reply::raw_close("SSH-2.0-OpenSSH_9.2\r\n"));
    let weir = in_front_of(&origin);
    assert_own_error(&weir.client().get("/"), 502, "http_protocol_error");
}

/// The body is as small as it is polite to make it, and says nothing of the inside.
#[test]
fn an_error_names_no_address() {
    let nobody = Refusing::start();
    let weir = Weir::start();
    weir.api().set_default(&config::bare(&[nobody.address()]));
    let response = weir.client().get("/");
    let shown = format!("{:?}{}", response.fields, response.text());
    assert!(!shown.contains(&nobody.address().to_string()), "{shown}");
    assert!(response.body.len() < 1024, "{}", response.body.len());
}

#[test]
fn a_head_request_gets_the_error_without_a_body() {
    let nobody = Refusing::start();
    let weir = Weir::start();
    weir.api().set_default(&config::bare(&[nobody.address()]));
    let mut client = weir.client();
    assert_eq!(client.exchange("HEAD / HTTP/1.1\r\nHost: weir.test\r\n\r\n").status, 502);
    assert_eq!(client.get("/").status, 502, "in step on the same connection");
}

/// The server's own errors are its own: passed on as they are.
#[test]
fn an_error_of_the_server_is_not_touched() {
    let origin =
        Origin::script(|_| vec![Step::Send(reply::message("503 Busy", &["Retry-After: 7"], "mine"))]);
    let weir = in_front_of(&origin);
    let response = weir.client().get("/");
    assert_eq!((response.status, response.text().as_str()), (503, "mine"));
    assert_eq!(response.fields.one("retry-after"), Some("7"));
    assert!(
        !response.fields.list("proxy-status").iter().any(|value| value.contains("error=")),
        "{response:?}"
    );
}

/// What is no request gets Weir's own answer behind a good request in the same packet too, while a server's answer of the
/// same shape as the bare one it replaces is relayed as it is.
#[test]
fn a_malformed_request_behind_a_good_one() {
    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    let origin = Origin::script(|_| {
        reply::raw(format!("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nDate: {DATE}\r\n\r\n"))
    });
    let weir = in_front_of(&origin);
    let mut client = weir.client();
    client.send("GET / HTTP/1.1\r\nHost: weir.test\r\n\r\nG(T / HTTP/1.1\r\nHost: weir.test\r\n\r\n");
    let relayed = client.response("GET").unwrap();
    assert_eq!((relayed.status, relayed.fields.one("date"), relayed.body.len()), (400, Some(DATE), 0));
    assert_own_error(&client.response("GET").unwrap(), 400, "http_request_error");
    assert!(client.is_closed());
    assert_eq!(origin.count(), 1);
}
