//! The strictest reader of requests: what a suspicious server would accept, and nothing beyond it.
//!
//! A proxy is judged by what it lets through, so this parser reads the raw bytes that reached a server and refuses whatever
//! two implementations could read differently. Source: RFC 9112 §3 and §6, RFC 9110 §7.2 and §7.6.1.

use crate::syntax::{self, Chunked, Fields, Violation, violation};

/// How the end of a request body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// No body.
    None,
    /// A Content-Length.
    Length(u64),
    /// The chunked coding.
    Chunked,
}

/// A request line with its header section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The method.
    pub method: String,
    /// The request target as sent.
    pub target: String,
    /// The header section.
    pub fields: Fields,
    /// How the body is framed.
    pub framing: Framing,
    /// How many bytes the head takes.
    pub length: usize,
}

/// A whole request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The request line and header section.
    pub head: Head,
    /// The content, decoded.
    pub body: Vec<u8>,
    /// The trailer section of a chunked body.
    pub trailers: Fields,
    /// How many bytes the request takes.
    pub length: usize,
}

/// Fields that speak about one connection only and so must not be forwarded. RFC 9110 §7.6.1.
const HOP_BY_HOP: [&str; 4] = ["keep-alive", "proxy-connection", "upgrade", "http2-settings"];

/// The head at the start of `bytes`; `None` while it is incomplete.
pub fn head(bytes: &[u8]) -> Result<Option<Head>, Violation> {
    let Some((text, next)) = syntax::line(bytes, 0)? else { return Ok(None) };
    let (method, target) = request_line(text)?;
    let Some((fields, length)) = syntax::fields(bytes, next)? else { return Ok(None) };
    check_host(&fields)?;
    check_hop_by_hop(&fields)?;
    let framing = match (syntax::is_chunked(&fields)?, syntax::content_length(&fields)?) {
        (true, Some(_)) => return violation("both Transfer-Encoding and Content-Length"),
        (true, None) => Framing::Chunked,
        (false, Some(length)) => Framing::Length(length),
        (false, None) => Framing::None,
    };
    Ok(Some(Head { method, target, fields, framing, length }))
}

/// The request at the start of `bytes`; `None` while it is incomplete.
pub fn request(bytes: &[u8]) -> Result<Option<Request>, Violation> {
    let Some(head) = head(bytes)? else { return Ok(None) };
    let start = head.length;
    let (body, trailers, length) = match head.framing {
        Framing::None => (Vec::new(), Fields::default(), start),
        Framing::Length(size) => {
            let Ok(size) = usize::try_from(size) else { return violation("Content-Length beyond memory") };
            let Some(content) = start.checked_add(size).and_then(|end| bytes.get(start..end)) else {
                return Ok(None);
            };
            (content.to_vec(), Fields::default(), start + size)
        }
        Framing::Chunked => {
            let Some(Chunked { body, trailers, end }) = syntax::chunked(bytes, start)? else {
                return Ok(None);
            };
            (body, trailers, end)
        }
    };
    Ok(Some(Request { head, body, trailers, length }))
}

/// The request line: three parts, one space between them, a version this protocol has. RFC 9112 §3.
fn request_line(text: &[u8]) -> Result<(String, String), Violation> {
    let shown = syntax::latin1(text);
    let parts: Vec<&[u8]> = text.split(|byte| *byte == b' ').collect();
    let [method, target, version] = parts.as_slice() else {
        return violation(format!("the request line does not have three parts: {shown:?}"));
    };
    if !syntax::is_token(method) {
        return violation(format!("the method is no token: {shown:?}"));
    }
    if *version != b"HTTP/1.1" {
        return violation(format!("the version is not HTTP/1.1: {shown:?}"));
    }
    let is_origin_form = target.starts_with(b"/");
    let is_asterisk_form = *target == b"*" && *method == b"OPTIONS";
    if !is_origin_form && !is_asterisk_form {
        return violation(format!("the target is neither origin-form nor asterisk-form: {shown:?}"));
    }
    if !target.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'#') {
        return violation(format!("the target has a byte no request target has: {shown:?}"));
    }
    Ok((syntax::latin1(method), syntax::latin1(target)))
}

