//! The whole checker, on its own thread, against real sockets.

use std::time::Duration;

use serde_json::json;
use tokio::{
    net::TcpListener,
    time::{Instant, sleep},
};
use weir_shared::state::{HealthState, Reason};

use super::super::{HealthChecker, fixture::Fixture};

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
