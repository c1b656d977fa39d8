//! The run itself: arrivals, picks, work and answers in the order of their times.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    sync::Arc,
    time::Duration,
};

use serde_json::json;
use weir_proxy::balance::{self, Tried};
use weir_shared::{
    id::{Epoch, Revision},
    model::{Algorithm, Document, Meta},
    state::{HedgeTime, ServerFault, WorkerId},
    table::{BalancerNumber, Compiler, HedgeDelay, Site, Table, Upstream},
    time::{Moment, Now, Timestamp},
};
use weir_tests::random::Random;

use crate::{
    fleet::Server,
    report::Outcome,
    scenario::{Placing, Scenario, ZONES},
};

/// What happens next. Times are whole nanoseconds, so that they order exactly.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrive,
    Done {
        server: usize,
        request: usize,
    },
    Failed {
        server: usize,
        request: usize,
    },
    /// Time to ask a second server, if there has been no answer.
    Hedge {
        request: usize,
    },
    /// A server has probably done what nobody waits for any more.
    Rest {
        balancer: usize,
        server: usize,
    },
}

/// What a server said.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    Good,
    Error,
}

struct Request {
    balancer: usize,
    arrived: f64,
    tried: Tried,
    attempts: usize,
    /// Attempts whose answers are waited for: one, or two when hedged.
    awaited: Vec<Attempt>,
    /// Servers that work for it, though its answer may be there: who gives a request up does not stop the work.
    at_work: usize,
    is_over: bool,
    /// How long the first server has for itself.
    alone: Option<HedgeTime>,
}

#[derive(Clone, Copy)]
struct Attempt {
    server: usize,
    began: f64,
    /// How many others it met.
    met: u32,
}

struct World<'s> {
    scenario: &'s Scenario,
    tables: Vec<Table>,
    /// Which server is which, in all tables.
    places: HashMap<*const weir_shared::table::Server, usize>,
    servers: Vec<Server>,
    requests: Vec<Option<Request>>,
    /// Places in `requests` that can be used again.
    free: Vec<usize>,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    sequence: u64,
    arrivals: Random,
    work: Random,
    picks: Random,
    outcome: Outcome,
}

/// Runs `scenario` under `algorithm`. `variant` is a JSON object of further settings of the upstream.
pub(crate) fn run(scenario: &Scenario, algorithm: Algorithm, variant: &str, seed: u64) -> Outcome {
    let mut world = World {
        scenario,
        places: HashMap::new(),
        free: Vec::new(),
        tables: (0..scenario.balancers).map(|n| table(scenario, algorithm, variant, n)).collect(),
        servers: scenario.servers.iter().map(|character| Server::new(*character)).collect(),
        requests: Vec::new(),
        events: BinaryHeap::new(),
        sequence: 0,
        arrivals: Random::new(seed),
        work: Random::new(seed + 1000),
        picks: Random::new(seed + 2000),
        outcome: Outcome { by_server: vec![0; scenario.servers.len()], ..Outcome::default() },
    };
    for table in &world.tables {
        let servers = table.upstream("default").unwrap().servers.iter().enumerate();
        world.places.extend(servers.map(|(place, server)| (std::ptr::from_ref(&**server), place)));
    }
    world.push(0.0, Event::Arrive);
    let end = scenario.warm_up_ms + scenario.length_ms;
    while let Some(Reverse((at, _, event))) = world.events.pop() {
        let now = at as f64 / 1e6;
        // Those under way at the end have a second more.
        if now > end + 1000.0 {
            break;
        }
        if event == Event::Arrive && now >= end {
            continue;
        }
        world.handle(now, event);
    }
    let late = world.requests.iter().flatten();
    let late = late.filter(|request| !request.is_over && request.arrived >= scenario.warm_up_ms);
    world.outcome.unanswered = late.count();
    world.outcome
}

/// What the `balancer`th balancer picks from.
fn table(scenario: &Scenario, algorithm: Algorithm, variant: &str, balancer: usize) -> Table {
    let zone = |n: usize| format!("zone-{}", n % ZONES);
    let server = |n: usize| json!({"address": format!("10.0.{}.{}:80", n / 250, n % 250), "zone": zone(n)});
    let servers: Vec<_> = (0..scenario.servers.len()).map(server).collect();
    let number = |index: usize, count: usize| BalancerNumber::new(index as u32, count as u32);
    let (site, size) = match scenario.placing {
        Placing::Flat => (Site::default(), 0),
        Placing::Subset(size) => (Site { zone: None, number: number(balancer, scenario.balancers) }, size),
        Placing::Zones(size) => {
            let count = (scenario.balancers - balancer % ZONES).div_ceil(ZONES);
            (Site { zone: Some(zone(balancer).into()), number: number(balancer / ZONES, count) }, size)
        }
    };
    let mut upstream = json!({
        "id": "default", "algorithm": algorithm, "servers": servers, "health_check": {"enabled": false},
        "subset": {"size": size},
    });
    for settings in [Some(scenario.settings.clone()), serde_json::from_str(variant).ok()] {
        upstream
            .as_object_mut()
            .unwrap()
            .extend(settings.iter().flat_map(|all| all.as_object().cloned()).flatten());
    }
    let mut document: Document = serde_json::from_value(json!({"upstreams": [upstream]})).unwrap();
    for server in &mut document.upstreams[0].servers {
        server.id = server.address.replace([':', '.'], "-");
    }
    let config = document.into_config(Revision(1), Epoch("abc123".into()), Meta::default());
    let table = Compiler { workers: 1, site, ..Compiler::default() }
        .compile(Arc::new(config), None, now(0.0))
        .unwrap();
    let upstream = table.upstream("default").unwrap();
    for server in &upstream.servers {
        server.state.health.assume_healthy(now(0.0));
    }
    upstream.state.eligibility_changed();
    table
}

