//! RFC 9110 §7.6.1: fields for one connection stay on it, in both directions.

use weir_tests::origin::Origin;
use weir_tests::reply;

use super::in_front_of;

#[test]
fn request_fields_named_by_any_connection_line_are_dropped() {
    let origin = Origin::named("origin");
    let weir = in_front_of(&origin);
    weir.client().exchange(concat!(
        "GET / HTTP/1.1\r\nHost: weir.test\r\n",
        "Connection: x-one, X-Two\r\nX-One: 1\r\nX-Two: 2\r\nX-Three: 3\r\nX-Kept: 4\r\n",
        "connection:x-three\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nTE: gzip\r\n\r\n",
    ));
    let fields = origin.only().request.head.fields;
    for name in ["x-one", "x-two", "x-three", "keep-alive", "proxy-connection", "te"] {
        assert!(!fields.has(name), "{name} went through: {fields:?}");
    }
    assert_eq!(fields.one("x-kept"), Some("4"));
    assert_eq!(origin.violations(), Vec::<String>::new());
}

#[test]
fn response_fields_named_by_any_connection_line_are_dropped() {
    let fields = [
        "Connection: x-one",
        "X-One: 1",
        "connection: X-TWO , keep-alive",
        "X-Two: 2",
        "Keep-Alive: timeout=5",
        "Proxy-Connection: keep-alive",
        "X-Kept: 4",
    ];
    let origin = Origin::script(move |_| vec![reply::Step::Send(reply::message("200 OK", &fields, "body"))]);
    let weir = in_front_of(&origin);
    let response = weir.client().get("/");
    for name in ["x-one", "x-two", "proxy-connection"] {
        assert!(!response.fields.has(name), "{name} went through: {response:?}");
    }
    assert_ne!(response.fields.one("keep-alive"), Some("timeout=5"), "the server's own");
    assert_eq!(response.fields.one("x-kept"), Some("4"));
    assert_eq!(response.text(), "body");
}

/// Host and the framing fields are the proxy's own business, whatever a client says about them.
#[test]
fn connection_cannot_name_what_the_message_needs() {
    let origin = Origin::named("origin");
    let weir = in_front_of(&origin);
    let response = weir.client().exchange(
        "POST / HTTP/1.1\r\nHost: weir.test\r\nConnection: host, content-length\r\nContent-Length: 5\r\n\r\nhello",
    );
    if response.status == 200 {
        let request = origin.only().request;
        assert_eq!(request.head.fields.one("host"), Some("weir.test"));
        assert_eq!(request.body, b"hello");
    } else {
        assert_eq!((response.status, origin.count()), (400, 0));
    }
}

#[test]
fn the_clients_connection_close_ends_its_connection_and_not_the_servers() {
    let origin = Origin::named("origin");
    let weir = in_front_of(&origin);
    let mut client = weir.client();
    let response = client.exchange("GET / HTTP/1.1\r\nHost: weir.test\r\nConnection: close\r\n\r\n");
    assert!(response.announces_close());
    assert!(client.is_closed());
    assert!(!origin.only().request.head.fields.list("connection").contains(&"close".to_owned()));
}

#[test]
fn the_servers_connection_close_does_not_end_the_clients() {
    let origin = Origin::script(|_| {
        vec![reply::Step::Send(reply::message("200 OK", &["Connection: close"], "bye")), reply::Step::Close]
    });
    let weir = in_front_of(&origin);
    let mut client = weir.client();
    for _ in 0..3 {
        let response = client.get("/");
        assert_eq!(response.text(), "bye");
        assert!(!response.announces_close(), "{response:?}");
    }
}

/// An upgrade is offered per connection; without support for it the request goes on as the plain one it also is.
#[test]
fn an_upgrade_offer_does_not_reach_the_server_as_a_stray_field() {
    let origin = Origin::named("origin");
    let weir = in_front_of(&origin);
    let response = weir.client().exchange(
        "GET / HTTP/1.1\r\nHost: weir.test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
         HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n",
    );
    assert_eq!(response.status, 200);
    let fields = origin.only().request.head.fields;
    assert!(!fields.has("upgrade") && !fields.has("http2-settings"), "{fields:?}");
}
