//! A client that does not wait: requests at the moments of a Poisson process, however long answers take.
//!
//! `bench-open-loop PORT PATH RATE WARM_UP_SECONDS SECONDS SEED CONNECTIONS` sends RATE requests a second, each on a connection
//! that is free or a new one, of which there are at most CONNECTIONS, and prints what became of them as JSON. Times run from the
//! moment a request was due, whether or not there was a connection for it: a client that is held up would otherwise hide just
//! the slow answers. What is due in the warm-up is not counted.
#![allow(clippy::disallowed_methods, reason = "a program that measures real time")]

mod answer;
mod client;
mod connection;
mod tally;

use std::{
    error::Error,
    iter,
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use client::Client;
use tally::Tally;
use weir_tests::random::Random;

const USAGE: &str = "usage: bench-open-loop PORT PATH RATE WARM_UP_SECONDS SECONDS SEED CONNECTIONS";

struct Plan {
    proxy: SocketAddr,
    path: String,
    rate: f64,
    warm_up: Duration,
    length: Duration,
    seed: u64,
    most_connections: usize,
}

fn main() -> Result<(), Box<dyn Error>> {
    let plan = plan()?;
    let began = Instant::now();
    let tally = Tally::new(began + plan.warm_up);
    let report = Client::new(plan.proxy, &plan.path, plan.most_connections, tally)?
        .run(schedule(&plan, began))?
        .report();
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
        most_connections: next()?.parse()?,
    })
}

/// The moments of the requests.
fn schedule(plan: &Plan, began: Instant) -> impl Iterator<Item = Instant> {
    let random = Random::new(plan.seed);
    let mean = 1.0 / plan.rate;
    let moments = iter::successors(Some(0.0), move |at| Some(at + random.exponential(mean)));
    let end = (plan.warm_up + plan.length).as_secs_f64();
    moments.skip(1).take_while(move |at| *at < end).map(move |at| began + Duration::from_secs_f64(at))
}
