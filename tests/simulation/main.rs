//! Runs the balancing algorithms in virtual time: the same code that picks in the proxy, with servers and clients that are
//! numbers. Deterministic: the same seed gives the same figures on every machine. What came of it: `README.md` here.
//!
//! `cargo run --release -p weir-tests --example simulation -- [--plots FOLDER] [--scenarios A,B] [--algorithms A,B] [--seed N]
//! [SETTINGS]`; SETTINGS are further ones of the upstream, such as `{"latency": {"decay_time": "3s"}}`.
#![allow(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a program for developers, over numbers it made itself"
)]

mod fleet;
mod plot;
mod report;
mod scenario;
mod world;

use std::path::Path;

use report::{Figures, HEAD};
use scenario::{Placing, Scenario};
use weir_shared::model::Algorithm;

const ALGORITHMS: [(&str, Algorithm); 6] = [
    ("random", Algorithm::Random),
    ("round_robin", Algorithm::RoundRobin),
    ("least_request", Algorithm::LeastRequest),
    ("least_time", Algorithm::LeastTime),
    ("peak_ewma", Algorithm::PeakEwma),
    ("prequal", Algorithm::Prequal),
];

/// What is asked for on the command line.
#[derive(Default)]
struct Wanted {
    plots: Option<String>,
    scenarios: Option<String>,
    algorithms: Option<String>,
    seed: Option<u64>,
    /// Further settings of the upstream, as JSON.
    settings: String,
}

impl Wanted {
    fn read() -> Self {
        let mut wanted = Self::default();
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--plots" => wanted.plots = args.next(),
                "--scenarios" => wanted.scenarios = args.next(),
                "--algorithms" => wanted.algorithms = args.next(),
                "--seed" => wanted.seed = Some(args.next().unwrap().parse().unwrap()),
                _ => wanted.settings = arg,
            }
        }
        wanted
    }
}

/// Whether `name` is in `list`, or there is none.
fn is_in(list: Option<&String>, name: &str) -> bool {
    list.is_none_or(|list| list.split(',').any(|one| one == name))
}

fn main() {
    let wanted = Wanted::read();
    let scenarios = [
        Scenario::mixed("mixed-70", 0.7),
        Scenario::mixed("mixed-90", 0.9),
        Scenario::failing("failing-63", 0.63),
        Scenario::hedged("hedged-70", 0.7),
        Scenario::recovers("recovers-90", 0.9),
        Scenario::long("long-70", 0.7, 50.0),
        Scenario::long("longest-70", 0.7, 300.0),
        Scenario::fleet("fleet", 0.7, Placing::Flat),
        Scenario::fleet("fleet-subset", 0.7, Placing::Subset(50)),
        Scenario::fleet("fleet-zones", 0.7, Placing::Zones(50)),
    ];
    for scenario in scenarios.iter().filter(|scenario| is_in(wanted.scenarios.as_ref(), scenario.name)) {
        println!("\n{}\n\n{HEAD}", scenario.title);
        let mut runs = Vec::new();
        for (name, algorithm) in ALGORITHMS {
            if is_in(wanted.algorithms.as_ref(), name) {
                let seed = wanted.seed.unwrap_or(7);
                let figures = Figures::of(world::run(scenario, algorithm, &wanted.settings, seed));
                println!("{}", figures.row(name));
                runs.push((name.to_owned(), figures));
            }
        }
        if let Some(folder) = &wanted.plots {
            let path = Path::new(folder).join(format!("{}.svg", scenario.name));
            std::fs::write(path, plot::svg(&scenario.title, &runs)).unwrap();
        }
    }
}
