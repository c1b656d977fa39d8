//! Which passing checks end an ejection.

use std::time::Duration;

use serde_json::json;
use weir_shared::state::{EjectionPolicy, ServerFault};

use super::{Play, Script};

const A: &str = "10.0.0.1:80";
const POLICY: EjectionPolicy =
    EjectionPolicy { consecutive_errors: 5, base: Duration::from_secs(300), max: Duration::from_secs(300) };

async fn ejected(kind: &str) -> Play {
    let check = json!({"type": kind, "interval": "1s", "timeout": "500ms", "jitter_percent": 0});
    let play = Play::new(json!([{"id": "web", "servers": [A], "health_check": check}]), &[]).await;
    play.fixture.state(A).outlier.eject(POLICY, ServerFault::Response, play.fixture.clock.now());
    play
}

fn is_ejected(play: &Play) -> bool {
    play.fixture.state(A).outlier.is_ejected(play.fixture.clock.now().moment)
}

#[tokio::test(start_paused = true)]
async fn a_passing_http_check_ends_an_ejection() {
    let play = ejected("http").await;
    let generation = play.fixture.upstream("web").state.generation();
    play.pass(0.5).await;
    assert!(is_ejected(&play));
    play.pass(1.0).await;
    assert!(!is_ejected(&play));
    assert_eq!(play.fixture.upstream("web").state.generation(), generation + 1);
}

#[tokio::test(start_paused = true)]
async fn a_passing_tcp_check_ends_one_only_after_a_failing_one() {
    let play = ejected("tcp").await;
    play.pass(5.5).await;
    assert!(is_ejected(&play), "a connection says nothing about the answers");
    play.stage.set(A, Script::Refuse);
    play.pass(1.0).await;
    assert!(is_ejected(&play) && play.fixture.state(A).health.is_healthy());
    play.stage.set(A, Script::Pass);
    play.pass(1.0).await;
    assert!(!is_ejected(&play));
}
