//! The whole checker, on its own thread, against real sockets.

use std::{
    io::{Read as _, Write as _},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use serde_json::json;
use tokio::{
    net::TcpListener,
    task::JoinSet,
    time::{Instant, sleep},
};
use weir_shared::state::{HealthState, Reason};

use super::super::{CheckerStats, HealthChecker, checker::Checker, fixture::Fixture, probe::Network};

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn servers_come_and_go_and_the_checker_ends_with_its_handle() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let check = json!({"interval": "100ms", "timeout": "90ms"});
    let web = |server: &str| json!([{"id": "web", "servers": [server], "health_check": check}]);
    let mut fixture = Fixture::new(web(&address));
    let checker =
        HealthChecker::start(fixture.reader.clone(), fixture.published.clone(), fixture.clock).unwrap();
    until("a listening server is healthy", || fixture.state(&address).health.is_healthy()).await;
    drop(listener);
    until("a stopped server is unhealthy", || fixture.health(&address).verdict == HealthState::Unhealthy)
        .await;
    let record = fixture.health(&address);
    assert_eq!(record.reason, Some(Reason::ConnectRefused));
    assert_eq!(record.detail, format!("tcp connect to {address}: connection refused (os error 111)"));
    let listener = TcpListener::bind(&address).await.unwrap();
    until("a restarted server is healthy", || fixture.state(&address).health.is_healthy()).await;

    let port = listener.local_addr().unwrap().port();
    let by_name = format!("localhost:{port}");
    fixture.publish(web(&by_name));
    until("a published server is checked", || fixture.state(&by_name).health.is_healthy()).await;
    assert_eq!(checker.stats().targets(), 1);
    drop(checker);
    let total = fixture.health(&by_name).total;
    sleep(Duration::from_millis(250)).await;
    assert_eq!(fixture.health(&by_name).total, total);
}

/// Answers every request at once, on a thread of its own, until dropped.
struct Prompt {
    address: String,
    is_over: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Prompt {
    fn new() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let is_over = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&is_over);
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if seen.load(Ordering::Relaxed) {
                    break;
                }
                let Ok(mut stream) = stream else { continue };
                stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
                // A check that was given up is no reason to stop.
                let _ = stream.read(&mut [0; 512]).and_then(|_| stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n"));
            }
        });
        Self { address, is_over, thread: Some(thread) }
    }
}

impl Drop for Prompt {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let woken = std::net::TcpStream::connect(&self.address);
        if let Some(thread) = self.thread.take().filter(|_| woken.is_ok()) {
            thread.join().unwrap();
        }
    }
}

#[tokio::test]
async fn a_starved_checker_fails_no_server() {
    let server = Prompt::new();
    let check = json!({"path": "/", "interval": "100ms", "timeout": "90ms"});
    let upstreams = json!([{"id": "web", "servers": [server.address], "health_check": check}]);
    let fixture = Fixture::new(upstreams);
    let stats = Arc::new(CheckerStats::default());
    let checker = Checker::new(fixture.reader.clone(), fixture.clock, Network::default(), Arc::clone(&stats));
    let mut tasks = JoinSet::new();
    tasks.spawn(checker.run(fixture.published.clone()));
    until("the server is healthy", || fixture.state(&server.address).health.is_healthy()).await;
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut round = 0;
    while stats.discarded() == 0 {
        round += 1;
        // The checker's thread is this one: while it sleeps here, no check can hear its answer.
        thread::sleep(Duration::from_millis(120));
        // A changing number of turns, so that the sleep hits another step of the check each time.
        for _ in 0..=round % 3 {
            tokio::task::yield_now().await;
        }
        assert!(fixture.state(&server.address).health.is_healthy());
        let record = fixture.health(&server.address);
        assert!(Instant::now() < deadline, "checks were not starved: {} {record:?}", stats.discarded());
    }
}