/// Exactly one Host, of host characters alone. RFC 9112 §3.2.
fn check_host(fields: &Fields) -> Result<(), Violation> {
    let [host] = fields
        .all("host")
        .try_into()
        .or_else(|hosts| violation(format!("not exactly one Host: {hosts:?}")))?;
    let is_host_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+;=%:[]".contains(&byte);
    if host.is_empty() || !host.bytes().all(is_host_byte) {
        return violation(format!("a Host that names no host: {host:?}"));
    }
    Ok(())
}

/// No field is forwarded that Connection names or that is for one connection by definition. RFC 9110 §7.6.1.
fn check_hop_by_hop(fields: &Fields) -> Result<(), Violation> {
    // The sender's own wish for trailers is the one use of TE that an intermediary may make. RFC 9110 §10.1.4.
    let wants_trailers = fields.one("te").is_some_and(|value| value.eq_ignore_ascii_case("trailers"));
    let options = fields.list("connection");
    if fields.has("te") && !(wants_trailers && options.iter().any(|option| option == "te")) {
        return violation("TE is forwarded");
    }
    for option in options {
        if !["close", "keep-alive", "te"].contains(&option.as_str()) && fields.has(&option) {
            return violation(format!("{option} is named by Connection and yet forwarded"));
        }
    }
    for name in HOP_BY_HOP {
        if fields.has(name) {
            return violation(format!("{name} is forwarded"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Framing, request};

    fn check(text: &str) -> Result<Option<usize>, String> {
        request(text.as_bytes()).map(|found| found.map(|request| request.length)).map_err(|broken| broken.0)
    }

    #[test]
    fn accepts_plain_requests() {
        let get = "GET /a?b=c HTTP/1.1\r\nHost: weir.test:80\r\nX-A:\t b \r\n\r\n";
        assert_eq!(check(get), Ok(Some(get.len())));
        let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET";
        assert_eq!(check(post), Ok(Some(post.len() - 3)));
        let chunked =
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n";
        let parsed = request(chunked.as_bytes()).unwrap().unwrap();
        assert_eq!((parsed.head.framing, parsed.body.as_slice()), (Framing::Chunked, b"abc".as_slice()));
        assert_eq!(parsed.trailers.one("x"), Some("y"));
    }

    #[test]
    fn waits_for_the_rest() {
        for part in [
            "",
            "GET",
            "GET / HTTP/1.1\r",
            "GET / HTTP/1.1\r\nHost: a\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\r",
        ] {
            assert_eq!(check(part), Ok(None), "{part:?}");
        }
        assert_eq!(
            check("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab"),
            Ok(None)
        );
    }

    #[test]
    fn refuses_what_two_parsers_could_read_differently() {
        let after_host = |fields: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n");
        let chunked =
            |body: &str| format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
        let cases = [
            "GET / HTTP/1.1\nHost: a\r\n\r\n".to_owned(),
            "GET / HTTP/1.0\r\nHost: a\r\n\r\n".to_owned(),
            "GET  / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
            "GET /\u{7f} HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
            "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
            "GET / HTTP/1.1\r\n\r\n".to_owned(),
            "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n".to_owned(),
            "GET / HTTP/1.1\r\nHost: a b\r\n\r\n".to_owned(),
            after_host("X : y"),
            after_host("X: a\r\n b"),
            after_host("X: a\rb"),
            after_host("X: a\0b"),
            after_host("Content-Length: 1\r\nTransfer-Encoding: chunked"),
            after_host("Content-Length: 0\r\nContent-Length: 0"),
            after_host("Content-Length: +0"),
            after_host("Transfer-Encoding: gzip, chunked"),
            after_host("Connection: x-a\r\nX-A: b"),
            after_host("Keep-Alive: timeout=5"),
            chunked("0x1\r\na\r\n0\r\n\r\n"),
            chunked("1;a=b\r\na\r\n0\r\n\r\n"),
            chunked("1\r\nab\r\n0\r\n\r\n"),
            chunked("0\r\nContent-Length: 4\r\n\r\n"),
        ];
        for case in cases {
            assert!(check(&case).is_err(), "{case:?}");
        }
    }
}
