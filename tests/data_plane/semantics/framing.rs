//! RFC 9112 §6.3 and RFC 9110 §6.4: which messages have a body and where it ends.

use weir_tests::client::{Ending, WireError};
use weir_tests::origin::Origin;
use weir_tests::reply;
use weir_tests::strict;

use super::in_front_of;

#[test]
fn a_head_response_keeps_its_length_and_has_no_body() {
    let origin = Origin::script(|_| reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 1234\r\nX-A: b\r\n\r\n"));
    let weir = in_front_of(&origin);
    let mut client = weir.client();
    for _ in 0..2 {
        let response = client.exchange("HEAD / HTTP/1.1\r\nHost: weir.test\r\n\r\n");
        assert_eq!((response.status, response.ending), (200, Ending::NoBody));
        assert_eq!(response.fields.one("content-length"), Some("1234"));
    }
    assert!(client.is_idle(), "no byte of a body follows");
    assert_eq!(origin.seen()[0].request.head.method, "HEAD");
}

#[test]
fn a_chunked_head_response_has_no_body_either() {
    let origin = Origin::script(|seen| match seen.request.head.method.as_str() {
        "HEAD" => reply::raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        _ => reply::ok("next"),
    });
    let weir = in_front_of(&origin);
    let mut client = weir.client();
    assert_eq!(client.exchange("HEAD / HTTP/1.1\r\nHost: weir.test\r\n\r\n").status, 200);
    assert_eq!(client.get("/").text(), "next", "in step on the same connection");
}

#[test]
fn no_content_and_not_modified_have_no_body() {
    for (status, fields) in [("204 No Content", ""), ("304 Not Modified", "ETag: \"a\"\r\n")] {
        let answer = format!("HTTP/1.1 {status}\r\n{fields}\r\n");
        let origin =
            Origin::script(move |seen| if seen.nth == 0 { reply::raw(&answer) } else { reply::ok("next") });
        let weir = in_front_of(&origin);
        let mut client = weir.client();
        let response = client.get("/");
        assert_eq!(response.ending, Ending::NoBody);
        assert!(!response.fields.has("transfer-encoding"), "{status}: {response:?}");
        assert!(status != "204 No Content" || !response.fields.has("content-length"), "{response:?}");
        assert_eq!(client.get("/").text(), "next", "in step behind {status}");
    }
}

/// A length on a 304 says what a 200 would have had; nothing follows it.
#[test]
fn a_length_on_not_modified_is_not_waited_for() {
    let origin = Origin::script(|seen| {
        if seen.nth == 0 {
            reply::raw("HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n")
        } else {
            reply::ok("next")
        }
    });
    let weir = in_front_of(&origin);
    let mut client = weir.client();
    assert_eq!(client.get("/").status, 304);
    assert_eq!(client.get("/").text(), "next");
}

#[test]
fn a_chunked_request_arrives_whole_with_its_trailers() {
    let origin = Origin::named("origin");
    let weir = in_front_of(&origin);
    let response = weir.client().exchange(
        "POST / HTTP/1.1\r\nHost: weir.test\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n\
         5\r\nhello\r\n7;a=b\r\n, world\r\n0\r\nX-Sum: 12\r\n\r\n",
    );
    assert_eq!(response.status, 200);
    let request = origin.only().request;
    assert_eq!(String::from_utf8_lossy(&request.body), "hello, world");
    assert_eq!(request.head.framing, strict::Framing::Chunked);
    assert_eq!(request.trailers.one("x-sum"), Some("12"));
}

#[test]
fn a_request_with_a_length_keeps_it() {
    let origin = Origin::named("origin");
    let weir = in_front_of(&origin);
    weir.client().post("/", "hello");
    let request = origin.only().request;
    assert_eq!(
        (request.head.framing, request.body.as_slice()),
        (strict::Framing::Length(5), b"hello".as_slice())
    );
}

#[test]
fn a_chunked_response_arrives_whole_with_its_trailers() {
    let origin = Origin::script(|_| {
        reply::raw(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
             5\r\nhello\r\n7;a=b\r\n, world\r\n0\r\nX-Sum: 12\r\n\r\n",
        )
    });
    let weir = in_front_of(&origin);
    let mut client = weir.client();
    let request = "GET / HTTP/1.1\r\nHost: weir.test\r\nTE: trailers\r\nConnection: TE\r\n\r\n";
    for _ in 0..2 {
        let response = client.exchange(request);
        assert_eq!((response.text().as_str(), response.ending), ("hello, world", Ending::Chunked));
        assert_eq!(response.trailers.one("x-sum"), Some("12"), "{response:?}");
    }
}

#[test]
fn a_response_that_ends_with_its_connection_is_framed_for_the_client() {
    let origin = Origin::script(|_| reply::raw_close("HTTP/1.1 200 OK\r\nX-A: b\r\n\r\nuntil the end"));
    let weir = in_front_of(&origin);
    let mut client = weir.client();
    for _ in 0..2 {
        let response = client.get("/");
        assert_eq!((response.text().as_str(), response.ending), ("until the end", Ending::Chunked));
    }
}

#[test]
fn an_http_1_0_server_is_understood() {
    let origin = Origin::script(|_| reply::raw_close("HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nold"));
    let weir = in_front_of(&origin);
    let mut client = weir.client();
    for _ in 0..2 {
        let response = client.get("/");
        assert_eq!((response.text().as_str(), response.minor), ("old", 1));
    }
}

#[test]
fn an_http_1_0_client_gets_no_chunks() {
    let origin = Origin::script(|_| {
        reply::raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n")
    });
    let weir = in_front_of(&origin);
    let mut client = weir.client();
    let response = client.exchange("GET / HTTP/1.0\r\nHost: weir.test\r\n\r\n");
    assert_eq!((response.text().as_str(), response.ending), ("abcdef", Ending::Close));
}

#[test]
fn an_http_1_0_client_may_keep_its_connection() {
    let origin = Origin::named("origin");
    let weir = in_front_of(&origin);
    let mut client = weir.client();
    for _ in 0..2 {
        let response = client.exchange("GET / HTTP/1.0\r\nHost: weir.test\r\nConnection: keep-alive\r\n\r\n");
        assert_eq!(response.text(), "origin");
        assert!(!response.announces_close(), "{response:?}");
    }
    assert!(client.exchange("GET / HTTP/1.0\r\nHost: weir.test\r\n\r\n").announces_close());
    assert!(client.is_closed());
}

#[test]
fn a_response_cut_short_is_never_passed_off_as_whole() {
    let cut = [
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n40\r\nhalf",
    ];
    for answer in cut {
        let origin = Origin::script(move |_| reply::raw_close(answer));
        let weir = in_front_of(&origin);
        let mut client = weir.client();
        client.send("GET / HTTP/1.1\r\nHost: weir.test\r\n\r\n");
        match client.response("GET") {
            Err(WireError::Truncated(_) | WireError::Closed) => {}
            Ok(response) if response.status == 502 => {}
            other => panic!("{answer:?}: {other:?}"),
        }
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let origin = Origin::script(|seen| reply::ok(&seen.request.head.target));
    let weir = in_front_of(&origin);
    let mut client = weir.client();
    let requests: String = (0..5).map(|n| format!("GET /{n} HTTP/1.1\r\nHost: weir.test\r\n\r\n")).collect();
    client.send(requests);
    for n in 0..5 {
        assert_eq!(client.response("GET").unwrap().text(), format!("/{n}"));
    }
}

/// A client that has said everything may close its sending side and still wants its answer. RFC 9112 §9.6.
#[test]
fn a_half_closed_client_gets_its_answer() {
    let gate = reply::Gate::default();
    let waiting = gate.clone();
    let origin = Origin::script(move |_| {
        vec![reply::Step::Wait(waiting.clone()), reply::Step::Send(reply::message("200 OK", &[], "late"))]
    });
    let weir = in_front_of(&origin);
    let mut client = weir.client();
    client.send("GET / HTTP/1.1\r\nHost: weir.test\r\nConnection: close\r\n\r\n");
    client.finish();
    weir_tests::eventually::eventually("the server has the request", || (gate.arrivals() > 0).then_some(()));
    gate.open();
    assert_eq!(client.response("GET").unwrap().text(), "late");
}

/// Some clients send a line end behind a body. Unread when the connection is closed, it would reset it, and the answer with it.
#[test]
fn a_stray_line_end_behind_the_last_request_costs_no_answer() {
    let gate = reply::Gate::default();
    let waiting = gate.clone();
    let answer = "x".repeat(1 << 20);
    let body = answer.clone();
    let origin = Origin::script(move |_| {
        vec![reply::Step::Wait(waiting.clone()), reply::Step::Send(reply::message("200 OK", &[], &body))]
    });
    let weir = in_front_of(&origin);
    let mut client = weir.client();
    client.send("POST / HTTP/1.1\r\nHost: weir.test\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc");
    weir_tests::eventually::eventually("the server has the request", || (gate.arrivals() > 0).then_some(()));
    client.send("\r\n");
    gate.open();
    assert!(client.response("POST").unwrap().text() == answer, "all of it");
}

/// `sizes` chunks of these many bytes, and the last one.
fn chunks(sizes: impl Iterator<Item = usize>) -> String {
    let chunks: String = sizes.map(|size| format!("{size:x}\r\n{}\r\n", "x".repeat(size))).collect();
    chunks + "0\r\n\r\n"
}

/// More pieces than go out at once, of sizes that are copied and sizes that are not.
fn mixed() -> impl Iterator<Item = usize> {
    [10, 5000, 1000, 9000, 1].into_iter().cycle().take(60)
}

#[test]
fn chunks_that_arrive_together_go_on_whole() {
    let origin = Origin::script(|_| {
        reply::raw(format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}", chunks(mixed())))
    });
    let weir = in_front_of(&origin);
    let mut client = weir.client();
    for sizes in [mixed().collect(), vec![1000; 100], vec![4096; 40], vec![1; 5000]] {
        let body = chunks(sizes.iter().copied());
        let response = client.exchange(format!(
            "POST / HTTP/1.1\r\nHost: weir.test\r\nTransfer-Encoding: chunked\r\n\r\n{body}"
        ));
        assert_eq!((response.status, response.body.len()), (200, mixed().sum()));
        let seen = origin.seen();
        assert_eq!(seen.last().map(|seen| seen.request.body.len()), Some(sizes.iter().sum()));
    }
}

#[test]
fn a_body_follows_a_head_that_fills_what_is_sent_at_once() {
    let origin = Origin::named("origin");
    let weir = in_front_of(&origin);
    let mut client = weir.client();
    let fields: String = (0..4).map(|n| format!("X-Large-{n}: {}\r\n", "v".repeat(6000))).collect();
    for (framing, body) in
        [("Content-Length: 20000", "x".repeat(20_000)), ("Transfer-Encoding: chunked", chunks(mixed()))]
    {
        let response =
            client.exchange(format!("PUT / HTTP/1.1\r\nHost: weir.test\r\n{fields}{framing}\r\n\r\n{body}"));
        assert_eq!(response.status, 200, "{framing}");
    }
    let lengths: Vec<_> = origin.seen().iter().map(|seen| seen.request.body.len()).collect();
    assert_eq!(lengths, [20_000, mixed().sum()]);
}
