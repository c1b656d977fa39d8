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
    state::{ServerFault, WorkerId},
    table::{BalancerNumber, Compiler, Site, Table, Upstream},
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
    Done { server: usize, request: usize },
    Failed { server: usize, request: usize },
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
    /// When the present attempt began, and how many others it met.
    began: f64,
    met: u32,
    tried: Tried,
    attempts: usize,
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
    let late = world.requests.iter().flatten().filter(|request| request.arrived >= scenario.warm_up_ms);
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
    if let Ok(serde_json::Value::Object(settings)) = serde_json::from_str(variant) {
        upstream.as_object_mut().unwrap().extend(settings);
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
                let tried = Tried::default();
                let place = self.free.pop().unwrap_or_else(|| {
                    self.requests.push(None);
                    self.requests.len() - 1
                });
                self.requests[place] =
                    Some(Request { balancer, arrived: at, began: at, met: 0, tried, attempts: 0 });
                self.attempt(at, place);
            }
            Event::Done { server, request } => {
                self.answer(at, server, request, Answer::Good);
                if let Some(next) = self.servers[server].finish() {
                    self.begin(at, server, next);
                }
            }
            Event::Failed { server, request } => self.answer(at, server, request, Answer::Error),
        }
    }

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
        request.began = at;
        request.attempts += 1;
        request.met = picked.state.in_flight.start();
        picked.state.latency.asked(now(at).moment);
        let server = self.places[&std::ptr::from_ref(picked)];
        if request.arrived >= self.scenario.warm_up_ms {
            self.outcome.by_server[server] += 1;
            self.outcome.retries += usize::from(request.attempts > 1);
        }
        if self.servers[server].character.fails(at) {
            self.push(at + 0.2, Event::Failed { server, request: number });
        } else if self.servers[server].take(number) {
            self.begin(at, server, number);
        }
    }

    fn begin(&mut self, at: f64, server: usize, request: usize) {
        let character = self.servers[server].character;
        let length = self.work.exponential(character.mean_ms);
        self.push(character.done(at, length), Event::Done { server, request });
    }

    fn answer(&mut self, at: f64, server: usize, number: usize, answer: Answer) {
        let request = self.requests[number].as_mut().unwrap();
        let upstream: &Upstream = self.tables[request.balancer].upstream("default").unwrap();
        let picked = &upstream.servers[server];
        picked.state.in_flight.end();
        picked.state.latency.settled();
        if let Some(policy) = upstream.latency {
            let took = Duration::from_secs_f64((at - request.began) / 1000.0);
            let latency = &picked.state.latency;
            if answer == Answer::Good {
                latency.record(took, request.met, now(at).moment, policy.decay);
            } else {
                latency.record_error(took, request.met, now(at).moment, policy.decay);
            }
        }
        if answer == Answer::Good {
            picked.state.outlier.succeeded();
        } else {
            upstream.failed(picked, ServerFault::Status(500), now(at), self.picks.bits());
            if request.attempts <= usize::from(upstream.retries.attempts) {
                return self.attempt(at, number);
            }
        }
        let request = self.requests[number].take().unwrap();
        self.free.push(number);
        if request.arrived >= self.scenario.warm_up_ms {
            if answer == Answer::Good {
                self.outcome.times.push(at - request.arrived);
            } else {
                self.outcome.errors += 1;
            }
        }
    }
}
