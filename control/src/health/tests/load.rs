//! Many servers at once.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, advance};

use super::{Play, Script};

fn many(count: usize, check: &Value) -> (Value, Vec<String>) {
    let servers: Vec<String> = (0..count).map(|n| format!("10.1.{}.{}:80", n / 250, n % 250 + 1)).collect();
    (json!([{"id": "web", "health_check": check, "servers": servers}]), servers)
}

#[tokio::test(start_paused = true)]
async fn a_thousand_new_servers_are_spread_over_the_interval() {
    let (upstreams, servers) = many(1000, &json!({}));
    let play = Play::new(upstreams, &[]).await;
    play.pass(5.0).await;
    let log = play.stage.log.lock().unwrap().clone();
    let first: Vec<Instant> =
        servers.iter().map(|server| log.iter().find(|(_, at)| at == server).unwrap().0).collect();
    for second in 0..5 {
        let from = play.start + Duration::from_secs(second);
        let count = first.iter().filter(|at| (from..from + Duration::from_secs(1)).contains(at)).count();
        // 200 are due; 5 standard deviations are 63.
        assert!((137..264).contains(&count), "{count} in second {second}");
    }
    assert!(servers.iter().all(|server| play.fixture.state(server).health.is_healthy()));
}

#[tokio::test(start_paused = true)]
async fn sixty_four_new_servers_are_checked_at_once() {
    let (upstreams, _) = many(64, &json!({}));
    let play = Play::new(upstreams, &[]).await;
    assert_eq!(play.stage.count(), 64);
}

#[tokio::test(start_paused = true)]
async fn silent_servers_take_no_more_than_their_places_and_the_rest_is_marked_late() {
    let (upstreams, servers) = many(700, &json!({"interval": "61s", "timeout": "60s"}));
    let scripts: Vec<(&str, Script)> =
        servers.iter().map(|server| (server.as_str(), Script::Silent)).collect();
    let play = Play::new(upstreams, &scripts).await;
    play.pass(59.0).await;
    assert_eq!(play.stage.running(), 512);
    assert_eq!(play.stats.running(), 512);
    play.pass(60.0).await;
    let is_checked = |server: &&String| play.fixture.health(server).total > 0;
    assert!(servers.iter().filter(is_checked).count() >= 512);
    assert!(servers.iter().all(|server| play.fixture.health(server).failed <= 1));
}

#[tokio::test(start_paused = true)]
async fn verdicts_whose_checks_find_no_place_are_marked_old() {
    let (mut upstreams, servers) = many(600, &json!({"interval": "61s", "timeout": "60s"}));
    let scripts: Vec<(&str, Script)> =
        servers.iter().map(|server| (server.as_str(), Script::Silent)).collect();
    let other = "10.2.0.1:80";
    let mut play = Play::new(json!([]), &scripts).await;
    let all = upstreams.as_array_mut().unwrap();
    all.push(json!({"id": "slow", "servers": all[0]["servers"], "health_check": all[0]["health_check"]}));
    all[0]["servers"] = json!([other]);
    all[0]["health_check"] = json!({"interval": "1s", "timeout": "500ms"});
    play.fixture.publish(upstreams);
    play.settle().await;
    assert!(play.fixture.state(other).health.is_healthy());
    while play.stage.running() < 512 {
        play.pass(0.1).await;
    }
    play.pass(4.0).await;
    assert!(play.fixture.health(other).late);
    assert!(play.stats.lag(play.fixture.clock.now().moment) > Duration::from_secs(1));
    advance(Duration::ZERO).await;
    play.pass(62.0).await;
    assert!(play.fixture.health(other).total > 10, "its turn comes again");
}

#[tokio::test(start_paused = true)]
async fn a_publish_leaves_ten_thousand_unchanged_upstreams_alone() {
    let upstream = |n: usize| json!({"id": format!("u{n}"), "servers": [format!("10.3.{}.{}:80", n / 250, n % 250 + 1)]});
    let mut upstreams: Vec<Value> = (0..10_000).map(upstream).collect();
    let mut play = Play::new(json!(upstreams), &[]).await;
    play.pass(5.0).await;
    let count = play.stage.count();
    assert!(count >= 10_000);
    upstreams[4] = json!({"id": "u4", "servers": ["10.3.0.5:80", "10.4.0.1:80"]});
    play.fixture.publish(json!(upstreams));
    play.settle().await;
    assert_eq!(play.stats.targets(), 10_001);
    assert_eq!(play.stage.checks("10.4.0.1:80", play.start).len(), 1);
}
