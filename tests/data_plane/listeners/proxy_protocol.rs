//! The PROXY protocol, from balancers in front and to servers behind.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::Duration;

use serde_json::json;
use weir_shared::model::ProxyVersion;
use weir_shared::proxy_protocol::{Ends, Parsed, encode, parse};
use weir_tests::client::Wire;
use weir_tests::config;
use weir_tests::eventually::eventually;
use weir_tests::origin::Origin;
use weir_tests::weir::Weir;

use super::{add_with, metric};

const CLIENT: &str = "203.0.113.7:4242";

fn ends(source: &str) -> Ends {
    Ends::Proxied { source: source.parse().unwrap(), destination: "198.51.100.1:443".parse().unwrap() }
}

/// What the only request so far said of its client.
fn forwarded_for(origin: &Origin) -> String {
    origin.seen().last().unwrap().request.head.fields.one("x-forwarded-for").unwrap().to_owned()
}

#[test]
fn a_trusted_balancer_says_who_the_client_is() {
    let origin = Origin::named("origin");
    let weir = Weir::start();
    weir.api().set_default(&config::bare(&[origin.address()]));
    let protocol = json!({"proxy_protocol": {"accept": "required", "trusted": ["127.0.0.0/8"]}});
    let address = add_with(&weir, "edge", protocol);
    for version in [ProxyVersion::V1, ProxyVersion::V2] {
        let mut client = Wire::connect(address);
        let mut header = encode(ends(CLIENT), version);
        header.extend_from_slice(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        // In pieces, as a network may bring it.
        for piece in header.chunks(7) {
            client.send(piece);
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(client.response("GET").unwrap().status, 200);
        assert_eq!(forwarded_for(&origin), "203.0.113.7");
        assert_eq!(client.get("/again").status, 200, "the header comes once");
        assert_eq!(forwarded_for(&origin), "203.0.113.7");
    }
    let mut check = Wire::connect(address);
    check.send(encode(Ends::Own, ProxyVersion::V2));
    assert_eq!(check.get("/").status, 200);
    assert_eq!(forwarded_for(&origin), "127.0.0.1", "a check of the balancer's speaks for itself");
}

#[test]
fn nobody_else_says_who_the_client_is() {
    let origin = Origin::named("origin");
    let weir = Weir::start();
    weir.api().set_default(&config::bare(&[origin.address()]));
    let listener =
        |accept: &str, trusted: &str| json!({"proxy_protocol": {"accept": accept, "trusted": [trusted]}});
    let strict = add_with(&weir, "strict", listener("required", "192.0.2.0/24"));
    let mixed = add_with(&weir, "mixed", listener("from_trusted", "192.0.2.0/24"));
    let header = encode(ends(CLIENT), ProxyVersion::V1);
    for first in [header.as_slice(), b""] {
        let mut client = Wire::connect(strict);
        client.send([first, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"].concat());
        assert!(client.is_closed(), "a peer that is not trusted is not served");
    }
    assert_eq!(metric(&weir, "weir_listener_proxy_header_errors_total", "strict"), 2);
    assert_eq!(Wire::connect(mixed).get("/").status, 200, "who is not trusted is a client");
    assert_eq!(forwarded_for(&origin), "127.0.0.1");
    for address in [mixed, weir.data()] {
        let mut spoofed = Wire::connect(address);
        spoofed.send([&header[..], b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"].concat());
        assert_eq!(spoofed.response("PROXY").unwrap().status, 400, "its header is no request");
    }
    assert_eq!(origin.count(), 1);
}

#[test]
fn a_missing_malformed_or_late_header_ends_the_connection() {
    let origin = Origin::named("origin");
    let weir = Weir::start();
    weir.api().set_default(&config::bare(&[origin.address()]));
    let protocol = json!({
        "header_timeout": "300ms",
        "proxy_protocol": {"accept": "required", "versions": ["v2"], "trusted": ["127.0.0.1"]}
    });
    let address = add_with(&weir, "edge", protocol);
    let line = encode(ends(CLIENT), ProxyVersion::V1);
    let late = &encode(ends(CLIENT), ProxyVersion::V2)[..20];
    let cases: [&[u8]; 5] = [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", &line, b"\r\n\r\n\0\r\nQUIX\n", late, b""];
    for first in cases {
        let mut client = Wire::connect(address);
        client.send(first);
        assert!(client.is_closed(), "{first:?}");
    }
    assert_eq!(origin.count(), 0);
    assert_eq!(metric(&weir, "weir_listener_proxy_header_errors_total", "edge"), 5);
}

/// Answers each connection after reading its PROXY header; sends what the header said through `told`.
fn server(told: std::sync::mpsc::Sender<Ends>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut bytes = Vec::new();
            let mut piece = [0; 512];
            while let Ok(count @ 1..) = stream.read(&mut piece) {
                bytes.extend_from_slice(&piece[..count]);
                let versions = [ProxyVersion::V1, ProxyVersion::V2];
                let Ok(Parsed::Complete(length, ends)) = parse(&bytes, &versions) else { continue };
                if bytes[length..].ends_with(b"\r\n\r\n") {
                    // Nobody listens any more once the test has ended.
                    let _ = told.send(ends);
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
                    bytes.truncate(length);
                }
            }
        }
    });
    address
}

#[test]
fn servers_are_told_who_the_client_is_on_connections_of_its_own() {
    let (told, heard) = std::sync::mpsc::channel();
    let address = server(told);
    let weir = Weir::start();
    for (version, check) in [
        ("v1", json!({"enabled": false})),
        ("v2", json!({"path": "/", "interval": "1s", "timeout": "500ms"})),
    ] {
        let more = json!({"send_proxy_protocol": version, "health_check": check, "retries": {"attempts": 0}});
        weir.api().set_default(&config::with(&[address], &more));
        let mut clients = [weir.client(), weir.client()];
        for client in &mut clients {
            for _ in 0..2 {
                assert_eq!(client.get("/").status, 200, "{version}");
                let local = client.local_address();
                // Checks come in between, and name nobody.
                let ends = eventually("the header", || heard.try_iter().find(|ends| *ends != Ends::Own));
                assert_eq!(ends, Ends::Proxied { source: local, destination: weir.data() }, "{version}");
            }
        }
    }
    let health = eventually("a check", || {
        Some(weir.api().server_health(address)).filter(|it| it["state"] == "healthy")
    });
    assert_eq!(health["state"], "healthy");
}
