//! Compares servers with each other, once per `outlier_detection.interval` of each upstream.
//!
//! What is compared are the counters that requests keep anyway, so that detectors that go by rates cost requests nothing. An
//! upstream whose servers are not compared costs a look at its policy, four times a second.

use std::time::Duration;

use tokio::{
    task::yield_now,
    time::{MissedTickBehavior, interval},
};
use weir_shared::{table::TableReader, time::Now};

use crate::clock::Clock;

/// Time between two looks for upstreams whose interval is over.
const PERIOD: Duration = Duration::from_millis(250);
/// Servers compared in one go; then checks get the thread.
const BURST: usize = 1000;

/// Compares for ever.
pub(super) async fn run(reader: TableReader, clock: Clock) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        look(&reader, clock.now()).await;
    }
}

async fn look(reader: &TableReader, now: Now) {
    let table = reader.snapshot();
    let mut compared = 0;
    for upstream in table.upstreams() {
        if !upstream.is_compared() {
            continue;
        }
        let ejected = upstream.compare(now, &mut rand::random);
        for one in &ejected {
            tracing::info!(
                upstream = %upstream.id,
                server = %one.server.id,
                cause = %one.evidence,
                seconds = one.length.as_secs(),
                "server ejected"
            );
        }
        if !ejected.is_empty() {
            // Built here, it need not be built for a request.
            drop(upstream.eligible(now.moment));
        }
        compared += upstream.servers.len();
        if compared >= BURST {
            compared = 0;
            yield_now().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tokio::{select, time::sleep};

    use super::*;
    use crate::health::fixture::{Fixture, WORKER};

    fn web(outliers: &Value) -> Value {
        let servers: Vec<String> = (1..=5).map(|n| format!("10.0.0.{n}:80")).collect();
        json!([{
            "id": "web", "servers": servers, "health_check": {"enabled": false}, "outlier_detection": outliers,
        }])
    }

    fn answer(fixture: &Fixture, server: usize, answers: u64, failures: u64) {
        let state = fixture.state(&format!("10.0.0.{server}:80"));
        let counters = state.counters.of(WORKER);
        (0..answers).for_each(|_| counters.count_response(200));
        counters.failures.add(failures);
    }

    fn ejected(fixture: &Fixture) -> Vec<usize> {
        let now = fixture.clock.now().moment;
        let is_ejected = |n: &usize| fixture.state(&format!("10.0.0.{n}:80")).outlier.is_ejected(now);
        (1..=5).filter(is_ejected).collect()
    }

    /// Lets comparisons go on for this long.
    async fn pass(looking: &mut (impl Future<Output = ()> + Unpin), time: Duration) {
        select! {
            () = looking => unreachable!("it goes on for ever"),
            () = sleep(time) => {}
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_interval_is_that_of_the_configuration_also_after_a_change() {
        let mut fixture = Fixture::new(web(&json!({"interval": "1h"})));
        let looking = run(fixture.reader.clone(), fixture.clock);
        tokio::pin!(looking);
        pass(&mut looking, Duration::from_secs(1)).await;
        (1..=4).for_each(|server| answer(&fixture, server, 100, 0));
        answer(&fixture, 5, 100, 40);
        pass(&mut looking, Duration::from_secs(600)).await;
        assert!(ejected(&fixture).is_empty());
        fixture.publish(web(&json!({"interval": "10m"})));
        pass(&mut looking, Duration::from_secs(1)).await;
        assert_eq!(ejected(&fixture), [5], "what was counted before the change is not lost");
        assert_eq!(fixture.upstream("web").eligible(fixture.clock.now().moment).members().count(), 4);
        fixture.publish(web(&json!({"interval": "10m", "base_ejection_time": "1s"})));
        assert_eq!(ejected(&fixture), [5], "nor is the ejection");
    }
}
