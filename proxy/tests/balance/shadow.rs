//! What a shadow foretells, held against what queueing theory says: requests in virtual time, before servers that take them one
//! by one, in exponentially distributed times. How far a run may be from theory follows from the run itself, by the method of
//! batch means: what its parts differ by tells what its mean may be off by.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    time::Duration,
};

use serde_json::{Value, json};
use weir_proxy::balance::{self, By, Ghost, Picked, Request, Tried};
use weir_shared::{
    state::{Decay, WorkerId},
    time::Moment,
};

use crate::subject::*;

const REQUESTS: usize = 40_000;

/// Parts of a run, longer than queues and averages remember, so that each says something of its own.
const BATCHES: usize = 10;

/// A mean over a run, and its standard error.
#[derive(Clone, Copy, Debug)]
struct Mean {
    value: f64,
    error: f64,
}

impl Mean {
    /// Of what each part of the run came to.
    fn of(batches: &[f64]) -> Self {
        let count = batches.len() as f64;
        let value = batches.iter().sum::<f64>() / count;
        let square = batches.iter().map(|batch| (batch - value).powi(2)).sum::<f64>() / (count - 1.0);
        Self { value, error: (square / count).sqrt() }
    }

    /// Whether it may be one of a quantity from `least` to `most`: farther away than five standard errors of ten parts is one
    /// run in a thousand (Student's t with nine degrees of freedom).
    fn is_within(self, least: f64, most: f64) -> bool {
        self.value >= least - 5.0 * self.error && self.value <= most + 5.0 * self.error
    }
}

/// Mean time in milliseconds at a server of the mean service time `mean`, to which every `turns`th of requests that come at
/// `rate` a second is sent (with one of one turn: M/M/1). The queue is E_n/M/1: Kleinrock, "Queueing Systems" I (1975), §6.
fn time_in_turns(turns: i32, rate: f64, mean: f64) -> f64 {
    let served = 1000.0 / mean;
    let step = |waits: f64| (rate / (rate + served * (1.0 - waits))).powi(turns);
    let waits = (0..1000).fold(0.0, |waits, _| step(waits));
    mean / (1.0 - waits)
}

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
    /// When each request that is done began, and how long it took; in seconds.
    times: Vec<(f64, f64)>,
    picks: Vec<usize>,
    /// What was known at the end of each part.
    parts: Vec<Part>,
}

/// Sums since the beginning.
#[derive(Clone, Debug, Default)]
struct Part {
    /// Requests by server: those sent there, and those that the shadow would have sent.
    shares: Vec<(f64, f64)>,
    /// Requests with a latency to be expected, and the sums of these, of both.
    expected: (f64, f64, f64),
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
            picks: vec![0; means.len()],
            parts: vec![Part { shares: vec![(0.0, 0.0); means.len()], ..Part::default() }],
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
            self.times.push((began as f64 / 1e9, took.as_secs_f64()));
        }
    }

    fn run(mut self) -> Self {
        for n in 1..=REQUESTS {
            self.now += self.exponential(1.0 / self.rate);
            self.settle(self.now);
            self.arrive();
            if n % (REQUESTS / BATCHES) == 0 {
                self.parts.extend(self.part());
            }
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
        self.picks[place] += 1;
        self.ghosts.extend(ghost.map(|ghost| ((place, began), ghost)));
        let done = self.free_at[place].max(self.now) + self.exponential(self.means[place] / 1000.0);
        self.free_at[place] = done;
        self.under_way.push(Reverse(((done * 1e9) as u64, place, began, met)));
    }

    fn part(&self) -> Option<Part> {
        let state = &self.subject.upstream().shadow.as_ref()?.state;
        let counts = |n: usize| self.subject.server(n).state.shadow().counts(state);
        let shares = (0..self.means.len()).map(counts).map(|(real, shadow)| (real as f64, shadow as f64));
        let totals = state.totals();
        let sums = (totals.real.sum_micros as f64 / 1000.0, totals.shadow.sum_micros as f64 / 1000.0);
        Some(Part { shares: shares.collect(), expected: (totals.real.count() as f64, sums.0, sums.1) })
    }

    fn batches(&self, of: impl Fn(&Part, &Part) -> f64) -> Mean {
        let batches: Vec<f64> = self.parts.windows(2).map(|pair| of(&pair[0], &pair[1])).collect();
        assert_eq!(batches.len(), BATCHES);
        Mean::of(&batches)
    }

    /// Shares of a server: what it had, and what the shadow would have given it.
    fn shares(&self, n: usize) -> (Mean, Mean) {
        let each = (REQUESTS / BATCHES) as f64;
        let real = self.batches(|was, is| (is.shares[n].0 - was.shares[n].0) / each);
        (real, self.batches(|was, is| (is.shares[n].1 - was.shares[n].1) / each))
    }

    /// Mean latencies expected of what was picked, and of what the shadow picked, in milliseconds.
    fn expected(&self) -> (Mean, Mean) {
        let count = |was: &Part, is: &Part| is.expected.0 - was.expected.0;
        let real = self.batches(|was, is| (is.expected.1 - was.expected.1) / count(was, is));
        (real, self.batches(|was, is| (is.expected.2 - was.expected.2) / count(was, is)))
    }

    /// How long requests took, in milliseconds.
    fn mean_ms(&self) -> Mean {
        let mut times = self.times.clone();
        times.sort_unstable_by(|one, other| one.0.total_cmp(&other.0));
        let batch =
            |times: &[(f64, f64)]| times.iter().map(|time| time.1).sum::<f64>() / times.len() as f64 * 1000.0;
        Mean::of(&times.chunks(REQUESTS / BATCHES).map(batch).collect::<Vec<_>>())
    }
}

