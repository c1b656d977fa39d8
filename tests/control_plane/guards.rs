//! Who may talk to the admin port: no web page, by whatever trick.

use serde_json::json;
use weir_tests::weir::{Launch, Weir};

use super::problem::assert_problem;

/// A name that an attacker's DNS points at 127.0.0.1 arrives as Host.
#[test]
fn a_foreign_host_is_refused() {
    let weir = Weir::start();
    let port = weir.admin().port();
    for host in [
        "evil.test".to_owned(),
        format!("evil.test:{port}"),
        "127.0.0.1.evil.test".to_owned(),
        "10.0.0.1".to_owned(),
    ] {
        for path in ["/v1/upstreams", "/v1/config", "/v1/health"] {
            let answer = weir.api().call("GET", path).field("Host", &host).send();
            assert_problem(&answer, 403, "forbidden");
        }
    }
}

#[test]
fn loopback_names_are_served() {
    let weir = Weir::start();
    let port = weir.admin().port();
    for host in ["localhost", "127.0.0.1", "[::1]", "LOCALHOST"] {
        for host in [host.to_owned(), format!("{host}:{port}")] {
            weir.api().call("GET", "/v1/upstreams").field("Host", &host).send().assert(200);
        }
    }
}

#[test]
fn a_name_the_operator_allows_is_served() {
    let weir = Launch::default().arg("--admin-allowed-host").arg("admin.test").start();
    weir.api().call("GET", "/v1/upstreams").field("Host", "admin.test").send().assert(200);
    let other = weir.api().call("GET", "/v1/upstreams").field("Host", "evil.test").send();
    assert_problem(&other, 403, "forbidden");
}

#[test]
fn a_request_from_another_site_is_refused() {
    let weir = Weir::start();
    let marks = [
        ("Origin", "http://evil.test"),
        ("Origin", "null"),
        ("Origin", "http://localhost.evil.test"),
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
    ];
    for (name, value) in marks {
        let body = json!({ "servers": ["127.0.0.1:3001"] });
        let answer = weir.api().call("POST", "/v1/upstreams").field(name, value).json(&body).send();
        assert_problem(&answer, 403, "forbidden");
    }
    assert_eq!(weir.api().get("/v1/upstreams").expect(200).json()["items"], json!([]));
}

/// The documentation page, opened from the admin port itself, may try things out.
#[test]
fn a_request_from_the_own_pages_is_served() {
    let weir = Weir::start();
    let origin = format!("http://{}", weir.admin());
    weir.api()
        .call("POST", "/v1/upstreams")
        .field("Origin", &origin)
        .field("Sec-Fetch-Site", "same-origin")
        .json(&json!({ "servers": [] }))
        .send()
        .assert(201);
}

/// A form is what a page of another site can send without being asked first.
#[test]
fn a_form_from_a_browser_is_not_taken_as_json() {
    let weir = Weir::start();
    let origin = format!("http://{}", weir.admin());
    for (name, value) in
        [("Origin", origin.as_str()), ("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Mode", "no-cors")]
    {
        let answer = weir
            .api()
            .call("POST", "/v1/upstreams")
            .field(name, value)
            .field("Content-Type", "application/x-www-form-urlencoded")
            .body("{\"servers\":[]}")
            .send();
        let problem = assert_problem(&answer, 415, "unsupported_media_type");
        assert!(problem["detail"].as_str().unwrap().contains("--json"), "{problem}");
    }
}

#[test]
fn no_page_may_read_an_answer() {
    let weir = Weir::start();
    let answer = weir.api().get("/v1/upstreams").expect(200);
    assert!(!answer.response.fields.has("access-control-allow-origin"), "{answer:?}");
}

/// The data port is for everybody and so must not lead to the API.
#[test]
fn the_data_port_has_no_api() {
    let weir = Weir::start();
    assert_eq!(weir.client().get("/v1/upstreams").status, 503, "no upstream, like any other path");
}
