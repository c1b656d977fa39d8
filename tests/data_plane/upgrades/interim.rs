//! Interim responses of servers: RFC 9110 §15.2, RFC 8297.

use weir_tests::config;
use weir_tests::frame_client::{Frames, HEADERS, get, is_ok};
use weir_tests::origin::Origin;
use weir_tests::reply::{self, Gate, Step};
use weir_tests::weir::Weir;

use crate::semantics::assert_own_error;

const HINTS: &str = "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\nConnection: X-Hop\r\nX-Hop: 1\r\nContent-Length: 9\r\n\r\n";
const FINAL: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone";

fn in_front_of(answer: Vec<Step>) -> (Weir, Origin) {
    let origin = Origin::script(move |_| answer.clone());
    let weir = Weir::start();
    weir.api().set_default(&config::bare(&[origin.address()]));
    (weir, origin)
}

/// The hint arrives while the server still works.
#[test]
fn hints_come_before_the_answer() {
    let gate = Gate::default();
    let steps = vec![Step::Send(HINTS.into()), Step::Wait(gate.clone()), Step::Send(FINAL.into())];
    let (weir, _origin) = in_front_of(steps);
    let mut client = weir.client();
    client.send("GET / HTTP/1.1\r\nHost: weir.test\r\n\r\n");
    let (minor, status, fields) = client.response_head().unwrap();
    assert_eq!((minor, status, fields.one("link")), (1, 103, Some("</style.css>; rel=preload")));
    assert!(!fields.has("x-hop") && !fields.has("connection") && !fields.has("content-length"), "{fields:?}");
    gate.open();
    let response = client.response("GET").unwrap();
    assert_eq!((response.status, response.text().as_str()), (200, "done"));
    assert_eq!(client.get("/").interim, [103], "the connection is in step");
}

/// Several of them, of any kind, in one piece with the answer: in order, and 100 not at all when nobody waits for it.
#[test]
fn many_come_in_order() {
    let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 199 Strange\r\n\r\n";
    let (weir, _origin) = in_front_of(reply::raw(format!("{interim}{HINTS}{FINAL}")));
    let mut client = weir.client();
    for _ in 0..3 {
        let response = client.get("/");
        assert_eq!((response.interim.as_slice(), response.text().as_str()), (&[102, 199, 103][..], "done"));
    }
    let posted = client.post("/", "hello");
    assert_eq!((posted.interim.as_slice(), posted.text().as_str()), (&[102, 199, 103][..], "done"));
}

/// RFC 9110 §15.2: none for HTTP/1.0. Over HTTP/2 the library has no way to send one.
#[test]
fn who_cannot_take_them_gets_the_answer_alone() {
    let (weir, _origin) = in_front_of(reply::raw(format!("{HINTS}{FINAL}")));
    let response = weir.client().exchange("GET / HTTP/1.0\r\nHost: weir.test\r\n\r\n");
    assert_eq!((response.interim.len(), response.text().as_str()), (0, "done"));
    let mut client = Frames::connect(weir.data(), &[]);
    client.request(1, &get("/"));
    let head = client.until(|frame| frame.kind == HEADERS).unwrap();
    assert!(is_ok(&head), "{head:?}");
}

/// No number of them keeps a request, or a client's memory of it, going for ever.
#[test]
fn too_many_are_an_error() {
    let few = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(32);
    let (weir, _origin) = in_front_of(reply::raw(format!("{few}{FINAL}")));
    assert_eq!(weir.client().get("/").interim.len(), 32);
    let (weir, _origin) = in_front_of(reply::raw(format!("{few}{HINTS}{FINAL}")));
    assert_own_error(&weir.client().get("/"), 502, "http_protocol_error");
}

#[test]
fn malformed_ones_are_errors() {
    for bad in
        ["HTTP/1.1 103 Early Hints\r\nLink : a\r\n\r\n", "HTTP/1.1 103\r\nA\r\n\r\n", "HTTP/1.1 1\r\n\r\n"]
    {
        let (weir, _origin) = in_front_of(reply::raw_close(format!("{bad}{FINAL}")));
        assert_own_error(&weir.client().get("/"), 502, "http_protocol_error");
    }
}

/// A server's hints about an answer it then fails to give are as good as another one's.
#[test]
fn hints_do_not_stand_in_the_way_of_another_server() {
    let broken = Origin::script(|_| reply::raw_close(HINTS));
    let good = Origin::named("good");
    let weir = Weir::start();
    let servers = [broken.address(), good.address()];
    weir.api().set_default(&config::with(&servers, &serde_json::json!({"algorithm": "first"})));
    let response = weir.client().get("/");
    assert_eq!((response.interim.as_slice(), response.text().as_str()), (&[103][..], "good"));
}
