//! `kill -9` in a loop of writes: what was acknowledged is there, whole, and Weir always starts.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use weir_tests::client::Wire;
use weir_tests::config;
use weir_tests::eventually::{eventually, within};
use weir_tests::origin::Origin;
use weir_tests::weir::{Launch, Weir};

const ROUNDS: usize = 20;

/// Sends one write and says whether it was acknowledged; the process may die at any moment.
fn put(admin: std::net::SocketAddr, id: &str, generation: usize) -> bool {
    // Two servers that must change together: half a write would show.
    let servers = [10_000 + generation, 20_000 + generation].map(|port| format!("127.0.0.1:{port}"));
    let body = json!({ "labels": { "generation": generation.to_string() }, "servers": servers }).to_string();
    let Ok(mut wire) = Wire::try_connect(admin) else { return false };
    let head = format!(
        "PUT /v1/upstreams/{id} HTTP/1.1\r\nHost: {admin}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    wire.send(head + &body);
    wire.response("PUT").is_ok_and(|response| matches!(response.status, 200 | 201))
}

fn generation(upstream: &Value) -> usize {
    upstream["labels"]["generation"].as_str().unwrap().parse().unwrap()
}

#[test]
fn nothing_acknowledged_is_lost() {
    let folder = TempDir::new().unwrap();
    // For each of two writers: the highest acknowledged generation, and the highest sent one.
    let books = Mutex::new([(0, 0); 2]);
    let mut revision = 0;
    for round in 0..ROUNDS {
        let weir = Launch::default().data_dir(folder.path()).start();
        let (api, admin) = (weir.api(), weir.admin());
        let now = api.revision();
        assert!(now >= revision, "round {round}: revision {revision} went back to {now}");
        revision = now;
        for (writer, (acknowledged, sent)) in books.lock().unwrap().iter().enumerate() {
            if *acknowledged == 0 {
                continue;
            }
            let upstream = api.get(&format!("/v1/upstreams/w{writer}")).expect(200).json();
            let found = generation(&upstream);
            assert!(
                (*acknowledged..=*sent).contains(&found),
                "round {round}: {acknowledged} acknowledged, {found} found"
            );
            let ports: Vec<_> =
                upstream["servers"].as_array().unwrap().iter().map(|s| s["address"].clone()).collect();
            let expected = [10_000 + found, 20_000 + found].map(|port| json!(format!("127.0.0.1:{port}")));
            assert_eq!(ports, expected, "round {round}: half a write");
        }
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for writer in 0..2 {
                let (books, is_over) = (&books, &is_over);
                scope.spawn(move || {
                    while !is_over.load(Ordering::SeqCst) {
                        let next = {
                            let mut books = books.lock().unwrap();
                            books[writer].1 += 1;
                            books[writer].1
                        };
                        if put(admin, &format!("w{writer}"), next) {
                            books.lock().unwrap()[writer].0 = next;
                        }
                    }
                });
            }
            let before = books.lock().unwrap().map(|(acknowledged, _)| acknowledged);
            eventually("both writers got through", || {
                let now = books.lock().unwrap().map(|(acknowledged, _)| acknowledged);
                (now[0] > before[0] && now[1] > before[1]).then_some(())
            });
            // Another moment of the cycle of write, commit and answer each time.
            std::thread::sleep(Duration::from_millis(3 * round as u64));
            weir.kill();
            is_over.store(true, Ordering::SeqCst);
        });
    }
}

#[test]
fn traffic_resumes_at_once_after_a_kill() {
    let folder = TempDir::new().unwrap();
    let origin = Origin::named("origin");
    let weir = Launch::default().data_dir(folder.path()).start();
    weir.api().set_default(&config::plain(&[origin.address()]));
    assert_eq!(weir.client().get("/").text(), "origin");
    let (revision, etag) =
        (weir.api().revision(), weir.api().get("/v1/upstreams/default").expect(200).etag());
    weir.kill();

    let weir = Launch::default().data_dir(folder.path()).start();
    within(Duration::from_secs(1), "traffic flows", || {
        (weir.client().get("/").text() == "origin").then_some(())
    });
    assert_eq!(
        (weir.api().revision(), weir.api().get("/v1/upstreams/default").expect(200).etag()),
        (revision, etag)
    );
    weir.assert_no_errors();
}

#[test]
fn a_restart_in_order_keeps_everything() {
    let folder = TempDir::new().unwrap();
    let mut weir = Launch::default().data_dir(folder.path()).start();
    weir.api()
        .post("/v1/upstreams", &json!({ "id": "web", "servers": ["127.0.0.1:3001"], "algorithm": "random" }))
        .assert(201);
    // The listener is the process's own: its port is another one each time.
    let resources = |weir: &Weir| {
        let config = weir.api().get("/v1/config").expect(200).json();
        (config["routes"].clone(), config["upstreams"].clone())
    };
    let before = resources(&weir);
    weir.signal(weir_tests::signal::Signal::TERM);
    assert!(weir.wait(Duration::from_secs(10)).success());
    let weir = Launch::default().data_dir(folder.path()).start();
    assert_eq!(resources(&weir), before);
    for name in ["state.db", "last-good.json", "lock"] {
        assert!(folder.path().join(name).exists(), "{name}");
    }
}
