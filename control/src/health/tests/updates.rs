//! What a change of configuration does to checks, and what it leaves alone.

use serde_json::{Value, json};
use weir_shared::state::{HealthState, Reason, Recheck};

use super::{Play, Script};

const A: &str = "10.0.0.1:80";
const B: &str = "10.0.0.2:80";

fn web(check: Value, servers: Value) -> Value {
    json!([{"id": "web", "health_check": check, "servers": servers}])
}

#[tokio::test(start_paused = true)]
async fn an_unrelated_change_neither_resets_nor_rechecks() {
    let check = json!({"jitter_percent": 0});
    let mut play = Play::new(web(check.clone(), json!([A])), &[(A, Script::Refuse)]).await;
    let before = play.fixture.health(A);
    play.pass(2.0).await;
    let mut changed = web(check, json!([{"address": A, "weight": 7}, B]));
    changed[0]["description"] = json!("another");
    play.fixture.publish(changed);
    play.settle().await;
    assert_eq!(play.stage.checks(B, play.start), [2.0], "the new server is checked at once");
    assert_eq!(play.stage.checks(A, play.start), [0.0]);
    let after = play.fixture.health(A);
    assert_eq!((after.verdict, after.since, after.total), (before.verdict, before.since, before.total));
    play.pass(3.1).await;
    assert_eq!(play.stage.checks(A, play.start), [0.0, 5.0], "and the old one when it was due");
}

#[tokio::test(start_paused = true)]
async fn another_check_is_made_soon_and_keeps_the_verdict() {
    let mut play = Play::new(web(json!({"path": "/old"}), json!([A])), &[(A, Script::Refuse)]).await;
    assert_eq!(play.fixture.health(A).verdict, HealthState::Unhealthy);
    play.pass(1.0).await;
    play.stage.set(A, Script::Silent);
    play.fixture.publish(web(json!({"path": "/new"}), json!([A])));
    play.settle().await;
    assert_eq!(play.stage.checks(A, play.start), [0.0, 1.0]);
    let before = play.fixture.health(A);
    assert_eq!((before.verdict, before.recheck), (HealthState::Unhealthy, Recheck::Pending));
    play.stage.set(A, Script::Pass);
    play.fixture.publish(web(json!({"path": "/newer"}), json!([A])));
    play.settle().await;
    assert_eq!(play.stage.running(), 0, "the check of the older configuration is given up");
    assert_eq!(play.fixture.health(A).total, 2);
    assert_eq!(play.fixture.health(A).recheck, Recheck::Done);
    play.pass(5.6).await;
    assert_eq!(play.fixture.health(A).verdict, HealthState::Healthy);
}

#[tokio::test(start_paused = true)]
async fn a_removed_server_is_no_longer_checked() {
    let mut play = Play::new(web(json!({}), json!([A, B])), &[(A, Script::Silent)]).await;
    assert_eq!((play.stage.running(), play.stats.targets()), (1, 2));
    play.fixture.publish(web(json!({}), json!([B])));
    play.settle().await;
    assert_eq!((play.stage.running(), play.stats.targets()), (0, 1));
    play.fixture.publish(json!([]));
    play.settle().await;
    assert_eq!(play.stats.targets(), 0);
    let count = play.stage.count();
    play.pass(30.0).await;
    assert_eq!(play.stage.count(), count);
}

#[tokio::test(start_paused = true)]
async fn a_server_removed_and_added_again_starts_anew() {
    let mut play = Play::new(web(json!({}), json!([A])), &[]).await;
    let first = play.fixture.state(A);
    play.fixture.publish(web(json!({}), json!([])));
    play.fixture.publish(web(json!({}), json!([A])));
    play.settle().await;
    assert!(play.fixture.state(A).health.is_healthy() && first.is_retired());
    assert_eq!((play.stage.count(), play.stats.targets()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn without_checks_servers_are_taken_as_healthy() {
    let off = json!({"enabled": false});
    let mut play = Play::new(web(off.clone(), json!([A])), &[(A, Script::Refuse)]).await;
    let reason = |play: &Play, address| play.fixture.health(address).reason;
    assert!(play.fixture.state(A).health.is_healthy());
    assert_eq!(reason(&play, A), Some(Reason::ChecksDisabled));
    let generation = |play: &Play| play.fixture.upstream("web").state.generation();
    assert_eq!(
        generation(&play),
        0,
        "from the publish on, so that no request has to build what it picks from"
    );
    play.fixture.publish(web(off.clone(), json!([A, B])));
    play.pass(20.0).await;
    assert!(play.fixture.state(B).health.is_healthy());
    assert_eq!(generation(&play), 0);
    assert_eq!(play.stage.count(), 0);

    play.fixture.publish(web(json!({}), json!([A, B])));
    play.settle().await;
    assert_eq!((play.stage.count(), reason(&play, B)), (2, None));
    assert!(play.fixture.state(A).health.is_healthy(), "one failure turns no known server");
    play.pass(20.0).await;
    assert_eq!(play.fixture.health(A).verdict, HealthState::Unhealthy);
    play.fixture.publish(web(off, json!([A, B])));
    play.settle().await;
    assert!(play.fixture.state(A).health.is_healthy());
    assert_eq!(play.stats.targets(), 0);
}
