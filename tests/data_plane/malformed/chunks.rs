//! RFC 9112 §7.1: chunk sizes, extensions, the CRLFs between them and the trailer section.

use super::Expect::{Either, Forwarded, Refused};
use super::{Case, Expect, SMUGGLED, check, text};

/// A chunked POST with this body, and a smuggled request behind it.
fn body(what: &'static str, expect: Expect, body: &str) -> Case {
    super::post("RFC 9112 §7.1", what, expect, "Transfer-Encoding: chunked", body)
}

/// The same without the smuggled request, for forms that are fine.
fn alone(what: &'static str, expect: Expect, body: &str) -> Case {
    let head = "POST /case HTTP/1.1\r\nHost: weir.test\r\nTransfer-Encoding: chunked\r\n\r\n";
    text("RFC 9112 §7.1", what, expect, &format!("{head}{body}"))
}

#[test]
fn sizes() {
    check(&[
        alone("several chunks", Forwarded, "5\r\nhello\r\nA\r\n0123456789\r\n0\r\n\r\n"),
        alone("zeros before a size", Either, "0005\r\nhello\r\n000\r\n\r\n"),
        body("a prefix", Refused, "0x5\r\nhello\r\n0\r\n\r\n"),
        body("a sign", Refused, "+5\r\nhello\r\n0\r\n\r\n"),
        body("a negative size", Refused, "-5\r\nhello\r\n0\r\n\r\n"),
        body("no size", Refused, "\r\nhello\r\n0\r\n\r\n"),
        body("a word", Refused, "five\r\nhello\r\n0\r\n\r\n"),
        body("a size of 65 bits", Refused, "10000000000000005\r\nhello\r\n0\r\n\r\n"),
        body("a space before", Refused, " 5\r\nhello\r\n0\r\n\r\n"),
        body("a size with a NUL", Refused, "5\0\r\nhello\r\n0\r\n\r\n"),
        alone("a space behind", Either, "5 \r\nhello\r\n0\r\n\r\n"),
    ]);
}

#[test]
fn extensions() {
    let long = format!("5;a={}\r\nhello\r\n0\r\n\r\n", "b".repeat(100_000));
    check(&[
        alone("an extension", Forwarded, "5;a=b\r\nhello\r\n0;c\r\n\r\n"),
        alone("a quoted extension", Either, "5;a=\"b c\"\r\nhello\r\n0\r\n\r\n"),
        body("a bare LF in an extension", Refused, "5;a\nhello\r\n0\r\n\r\n"),
        body("a bare CR in an extension", Refused, "5;a\rb\r\nhello\r\n0\r\n\r\n"),
        alone("a very long extension", Either, &long),
    ]);
}

#[test]
fn line_ends() {
    check(&[
        body("a bare LF behind a size", Refused, "5\nhello\r\n0\r\n\r\n"),
        body("a bare CR behind a size", Refused, "5\rhello\r\n0\r\n\r\n"),
        body("a bare LF behind a chunk", Refused, "5\r\nhello\n0\r\n\r\n"),
        body("nothing behind a chunk", Refused, "5\r\nhello0\r\n\r\n"),
        body("more behind a chunk than its size", Refused, "5\r\nhello, world\r\n0\r\n\r\n"),
        body("an empty line behind a chunk", Refused, "5\r\nhello\r\n\r\n0\r\n\r\n"),
        text(
            "RFC 9112 §7.1",
            "a last chunk without its empty line",
            Refused,
            &format!(
                "POST /case HTTP/1.1\r\nHost: weir.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n{SMUGGLED}"
            ),
        ),
    ]);
}

#[test]
fn trailers() {
    check(&[
        alone("a trailer", Forwarded, "5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"),
        alone("a length in a trailer", Either, "5\r\nhello\r\n0\r\nContent-Length: 99\r\n\r\n"),
        alone("a coding in a trailer", Either, "5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n"),
        alone("Host in a trailer", Either, "5\r\nhello\r\n0\r\nHost: evil.test\r\n\r\n"),
        alone("Connection in a trailer", Either, "5\r\nhello\r\n0\r\nConnection: close\r\n\r\n"),
        alone("a bad name in a trailer", Either, "5\r\nhello\r\n0\r\nX A: 1\r\n\r\n"),
        alone("a NUL in a trailer", Either, "5\r\nhello\r\n0\r\nX-A: a\0b\r\n\r\n"),
        alone("a folded trailer", Either, "5\r\nhello\r\n0\r\nX-A: a\r\n b\r\n\r\n"),
    ]);
}
