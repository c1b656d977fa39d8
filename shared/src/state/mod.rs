//! What is observed while running. Outlives tables: kept as long as the server or upstream it describes.

mod counters;
mod health;
mod histogram;
mod in_flight;
mod listener;
mod outlier;
mod per_worker;
mod retry_budget;
mod server;
mod upstream;

pub use counters::{Counter, ServerCounters, ServerTotals, UpstreamCounters, UpstreamTotals};
pub use health::{
    CheckOutcome, CheckRecord, Health, HealthRecord, HealthState, HealthThresholds, History, Reason,
    Transition,
};
pub use histogram::{Histogram, HistogramCounts};
pub use in_flight::InFlight;
pub use listener::{ListenerCounters, ListenerState, ListenerTotals};
pub use outlier::{EjectionPolicy, Outlier, OutlierRecord, ServerFault};
pub use per_worker::{PerWorker, WorkerId};
pub use retry_budget::RetryBudget;
pub use server::ServerState;
pub use upstream::UpstreamState;
