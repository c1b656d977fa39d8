//! RFC 9112 §3.2: the forms of a request target, and what the server gets of them.

use weir_tests::origin::Origin;

use super::in_front_of;

#[test]
fn absolute_form_becomes_origin_form_with_its_host() {
    let origin = Origin::named("origin");
    let weir = in_front_of(&origin);
    let response = weir.client().exchange("GET http://shop.test/a?b=c HTTP/1.1\r\nHost: shop.test\r\n\r\n");
    assert_eq!(response.status, 200);
    let head = origin.only().request.head;
    assert_eq!((head.target.as_str(), head.fields.one("host")), ("/a?b=c", Some("shop.test")));
}

/// The target wins over Host, or the request is refused: never the other way round. RFC 9112 §3.2.2.
#[test]
fn absolute_form_wins_over_host() {
    let origin = Origin::named("origin");
    let weir = in_front_of(&origin);
    let response = weir.client().exchange("GET http://shop.test/ HTTP/1.1\r\nHost: evil.test\r\n\r\n");
    if response.status == 200 {
        assert_eq!(origin.only().request.head.fields.one("host"), Some("shop.test"));
    } else {
        assert_eq!((response.status, origin.count()), (400, 0));
    }
}

#[test]
fn absolute_form_without_a_path_gets_one() {
    let origin = Origin::named("origin");
    let weir = in_front_of(&origin);
    let response = weir.client().exchange("GET http://shop.test?b=c HTTP/1.1\r\nHost: shop.test\r\n\r\n");
    assert_eq!(response.status, 200);
    assert_eq!(origin.only().request.head.target, "/?b=c");
}

#[test]
fn options_asterisk_stays_as_it_is() {
    let origin = Origin::named("origin");
    let weir = in_front_of(&origin);
    let response = weir.client().exchange("OPTIONS * HTTP/1.1\r\nHost: weir.test\r\n\r\n");
    assert_eq!(response.status, 200);
    let head = origin.only().request.head;
    assert_eq!((head.method.as_str(), head.target.as_str()), ("OPTIONS", "*"));
}

/// RFC 9112 §3.2.4: what the last proxy makes of OPTIONS for a host alone. With a path it is about that path.
#[test]
fn options_for_a_host_alone_becomes_asterisk_form() {
    let origin = Origin::named("origin");
    let weir = in_front_of(&origin);
    let mut client = weir.client();
    for target in ["http://shop.test", "http://shop.test:8001", "http://shop.test/", "http://shop.test?a"] {
        let request = format!("OPTIONS {target} HTTP/1.1\r\nHost: shop.test\r\n\r\n");
        assert_eq!(client.exchange(request).status, 200, "{target}");
    }
    assert_eq!(origin.targets(), ["*", "*", "/", "/?a"]);
    let hosts: Vec<_> =
        origin.seen().iter().map(|seen| seen.request.head.fields.one("host").unwrap().to_owned()).collect();
    assert_eq!(hosts, ["shop.test", "shop.test:8001", "shop.test", "shop.test"]);
}

/// RFC 9112 §3.2: no form of a target has a fragment. A `#` elsewhere is no fragment.
#[test]
fn a_fragment_is_refused() {
    let origin = Origin::named("origin");
    let weir = in_front_of(&origin);
    for target in ["/a#b", "/#", "http://shop.test/a#b", "/a?b#c"] {
        let response = weir.client().exchange(format!("GET {target} HTTP/1.1\r\nHost: shop.test\r\n\r\n"));
        assert_eq!(response.status, 400, "{target}");
    }
    assert_eq!(origin.count(), 0);
    let mut client = weir.client();
    let body = "POST / HTTP/1.1\r\nHost: shop.test\r\nX-A: #\r\nContent-Length: 4\r\n\r\n#a#b";
    assert_eq!(client.exchange(body).status, 200);
    assert_eq!(client.get("/").status, 200);
}

#[test]
fn paths_pass_as_they_came() {
    let targets = [
        "/",
        "//",
        "/a//b",
        "/./a/../b",
        "/%2e%2e/a",
        "/%2F",
        "/a;b=c",
        "/a?",
        "/a?b=c&d=%20",
        "/a?b=c?d",
        "/~a",
        "/a:b@c",
        "/%C3%A9",
        "/a+b",
        "/a,b",
        "/a!$&'()*",
    ];
    let origin = Origin::named("origin");
    let weir = in_front_of(&origin);
    let mut client = weir.client();
    for target in targets {
        assert_eq!(client.get(target).status, 200, "{target}");
    }
    assert_eq!(origin.targets(), targets);
}

#[test]
fn methods_pass_as_they_came() {
    let methods = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "M-SEARCH"];
    let origin = Origin::named("origin");
    let weir = in_front_of(&origin);
    let mut client = weir.client();
    for method in methods {
        let request = format!("{method} / HTTP/1.1\r\nHost: weir.test\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(client.exchange(request).status, 200, "{method}");
    }
    let seen: Vec<String> = origin.seen().iter().map(|seen| seen.request.head.method.clone()).collect();
    assert_eq!(seen, methods);
}
