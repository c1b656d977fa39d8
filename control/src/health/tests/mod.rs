//! The scheduler with a scripted prober and a paused clock, and the whole checker against real sockets.

mod ejection;
mod lateness;
mod load;
mod schedule;
mod sockets;
mod updates;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::Value;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use weir_shared::{
    model::address::Address,
    state::{Reason, ServerFault, ServerState},
};

use super::{
    CheckerStats,
    checker::Checker,
    fixture::Fixture,
    probe::{Answer, Probe, Prober},
};

/// What a server does when checked.
#[derive(Clone, Copy, Debug)]
enum Script {
    Pass,
    Refuse,
    /// Says nothing until the check times out.
    Silent,
    /// Cannot be checked for a cause of Weir's own.
    Unmade,
    /// Shows a bug in the check.
    Panic,
}

/// Plays servers, by address.
#[derive(Clone, Debug, Default)]
struct Stage {
    scripts: Arc<Mutex<HashMap<String, Script>>>,
    /// When which server was checked.
    log: Arc<Mutex<Vec<(Instant, String)>>>,
    running: Arc<AtomicUsize>,
}

/// A check under way, counted until it ends or is given up.
struct Count(Arc<AtomicUsize>);

impl Drop for Count {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Prober for Stage {
    fn check(
        &self,
        probe: Arc<Probe>,
        address: Address,
        _: Arc<ServerState>,
    ) -> impl Future<Output = Answer> + Send + 'static {
        let address = address.to_string();
        let script = self.scripts.lock().unwrap().get(&address).copied().unwrap_or(Script::Pass);
        self.log.lock().unwrap().push((Instant::now(), address));
        self.running.fetch_add(1, Ordering::Relaxed);
        let count = Count(Arc::clone(&self.running));
        async move {
            let _count = count;
            let failed = |reason| Answer::Failed { reason, detail: "as scripted".to_owned(), status: None };
            match script {
                Script::Pass => Answer::Passed { status: None },
                Script::Refuse => failed(Reason::ConnectRefused),
                Script::Silent => {
                    sleep(probe.timeout()).await;
                    failed(Reason::ResponseTimeout)
                }
                Script::Unmade => Answer::Unmade { detail: "too many open files".to_owned() },
                Script::Panic => panic!("as scripted"),
            }
        }
    }
}

impl Stage {
    fn set(&self, address: &str, script: Script) {
        self.scripts.lock().unwrap().insert(address.to_owned(), script);
    }

    /// Seconds from `start` to each check of `address`.
    fn checks(&self, address: &str, start: Instant) -> Vec<f64> {
        let log = self.log.lock().unwrap();
        let times = log.iter().filter(|(_, checked)| checked == address);
        times.map(|(at, _)| at.duration_since(start).as_secs_f64()).collect()
    }

    fn count(&self) -> usize {
        self.log.lock().unwrap().len()
    }

    fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }
}

impl Play {
    /// A request finds no connection to the server at `address`.
    fn doubt(&self, address: &str) {
        let upstream = self.fixture.upstream("web");
        let server = upstream.servers.iter().find(|server| server.record.server.address == address).unwrap();
        let now = self.fixture.clock.now();
        assert!(upstream.failed(server, ServerFault::Connection, now, 0).is_none(), "nobody ejects");
    }
}

/// A checker at work on a stage.
struct Play {
    fixture: Fixture,
    stage: Stage,
    stats: Arc<CheckerStats>,
    start: Instant,
    _task: JoinSet<()>,
}

impl Play {
    async fn new(upstreams: Value, scripts: &[(&str, Script)]) -> Self {
        let fixture = Fixture::new(upstreams);
        let stage = Stage::default();
        scripts.iter().for_each(|(address, script)| stage.set(address, *script));
        let stats = Arc::new(CheckerStats::default());
        let checker = Checker::new(fixture.reader.clone(), fixture.clock, stage.clone(), Arc::clone(&stats));
        let start = Instant::now();
        let mut task = JoinSet::new();
        task.spawn(checker.run(fixture.published.clone()));
        let play = Self { fixture, stage, stats, start, _task: task };
        play.settle().await;
        play
    }

    /// Lets everything happen that is due now.
    async fn settle(&self) {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }

    /// Lets `seconds` pass, with everything that happens in them.
    async fn pass(&self, seconds: f64) {
        sleep(Duration::from_secs_f64(seconds)).await;
        self.settle().await;
    }
}
