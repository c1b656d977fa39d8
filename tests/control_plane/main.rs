//! The control plane of a real Weir: the API as `curl` sees it, and what is left of it after a crash.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    reason = "test code: a broken expectation is reported by a panic"
)]

mod bad_input;
mod balancing_settings;
mod config;
mod ctl;
mod drain;
mod events;
mod explain;
mod guards;
mod history;
mod mutual_tls;
mod openapi;
mod preconditions;
mod problem;
mod readme;
mod retries;
mod safety;
mod seed;
mod servers;
mod side_by_side;
mod status;
mod timeseries;
mod too_large;
mod upstreams;
mod validate;
