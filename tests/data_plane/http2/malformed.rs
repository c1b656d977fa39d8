//! Requests that break RFC 9113 §8, and those that would become another request, or two, in HTTP/1.1: none reaches a server.
//!
//! Judged by the bytes a server received, read by the strictest reading of RFC 9112. Each case has a connection and a
//! server of its own; a second request on the connection tells whether it is still in step.

use weir_tests::config;
use weir_tests::frame_client::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Field, Frames, GOAWAY, HEADERS, RST_STREAM, block, frame,
    is_ok,
};
use weir_tests::origin::Origin;
use weir_tests::weir::Weir;

enum Expect {
    /// No byte of it reaches a server as a whole request.
    Refused,
    /// Refused, or served in a form that says one thing only.
    Either,
    /// Served, and the server has seen this.
    Served(&'static str),
}
use Expect::{Either, Refused, Served};

struct Case {
    clause: &'static str,
    what: &'static str,
    frames: Vec<u8>,
    expect: Expect,
}

const METHOD: Field<'_> = (b":method", b"POST");
const SCHEME: Field<'_> = (b":scheme", b"http");
const AUTHORITY: Field<'_> = (b":authority", b"weir.test");
const PATH: Field<'_> = (b":path", b"/case");
/// What a server would take for a second request, if it saw it as such.
const SMUGGLED: &[u8] = b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: evil.test\r\n\r\n";

fn case(clause: &'static str, what: &'static str, fields: &[Field<'_>], expect: Expect) -> Case {
    let frames = frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(fields));
    Case { clause, what, frames, expect }
}

/// A good request with these fields on top.
fn with(clause: &'static str, what: &'static str, fields: &[Field<'_>], expect: Expect) -> Case {
    case(clause, what, &[&[METHOD, SCHEME, AUTHORITY, PATH], fields].concat(), expect)
}

/// The same with content.
fn with_content(
    clause: &'static str,
    what: &'static str,
    fields: &[Field<'_>],
    content: &[u8],
    expect: Expect,
) -> Case {
    let fields = [&[METHOD, SCHEME, AUTHORITY, PATH], fields].concat();
    let head = frame(HEADERS, END_HEADERS, 1, &block(&fields));
    Case { clause, what, frames: [head, frame(DATA, END_STREAM, 1, content)].concat(), expect }
}

/// The same with content and trailers.
fn with_trailers(
    clause: &'static str,
    what: &'static str,
    trailers: &[Field<'_>],
    flags: u8,
    expect: Expect,
) -> Case {
    let head = frame(HEADERS, END_HEADERS, 1, &block(&[METHOD, SCHEME, AUTHORITY, PATH]));
    let trailers = frame(HEADERS, END_HEADERS | flags, 1, &block(trailers));
    Case { clause, what, frames: [head, frame(DATA, 0, 1, b"hello"), trailers].concat(), expect }
}

/// Sends every case, and fails with the list of all that went wrong.
fn check(cases: &[Case]) {
    let weir = Weir::start();
    let mut faults = Vec::new();
    for case in cases {
        let origin = Origin::named("origin");
        weir.api().set_default(&config::bare(&[origin.address()]));
        if let Err(why) = run(&weir, &origin, case) {
            let seen: Vec<String> =
                origin.seen().iter().map(|seen| String::from_utf8_lossy(&seen.raw).into_owned()).collect();
            faults.push(format!("[{}] {}: {why}; the server saw {seen:#?}", case.clause, case.what));
        }
    }
    assert!(faults.is_empty(), "{} of {}:\n{}", faults.len(), cases.len(), faults.join("\n"));
    weir.assert_no_errors();
}

fn run(weir: &Weir, origin: &Origin, case: &Case) -> Result<(), String> {
    let mut client = Frames::connect(weir.data(), &[]);
    client.send(&case.frames);
    let answer = client.until(|frame| {
        frame.kind == GOAWAY || (frame.stream == 1 && matches!(frame.kind, HEADERS | RST_STREAM))
    });
    let is_served = answer.as_ref().is_some_and(is_ok);
    let is_over = answer.as_ref().is_none_or(|answer| answer.kind == GOAWAY);
    if !is_over {
        let sentinel: [Field<'_>; 4] = [(b":method", b"GET"), SCHEME, AUTHORITY, (b":path", b"/sentinel")];
        client.request(3, &sentinel);
        if !client.answer(3).as_ref().is_some_and(is_ok) {
            return Err("the connection is out of step".to_owned());
        }
    }
    let violations = origin.violations();
    if !violations.is_empty() {
        return Err(format!("the server got {violations:?}"));
    }
    let mut targets = origin.targets();
    targets.retain(|target| target != "/sentinel");
    match case.expect {
        Refused if is_served => Err("it was served".to_owned()),
        Refused if targets.is_empty() => Ok(()),
        Either if targets.len() <= 1 => Ok(()),
        Served(expected) if is_served => {
            let raw = String::from_utf8_lossy(&origin.seen()[0].raw).into_owned();
            if raw.contains(expected) { Ok(()) } else { Err(format!("{expected:?} is missing")) }
        }
        Served(_) => Err(format!("it was refused: {answer:?}")),
        Refused | Either => Err("it reached the server".to_owned()),
    }
}

#[test]
fn names_and_values() {
    let connection = "9113 §8.2.2";
    check(&[
        with("9113 §8.2", "a name in capitals", &[(b"X-Upper", b"a")], Refused),
        with("9113 §8.2.1", "a name with a space", &[(b"x bad", b"a")], Refused),
        with("9113 §8.2.1", "a name with a line end", &[(b"x\r\nevil: 1\r\ny", b"a")], Refused),
        with("9113 §8.2.1", "a name with LF", &[(b"x\nevil", b"a")], Refused),
        with("9113 §8.2.1", "a name with NUL", &[(b"x\0evil", b"a")], Refused),
        with("9113 §8.2.1", "a name with a colon", &[(b"transfer-encoding:", b"chunked")], Refused),
        with("9113 §8.2.1", "a name of more than ASCII", &[("ä".as_bytes(), b"a")], Refused),
        with("9113 §8.2.1", "no name", &[(b"", b"a")], Refused),
        with("9113 §8.2.1", "a value with a line end", &[(b"x", b"a\r\nevil: 1")], Refused),
        with("9113 §8.2.1", "a value with two line ends", &[(b"x", b"a\r\n\r\nGET /evil HTTP/1.1")], Refused),
        with("9113 §8.2.1", "a value with LF", &[(b"x", b"a\nevil: 1")], Refused),
        with("9113 §8.2.1", "a value with CR", &[(b"x", b"a\revil: 1")], Refused),
        with("9113 §8.2.1", "a value with NUL", &[(b"x", b"a\0b")], Refused),
        with("9113 §8.2.1", "a value between spaces", &[(b"x", b" a ")], Either),
        with("9113 §8.2.1", "a value of a tab", &[(b"x", b"\t")], Either),
        with("9113 §8.2.1", "a value with bytes beyond ASCII", &[(b"x", b"\xe4")], Either),
        with(connection, "Connection", &[(b"connection", b"keep-alive")], Refused),
        with(connection, "Connection that names a field", &[(b"connection", b"x-forwarded-for")], Refused),
        with(connection, "Keep-Alive", &[(b"keep-alive", b"timeout=5")], Refused),
        with(connection, "Proxy-Connection", &[(b"proxy-connection", b"keep-alive")], Refused),
        with(connection, "Upgrade", &[(b"upgrade", b"websocket")], Refused),
        with(
            connection,
            "Upgrade to h2c",
            &[(b"upgrade", b"h2c"), (b"http2-settings", b"AAMAAABk")],
            Refused,
        ),
        with(connection, "TE but for trailers", &[(b"te", b"gzip")], Refused),
        with(connection, "TE of two", &[(b"te", b"trailers, gzip")], Refused),
        with(
            connection,
            "TE of trailers",
            &[(b"te", b"trailers")],
            Served("te: trailers\r\nconnection: te\r\n"),
        ),
        with("9113 §8.2.1", "a space before a value", &[(b"x-role", b" admin")], Refused),
        with("9113 §8.2.1", "a tab behind a value", &[(b"x-role", b"admin\t")], Refused),
        with(
            "9113 §8.2.1",
            "a space in a piece of a cookie",
            &[(b"cookie", b"a=1 "), (b"cookie", b"b=2")],
            Refused,
        ),
        with(
            "9113 §8.2.3",
            "cookies in pieces",
            &[(b"cookie", b"a=1"), (b"x", b"y"), (b"cookie", b"b=2"), (b"cookie", b"c=3")],
            Served("cookie: a=1; b=2; c=3\r\n"),
        ),
        with(
            "9110 §9.1",
            "an unknown method in the fields",
            &[(b"x-http-method-override", b"CONNECT")],
            Served("POST /case "),
        ),
    ]);
}

const GET: Field<'_> = (b":method", b"GET");

/// A GET with this in the place of one of its four parts.
fn with_part(what: &'static str, name: &[u8], value: &[u8], expect: Expect) -> Case {
    let mut fields = vec![(name, value)];
    fields.extend([GET, SCHEME, AUTHORITY, PATH].into_iter().filter(|part| part.0 != name));
    case("9113 §8.3.1", what, &fields, expect)
}

#[test]
fn parts_that_are_missing_or_too_many() {
    let pseudo = "9113 §8.3";
    let request = "9113 §8.3.1";
    let connect: Field<'_> = (b":method", b"CONNECT");
    let websocket: Field<'_> = (b":protocol", b"websocket");
    let host: Field<'_> = (b"host", b"weir.test");
    let all = |more: &[Field<'static>]| [&[GET, SCHEME, AUTHORITY, PATH], more].concat();
    check(&[
        case(pseudo, "after a field", &[GET, SCHEME, (b"x", b"y"), AUTHORITY, PATH], Refused),
        case(pseudo, "unknown", &all(&[(b":evil", b"1")]), Refused),
        case(pseudo, "of a response", &all(&[(b":status", b"200")]), Refused),
        case(pseudo, "in capitals", &[GET, SCHEME, AUTHORITY, (b":Path", b"/case")], Refused),
        case(pseudo, "two methods", &all(&[GET]), Refused),
        case(pseudo, "two schemes", &all(&[SCHEME]), Refused),
        case(pseudo, "two authorities", &all(&[(b":authority", b"evil.test")]), Refused),
        case(pseudo, "two paths", &all(&[(b":path", b"/evil")]), Refused),
        case(request, "no method", &[SCHEME, AUTHORITY, PATH], Refused),
        case(request, "no scheme", &[GET, AUTHORITY, PATH], Refused),
        case(request, "no path", &[GET, SCHEME, AUTHORITY], Refused),
        case(request, "nothing", &[], Refused),
        case(request, "Host that differs", &all(&[(b"host", b"evil.test")]), Refused),
        case(request, "two Hosts", &all(&[host, host]), Refused),
        case(request, "Host that is the same", &all(&[host]), Served("host: weir.test\r\n")),
        case(request, "Host alone", &[GET, SCHEME, PATH, host], Served("host: weir.test\r\n")),
        case(request, "neither authority nor Host", &[GET, SCHEME, PATH], Refused),
        case("9113 §8.5", "CONNECT", &[connect, AUTHORITY], Refused),
        case("8441 §4", "a protocol without CONNECT", &all(&[websocket]), Refused),
        case("8441 §4", "a protocol without a path", &[connect, SCHEME, AUTHORITY, websocket], Refused),
        case(
            "8441 §4",
            "a protocol with a line end",
            &[connect, SCHEME, AUTHORITY, PATH, (b":protocol", b"websocket\r\nX: y")],
            Refused,
        ),
    ]);
}

#[test]
fn parts_that_are_something_else() {
    let path = |what, value: &[u8], expect| with_part(what, b":path", value, expect);
    let authority = |what, value: &[u8], expect| with_part(what, b":authority", value, expect);
    let method = |what, value: &[u8], expect| with_part(what, b":method", value, expect);
    let scheme = |what, value: &[u8], expect| with_part(what, b":scheme", value, expect);
    check(&[
        path("an empty path", b"", Refused),
        path("a path without a slash", b"case", Refused),
        path("an absolute target in the path", b"http://evil.test/", Refused),
        path("an absolute target with a user in the path", b"http://a@evil.test/x", Refused),
        path("an authority in the path", b"evil.test:80", Refused),
        path("a space in the path", b"/a HTTP/1.1", Refused),
        path("a line end in the path", b"/a HTTP/1.1\r\nHost: evil.test\r\n\r\n", Refused),
        path("LF in the path", b"/a\nb", Refused),
        path("NUL in the path", b"/a\0b", Refused),
        path("a tab in the path", b"/a\tb", Refused),
        path("DEL in the path", b"/a\x7fb", Refused),
        path("an asterisk for GET", b"*", Refused),
        path("a path with quotes", b"/a\"b", Served("GET /a%22b HTTP/1.1\r\n")),
        path("two slashes", b"//evil.test/x", Served("GET //evil.test/x HTTP/1.1\r\nhost: weir.test\r\n")),
        path("a fragment in the path", b"/case#evil", Either),
        method("no method", b"", Refused),
        method("a space in the method", b"GET /evil", Refused),
        method("a line end in the method", b"GET / HTTP/1.1\r\nHost: evil.test\r\n\r\nGET", Refused),
        method("CONNECT with a path", b"CONNECT", Refused),
        method("TRACE", b"TRACE", Refused),
        method("a method of one's own", b"BREW", Served("BREW /case HTTP/1.1\r\n")),
        scheme("a scheme with a host", b"http://evil.test/", Refused),
        scheme("a scheme with a line end", b"http\r\nHost: evil.test", Refused),
        scheme("another scheme", b"ftp", Refused),
        authority("a user in the authority", b"user@weir.test", Refused),
        authority("a space in the authority", b"weir.test evil.test", Refused),
        authority("two authorities in one", b"weir.test,evil.test", Refused),
        authority("a path in the authority", b"weir.test/evil", Refused),
        authority("a line end in the authority", b"weir.test\r\nX: y", Refused),
        authority("NUL in the authority", b"weir.test\0", Refused),
        authority("no authority", b"", Refused),
        authority("a port that is none", b"weir.test:http", Refused),
    ]);
}

#[test]
fn codings_and_lengths() {
    let coding = |what, name: &'static [u8], value: &'static [u8]| {
        with_content("9113 §8.2.2, H2.TE", what, &[(name, value)], SMUGGLED, Refused)
    };
    let length = |what, lengths: &[&'static [u8]], expect| {
        let fields: Vec<Field<'_>> = lengths.iter().map(|value| (&b"content-length"[..], *value)).collect();
        with_content("9113 §8.1.1, H2.CL", what, &fields, b"hello", expect)
    };
    let chunked = Served("transfer-encoding: chunked\r\n");
    check(&[
        coding("chunked", b"transfer-encoding", b"chunked"),
        coding("chunked, in capitals", b"transfer-encoding", b"CHUNKED"),
        coding("identity", b"transfer-encoding", b"identity"),
        coding("chunked behind a line end", b"x", b"y\r\ntransfer-encoding: chunked"),
        coding("chunked in a name", b"transfer-encoding: chunked\r\nx", b"y"),
        coding("no length, and content", b"content-length", b"0"),
        with("9113 §8.1.1, H2.CL", "a length and no content", &[(b"content-length", b"9")], Refused),
        length("less than the content", &[b"3"], Refused),
        length("more than the content", &[b"9"], Refused),
        length("no number", &[b"five"], Refused),
        length("a sign", &[b"+5"], Refused),
        length("hexadecimal", &[b"0x5"], Refused),
        length("beyond all numbers", &[b"18446744073709551621"], Refused),
        length("two that differ", &[b"5", b"0"], Refused),
        length("a list", &[b"5, 5"], Either),
        length("with a space", &[b" 5"], Either),
        length("right", &[b"5"], Served("content-length: 5\r\n")),
        with_content("9112 §6.1", "an underscore", &[(b"content_length", b"0")], b"hello", chunked),
        with_content("9112 §6.1", "none", &[], b"hello", Served("transfer-encoding: chunked\r\n")),
    ]);
}

#[test]
fn trailers() {
    let refused = |clause, what, name: &'static [u8], value: &'static [u8]| {
        with_trailers(clause, what, &[(name, value)], END_STREAM, Refused)
    };
    check(&[
        refused("9113 §8.2.1", "a line end", b"x", b"y\r\nz: 1"),
        refused("9113 §8.2", "capitals", b"X", b"y"),
        refused("9113 §8.2.2", "Transfer-Encoding", b"transfer-encoding", b"chunked"),
        with_trailers("9113 §8.1", "that do not end the stream", &[(b"x", b"y")], 0, Refused),
        with_trailers(
            "9113 §8.1",
            "control data, which the library drops",
            &[(b":path", b"/evil")],
            END_STREAM,
            Served("5\r\nhello\r\n0\r\n\r\n"),
        ),
        with_trailers(
            "9110 §6.5.1",
            "fields that are no trailers",
            &[(b"content-length", b"1"), (b"host", b"evil.test"), (b"x-t", b"1")],
            END_STREAM,
            Served("0\r\nx-t: 1\r\n\r\n"),
        ),
    ]);
}

/// Frames in the wrong place end the connection, and nothing of the request they belong to goes on.
#[test]
fn frames_out_of_place() {
    let head = block(&[METHOD, SCHEME, AUTHORITY, PATH]);
    let (first, rest) = head.split_at(20);
    let opened = |flags| frame(HEADERS, flags, 1, first);
    let raw =
        |clause, what, frames: Vec<Vec<u8>>| Case { clause, what, frames: frames.concat(), expect: Refused };
    check(&[
        raw("9113 §6.10", "CONTINUATION of nothing", vec![frame(CONTINUATION, END_HEADERS, 1, &head)]),
        raw(
            "9113 §6.10",
            "another frame within a block",
            vec![opened(END_STREAM), frame(DATA, 0, 1, b"x"), frame(CONTINUATION, END_HEADERS, 1, rest)],
        ),
        raw(
            "9113 §6.10",
            "CONTINUATION of another stream",
            vec![opened(END_STREAM), frame(CONTINUATION, END_HEADERS, 3, rest)],
        ),
        raw("9113 §4.3", "half a block", vec![opened(END_STREAM | END_HEADERS)]),
        raw("9113 §4.3", "no block at all", vec![frame(HEADERS, END_STREAM | END_HEADERS, 1, b"")]),
        raw(
            "9113 §5.1.1",
            "a stream of the server's",
            vec![frame(HEADERS, END_STREAM | END_HEADERS, 2, &head)],
        ),
        raw("9113 §6.2", "on no stream", vec![frame(HEADERS, END_STREAM | END_HEADERS, 0, &head)]),
        raw(
            "9113 §4.2",
            "longer than allowed",
            vec![frame(HEADERS, END_STREAM | END_HEADERS, 1, &vec![0; 20_000])],
        ),
        raw(
            "9113 §6.6",
            "a promise of the client",
            vec![frame(5, END_HEADERS, 1, &[&[0, 0, 0, 2], head.as_slice()].concat())],
        ),
    ]);
}
