//! A client that does not wait: requests at the moments of a Poisson process, however long answers take.
//!
//! `bench-open-loop PORT PATH RATE WARM_UP_SECONDS SECONDS SEED` sends RATE requests a second, each on a connection that
//! is free or a new one, and prints what became of them as JSON. Times run from the moment a request was
//! due: a client that is held up itself would otherwise hide just the slow answers. What is due in the warm-up is not counted.
#![allow(clippy::disallowed_methods, reason = "a program that measures real time")]

mod exchange;

use std::{
    cell::RefCell,
    collections::BTreeMap,
    error::Error,
    net::{Ipv4Addr, SocketAddr},
    rc::Rc,
    thread,
    time::{Duration, Instant},
};

use exchange::{Connections, Outcome};
use serde_json::{Value, json};
use tokio::{
    sync::mpsc::{self, UnboundedSender},
    task::{JoinSet, LocalSet},
    time::timeout,
};
use weir_tests::random::Random;

const USAGE: &str = "usage: bench-open-loop PORT PATH RATE WARM_UP_SECONDS SECONDS SEED";

/// Who waits longer for ten milliseconds of work has gone.
const PATIENCE: Duration = Duration::from_secs(5);

struct Plan {
    proxy: SocketAddr,
    path: String,
    rate: f64,
    warm_up: Duration,
    length: Duration,
    seed: u64,
}

/// What became of the requests that count.
#[derive(Default)]
struct Tally {
    /// All sent, the warm-up's included.
    sent: u64,
    times: Vec<f64>,
    /// How late requests were sent: what the client itself adds to their times at least.
    late: Vec<f64>,
    /// Answers other than 2xx by status, and requests without an answer by what happened.
    lost: BTreeMap<String, u64>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let plan = plan()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = LocalSet::new().block_on(&runtime, run(plan))?;
    #[expect(clippy::print_stdout, reason = "the result of the program")]
    {
        println!("{report}");
    }
    Ok(())
}

fn plan() -> Result<Plan, Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().ok_or(USAGE);
    Ok(Plan {
        proxy: SocketAddr::from((Ipv4Addr::LOCALHOST, next()?.parse()?)),
        path: next()?,
        rate: next()?.parse()?,
        warm_up: Duration::from_secs(next()?.parse()?),
        length: Duration::from_secs(next()?.parse()?),
        seed: next()?.parse()?,
    })
}

async fn run(plan: Plan) -> Result<Value, Box<dyn Error>> {
    let began = Instant::now();
    let (sender, mut due) = mpsc::unbounded_channel();
    let schedule = schedule(&plan, began);
    thread::Builder::new().name("schedule".to_owned()).spawn(move || keep(&schedule, &sender))?;
    let connections = Rc::new(Connections::new(plan.proxy, &plan.path));
    let tally = Rc::new(RefCell::new(Tally::default()));
    let counted_from = began + plan.warm_up;
    let mut requests = JoinSet::new();
    while let Some(at) = due.recv().await {
        let (connections, tally) = (Rc::clone(&connections), Rc::clone(&tally));
        let late = at.elapsed();
        requests.spawn_local(async move {
            let outcome = timeout(PATIENCE, connections.get()).await;
            let took = at.elapsed();
            let mut tally = tally.borrow_mut();
            tally.sent += 1;
            if at >= counted_from {
                tally.late.push(millis(late));
                tally.count(outcome.unwrap_or(Outcome::Lost("no answer")), took);
            }
        });
        while requests.try_join_next().is_some() {}
    }
    while requests.join_next().await.is_some() {}
    let report = tally.borrow_mut().report();
    Ok(report)
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// The moments of the requests.
fn schedule(plan: &Plan, began: Instant) -> Vec<Instant> {
    let random = Random::new(plan.seed);
    let end = (plan.warm_up + plan.length).as_secs_f64();
    let mut at = 0.0;
    let mut schedule = Vec::new();
    loop {
        at += random.exponential(1.0 / plan.rate);
        if at >= end {
            return schedule;
        }
        schedule.push(began + Duration::from_secs_f64(at));
    }
}

/// Says when each moment has come, in a thread of its own: an async runtime's timers count in milliseconds.
fn keep(schedule: &[Instant], sender: &UnboundedSender<Instant>) {
    for at in schedule {
        thread::sleep(at.saturating_duration_since(Instant::now()));
        if sender.send(*at).is_err() {
            return;
        }
    }
}

impl Tally {
    fn count(&mut self, outcome: Outcome, took: Duration) {
        match outcome {
            Outcome::Answer { status: 200..=299, .. } => self.times.push(millis(took)),
            Outcome::Answer { status, .. } => *self.lost.entry(status.to_string()).or_default() += 1,
            Outcome::Lost(what) => *self.lost.entry(what.to_owned()).or_default() += 1,
        }
    }

    fn report(&mut self) -> Value {
        self.times.sort_unstable_by(f64::total_cmp);
        self.late.sort_unstable_by(f64::total_cmp);
        let lost: u64 = self.lost.values().sum();
        json!({
            "sent": self.sent,
            "answered": self.times.len(),
            "lost": lost,
            "lost_by": self.lost,
            "p50_ms": quantile(&self.times, 0.5),
            "p90_ms": quantile(&self.times, 0.9),
            "p99_ms": quantile(&self.times, 0.99),
            "p999_ms": quantile(&self.times, 0.999),
            "max_ms": self.times.last(),
            "late_p99_ms": quantile(&self.late, 0.99),
        })
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rank"
)]
fn quantile(sorted: &[f64], of: f64) -> Option<f64> {
    sorted.get((sorted.len() as f64 * of) as usize).copied()
}