fn now(ms: f64) -> Now {
    // Not from 0, which stands for "never" in some places.
    Now { moment: Moment((ms * 1000.0) as u64 + 1_000_000), wall: Timestamp(ms as i64) }
}

impl World<'_> {
    fn push(&mut self, at: f64, event: Event) {
        self.sequence += 1;
        self.events.push(Reverse(((at * 1e6) as u64, self.sequence, event)));
    }

    fn handle(&mut self, at: f64, event: Event) {
        match event {
            Event::Arrive => {
                let next = at + self.arrivals.exponential(1.0 / self.scenario.rate);
                self.push(next, Event::Arrive);
                let balancer = (self.arrivals.bits() % self.tables.len() as u64) as usize;
                let place = self.free.pop().unwrap_or_else(|| {
                    self.requests.push(None);
                    self.requests.len() - 1
                });
                self.requests[place] = Some(Request {
                    balancer,
                    arrived: at,
                    tried: Tried::default(),
                    attempts: 0,
                    awaited: Vec::new(),
                    at_work: 0,
                    is_over: false,
                    alone: None,
                });
                self.attempt(at, place);
                self.plan_hedge(at, place);
            }
            Event::Done { server, request } => {
                self.answer(at, server, request, Answer::Good);
                if let Some(next) = self.servers[server].finish() {
                    self.begin(at, server, next);
                }
            }
            Event::Failed { server, request } => self.answer(at, server, request, Answer::Error),
            Event::Hedge { request } => self.hedge(at, request),
            Event::Rest { balancer, server } => {
                self.tables[balancer].upstream("default").unwrap().servers[server].state.in_flight.end();
            }
        }
    }

    fn upstream(&self, number: usize) -> &Upstream {
        let balancer = self.requests[number].as_ref().unwrap().balancer;
        self.tables[balancer].upstream("default").unwrap()
    }

    fn is_counted(&self, number: usize) -> bool {
        self.requests[number].as_ref().unwrap().arrived >= self.scenario.warm_up_ms
    }

    /// Sends the request to one more server.
    fn attempt(&mut self, at: f64, number: usize) {
        let request = self.requests[number].as_mut().unwrap();
        let upstream = self.tables[request.balancer].upstream("default").unwrap();
        let choice = balance::Request {
            worker: WorkerId(0),
            now: now(at).moment,
            key: None,
            random: || self.picks.bits(),
        };
        let picked = balance::pick(upstream, &request.tried, &choice).unwrap();
        request.tried.add(picked);
        request.attempts += 1;
        request.at_work += 1;
        let server = self.places[&std::ptr::from_ref(picked)];
        request.awaited.push(Attempt { server, began: at, met: picked.state.in_flight.start() });
        picked.state.latency.asked(now(at).moment);
        if self.is_counted(number) {
            self.outcome.by_server[server] += 1;
        }
        if self.servers[server].character.fails(at) {
            self.push(at + 0.2, Event::Failed { server, request: number });
        } else if self.servers[server].take(number) {
            self.begin(at, server, number);
        }
    }

    /// Earns a new request's share of hedges, and notes when a second server may be asked.
    fn plan_hedge(&mut self, at: f64, number: usize) {
        let upstream = self.upstream(number);
        let Some(policy) = upstream.hedging else { return };
        let (state, moment) = (upstream.state.hedging.of(WorkerId(0)), now(at).moment);
        state.deposit(policy.max_percent);
        let time = match policy.delay {
            HedgeDelay::Fixed(delay) => Some(HedgeTime { delay, is_early: false }),
            HedgeDelay::Percentile(percentile) => {
                let answers = &upstream.state.counters.of(WorkerId(0)).latency;
                let delay = state.delay(answers, (percentile, policy.max_percent), moment);
                let first = self.requests[number].as_ref().unwrap().awaited.first();
                let latency = first.map(|first| &upstream.servers[first.server].state.latency);
                let own = latency.and_then(|latency| latency.average(moment, upstream.latency?.decay));
                delay.map(|delay| state.time(delay, own))
            }
        };
        if let Some(HedgeTime { delay, .. }) = time {
            let request = self.requests[number].as_mut().unwrap();
            request.at_work += 1;
            request.alone = time;
            self.push(at + delay.as_secs_f64() * 1000.0, Event::Hedge { request: number });
        }
    }

    fn hedge(&mut self, at: f64, number: usize) {
        let upstream = self.upstream(number);
        let request = self.requests[number].as_ref().unwrap();
        let is_due = !request.is_over && request.attempts == 1 && upstream.servers.len() > 1;
        let state = upstream.state.hedging.of(WorkerId(0));
        if is_due && state.withdraw() {
            if request.alone.is_some_and(|time| time.is_early) {
                state.asked_early();
            }
            self.outcome.hedges += usize::from(self.is_counted(number));
            self.attempt(at, number);
        }
        self.leave(number);
    }

    /// One who worked for the request, or was to, is done with it.
    fn leave(&mut self, number: usize) {
        let request = self.requests[number].as_mut().unwrap();
        request.at_work -= 1;
        if request.is_over && request.at_work == 0 {
            self.requests[number] = None;
            self.free.push(number);
        }
    }

    fn begin(&mut self, at: f64, server: usize, request: usize) {
        let character = self.servers[server].character;
        let mut length = self.work.exponential(character.mean_ms);
        if let Some((slow, times, until)) = self.scenario.slow_until
            && slow == server
            && at < until
        {
            length *= times;
        }
        if let Some((of, long)) = self.scenario.long
            && self.work.bits().is_multiple_of(of)
        {
            length = long;
        }
        self.push(character.done(at, length), Event::Done { server, request });
    }

    fn answer(&mut self, at: f64, server: usize, number: usize, answer: Answer) {
        let request = self.requests[number].as_mut().unwrap();
        let upstream: &Upstream = self.tables[request.balancer].upstream("default").unwrap();
        let Some(place) = request.awaited.iter().position(|attempt| attempt.server == server) else {
            // Given up before.
            return self.leave(number);
        };
        let attempt = request.awaited.remove(place);
        let picked = &upstream.servers[server];
        picked.state.in_flight.end();
        picked.state.latency.settled();
        if let Some(policy) = upstream.latency {
            let latency = &picked.state.latency;
            let (took, moment) = (since(at, attempt.began), now(at).moment);
            if answer == Answer::Good {
                latency.record(took, attempt.met, moment, policy.decay);
            } else {
                latency.record_error(took, attempt.met, moment, policy.decay);
            }
        }
        if answer == Answer::Good {
            picked.state.outlier.succeeded();
            self.give_up(at, number);
            self.conclude(at, number, answer);
        } else {
            upstream.failed(picked, ServerFault::Status(500), now(at), self.picks.bits());
            let retries = usize::from(upstream.retries.attempts);
            if request.awaited.is_empty() && request.attempts <= retries {
                self.outcome.retries += usize::from(self.is_counted(number));
                self.attempt(at, number);
            } else if request.awaited.is_empty() {
                self.conclude(at, number, answer);
            }
        }
        self.leave(number);
    }

    /// Waits no longer for what another server has answered. It counts as in flight for as long as it will probably take.
    fn give_up(&mut self, at: f64, number: usize) {
        let request = self.requests[number].as_mut().unwrap();
        let (balancer, awaited) = (request.balancer, std::mem::take(&mut request.awaited));
        for Attempt { server, began, .. } in awaited {
            let upstream: &Upstream = self.tables[balancer].upstream("default").unwrap();
            let (state, moment) = (&upstream.servers[server].state, now(at).moment);
            let others = state.in_flight.count().saturating_sub(1);
            let mut rest = 0.0;
            if let Some(policy) = upstream.latency {
                state.latency.record_given_up(since(at, began), others, moment, policy.decay);
                rest = f64::from(state.latency.average(moment, policy.decay).unwrap_or_default()) / 1000.0;
            }
            state.latency.settled();
            self.push(at + rest, Event::Rest { balancer, server });
        }
    }

    /// The client has its answer.
    fn conclude(&mut self, at: f64, number: usize, answer: Answer) {
        let request = self.requests[number].as_mut().unwrap();
        request.is_over = true;
        let took = at - request.arrived;
        self.upstream(number).state.counters.of(WorkerId(0)).latency.record(since(took, 0.0));
        if self.is_counted(number) {
            match answer {
                Answer::Good => self.outcome.times.push(took),
                Answer::Error => self.outcome.errors += 1,
            }
        }
    }
}

fn since(now: f64, earlier: f64) -> Duration {
    Duration::from_secs_f64((now - earlier) / 1000.0)
}
