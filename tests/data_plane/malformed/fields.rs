//! RFC 9112 §5 and RFC 9110 §5: field names, values and the lines they stand on.

use super::Expect::{Either, Forwarded, Refused};
use super::{Case, Expect, bytes, check, text};

/// A field line behind Host.
fn field(clause: &'static str, what: &'static str, expect: Expect, line: &str) -> Case {
    text(clause, what, expect, &format!("GET /case HTTP/1.1\r\nHost: weir.test\r\n{line}\r\n\r\n"))
}

#[test]
fn names() {
    check(&[
        field("RFC 9112 §5.1", "a space before the colon", Refused, "X-A : b"),
        field("RFC 9112 §5.1", "a tab before the colon", Refused, "X-A\t: b"),
        field("RFC 9112 §5.1", "a space before the colon of a length", Refused, "Content-Length : 0"),
        field(
            "RFC 9112 §5.1",
            "a space before the colon of a coding",
            Refused,
            "Transfer-Encoding : chunked",
        ),
        field("RFC 9110 §5.1", "no name", Refused, ": b"),
        field("RFC 9110 §5.1", "no colon", Refused, "X-A"),
        field("RFC 9110 §5.1", "a space inside a name", Refused, "X A: b"),
        field("RFC 9110 §5.1", "a delimiter inside a name", Refused, "X(A: b"),
        field("RFC 9110 §5.1", "a NUL inside a name", Refused, "X\0A: b"),
        field("RFC 9110 §5.1", "a control byte inside a name", Refused, "X\x01A: b"),
        field("RFC 9110 §5.1", "a vertical tab behind a name", Refused, "Transfer-Encoding\x0b: chunked"),
        bytes(
            "RFC 9110 §5.1",
            "a byte beyond ASCII inside a name",
            Refused,
            b"GET /case HTTP/1.1\r\nHost: weir.test\r\nX\xe9A: b\r\n\r\n",
        ),
        field("RFC 9110 §5.1", "an underscore, which is a token character", Forwarded, "X_A: b"),
    ]);
}

#[test]
fn values() {
    check(&[
        field("RFC 9110 §5.5", "an empty value", Forwarded, "X-A:"),
        field("RFC 9110 §5.5", "tabs around a value", Forwarded, "X-A:\t b\t "),
        field("RFC 9110 §5.5", "a NUL in a value", Refused, "X-A: a\0b"),
        field("RFC 9110 §5.5", "a bare CR in a value", Refused, "X-A: a\rb"),
        field("RFC 9110 §5.5", "a DEL in a value", Refused, "X-A: a\x7fb"),
        field("RFC 9110 §5.5", "a control byte in a value", Refused, "X-A: a\x01b"),
        field("RFC 9110 §5.5", "a vertical tab in a value", Refused, "X-A: a\x0bb"),
        field("RFC 9110 §5.5", "a form feed before a value", Refused, "X-A: \x0cb"),
        field("RFC 9110 §5.5", "an escape in a value", Refused, "X-A: \x1b[2J"),
        bytes(
            "RFC 9110 §5.5",
            "bytes beyond ASCII in a value",
            Either,
            b"GET /case HTTP/1.1\r\nHost: weir.test\r\nX-A: caf\xe9\r\n\r\n",
        ),
    ]);
}

#[test]
fn lines() {
    check(&[
        field("RFC 9112 §5.2", "a folded line", Refused, "X-A: a\r\n b"),
        field("RFC 9112 §5.2", "a line folded with a tab", Refused, "X-A: a\r\n\tb"),
        field("RFC 9112 §5.2", "a folded length", Refused, "Content-Length:\r\n 0"),
        field("RFC 9112 §5.2", "a folded coding", Refused, "Transfer-Encoding: gzip,\r\n chunked"),
        text(
            "RFC 9112 §5.2",
            "a fold on the first field line",
            Refused,
            "GET /case HTTP/1.1\r\n X-A: b\r\nHost: weir.test\r\n\r\n",
        ),
        field("RFC 9112 §2.2", "a bare LF between fields", Refused, "X-A: a\nX-B: b"),
        field("RFC 9112 §2.2", "a bare LF before a coding", Refused, "X-A: a\nTransfer-Encoding: x"),
        field("RFC 9112 §2.2", "CR CR LF behind a field", Refused, "X-A: a\r"),
        field("RFC 9112 §2.2", "LF CR behind a field", Refused, "X-A: a\n\rX-B: b"),
    ]);
}
