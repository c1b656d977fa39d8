//! The data plane of a real Weir: real sockets, real servers, every request counted.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    reason = "test code: a broken expectation is reported by a panic"
)]

mod affinity;
mod balancing;
mod checks;
mod churn;
mod faults;
mod first_five_minutes;
mod freeze;
mod health;
mod hedging;
mod http2;
mod http2_servers;
mod kill;
mod listeners;
mod load_reports;
mod malformed;
mod outliers;
mod overload;
mod placement;
mod retry;
mod retry_status;
mod routes;
mod semantics;
mod server_faults;
mod shadow;
mod shutdown;
mod slow_uploads;
mod startup;
mod timeouts;
mod upgrades;
