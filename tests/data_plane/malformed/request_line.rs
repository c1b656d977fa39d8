//! RFC 9112 §2 and §3: the request line, and the empty lines before it.

use super::Expect::{Either, Forwarded, Refused};
use super::{Case, SMUGGLED, bytes, check, text};

/// A request line in place of the usual one.
fn line(clause: &'static str, what: &'static str, expect: super::Expect, line: &str) -> Case {
    text(clause, what, expect, &format!("{line}\r\nHost: weir.test\r\n\r\n"))
}

#[test]
fn the_three_parts() {
    check(&[
        line("RFC 9112 §3", "a plain request", Forwarded, "GET /case HTTP/1.1"),
        line("RFC 9112 §3", "two spaces before the target", Either, "GET  /case HTTP/1.1"),
        line("RFC 9112 §3", "two spaces before the version", Either, "GET /case  HTTP/1.1"),
        line("RFC 9112 §3", "tabs for spaces", Either, "GET\t/case\tHTTP/1.1"),
        line("RFC 9112 §3", "a space at the end", Either, "GET /case HTTP/1.1 "),
        line("RFC 9112 §3", "a space at the start", Refused, " GET /case HTTP/1.1"),
        line("RFC 9112 §3", "no version", Refused, "GET /case"),
        line("RFC 9112 §3", "no target", Refused, "GET HTTP/1.1"),
        line("RFC 9112 §3", "a fourth part", Refused, "GET /case a HTTP/1.1"),
        line("RFC 9112 §3", "a word behind the version", Refused, "GET /case HTTP/1.1 HTTP/1.1"),
        line("RFC 9112 §2.2", "CR CR LF at the end", Refused, "GET /case HTTP/1.1\r"),
    ]);
}

#[test]
fn the_method() {
    let long = format!("{} /case HTTP/1.1", "M".repeat(4096));
    check(&[
        line("RFC 9110 §9.1", "a method in lower case", Either, "get /case HTTP/1.1"),
        line("RFC 9110 §9.1", "an unknown method", Either, "FROBNICATE /case HTTP/1.1"),
        line("RFC 9110 §9.1", "a very long method", Either, &long),
        line("RFC 9110 §5.6.2", "a delimiter in the method", Refused, "GE(T /case HTTP/1.1"),
        line("RFC 9110 §5.6.2", "a colon in the method", Refused, "GET: /case HTTP/1.1"),
        line("RFC 9110 §5.6.2", "a NUL in the method", Refused, "G\0T /case HTTP/1.1"),
        line("RFC 9110 §9.3.6", "CONNECT, which is for tunnels", Refused, "CONNECT weir.test:80 HTTP/1.1"),
    ]);
}

#[test]
fn the_version() {
    check(&[
        line("RFC 9112 §2.3", "HTTP/2.0 in text", Refused, "GET /case HTTP/2.0"),
        line("RFC 9112 §2.3", "HTTP/0.9 in words", Refused, "GET /case HTTP/0.9"),
        line("RFC 9112 §2.3", "a later minor version", Either, "GET /case HTTP/1.2"),
        line("RFC 9112 §2.3", "a name in lower case", Refused, "GET /case http/1.1"),
        line("RFC 9112 §2.3", "two digits", Refused, "GET /case HTTP/1.10"),
        line("RFC 9112 §2.3", "another protocol", Refused, "GET /case ICAP/1.1"),
        line("RFC 9112 §2.3", "no minor version", Refused, "GET /case HTTP/1"),
    ]);
}

#[test]
fn the_target() {
    check(&[
        line(
            "RFC 9112 §3.2.1",
            "a query with an escaped CRLF",
            Forwarded,
            "GET /case?a=%0d%0aX:%20y HTTP/1.1",
        ),
        line("RFC 9112 §3.2.2", "absolute-form", Forwarded, "GET http://weir.test/case HTTP/1.1"),
        line(
            "RFC 9112 §3.2.2",
            "absolute-form with user information",
            Either,
            "GET http://a:b@weir.test/case HTTP/1.1",
        ),
        line(
            "RFC 9112 §3.2.2",
            "absolute-form of another scheme",
            Either,
            "GET ftp://weir.test/case HTTP/1.1",
        ),
        line("RFC 9112 §3.2.2", "absolute-form without a host", Refused, "GET http:///case HTTP/1.1"),
        line("RFC 9112 §3.2.3", "authority-form in a GET", Refused, "GET weir.test:80 HTTP/1.1"),
        line("RFC 9112 §3.2.4", "asterisk-form in a GET", Refused, "GET * HTTP/1.1"),
        line("RFC 9112 §3.2", "a path without its slash", Refused, "GET case HTTP/1.1"),
        line("RFC 9112 §3.2", "a fragment", Refused, "GET /case#part HTTP/1.1"),
        line("RFC 9112 §3.2", "a backslash", Either, "GET /case\\..\\a HTTP/1.1"),
        line("RFC 9112 §3.2", "a DEL", Refused, "GET /case\x7f HTTP/1.1"),
        line("RFC 9112 §3.2", "a NUL", Refused, "GET /case\0 HTTP/1.1"),
        line("RFC 9112 §3.2", "a control byte", Refused, "GET /case\x01 HTTP/1.1"),
        bytes(
            "RFC 9112 §3.2",
            "a byte beyond ASCII",
            Either,
            b"GET /case\xff HTTP/1.1\r\nHost: weir.test\r\n\r\n",
        ),
        line("RFC 9112 §3.2", "a bare CR", Refused, "GET /case\rX HTTP/1.1"),
    ]);
}

#[test]
fn empty_and_ended_lines() {
    check(&[
        line("RFC 9112 §2.2", "an empty line before the request", Forwarded, "\r\nGET /case HTTP/1.1"),
        line("RFC 9112 §2.2", "a bare LF before the request", Refused, "\nGET /case HTTP/1.1"),
        text(
            "RFC 9112 §2.2",
            "a bare LF behind the request line",
            Refused,
            "GET /case HTTP/1.1\nHost: weir.test\r\n\r\n",
        ),
        text("RFC 9112 §2.2", "bare LF everywhere", Refused, "GET /case HTTP/1.1\nHost: weir.test\n\n"),
        text("RFC 9112 §2.2", "bare CR everywhere", Refused, "GET /case HTTP/1.1\rHost: weir.test\r\r\n\r\n"),
        text(
            "RFC 9112 §2.2",
            "white space between request line and fields",
            Refused,
            &format!("GET /case HTTP/1.1\r\n \r\nHost: weir.test\r\n\r\n{SMUGGLED}"),
        ),
    ]);
}
