//! When servers are checked, and what the outcomes do.

use serde_json::json;
use weir_shared::state::{HealthState, Reason};

use super::{Play, Script};

const A: &str = "10.0.0.1:80";
const B: &str = "10.0.0.2:80";

#[tokio::test(start_paused = true)]
async fn the_first_check_runs_at_once_and_the_next_after_about_an_interval() {
    let play = Play::new(json!([{"id": "web", "servers": [A]}]), &[]).await;
    assert_eq!(play.stage.checks(A, play.start), [0.0]);
    assert!(play.fixture.state(A).health.is_healthy());
    play.pass(60.0).await;
    let checks = play.stage.checks(A, play.start);
    let gaps: Vec<f64> = checks.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.iter().all(|gap| (4.5..5.51).contains(gap)), "{gaps:?}");
    assert!(gaps.iter().any(|gap| (gap - 5.0).abs() > 0.01), "no jitter: {gaps:?}");
    assert!(play.fixture.health(A).next_at.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_failing_server_turns_unhealthy_and_back_and_each_turn_is_announced() {
    let check = json!({"interval": "1s", "timeout": "500ms", "jitter_percent": 0});
    let play = Play::new(json!([{"id": "web", "servers": [A, B], "health_check": check}]), &[]).await;
    let state = play.fixture.upstream("web").state.clone();
    let admitted = state.generation();
    assert_eq!(admitted, 2, "two servers turned healthy");
    play.stage.set(A, Script::Refuse);
    play.pass(2.5).await;
    assert!(play.fixture.state(A).health.is_healthy(), "two failures are not three");
    play.pass(1.0).await;
    let record = play.fixture.health(A);
    assert_eq!((record.verdict, record.reason), (HealthState::Unhealthy, Some(Reason::ConnectRefused)));
    assert_eq!(record.detail, "as scripted");
    assert_eq!(state.generation(), admitted + 1);
    play.stage.set(A, Script::Pass);
    play.pass(2.0).await;
    assert!(play.fixture.state(A).health.is_healthy());
    assert_eq!(state.generation(), admitted + 2);
    assert_eq!(play.fixture.health(A).history.to_text(), "+---++");
    assert!(play.fixture.state(B).health.is_healthy());
}

#[tokio::test(start_paused = true)]
async fn an_unhealthy_server_is_checked_at_its_own_interval() {
    let check = json!({"interval": "10s", "unhealthy_interval": "500ms", "jitter_percent": 0});
    let upstreams = json!([{"id": "web", "servers": [A], "health_check": check}]);
    let play = Play::new(upstreams, &[(A, Script::Refuse)]).await;
    play.pass(1.1).await;
    assert_eq!(play.stage.checks(A, play.start), [0.0, 0.5, 1.0]);
    play.stage.set(A, Script::Pass);
    play.pass(1.0).await;
    assert!(play.fixture.state(A).health.is_healthy());
    play.pass(9.0).await;
    assert_eq!(play.stage.count(), 5, "every 10 s again");
}

#[tokio::test(start_paused = true)]
async fn a_check_that_fails_inside_weir_is_made_again_and_blames_nobody() {
    let upstreams = json!([{"id": "web", "servers": [A]}]);
    let play = Play::new(upstreams, &[]).await;
    play.stage.set(A, Script::Panic);
    play.pass(12.0).await;
    play.stage.set(A, Script::Unmade);
    play.pass(12.0).await;
    let record = play.fixture.health(A);
    assert_eq!((record.verdict, record.failed, record.late), (HealthState::Healthy, 0, true));
    assert_eq!(play.stage.count() - 1, usize::try_from(play.stats.discarded()).unwrap());
    play.stage.set(A, Script::Pass);
    play.pass(6.0).await;
    assert!(!play.fixture.health(A).late);
}

/// What requests find is looked into at once, and again until it is decided; never more than once a second.
#[tokio::test(start_paused = true)]
async fn a_server_that_requests_cannot_reach_is_checked_soon() {
    let play =
        Play::new(json!([{"id": "web", "servers": [A, B], "outlier_detection": {"enabled": false}}]), &[])
            .await;
    play.pass(1.5).await;
    play.stage.set(A, Script::Refuse);
    play.doubt(A);
    play.pass(0.3).await;
    assert_eq!(play.stage.checks(A, play.start).len(), 2, "before its time");
    play.pass(2.0).await;
    assert!(!play.fixture.state(A).health.is_healthy(), "{:?}", play.stage.checks(A, play.start));
    assert_eq!(play.stage.checks(B, play.start).len(), 1, "nobody has a doubt about the other");
    for _ in 0..50 {
        play.doubt(B);
        play.pass(0.1).await;
    }
    let checks = play.stage.checks(B, play.start);
    assert!(checks.len() > 4 && checks.windows(2).all(|pair| pair[1] - pair[0] >= 1.0), "{checks:?}");
    assert!(play.fixture.state(B).health.is_healthy());
}
