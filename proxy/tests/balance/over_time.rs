//! Which server is picked while requests come, take their time and are answered.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    time::Duration,
};

use crate::subject::*;
use serde_json::{Value, json};
use weir_proxy::balance::{self, Request, Tried};
use weir_shared::{
    state::{Decay, WorkerId},
    time::Moment,
};

const DECAY: Duration = Duration::from_secs(10);

/// Algorithms that judge servers by their answers.
const BY_LATENCY: [&str; 3] = ["least_time", "peak_ewma", "prequal"];

/// Servers with requests under way.
struct Run {
    subject: Subject,
    now: Moment,
    /// When each request is answered, by which server, and when it was asked having met so many others.
    under_way: BinaryHeap<Reverse<(u64, usize, u64, u32)>>,
}

impl Run {
    fn new(settings: Value, weights: &[u16]) -> Self {
        Self { subject: Subject::new(settings, weights), now: NOW.moment, under_way: BinaryHeap::new() }
    }

    /// One request more, for as long as `took` says of its server. Answers who has it.
    fn ask(&mut self, took: impl Fn(&Subject, usize) -> Duration) -> usize {
        let request =
            Request { worker: WorkerId(0), now: self.now, key: None, random: || self.subject.bits() };
        let picked = balance::pick(self.subject.upstream(), &Tried::default(), &request).unwrap();
        let met = picked.state.in_flight.start();
        picked.state.latency.asked(self.now);
        let server = number(picked.id.as_str());
        let until = self.now.plus(took(&self.subject, server));
        self.under_way.push(Reverse((until.0, server, self.now.0, met)));
        server
    }

    /// The next answer comes.
    fn answer(&mut self) {
        let Reverse((at, server, asked, met)) = self.under_way.pop().unwrap();
        self.now = Moment(at.max(self.now.0));
        let state = &self.subject.server(server).state;
        state.in_flight.end();
        let took = Duration::from_micros(at - asked);
        state.latency.record(took, met, Moment(at), Decay::after(DECAY));
        state.latency.settled();
    }

    /// Requests come 100 times a second on average, for so many seconds. The shares of all servers in the last ten of them.
    fn hundred_a_second(
        &mut self,
        seconds: u64,
        took: impl Fn(&Subject, usize) -> Duration,
    ) -> HashMap<usize, f64> {
        let end = self.now.plus(Duration::from_secs(seconds));
        let (mut shares, mut count) = (HashMap::new(), 0.0);
        while self.now < end {
            let next = self.now.plus(exponential(&self.subject, 0.01));
            while self.under_way.peek().is_some_and(|Reverse((at, ..))| *at <= next.0) {
                self.answer();
            }
            self.now = next;
            let server = self.ask(&took);
            if end.since(next) < DECAY {
                *shares.entry(server).or_insert(0.0) += 1.0;
                count += 1.0;
            }
        }
        shares.values_mut().for_each(|share| *share /= count);
        shares
    }
}

/// Exponentially distributed, of so many seconds on average.
fn exponential(subject: &Subject, mean: f64) -> Duration {
    let unit = ((subject.bits() >> 11) + 1) as f64 / (1_u64 << 53) as f64;
    Duration::from_secs_f64(-mean * unit.ln())
}

fn ten_ms_on_average(subject: &Subject, _: usize) -> Duration {
    exponential(subject, 0.01)
}

fn ten_ms(_: &Subject, _: usize) -> Duration {
    Duration::from_millis(10)
}

#[test]
fn a_server_that_was_slow_and_is_well_has_its_share_again_within_a_minute() {
    for algorithm in BY_LATENCY {
        let mut run = Run::new(json!({"algorithm": algorithm}), &[1; 4]);
        let slow = |_: &Subject, server: usize| Duration::from_millis(if server == 3 { 1000 } else { 10 });
        let shares = run.hundred_a_second(20, slow);
        assert!(shares.get(&3).copied().unwrap_or(0.0) < 0.02, "{algorithm}: {shares:?}");
        let shares = run.hundred_a_second(60, ten_ms);
        assert!(shares.get(&3).copied().unwrap_or(0.0) > 0.125, "{algorithm}: {shares:?}");
    }
}

/// One request after another, to servers whose times differ by nothing but chance: on average 10 ms, now once a millisecond
/// and now every tenth of a second.
#[test]
fn servers_alike_but_for_chance_share_evenly() {
    for gap in [Duration::from_millis(1), Duration::from_millis(100)] {
        let mut run = Run::new(json!({"algorithm": "least_time"}), &[1; 4]);
        let begun = run.now.plus(3 * DECAY);
        let (mut shares, mut counted) = (HashMap::new(), 0);
        while counted < 30_000 {
            run.now = run.now.plus(gap);
            let server = run.ask(|subject, _| exponential(subject, 0.01));
            let asked = run.now;
            run.answer();
            run.now = asked;
            if run.now > begun {
                *shares.entry(server).or_insert(0.0) += 1.0 / 30_000.0;
                counted += 1;
            }
        }
        assert!(shares.values().all(|share: &f64| (share - 0.25).abs() < 0.1), "{gap:?}: {shares:?}");
    }
}

/// So many requests are under way all the time, of which each takes ten milliseconds (on average, where that is not itself what
/// servers are judged by). Whole requests do not divide
/// as weights do, so that a light server may have half of its share, and at one with a hundredth of the weight no more than that.
#[test]
fn weights_hold_however_few_requests_there_are() {
    type Took = fn(&Subject, usize) -> Duration;
    let cases: [(&str, Took); 3] =
        [("least_request", ten_ms_on_average), ("least_time", ten_ms), ("peak_ewma", ten_ms)];
    for (algorithm, took) in cases {
        for (weights, most) in [(vec![99, 1], 8), (vec![3, 1], 8), (vec![1, 2, 5], 16), (vec![10; 4], 3)] {
            for concurrency in 1..=most {
                let mut run = Run::new(json!({"algorithm": algorithm}), &weights);
                let (mut shares, count) = (vec![0.0; weights.len()], 10_000);
                for _ in 1..concurrency {
                    run.ask(took);
                }
                for _ in 0..count {
                    shares[run.ask(took)] += 1.0 / f64::from(count);
                    run.answer();
                }
                let total: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
                for (share, weight) in shares.iter().zip(&weights) {
                    let ideal = f64::from(*weight) / total;
                    assert!(
                        (ideal * 0.4..=ideal * 1.5).contains(share),
                        "{algorithm} {weights:?} at {concurrency}: {shares:?}"
                    );
                }
            }
        }
    }
}

/// Of four servers one is slow, and one nobody knows.
#[test]
fn a_new_server_beside_a_slow_one_has_its_share_at_once() {
    for algorithm in BY_LATENCY {
        let mut run = Run::new(json!({"algorithm": algorithm}), &[1; 4]);
        (0..3).for_each(|n| run.subject.answers(n, if n == 2 { 1000 } else { 10 }));
        let slow = |_: &Subject, server: usize| Duration::from_millis(if server == 2 { 1000 } else { 10 });
        let shares = run.hundred_a_second(1, slow);
        assert!(shares.get(&3).copied().unwrap_or(0.0) > 0.125, "{algorithm}: {shares:?}");
    }
}
