//! What a shadow foretells, held against what happens: requests in virtual time, before servers that take them one by one.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    time::Duration,
};

use serde_json::{Value, json};
use weir_proxy::balance::{self, By, Ghost, Picked, Request, Tried};
use weir_shared::{
    state::{Decay, WorkerId},
    table::Server,
    time::Moment,
};

use crate::subject::*;

const REQUESTS: usize = 20_000;

/// Servers with these mean service times in milliseconds, exponentially distributed, and requests at `rate` a second.
struct World {
    subject: Subject,
    means: Vec<f64>,
    rate: f64,
    now: f64,
    free_at: Vec<f64>,
    /// By the time they are done, in nanoseconds: server, when begun, others met.
    under_way: BinaryHeap<Reverse<(u64, usize, u64, u32)>>,
    ghosts: HashMap<(usize, u64), Ghost>,
    times: Vec<f64>,
}

impl World {
    fn new(settings: Value, means: &[f64], rate: f64) -> Self {
        Self {
            subject: Subject::new(settings, &vec![1; means.len()]),
            means: means.to_vec(),
            rate,
            now: 0.0,
            free_at: vec![0.0; means.len()],
            under_way: BinaryHeap::new(),
            ghosts: HashMap::new(),
            times: Vec::new(),
        }
    }

    fn exponential(&self, mean: f64) -> f64 {
        let unit = ((self.subject.bits() >> 11) + 1) as f64 / (1_u64 << 53) as f64;
        -mean * unit.ln()
    }

    fn moment(nanos: u64) -> Moment {
        Moment(NOW.moment.0 + nanos / 1000)
    }

    /// Ends what is done by `now`.
    fn settle(&mut self, until: f64) {
        while let Some(Reverse((done, server, began, met))) = self.under_way.peek().copied()
            && done as f64 <= until * 1e9
        {
            self.under_way.pop();
            let state = &self.subject.server(server).state;
            let took = Duration::from_nanos(done - began);
            state.in_flight.end();
            state.latency.settled();
            state.latency.record(took, met, Self::moment(done), Decay::after(Duration::from_secs(10)));
            state.shadow().answered(took, met);
            self.ghosts.remove(&(server, began));
            self.times.push(took.as_secs_f64());
        }
    }

