//! Which passing checks end an ejection.

use std::time::Duration;

use serde_json::{Value, json};
use weir_shared::state::{Detector, Evidence, ServerFault};

use super::{Play, Script};

const A: &str = "10.0.0.1:80";
const ERRORS: Evidence = row(ServerFault::Status(500));

const fn row(fault: ServerFault) -> Evidence {
    Evidence::Row { detector: Detector::Consecutive5xx, errors: 5, fault }
}

/// A server ejected for five minutes by `evidence`, checked every second in the way `kind` says.
async fn ejected(kind: &str, evidence: Evidence) -> Play {
    ejected_with(kind, evidence, json!({})).await
}

async fn ejected_with(kind: &str, evidence: Evidence, outliers: Value) -> Play {
    let check = json!({"type": kind, "interval": "1s", "timeout": "500ms", "jitter_percent": 0});
    let web = json!([{"id": "web", "servers": [A], "health_check": check, "outlier_detection": outliers}]);
    let play = Play::new(web, &[]).await;
    play.fixture.eject(A, evidence, Duration::from_secs(300));
    play
}

fn is_ejected(play: &Play) -> bool {
    play.fixture.state(A).outlier.is_ejected(play.fixture.clock.now().moment)
}

#[tokio::test(start_paused = true)]
async fn a_passing_http_check_ends_an_ejection() {
    let play = ejected("http", ERRORS).await;
    let generation = play.fixture.upstream("web").state.generation();
    play.pass(0.5).await;
    assert!(is_ejected(&play));
    play.pass(1.0).await;
    assert!(!is_ejected(&play));
    assert_eq!(play.fixture.upstream("web").state.generation(), generation + 1);
}

#[tokio::test(start_paused = true)]
async fn a_passing_tcp_check_ends_one_only_after_a_failing_one() {
    let play = ejected("tcp", ERRORS).await;
    play.pass(5.5).await;
    assert!(is_ejected(&play), "a connection says nothing about the answers");
    play.stage.set(A, Script::Refuse);
    play.pass(1.0).await;
    assert!(is_ejected(&play) && play.fixture.state(A).health.is_healthy());
    play.stage.set(A, Script::Pass);
    play.pass(1.0).await;
    assert!(!is_ejected(&play));
}

#[tokio::test(start_paused = true)]
async fn a_passing_tcp_check_ends_one_for_lost_connections() {
    let play = ejected("tcp", row(ServerFault::Connection)).await;
    play.pass(1.5).await;
    assert!(!is_ejected(&play));
}

#[tokio::test(start_paused = true)]
async fn a_tcp_check_speaks_once_for_a_server_that_goes_on_losing_connections() {
    let evidence = row(ServerFault::Connection);
    let play = ejected("tcp", evidence).await;
    play.pass(1.5).await;
    assert!(!is_ejected(&play));
    play.fixture.eject(A, evidence, Duration::from_secs(300));
    play.pass(10.0).await;
    assert!(is_ejected(&play), "it accepts connections, and did so before");
    play.stage.set(A, Script::Refuse);
    play.pass(1.0).await;
    play.stage.set(A, Script::Pass);
    play.pass(1.0).await;
    assert!(!is_ejected(&play), "now there is something new");
    play.fixture.state(A).outlier.succeeded();
    play.fixture.eject(A, evidence, Duration::from_secs(300));
    play.pass(1.5).await;
    assert!(!is_ejected(&play), "a request has borne the last word out");
}

#[tokio::test(start_paused = true)]
async fn no_check_ends_an_ejection_by_rates_nor_any_when_that_is_turned_off() {
    let rate = Evidence::SuccessRate { requests: 200, rate: 0.5, mean: 0.9, threshold: 0.6 };
    let play = ejected("http", rate).await;
    play.pass(5.5).await;
    assert!(is_ejected(&play));
    let off = json!({"successful_active_health_check_uneject_server": false});
    let play = ejected_with("http", ERRORS, off).await;
    play.pass(5.5).await;
    assert!(is_ejected(&play));
}
