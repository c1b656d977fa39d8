//! A checker that cannot keep its time turns no verdict.

use std::time::Duration;

use serde_json::json;
use tokio::time::advance;
use weir_shared::state::HealthState;

use super::{Play, Script};

const A: &str = "10.0.0.1:80";

async fn healthy() -> Play {
    let play = Play::new(json!([{"id": "web", "servers": [A]}]), &[]).await;
    assert!(play.fixture.state(A).health.is_healthy());
    play
}

#[tokio::test(start_paused = true)]
async fn a_server_that_times_out_is_unhealthy() {
    let play = healthy().await;
    play.stage.set(A, Script::Silent);
    play.pass(20.0).await;
    let record = play.fixture.health(A);
    assert_eq!((record.verdict, play.stats.discarded()), (HealthState::Unhealthy, 0));
}

#[tokio::test(start_paused = true)]
async fn a_timeout_while_the_checker_was_kept_from_running_is_not_counted() {
    let play = healthy().await;
    play.stage.set(A, Script::Silent);
    while play.stage.running() == 0 {
        play.pass(0.01).await;
    }
    // The clock jumps: no timer fired in between, as when the process was stopped.
    advance(Duration::from_secs(3)).await;
    play.settle().await;
    let record = play.fixture.health(A);
    assert_eq!((record.verdict, record.failed, record.late), (HealthState::Healthy, 0, true));
    assert_eq!(play.stats.discarded(), 1);
    play.stage.set(A, Script::Pass);
    play.pass(6.0).await;
    assert!(!play.fixture.health(A).late);
}

#[tokio::test(start_paused = true)]
async fn a_check_that_starts_late_marks_the_verdict_as_old() {
    let play = healthy().await;
    play.stage.set(A, Script::Silent);
    advance(Duration::from_secs(15)).await;
    play.settle().await;
    assert_eq!(play.stage.running(), 1);
    let record = play.fixture.health(A);
    assert_eq!((record.verdict, record.late), (HealthState::Healthy, true));
    let lag = play.stats.lag(play.fixture.clock.now().moment);
    assert!((9.0..11.0).contains(&lag.as_secs_f64()), "{lag:?}");
}
