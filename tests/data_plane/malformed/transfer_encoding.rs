//! RFC 9112 §6.1 and §6.3: the transfer coding, and what happens when there is a length besides.

use super::Expect::{Either, Forwarded, Refused};
use super::{Case, Expect, SMUGGLED, check, text};

const BODY: &str = "5\r\nhello\r\n0\r\n\r\n";

/// A POST with these coding lines and a chunked body, and a smuggled request behind it.
fn coding(what: &'static str, expect: Expect, lines: &str) -> Case {
    super::post("RFC 9112 §6.1", what, expect, lines, BODY)
}

/// The same without the smuggled request, for forms that may be read as chunked with the connection kept.
fn alone(what: &'static str, expect: Expect, lines: &str) -> Case {
    let payload = format!("POST /case HTTP/1.1\r\nHost: weir.test\r\n{lines}\r\n\r\n{BODY}");
    text("RFC 9112 §6.1", what, expect, &payload)
}

#[test]
fn chunked_and_nothing_else() {
    check(&[
        alone("chunked", Forwarded, "Transfer-Encoding: chunked"),
        alone("chunked in upper case", Forwarded, "Transfer-Encoding: CHUNKED"),
        alone("white space around", Forwarded, "Transfer-Encoding:\t chunked \t"),
        alone("an empty list member", Either, "Transfer-Encoding: , chunked"),
        alone(
            "Connection names the coding",
            Either,
            "Transfer-Encoding: chunked\r\nConnection: transfer-encoding",
        ),
        coding("identity", Refused, "Transfer-Encoding: identity"),
        coding("gzip", Refused, "Transfer-Encoding: gzip"),
        coding("an unknown coding", Refused, "Transfer-Encoding: xchunked"),
        coding("a quoted coding", Refused, "Transfer-Encoding: \"chunked\""),
        coding("chunked not last", Refused, "Transfer-Encoding: chunked, gzip"),
        coding("chunked and identity", Refused, "Transfer-Encoding: chunked, identity"),
        coding(
            "chunked and identity on two lines",
            Refused,
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        ),
        coding("a vertical tab before", Refused, "Transfer-Encoding: \x0bchunked"),
        coding("a NUL behind", Refused, "Transfer-Encoding: chunked\0"),
        coding("a semicolon behind", Refused, "Transfer-Encoding: chunked;"),
        coding("nothing", Refused, "Transfer-Encoding:"),
        alone("gzip, then chunked", Either, "Transfer-Encoding: gzip, chunked"),
        alone(
            "identity, then chunked on two lines",
            Either,
            "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
        ),
        alone("chunked twice", Either, "Transfer-Encoding: chunked, chunked"),
        alone("chunked on two lines", Either, "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
    ]);
}

/// Two lengths, of which one server takes the one and one the other.
#[test]
fn with_a_length_besides() {
    let smuggled_in_length = format!("0\r\n\r\n{SMUGGLED}");
    let length = smuggled_in_length.len();
    let both = |what, lines: &str, body: &str| {
        let payload = format!("POST /case HTTP/1.1\r\nHost: weir.test\r\n{lines}\r\n\r\n{body}");
        text("RFC 9112 §6.3", what, Refused, &payload)
    };
    check(&[
        both(
            "length first",
            &format!("Content-Length: {length}\r\nTransfer-Encoding: chunked"),
            &smuggled_in_length,
        ),
        both(
            "coding first",
            &format!("Transfer-Encoding: chunked\r\nContent-Length: {length}"),
            &smuggled_in_length,
        ),
        both(
            "a short length",
            "Content-Length: 4\r\nTransfer-Encoding: chunked",
            &format!("{BODY}{SMUGGLED}"),
        ),
        both(
            "a length of zero",
            "Content-Length: 0\r\nTransfer-Encoding: chunked",
            &format!("{BODY}{SMUGGLED}"),
        ),
        coding("a length and an unknown coding", Refused, "Content-Length: 5\r\nTransfer-Encoding: xchunked"),
        coding("a bad length and chunked", Refused, "Content-Length: +5\r\nTransfer-Encoding: chunked"),
        coding("a coding behind a bare LF", Refused, "Content-Length: 15\nTransfer-Encoding: chunked"),
        coding(
            "a folded coding and a length",
            Refused,
            "Content-Length: 5\r\nTransfer-Encoding:\r\n chunked",
        ),
    ]);
}

#[test]
fn in_http_1_0() {
    let old = |what, lines: &str, body: &str| {
        let payload = format!("POST /case HTTP/1.0\r\nHost: weir.test\r\n{lines}\r\n\r\n{body}{SMUGGLED}");
        text("RFC 9112 §6.1", what, Refused, &payload)
    };
    check(&[
        old("chunked", "Transfer-Encoding: chunked", BODY),
        old("chunked on a kept connection", "Connection: keep-alive\r\nTransfer-Encoding: chunked", BODY),
        old("chunked and a length", "Content-Length: 5\r\nTransfer-Encoding: chunked", BODY),
    ]);
}
