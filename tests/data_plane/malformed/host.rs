//! RFC 9112 §3.2 and RFC 9110 §7.2: Host, once and only a host.

use super::Expect::{Either, Forwarded, Refused};
use super::{Case, Expect, bytes, check, text};

/// A request whose only fields are these lines.
fn host(what: &'static str, expect: Expect, lines: &str) -> Case {
    text("RFC 9112 §3.2", what, expect, &format!("GET /case HTTP/1.1\r\n{lines}X-A: b\r\n\r\n"))
}

#[test]
fn one_host() {
    check(&[
        host("a host with a port", Forwarded, "Host: weir.test:8080\r\n"),
        host("an IPv6 address", Forwarded, "Host: [::1]:8080\r\n"),
        host("no Host", Refused, ""),
        host("the same Host twice", Refused, "Host: weir.test\r\nHost: weir.test\r\n"),
        host("two Hosts", Refused, "Host: weir.test\r\nHost: other.test\r\n"),
        host("two Hosts in different case", Refused, "Host: weir.test\r\nhOST: other.test\r\n"),
        text("RFC 9112 §3.2", "HTTP/1.0 without Host", Either, "GET /case HTTP/1.0\r\nX-A: b\r\n\r\n"),
        text(
            "RFC 9112 §3.2",
            "HTTP/1.0 with two Hosts",
            Refused,
            "GET /case HTTP/1.0\r\nHost: weir.test\r\nHost: other.test\r\n\r\n",
        ),
        text(
            "RFC 9112 §3.2.2",
            "absolute-form and another Host",
            Either,
            "GET http://weir.test/case HTTP/1.1\r\nHost: other.test\r\n\r\n",
        ),
        text(
            "RFC 9112 §3.2.2",
            "absolute-form without Host",
            Refused,
            "GET http://weir.test/case HTTP/1.1\r\n\r\n",
        ),
    ]);
}

#[test]
fn only_a_host() {
    check(&[
        host("an empty Host", Either, "Host:\r\n"),
        host("a space inside", Refused, "Host: weir.test evil.test\r\n"),
        host("a list", Refused, "Host: weir.test, evil.test\r\n"),
        host("a path", Refused, "Host: weir.test/evil\r\n"),
        host("a query", Refused, "Host: weir.test?evil\r\n"),
        host("a fragment", Refused, "Host: weir.test#evil\r\n"),
        host("user information", Refused, "Host: evil@weir.test\r\n"),
        host("a backslash", Refused, "Host: weir.test\\evil\r\n"),
        host("a port that is no number", Refused, "Host: weir.test:http\r\n"),
        host("a port out of range", Either, "Host: weir.test:99999\r\n"),
        host("two ports", Refused, "Host: weir.test:80:80\r\n"),
        host("an open bracket", Refused, "Host: [::1\r\n"),
        host("a quote", Refused, "Host: \"weir.test\"\r\n"),
        bytes(
            "RFC 9112 §3.2",
            "a byte beyond ASCII",
            Refused,
            b"GET /case HTTP/1.1\r\nHost: w\xe9ir.test\r\n\r\n",
        ),
    ]);
}
