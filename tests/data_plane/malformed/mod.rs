//! Malformed and ambiguous requests, by clause of RFC 9112 and RFC 9110: each is refused, or forwarded clean.
//!
//! The judge is the server. Whatever reaches it is read by the strictest parser (`weir_tests::strict`), and the requests it
//! counts must be the intended ones and no other: a payload often ends in a second request, for `/smuggled`, that a careless
//! reading of the first would let through.

mod chunks;
mod content_length;
mod fields;
mod host;
mod request_line;
mod transfer_encoding;

use weir_tests::client::{Response, WireError};
use weir_tests::config;
use weir_tests::origin::Origin;
use weir_tests::weir::Weir;

/// What has to happen to a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    /// A client error and the end of the connection; nothing reaches a server.
    Refused,
    /// The request is fine and reaches the server.
    Forwarded,
    /// Lenient reading is allowed as long as the server cannot tell: either of the two above.
    Either,
}

/// One payload.
#[derive(Debug)]
struct Case {
    /// Where the rule stands.
    clause: &'static str,
    /// What is wrong, or remarkable.
    what: &'static str,
    /// The bytes.
    bytes: Vec<u8>,
    /// What has to happen.
    expect: Expect,
}

/// A request that must not reach a server, glued behind another one.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: weir.test\r\n\r\n";

/// A payload that consists of this text.
fn text(clause: &'static str, what: &'static str, expect: Expect, text: &str) -> Case {
    bytes(clause, what, expect, text.as_bytes())
}

/// A payload that consists of these bytes.
fn bytes(clause: &'static str, what: &'static str, expect: Expect, bytes: &[u8]) -> Case {
    Case { clause, what, bytes: bytes.to_vec(), expect }
}

/// A POST with these field lines (without the last CRLF) and this body, and a smuggled request behind it.
fn post(clause: &'static str, what: &'static str, expect: Expect, fields: &str, body: &str) -> Case {
    let payload = format!("POST /case HTTP/1.1\r\nHost: weir.test\r\n{fields}\r\n\r\n{body}{SMUGGLED}");
    text(clause, what, expect, &payload)
}

/// Sends every payload on a connection of its own, to a server of its own, and fails with the list of all that went wrong.
fn check(cases: &[Case]) {
    let weir = Weir::start();
    let mut faults = Vec::new();
    let mut judged = Vec::new();
    for case in cases {
        let origin = Origin::named("origin");
        weir.api().set_default(&config::bare(&[origin.address()]));
        if let Err(why) = run(&weir, &origin, case) {
            faults.push(format!("[{}] {}: {why}; the server {}", case.clause, case.what, account(&origin)));
        }
        judged.push((case, origin.count(), origin));
    }
    for (case, count, origin) in &judged {
        if origin.count() != *count {
            faults.push(format!(
                "[{}] {}: afterwards the server {}",
                case.clause,
                case.what,
                account(origin)
            ));
        }
    }
    assert!(faults.is_empty(), "{} of {}:\n{}", faults.len(), cases.len(), faults.join("\n"));
    weir.assert_no_errors();
}

fn run(weir: &Weir, origin: &Origin, case: &Case) -> Result<(), String> {
    let mut wire = weir.client();
    wire.send(&case.bytes);
    // Closing without a word is a refusal too, though a rude one: the table asks for an answer.
    let response = wire.response("POST").map_err(|error| format!("no answer: {error:?}"))?;
    if is_refusal(&response) {
        if case.expect == Expect::Forwarded {
            return Err(format!("refused with {}", response.status));
        }
        if !wire.is_closed() {
            return Err(format!("the connection outlives the {}", response.status));
        }
        return seen(origin, &[]);
    }
    if case.expect == Expect::Refused || response.status != 200 {
        return Err(format!("answered with {}", response.status));
    }
    if response.announces_close() {
        return match wire.rest() {
            Ok(rest) if rest.is_empty() => seen(origin, &["/case"]),
            other => Err(format!("more than an end after Connection: close: {other:?}")),
        };
    }
    // A connection that stays open has to be in step: the next request on it is read as itself.
    wire.send("GET /sentinel HTTP/1.1\r\nHost: weir.test\r\nConnection: close\r\n\r\n");
    match wire.response("GET") {
        Ok(next) if next.status == 200 => seen(origin, &["/case", "/sentinel"]),
        Ok(next) if case.expect == Expect::Either && is_refusal(&next) => seen(origin, &["/case"]),
        Err(WireError::Closed) if case.expect == Expect::Either => seen(origin, &["/case"]),
        other => Err(format!("the next request on the connection: {other:?}")),
    }
}

/// 400-class, and the two server-class codes by which a server declines a protocol feature. RFC 9112 §2.3 and §6.1.
fn is_refusal(response: &Response) -> bool {
    (400..500).contains(&response.status) || matches!(response.status, 501 | 505)
}

/// Requires that the server saw these targets and none besides, and no breach of the grammar.
fn seen(origin: &Origin, intended: &[&str]) -> Result<(), String> {
    let targets = origin.targets();
    let is_intended = targets.len() == intended.len()
        && targets.iter().zip(intended).all(|(target, intended)| target.starts_with(intended));
    if is_intended && origin.violations().is_empty() {
        Ok(())
    } else {
        Err(format!("{intended:?} was meant"))
    }
}

/// What a server got, in words.
fn account(origin: &Origin) -> String {
    let seen = origin.seen();
    let raw: Vec<_> = seen.iter().map(|seen| String::from_utf8_lossy(&seen.raw)).collect();
    format!("got {raw:?} and refused {:?}", origin.violations())
}
