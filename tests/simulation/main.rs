//! Runs the balancing algorithms in virtual time: the same code that picks in the proxy, with servers and clients that are
//! numbers. Deterministic: the same seed gives the same figures on every machine.
//!
//! `cargo run --release -p weir-tests --example simulation -- '{"latency": {"decay_time": "3s"}}'`; the argument, if there is
//! one, holds further settings of the upstream.
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
mod random;
mod report;
mod scenario;
mod world;

use scenario::Scenario;
use weir_shared::model::Algorithm;

fn main() {
    let algorithms = [
        Algorithm::Random,
        Algorithm::RoundRobin,
        Algorithm::LeastRequest,
        Algorithm::LeastTime,
        Algorithm::PeakEwma,
        Algorithm::Prequal,
    ];
    let variant = std::env::args().nth(1).unwrap_or_default();
    for scenario in [Scenario::mixed(0.7), Scenario::mixed(0.9), Scenario::failing(0.63)] {
        println!("{}", scenario.name);
        for algorithm in algorithms {
            let outcome = world::run(&scenario, algorithm, &variant, 7);
            println!("  {:<14} {}", format!("{algorithm:?}"), report::line(&outcome));
        }
    }
}