/// One server of four takes five times as long. Turns give it a quarter all the same. In their shadow `least_time` avoids it
/// no less than by itself, because it looks at a server that is swamped. What it foresees is no less than service alone and,
/// but for what it gives the slow server, no more than the three others would take at random.
#[test]
fn least_time_in_the_shadow_of_turns_spares_the_slow_server_and_foresees_less_latency() {
    let means = [10.0, 10.0, 10.0, 50.0];
    let settings = |algorithm, shadow: Value| json!({"algorithm": algorithm, "shadow": shadow});
    let world = World::new(settings("round_robin", json!({"algorithm": "least_time"})), &means, 60.0).run();
    let (swamped, others) = (time_in_turns(4, 60.0, 50.0), time_in_turns(4, 60.0, 10.0));
    let turns = (swamped + 3.0 * others) / 4.0;
    let (expected, foreseen) = world.expected();
    assert!(world.mean_ms().is_within(turns, turns), "{:?} for {turns}", world.mean_ms());
    assert!(expected.is_within(turns, turns), "{expected:?} for {turns}");
    let (had, would_have) = world.shares(3);
    assert!((had.value - 0.25).abs() <= 1.0 / REQUESTS as f64, "{had:?}");

    let real = World::new(settings("least_time", Value::Null), &means, 60.0).run();
    let has = real.picks[3] as f64 / REQUESTS as f64;
    assert!(would_have.is_within(0.0, has), "{would_have:?} for {has}");
    let random = time_in_turns(1, 20.0, 10.0);
    assert!(foreseen.is_within(10.0, random + would_have.value * swamped), "{foreseen:?} for {random}");
    assert!(real.mean_ms().is_within(10.0, random + has * swamped), "{:?} for {random}", real.mean_ms());
}

/// Servers alike, and the same algorithm twice: every server has a quarter of both. A request that meets so many others takes
/// as many service times and its own, so that what is expected is what is met:
///
/// - with `random`, a quarter of all in flight, for both: M/M/1;
/// - with `round_robin` the shadow's turns are the real ones some places on, and what it meets is the same: E_4/M/1;
/// - with `least_request` at most a quarter of all in flight, for both, since some server has no more; how many those are
///   follows from how long they stay (Little's law). The shadow's may be more than the real ones, because its requests end at
///   random servers. No algorithm can do better than one queue for all: M/M/4;
/// - whatever goes by latency may not be worse than chance, nor better than that.
#[test]
fn an_algorithm_in_its_own_shadow_foresees_itself() {
    // Waits with 4 servers half of the time busy: Erlang's C is 4/23.
    let one_queue = 10.0 + 10.0 / 2.0 * 4.0 / 23.0;
    let (random, turns) = (time_in_turns(1, 50.0, 10.0), time_in_turns(4, 200.0, 10.0));
    let mut wrong = Vec::new();
    for algorithm in ["round_robin", "random", "least_request", "least_time", "peak_ewma", "prequal"] {
        let mut hold = |what: &str, found: Mean, least: f64, most: f64| {
            if !found.is_within(least, most) {
                wrong.push(format!("{algorithm}: {what} {found:?} for {least} to {most}"));
            }
        };
        let settings = json!({"algorithm": algorithm, "shadow": {"algorithm": algorithm}});
        let world = World::new(settings, &[10.0; 4], 200.0).run();
        for (real, shadow) in (0..4).map(|n| world.shares(n)) {
            hold("share", real, 0.25, 0.25);
            hold("share on paper", shadow, 0.25, 0.25);
        }
        let (took, (expected, foreseen)) = (world.mean_ms(), world.expected());
        let (least, most, met) = match algorithm {
            "random" => (random, random, random),
            "round_robin" => (turns, turns, turns),
            "least_request" => (one_queue, turns, 10.0 + 10.0 * 0.2 * took.value / 4.0),
            _ => (one_queue, random, random),
        };
        hold("took", took, least, most);
        hold("expected", expected, least, most);
        hold("foreseen", foreseen, least.min(met), met);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
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
