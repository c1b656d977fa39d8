//! Runs the balancing algorithms in virtual time: the same code that picks in the proxy, with servers and clients that are
//! numbers. Deterministic: the same seed gives the same figures on every machine. What came of it: `README.md` here.
//!
//! `cargo run --release -p weir-tests --example simulation -- [--plots FOLDER] [SETTINGS]`; SETTINGS are further ones of the
//! upstream, such as `{"latency": {"decay_time": "3s"}}`.
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

fn main() {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let plots =
        (args.first().map(String::as_str) == Some("--plots")).then(|| args.drain(..2).nth(1).unwrap());
    let variant = args.first().cloned().unwrap_or_default();
    for scenario in [
        Scenario::mixed("mixed-70", 0.7),
        Scenario::mixed("mixed-90", 0.9),
        Scenario::failing("failing-63", 0.63),
        Scenario::fleet("fleet", 0.7, Placing::Flat),
        Scenario::fleet("fleet-subset", 0.7, Placing::Subset(50)),
        Scenario::fleet("fleet-zones", 0.7, Placing::Zones(50)),
    ] {
        println!("\n{}\n\n{HEAD}", scenario.title);
        let mut runs = Vec::new();
        for (name, algorithm) in ALGORITHMS {
            let figures = Figures::of(world::run(&scenario, algorithm, &variant, 7));
            println!("{}", figures.row(name));
            runs.push((name.to_owned(), figures));
        }
        if let Some(folder) = &plots {
            let path = Path::new(folder).join(format!("{}.svg", scenario.name));
            std::fs::write(path, plot::svg(&scenario.title, &runs)).unwrap();
        }
    }
}
