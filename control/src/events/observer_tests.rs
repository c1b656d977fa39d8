//! What is told of servers and upstreams that turn, whatever made them turn.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::advance;
use weir_shared::state::{BreakerPolicy, CheckOutcome, HealthThresholds, Outcome, Reason, ServerFault};

use super::{Bus, Observer};
use crate::health::fixture::Fixture;

const A: &str = "10.0.0.1:80";
const B: &str = "10.0.0.2:80";
const ONCE: HealthThresholds = HealthThresholds { healthy: 1, unhealthy: 1 };

struct Scene {
    fixture: Fixture,
    bus: Bus,
    observer: Observer,
}

impl Scene {
    fn new(upstreams: Value) -> Self {
        let fixture = Fixture::new(upstreams);
        let table = fixture.reader.snapshot();
        let bus = Bus::new(table.config().epoch.clone(), table.revision(), fixture.clock.now());
        let observer = Observer::new(fixture.reader.clone(), bus.clone(), fixture.clock, "n1");
        Self { fixture, bus, observer }
    }

    /// `web` with two healthy servers, of which nothing is left to tell.
    async fn healthy() -> Self {
        let mut scene = Self::new(web(&json!([A, B])));
        scene.check(A, None);
        scene.check(B, None);
        scene.told().await;
        scene
    }

    fn check(&self, address: &str, failure: Option<Reason>) {
        let outcome = CheckOutcome {
            failure,
            detail: failure.map(|_| "refused".to_owned()).unwrap_or_default(),
            status: None,
            duration: Duration::ZERO,
        };
        self.fixture.state(address).health.observe(&outcome, ONCE, self.fixture.clock.now());
        self.fixture.upstream("web").state.eligibility_changed();
    }

    /// What a look tells, each as `server: from → to (reason)` or `upstream: from → to`.
    async fn told(&mut self) -> Vec<String> {
        let before = self.bus.head();
        self.observer.look().await;
        let events = self.bus.glance(before, 1000).events;
        let line = |event: &std::sync::Arc<super::Event>| {
            let data: Value = serde_json::from_str(&event.data).unwrap();
            assert_eq!((&data["node"], data["at"].is_string()), (&json!("n1"), true));
            assert!(event.concerns(data["upstream"].as_str().unwrap()));
            let word = |name: &str| data[name].as_str().unwrap_or_default().to_owned();
            if let Some(circuit) = data["circuit_breaker"].as_object() {
                return format!("{} circuit: {} → {}", word("upstream"), circuit["from"], circuit["to"]);
            }
            match word("server").as_str() {
                "" => format!("{}: {} → {}", word("upstream"), word("from"), word("to")),
                server => format!("{server}: {} → {} ({})", word("from"), word("to"), word("reason")),
            }
        };
        events.iter().map(line).collect()
    }
}

fn web(servers: &Value) -> Value {
    json!([{
        "id": "web", "servers": servers, "panic_threshold_percent": 0,
        "outlier_detection": {"consecutive_5xx": 1, "base_ejection_time": "10s", "max_ejection_percent": 50}
    }])
}

#[tokio::test(start_paused = true)]
async fn checks_turn_servers_and_servers_turn_their_upstream() {
    let mut scene = Scene::new(web(&json!([A, B])));
    assert!(scene.told().await.is_empty(), "what was so at the start is no news");
    scene.check(A, None);
    assert_eq!(scene.told().await, ["10.0.0.1-80: initial → healthy ()", "web: down → degraded"]);
    scene.check(B, Some(Reason::ConnectRefused));
    assert_eq!(scene.told().await, ["10.0.0.2-80: initial → unhealthy (connect_refused)"]);
    scene.check(B, Some(Reason::ConnectTimeout));
    assert!(scene.told().await.is_empty(), "still unhealthy");
    scene.check(A, Some(Reason::ConnectRefused));
    assert_eq!(
        scene.told().await,
        ["10.0.0.1-80: healthy → unhealthy (connect_refused)", "web: degraded → down"]
    );
}

