//! RFC 9112 §6.2 and §6.3, RFC 9110 §8.6: the length of a body, one number.

use super::Expect::{Either, Forwarded, Refused};
use super::{Case, Expect, check, text};

/// A POST with these length lines and a body of five bytes, and a smuggled request behind it.
fn length(what: &'static str, expect: Expect, lines: &str) -> Case {
    super::post("RFC 9112 §6.3", what, expect, lines, "hello")
}

#[test]
fn one_number() {
    check(&[
        length("a sign", Refused, "Content-Length: +5"),
        length("a negative number", Refused, "Content-Length: -5"),
        length("hexadecimal", Refused, "Content-Length: 0x5"),
        length("an exponent", Refused, "Content-Length: 5e0"),
        length("a fraction", Refused, "Content-Length: 5.0"),
        length("a word", Refused, "Content-Length: five"),
        length("nothing", Refused, "Content-Length:"),
        length("two numbers in one", Refused, "Content-Length: 5 5"),
        length("a number of 65 bits", Refused, "Content-Length: 18446744073709551621"),
        length("a number of 33 digits", Refused, "Content-Length: 100000000000000000000000000000005"),
        length("a quoted number", Refused, "Content-Length: \"5\""),
        length("a NUL behind", Refused, "Content-Length: 5\0"),
        length("a vertical tab behind", Refused, "Content-Length: 5\x0b"),
        length("a space before the colon", Refused, "Content-Length : 5"),
        length("digits beyond ASCII", Refused, "Content-Length: \u{665}"),
    ]);
}

#[test]
fn said_more_than_once() {
    check(&[
        length("two lengths, the second longer", Refused, "Content-Length: 5\r\nContent-Length: 6"),
        length("two lengths, the second shorter", Refused, "Content-Length: 5\r\nContent-Length: 0"),
        length("two lengths in a list", Refused, "Content-Length: 5, 6"),
        length("a length and a word in a list", Refused, "Content-Length: 5, five"),
        length("a comma behind", Refused, "Content-Length: 5,"),
        length("a comma before", Refused, "Content-Length: ,5"),
    ]);
}

/// What follows these bodies is a request in its own right, so none is glued behind.
#[test]
fn harmless_forms() {
    let plain = |what, expect, lines: &str, body: &str| {
        let payload = format!("POST /case HTTP/1.1\r\nHost: weir.test\r\n{lines}\r\n\r\n{body}");
        text("RFC 9112 §6.3", what, expect, &payload)
    };
    check(&[
        plain("a plain length", Forwarded, "Content-Length: 5", "hello"),
        plain("a length of zero", Forwarded, "Content-Length: 0", ""),
        plain("zeros before", Either, "Content-Length: 0005", "hello"),
        plain("the same length twice", Refused, "Content-Length: 5\r\nContent-Length: 5", "hello"),
        plain("the same length in a list", Refused, "Content-Length: 5, 5", "hello"),
        plain("no length and no body", Forwarded, "X-A: b", ""),
        text(
            "RFC 9110 §9.3.1",
            "a GET with a body",
            Either,
            "GET /case HTTP/1.1\r\nHost: weir.test\r\nContent-Length: 5\r\n\r\nhello",
        ),
        plain(
            "Connection names the length",
            Either,
            "Content-Length: 5\r\nConnection: content-length",
            "hello",
        ),
        plain("Connection names Host", Either, "Content-Length: 5\r\nConnection: host", "hello"),
    ]);
}
