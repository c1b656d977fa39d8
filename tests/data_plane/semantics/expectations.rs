//! RFC 9110 §10.1.1 and §15.2, RFC 9112 §9.3: interim responses, and answers that come before the request is over.

use weir_tests::eventually::eventually;
use weir_tests::frame_client::{DATA, END_HEADERS, END_STREAM, Field, Frames, HEADERS, block, is_ok};
use weir_tests::origin::{AtHead, Origin};
use weir_tests::reply::{self, Step};

use super::{in_front_of, metric};

const EXPECTING: &str =
    "POST / HTTP/1.1\r\nHost: weir.test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";

#[test]
fn a_client_that_waits_for_100_continue_gets_it() {
    let origin = Origin::with_head(
        |_| AtHead::Go(vec![Step::Send(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec())]),
        |_| reply::ok("thanks"),
    );
    let weir = in_front_of(&origin);
    let mut client = weir.client();
    client.send(EXPECTING);
    let (_, status, _) = client.response_head().unwrap();
    assert_eq!(status, 100);
    client.send("hello");
    let response = client.response("POST").unwrap();
    assert_eq!((response.text().as_str(), response.interim.len()), ("thanks", 0), "a single 100");
    assert_eq!(origin.only().request.body, b"hello");
}

/// A server that does not know the expectation waits for the body; the client must not wait for ever.
#[test]
fn a_server_that_never_says_100_does_not_hang_the_client() {
    let origin = Origin::named("origin");
    let weir = in_front_of(&origin);
    let mut client = weir.client();
    client.send(EXPECTING);
    assert_eq!(client.response_head().unwrap().1, 100);
    client.send("hello");
    assert_eq!(client.response("POST").unwrap().text(), "origin");
    assert_eq!(origin.only().request.body, b"hello");
}

/// There is no 100 over HTTP/2: a client goes on by itself, unless it is answered before.
#[test]
fn over_http2_a_client_that_goes_on_by_itself_is_served() {
    let origin = Origin::with_head(
        |head| match head.target.as_str() {
            "/refused" => AtHead::Answer(vec![Step::Send(reply::message("413 Content Too Large", &[], ""))]),
            _ => AtHead::Go(vec![Step::Send(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec())]),
        },
        |_| reply::ok("thanks"),
    );
    let weir = in_front_of(&origin);
    let mut client = Frames::connect(weir.data(), &[]);
    let head = |path: &'static [u8]| {
        let expecting: [Field<'_>; 6] = [
            (b":method", b"POST"),
            (b":scheme", b"http"),
            (b":authority", b"weir.test"),
            (b":path", path),
            (b"content-length", b"5"),
            (b"expect", b"100-continue"),
        ];
        block(&expecting)
    };
    client.frame(HEADERS, END_HEADERS, 1, &head(b"/refused"));
    let refused = client.answer(1).unwrap();
    assert!(refused.kind == HEADERS && !is_ok(&refused), "{refused:?}");
    client.frame(HEADERS, END_HEADERS, 3, &head(b"/wanted"));
    eventually("the head has arrived", || (origin.open_connections() == 1).then_some(()));
    client.frame(DATA, END_STREAM, 3, b"hello");
    assert!(is_ok(&client.answer(3).unwrap()));
    assert_eq!(origin.only().request.body, b"hello");
}

/// RFC 9110 §10.1.1: who has begun to send waits for nothing.
#[test]
fn a_client_that_does_not_wait_is_told_nothing() {
    let origin = Origin::named("origin");
    let weir = in_front_of(&origin);
    let mut client = weir.client();
    client.send(format!("{EXPECTING}hel"));
    eventually("the head has arrived", || (origin.open_connections() == 1).then_some(()));
    client.send("lo");
    let response = client.response("POST").unwrap();
    assert_eq!((response.text().as_str(), response.interim.as_slice()), ("origin", &[][..]));
    assert_eq!(client.get("/").text(), "origin", "in step");
}

/// RFC 9112 §9.6: closing at once would reset the answer under its reader.
#[test]
fn who_sends_on_after_it_was_refused_still_gets_the_answer() {
    let weir = in_front_of(&Origin::named("origin"));
    for head in ["G(T / HTTP/1.1\r\n", "POST / HTTP/1.1\r\nHost: weir.test\r\nContent-Length: +1\r\n\r\n"] {
        let mut client = weir.client();
        client.send(head);
        let piece = vec![b'x'; 65_536];
        for _ in 0..64 {
            client.try_send(&piece).unwrap();
        }
        assert_eq!(client.response("POST").unwrap().status, 400, "{head:?}");
        assert!(client.is_closed());
    }
}

#[test]
fn a_refused_expectation_is_passed_on_and_the_connection_stays_in_step() {
    let origin = Origin::with_head(
        |head| match head.method.as_str() {
            "POST" => AtHead::Answer(vec![Step::Send(reply::message("417 Expectation Failed", &[], "no"))]),
            _ => AtHead::Go(Vec::new()),
        },
        |_| reply::ok("next"),
    );
    let weir = in_front_of(&origin);
    let mut client = weir.client();
    client.send(EXPECTING);
    let response = client.response("POST").unwrap();
    // A proxy that has asked for the body itself sends its 100 first, and the body is then still to come.
    assert_eq!(response.status, 417);
    if response.announces_close() {
        return;
    }
    if response.interim == [100] {
        client.send("hello");
    }
    assert_eq!(client.get("/").text(), "next");
}

#[test]
fn interim_responses_before_the_final_one_do_no_harm() {
    let origin = Origin::script(|_| {
        reply::raw(
            "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n\
             HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone",
        )
    });
    let weir = in_front_of(&origin);
    let mut client = weir.client();
    for _ in 0..2 {
        let response = client.get("/");
        assert_eq!((response.status, response.text().as_str()), (200, "done"));
        assert!(!response.fields.has("link"), "a hint's fields belong to the hint");
    }
}