    fn run(mut self) -> Self {
        for _ in 0..REQUESTS {
            self.now += self.exponential(1.0 / self.rate);
            self.settle(self.now);
            self.arrive();
        }
        self.settle(f64::MAX);
        self
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a time from 0 on")]
    fn arrive(&mut self) {
        let began = (self.now * 1e9) as u64;
        let (subject, upstream) = (&self.subject, self.subject.upstream());
        let now = Self::moment(began);
        let request = Request { worker: WorkerId(0), now, key: None, random: || subject.bits() };
        let server = balance::pick(upstream, &Tried::default(), &request).unwrap();
        let met = server.state.in_flight.start();
        server.state.latency.asked(now);
        let picked = Picked { server, met, by: By::Algorithm };
        let shadow = upstream.shadow.as_ref();
        let ghost = shadow.and_then(|shadow| balance::compare(upstream, shadow, picked, &request));
        let place = number(server.id.as_str());
        self.ghosts.extend(ghost.map(|ghost| ((place, began), ghost)));
        let done = self.free_at[place].max(self.now) + self.exponential(self.means[place] / 1000.0);
        self.free_at[place] = done;
        self.under_way.push(Reverse(((done * 1e9) as u64, place, began, met)));
    }

    fn counts(&self, server: &Server) -> (f64, f64) {
        let state = &self.subject.upstream().shadow.as_ref().unwrap().state;
        let (real, shadow) = server.state.shadow().counts(state);
        (real as f64 / REQUESTS as f64, shadow as f64 / REQUESTS as f64)
    }

    /// Shares of a server: what it had, and what the shadow would have given it.
    fn shares(&self, n: usize) -> (f64, f64) {
        self.counts(self.subject.server(n))
    }

    /// Mean latencies expected of what was picked, and of what the shadow picked, in milliseconds.
    fn expected(&self) -> (f64, f64) {
        let totals = self.subject.upstream().shadow.as_ref().unwrap().state.totals();
        let mean = |sum: u64| sum as f64 / totals.real.count() as f64 / 1000.0;
        (mean(totals.real.sum_micros), mean(totals.shadow.sum_micros))
    }

    fn mean_ms(&self) -> f64 {
        self.times.iter().sum::<f64>() / self.times.len() as f64 * 1000.0
    }
}

/// One server of four takes five times as long. Beside turns the shadow has the latencies of a slow server that is
/// swamped, so that it avoids that one no less than `least_time` itself does.
#[test]
fn least_time_in_the_shadow_of_turns_spares_the_slow_server_and_foresees_less_latency() {
    let means = [10.0, 10.0, 10.0, 50.0];
    let settings = |algorithm, shadow: Value| json!({"algorithm": algorithm, "shadow": shadow});
    let world = World::new(settings("round_robin", json!({"algorithm": "least_time"})), &means, 60.0).run();
    let real = World::new(settings("least_time", Value::Null), &means, 60.0).run();
    let (had, would_have) = world.shares(3);
    assert!((had - 0.25).abs() < 0.001, "{had}");
    let has = real.times.len();
    assert_eq!(has, REQUESTS);
    let (expected, foreseen) = world.expected();
    assert!(would_have < 0.10, "{would_have}");
    assert!(foreseen < expected / 2.0, "{foreseen} for {expected}");
    // What is foreseen is what happens, to a quarter.
    assert!((expected / world.mean_ms() - 1.0).abs() < 0.25, "{expected} for {}", world.mean_ms());
    assert!((foreseen / real.mean_ms() - 1.0).abs() < 0.25, "{foreseen} for {}", real.mean_ms());
}

/// Servers alike, the same algorithm twice: shares of 20 000 requests differ from a quarter by no more than six standard
/// deviations of a binomial share. The mean latency foreseen is a little too high where loads are evened out: the shadow's
/// requests end at random servers, not sooner where fewer wait.
#[test]
fn an_algorithm_in_its_own_shadow_foresees_itself() {
    for algorithm in ["round_robin", "random", "least_request", "least_time", "peak_ewma", "prequal"] {
        let settings = json!({"algorithm": algorithm, "shadow": {"algorithm": algorithm}});
        let world = World::new(settings, &[10.0; 4], 200.0).run();
        let (expected, foreseen) = world.expected();
        let shares: Vec<_> = (0..4).map(|n| world.shares(n)).collect();
        for (real, shadow) in shares {
            // Those that go by latency follow chance for a while.
            let most = if ["least_time", "peak_ewma", "prequal"].contains(&algorithm) { 0.06 } else { 0.018 };
            assert!(
                (real - 0.25).abs() < most && (shadow - 0.25).abs() < most,
                "{algorithm}: {real} {shadow}"
            );
        }
        assert!((0.9..1.2).contains(&(foreseen / expected)), "{algorithm}: {foreseen} for {expected}");
        assert!((expected / world.mean_ms() - 1.0).abs() < 0.1, "{algorithm}: {expected}");
    }
}

#[test]
fn what_is_in_flight_on_paper_ends_with_what_is_in_flight() {
    let settings = json!({"algorithm": "random", "shadow": {"algorithm": "least_request"}});
    let subject = Subject::new(settings, &[1; 3]);
    let upstream = subject.upstream();
    let shadow = upstream.shadow.as_ref().unwrap();
    let request = Request { worker: WorkerId(0), now: NOW.moment, key: None, random: || subject.bits() };
    let picked = Picked { server: subject.server(0), met: 0, by: By::Algorithm };
    let ghosts: Vec<_> =
        (0..9).map(|_| balance::compare(upstream, shadow, picked, &request).unwrap()).collect();
    let in_flight = |n: usize| subject.server(n).state.shadow().in_flight();
    assert_eq!([0, 1, 2].map(in_flight), [3, 3, 3], "by its own load, whatever is sent where");
    drop(ghosts);
    assert_eq!([0, 1, 2].map(in_flight), [0, 0, 0]);
    let totals = shadow.state.totals();
    assert_eq!((totals.requests, totals.elsewhere, totals.real.count()), (9, 6, 0), "nobody has answered");
}

#[test]
fn a_client_with_a_cookie_has_its_server_from_the_shadow_too() {
    let settings = json!({"algorithm": "random", "shadow": {"algorithm": "first"}});
    let subject = Subject::new(settings, &[1; 3]);
    let (upstream, shadow) = (subject.upstream(), subject.upstream().shadow.as_ref().unwrap());
    let request = Request { worker: WorkerId(0), now: NOW.moment, key: None, random: || subject.bits() };
    let picked = Picked { server: subject.server(2), met: 0, by: By::Affinity };
    let _ghost = balance::compare(upstream, shadow, picked, &request).unwrap();
    let totals = shadow.state.totals();
    assert_eq!((totals.requests, totals.elsewhere), (1, 0));
    assert_eq!(subject.server(2).state.shadow().counts(&shadow.state), (1, 1));
}

#[test]
fn a_shadow_has_room_by_its_own_load() {
    let settings = json!({"algorithm": "random", "shadow": {"algorithm": "first"}});
    let subject = Subject::limited(settings, &[1; 2], 1);
    subject.work(0, 1);
    let (upstream, shadow) = (subject.upstream(), subject.upstream().shadow.as_ref().unwrap());
    let request = Request { worker: WorkerId(0), now: NOW.moment, key: None, random: || subject.bits() };
    let picked = Picked { server: subject.server(1), met: 0, by: By::Algorithm };
    let compare = || balance::compare(upstream, shadow, picked, &request);
    let ghosts = [compare().unwrap(), compare().unwrap()];
    assert!(compare().is_none());
    let totals = shadow.state.totals();
    assert_eq!((totals.requests, totals.elsewhere, totals.unplaced), (2, 1, 1));
    drop(ghosts);
    assert!(compare().is_some());
}
