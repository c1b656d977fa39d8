//! Listeners that move: to other addresses, onto each other's, and within their own port.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;
use weir_tests::client::Wire;
use weir_tests::config;
use weir_tests::eventually::eventually;
use weir_tests::origin::Origin;
use weir_tests::weir::Weir;

use super::{add_with, listener};

#[test]
fn a_moved_listener_keeps_its_connections() {
    let origin = Origin::named("origin");
    let weir = Weir::start();
    weir.api().set_default(&config::plain(&[origin.address()]));
    let old = add_with(&weir, "mover", json!({}));
    let mut client = Wire::connect(old);
    assert_eq!(client.get("/").status, 200);
    let moved = weir.api().patch("/v1/listeners/mover", &json!({"address": "[::1]:0"})).expect(200).json();
    let new: SocketAddr = moved["status"]["address"].as_str().unwrap().parse().unwrap();
    assert!(new.is_ipv6(), "{moved}");
    assert_eq!(Wire::connect(new).get("/").status, 200);
    assert!(TcpStream::connect(old).is_err(), "the old address is given up");
    let answer = client.get("/");
    assert!(answer.status == 200 && !answer.announces_close() && client.is_idle(), "{answer:?}");
}

#[test]
fn two_listeners_exchange_their_addresses_in_one_change() {
    let origin = Origin::named("origin");
    let weir = Weir::start();
    weir.api().set_default(&config::plain(&[origin.address()]));
    let (one, other) =
        (add_with(&weir, "one", json!({})), add_with(&weir, "other", json!({"max_uri_bytes": 256})));
    let document = |one: SocketAddr, other: SocketAddr| {
        json!({"listeners": [
            {"id": "one", "address": one.to_string()},
            {"id": "other", "address": other.to_string(), "max_uri_bytes": 256},
        ]})
    };
    weir.api().put("/v1/config?prune=false", &document(other, one)).assert(200);
    for id in ["one", "other"] {
        assert_eq!(listener(&weir, id)["status"]["bound"], true);
    }
    let target = format!("/{}", "a".repeat(300));
    assert_eq!(Wire::connect(one).get(&target).status, 414, "this is the other's now");
    assert_eq!(Wire::connect(other).get(&target).status, 200);
}

#[test]
fn an_address_that_cannot_be_had_leaves_the_old_one_in_place() {
    let origin = Origin::named("origin");
    let weir = Weir::start();
    weir.api().set_default(&config::plain(&[origin.address()]));
    let old = add_with(&weir, "stays", json!({}));
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let patch = json!({"address": taken.local_addr().unwrap().to_string()});
    let answer = weir.api().patch("/v1/listeners/stays", &patch).expect(200).json();
    assert_eq!(
        (&answer["status"]["bound"], &answer["status"]["address"]),
        (&json!(false), &json!(old.to_string()))
    );
    assert_eq!(Wire::connect(old).get("/").status, 200);
    let answer =
        weir.api().patch("/v1/listeners/stays", &json!({"address": old.to_string()})).expect(200).json();
    assert_eq!((&answer["status"]["bound"], &answer["status"]["error"]), (&json!(true), &json!(null)));
    assert_eq!(Wire::connect(old).get("/").status, 200);
}

/// Its new address being taken, it keeps the old one, which nobody else gets beside it.
#[test]
fn an_address_that_is_not_given_up_goes_to_nobody_else() {
    let origin = Origin::named("origin");
    let weir = Weir::start();
    weir.api().set_default(&config::plain(&[origin.address()]));
    let old = add_with(&weir, "stays", json!({}));
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let document = json!({"listeners": [
        {"id": "comes", "address": old.to_string(), "max_uri_bytes": 256},
        {"id": "stays", "address": taken.local_addr().unwrap().to_string()},
    ]});
    weir.api().put("/v1/config?prune=false", &document).assert(200);
    let (stays, comes) = (listener(&weir, "stays"), listener(&weir, "comes"));
    assert_eq!(stays["status"]["address"], old.to_string(), "{stays}");
    let error = comes["status"]["error"].as_str().unwrap_or_default();
    assert!(comes["status"]["bound"] == false && error.contains("\"stays\" has it"), "{comes}");
    let target = format!("/{}", "a".repeat(300));
    for _ in 0..20 {
        assert_eq!(Wire::connect(old).get(&target).status, 200, "one listener alone accepts there");
    }
    drop(taken);
    for id in ["stays", "comes"] {
        eventually("it is bound", || (listener(&weir, id)["status"]["bound"] == true).then_some(()));
    }
    assert_eq!(Wire::connect(old).get(&target).status, 414);
}

#[test]
fn a_listener_is_narrowed_and_widened_on_its_own_port() {
    let origin = Origin::named("origin");
    let weir = Weir::start();
    weir.api().set_default(&config::plain(&[origin.address()]));
    let port = add_with(&weir, "own", json!({"address": "0.0.0.0:0"})).port();
    let mut client = Wire::connect(SocketAddr::from(([127, 0, 0, 1], port)));
    assert_eq!(client.get("/").status, 200);
    for (host, reached) in [("127.0.0.1", "127.0.0.1"), ("[::]", "[::1]"), ("127.0.0.2", "127.0.0.2")] {
        let patch = json!({"address": format!("{host}:{port}")});
        let moved = weir.api().patch("/v1/listeners/own", &patch).expect(200).json();
        assert_eq!((&moved["status"]["bound"], &moved["status"]["error"]), (&json!(true), &json!(null)));
        let reached: SocketAddr = format!("{reached}:{port}").parse().unwrap();
        assert_eq!(Wire::connect(reached).get("/").status, 200, "{host}");
    }
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "the wide one is given up");
    assert_eq!(client.get("/").status, 200, "connections stay");
}

#[test]
fn two_unix_sockets_exchange_their_paths() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    let origin = Origin::named("origin");
    let weir = Weir::start();
    weir.api().set_default(&config::plain(&[origin.address()]));
    let document = |one: &str, other: &str| {
        json!({"listeners": [
            {"id": "one", "address": format!("unix:{}", path(one).display())},
            {"id": "other", "address": format!("unix:{}", path(other).display()), "max_uri_bytes": 256},
        ]})
    };
    weir.api().put("/v1/config?prune=false", &document("a", "b")).assert(200);
    for round in 0..3 {
        let (one, other) = if round % 2 == 0 { ("b", "a") } else { ("a", "b") };
        weir.api().put("/v1/config?prune=false", &document(one, other)).assert(200);
        for (name, status) in [(one, "200"), (other, "414")] {
            let mut stream = UnixStream::connect(path(name)).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            let request =
                format!("GET /{} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "a".repeat(300));
            stream.write_all(request.as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert_eq!(answer.split(' ').nth(1), Some(status), "round {round}: {answer}");
        }
    }
    weir.api().delete("/v1/listeners/one").assert(204);
    weir.api().delete("/v1/listeners/other").assert(204);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "no file is left");
    weir.assert_no_errors();
}