#[test]
fn a_100_that_nobody_asked_for_is_not_taken_for_the_response() {
    let origin = Origin::script(|_| {
        reply::raw("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    });
    let weir = in_front_of(&origin);
    let response = weir.client().post("/", "hello");
    assert_eq!((response.status, response.text().as_str()), (200, "ok"));
}

#[test]
fn an_answer_before_the_body_ended_reaches_the_client() {
    let origin = Origin::with_head(
        |_| {
            AtHead::Answer(vec![Step::Send(reply::message(
                "401 Unauthorized",
                &["Connection: close"],
                "who?",
            ))])
        },
        |_| reply::ok("never"),
    );
    let weir = in_front_of(&origin);
    let mut client = weir.client();
    client.send("POST / HTTP/1.1\r\nHost: weir.test\r\nContent-Length: 1000000\r\n\r\nthe first few bytes");
    let response = client.response("POST").unwrap();
    assert_eq!((response.status, response.text().as_str()), (401, "who?"));
}

/// The server answers and closes while the client still writes: the write fails, the answer counts.
#[test]
fn an_answer_and_a_close_before_the_body_ended_still_reach_the_client() {
    let origin = Origin::with_head(
        |_| {
            AtHead::Answer(vec![
                Step::Send(reply::message("413 Content Too Large", &["Connection: close"], "enough")),
                Step::Close,
            ])
        },
        |_| reply::ok("never"),
    );
    let weir = in_front_of(&origin);
    let mut client = weir.client();
    let size = 4 * 1024 * 1024;
    client.send(format!("PUT / HTTP/1.1\r\nHost: weir.test\r\nContent-Length: {size}\r\n\r\n"));
    let piece = vec![b'x'; 65_536];
    for _ in 0..size / piece.len() {
        if client.try_send(&piece).is_err() {
            break;
        }
    }
    let response = client.response("PUT").unwrap();
    assert_eq!((response.status, response.text().as_str()), (413, "enough"));
}

/// A connection whose request was never read to its end must not carry another one.
#[test]
fn a_server_connection_with_half_a_request_on_it_is_not_used_again() {
    let origin = Origin::with_head(
        |head| match head.method.as_str() {
            "POST" => AtHead::Answer(vec![Step::Send(reply::message("200 OK", &[], "early"))]),
            _ => AtHead::Go(Vec::new()),
        },
        |_| reply::ok("next"),
    );
    let weir = in_front_of(&origin);
    let mut client = weir.client();
    client.send("POST / HTTP/1.1\r\nHost: weir.test\r\nContent-Length: 100\r\n\r\npart");
    assert_eq!(client.response("POST").unwrap().text(), "early");
    for _ in 0..5 {
        assert_eq!(weir.client().get("/").text(), "next");
    }
    assert_eq!(origin.violations(), Vec::<String>::new());
}

#[test]
fn a_client_that_leaves_ends_the_request_at_the_server() {
    let body = "x".repeat(32 * 1024 * 1024);
    let origin = Origin::script(move |_| reply::ok(&body));
    let weir = in_front_of(&origin);
    let mut client = weir.client();
    client.send("GET / HTTP/1.1\r\nHost: weir.test\r\n\r\n");
    eventually("the request is under way", || (origin.open_connections() > 0).then_some(()));
    client.reset();
    eventually("the server's connection is closed", || (origin.open_connections() == 0).then_some(()));
}

/// A client is said to have gone away when it has, and for no response that it took, whatever its form.
#[test]
fn only_clients_that_leave_are_counted_as_gone() {
    let origin = Origin::script(|seen| match seen.request.head.target.as_str() {
        "/chunked" => reply::raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
        "/close" => reply::raw_close("HTTP/1.1 200 OK\r\n\r\nok"),
        "/none" => reply::raw("HTTP/1.1 204 No Content\r\n\r\n"),
        "/same" => reply::raw("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"),
        "/head" => reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"),
        "/broken" => reply::raw_close("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"),
        "/large" => reply::ok(&"x".repeat(32 * 1024 * 1024)),
        _ => reply::ok("ok"),
    });
    let weir = in_front_of(&origin);
    let mut client = weir.client();
    for target in ["/", "/chunked", "/close", "/none", "/same"] {
        client.get(target);
    }
    for target in ["/head", "no target"] {
        client.send(format!("HEAD {target} HTTP/1.1\r\nHost: weir.test\r\n\r\n"));
        client.response("HEAD").unwrap();
    }
    let mut client = weir.client();
    client.send("GET /broken HTTP/1.1\r\nHost: weir.test\r\n\r\n");
    client.response("GET").unwrap_err();
    let mut client = weir.client();
    client.send("GET /large HTTP/1.1\r\nHost: weir.test\r\n\r\n");
    client.response_head().unwrap();
    assert_eq!(metric(&weir, "weir_client_aborts_total"), 0);
    client.reset();
    eventually("one has gone", || (metric(&weir, "weir_client_aborts_total") == 1).then_some(()));
}

/// The server has not answered yet, so nothing is written that would tell.
#[test]
fn a_client_that_leaves_before_the_answer_is_noticed() {
    let origin = Origin::script(|_| vec![Step::Hold]);
    let weir = in_front_of(&origin);
    let mut client = weir.client();
    client.send("GET / HTTP/1.1\r\nHost: weir.test\r\n\r\n");
    eventually("the request is under way", || (origin.count() == 1).then_some(()));
    client.reset();
    eventually("the server's connection is closed", || (origin.open_connections() == 0).then_some(()));
    assert_eq!(metric(&weir, "weir_client_aborts_total"), 1);
}
