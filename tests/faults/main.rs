//! The promises of one node, each tested against the faults that could break it. Their numbers are those of the README.
//!
//! A fault is either done to the files between two lives of a real Weir, or to its system calls while it lives: strace
//! kills it at the N-th write of a file, or has the disk refuse.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    reason = "test code: a broken expectation is reported by a panic"
)]

mod book;
mod p10_exit;
mod p1_durable;
mod p2_atomic;
mod p3_read_your_writes;
mod p4_no_lost_update;
mod p5_static_stability;
mod p7_no_empty_by_accident;
mod p8_health_truth;
mod p9_drain;
#[path = "../control_plane/problem.rs"]
#[expect(dead_code, reason = "the suite of the API uses all of it")]
mod problem;
mod tamper;
