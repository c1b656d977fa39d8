//! Listeners at unix sockets.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;
use weir_tests::config;
use weir_tests::eventually::eventually;
use weir_tests::origin::Origin;
use weir_tests::weir::{Launch, Weir};

use super::listener;

fn get(path: &Path, target: &str) -> String {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
        .write_all(format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes())
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_unix_socket_serves_and_goes_with_its_listener() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("http.sock");
    let origin = Origin::named("origin");
    let weir = Weir::start();
    weir.api().set_default(&config::plain(&[origin.address()]));
    let body = json!({"id": "local", "address": format!("unix:{}", path.display())});
    let made = weir.api().post("/v1/listeners", &body).expect(201).json();
    assert_eq!(made["status"]["bound"], true, "{made}");
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o660);
    for round in 0..20 {
        assert!(get(&path, &format!("/{round}")).ends_with("\r\n\r\norigin"));
    }
    let fields = origin.seen()[0].request.head.fields.clone();
    assert_eq!(fields.one("x-forwarded-for"), Some("127.0.0.1"));
    weir.api().delete("/v1/listeners/local").assert(204);
    assert!(!path.exists());
    weir.assert_no_errors();
}

#[test]
fn a_dead_socket_is_replaced_and_anything_else_is_left_alone() {
    let folder = TempDir::new().unwrap();
    let (data, path) = (folder.path().join("data"), folder.path().join("http.sock"));
    let origin = Origin::named("origin");
    let start = || Launch::default().data_dir(&data).start();
    let weir = start();
    weir.api().set_default(&config::plain(&[origin.address()]));
    let body = json!({"id": "local", "address": format!("unix:{}", path.display())});
    weir.api().post("/v1/listeners", &body).assert(201);
    weir.kill();
    assert!(path.exists(), "a process that is killed leaves its socket");
    let mut weir = start();
    assert!(get(&path, "/").contains("origin"));
    weir.signal(weir_tests::signal::Signal::TERM);
    assert!(weir.wait(Duration::from_secs(15)).success());
    assert!(!path.exists(), "a process that ends in order takes it along");
    std::fs::write(&path, "mine").unwrap();
    let weir = start();
    let status = listener(&weir, "local")["status"].clone();
    assert!(status["bound"] == false && status["error"].as_str().unwrap().contains("no socket"), "{status}");
    assert_eq!(std::fs::read(&path).unwrap(), b"mine");
    std::fs::remove_file(&path).unwrap();
    eventually("it is bound", || (listener(&weir, "local")["status"]["bound"] == true).then_some(()));
    assert!(get(&path, "/").contains("origin"));
}