#[tokio::test(start_paused = true)]
async fn an_ejection_is_told_and_its_end_though_nobody_does_anything() {
    let mut scene = Scene::healthy().await;
    let upstream = scene.fixture.upstream("web");
    let server = upstream.server("10.0.0.1-80").unwrap();
    assert!(upstream.failed(server, ServerFault::Status(500), scene.fixture.clock.now(), 0).is_some());
    assert_eq!(scene.told().await, ["10.0.0.1-80: healthy → unhealthy (ejected)", "web: healthy → degraded"]);
    advance(Duration::from_millis(9_900)).await;
    assert!(scene.told().await.is_empty());
    advance(Duration::from_millis(100)).await;
    assert_eq!(scene.told().await, ["10.0.0.1-80: unhealthy → healthy ()", "web: degraded → healthy"]);
    advance(Duration::from_secs(60)).await;
    assert!(scene.told().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_old_verdict_is_told_though_it_changes_no_eligibility() {
    let mut scene = Scene::healthy().await;
    assert!(scene.fixture.state(A).health.freeze() && !scene.fixture.state(A).health.freeze());
    scene.fixture.upstream("web").state.appearance_changed();
    assert_eq!(scene.told().await, ["10.0.0.1-80: healthy → unavailable (checker_late)"]);
}

#[tokio::test(start_paused = true)]
async fn turns_of_a_circuit_breaker_are_told_once_each() {
    let mut scene = Scene::healthy().await;
    let policy = BreakerPolicy {
        error_percent: 50,
        min_requests: 2,
        window: Duration::from_secs(10),
        open_time: Duration::from_secs(5),
        trial_requests: 1,
    };
    let upstream = scene.fixture.upstream("web");
    let clock = scene.fixture.clock;
    let ends = |outcome| {
        let pass = upstream.state.breaker.admit(policy, clock.now()).unwrap();
        upstream.state.breaker.report(pass, outcome, policy, clock.now());
    };
    ends(Outcome::Failure);
    assert!(scene.told().await.is_empty());
    ends(Outcome::Failure);
    assert_eq!(scene.told().await, ["web circuit: \"closed\" → \"open\""]);
    assert!(scene.told().await.is_empty());
    advance(Duration::from_secs(5)).await;
    let pass = upstream.state.breaker.admit(policy, clock.now()).unwrap();
    assert_eq!(scene.told().await, ["web circuit: \"open\" → \"half_open\""]);
    upstream.state.breaker.report(pass, Outcome::Success, policy, clock.now());
    assert_eq!(scene.told().await, ["web circuit: \"half_open\" → \"closed\""]);
    scene.fixture.publish(web(&json!([A, B, "10.0.0.3:80"])));
    assert_eq!(scene.told().await, ["web: healthy → degraded"], "a change is no turn of the breaker");
}

#[tokio::test(start_paused = true)]
async fn a_change_of_the_configuration_turns_what_it_touches() {
    let mut scene = Scene::healthy().await;
    let other = json!({"id": "api", "servers": ["10.0.1.1:80"], "panic_threshold_percent": 0});
    let with = |servers: Value| json!([web(&servers)[0], other]);
    scene.fixture.publish(with(json!([{"address": A, "admin_state": "drain"}, B])));
    assert_eq!(
        scene.told().await,
        ["api: empty → down", "10.0.0.1-80: healthy → draining (admin_drain)"],
        "a new server is initial, as everybody expects"
    );
    scene.fixture.publish(with(json!([{"address": A, "weight": 0}, "10.0.0.3:80"])));
    assert_eq!(scene.told().await, ["10.0.0.1-80: draining → unused (weight_zero)", "web: healthy → down"]);
    scene.fixture.publish(json!([web(&json!([B]))[0]]));
    assert!(scene.told().await.is_empty(), "what is gone is told as a change of the configuration");
}
