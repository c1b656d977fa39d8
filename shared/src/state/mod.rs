//! What is observed while running. Outlives tables: kept as long as the server or upstream it describes.

mod check;
mod counters;
mod detector;
mod health;
mod histogram;
mod in_flight;
mod latency;
mod listener;
mod outlier;
mod per_worker;
mod rates;
mod recent_checks;
mod resolved;
mod retry_budget;
mod sample;
mod server;
mod upstream;

pub use check::{CheckOutcome, CheckRecord, History};
pub use counters::{Counter, ServerCounters, ServerTotals, UpstreamCounters, UpstreamTotals};
pub use detector::{Detector, EjectionPolicy, Evidence, RowLimits, ServerFault};
pub use health::{Health, HealthRecord, HealthState, HealthThresholds, Reason, Recheck, Transition};
pub use histogram::{Histogram, HistogramCounts};
pub use in_flight::InFlight;
pub use latency::Latency;
pub use listener::{ListenerCounters, ListenerState, ListenerTotals};
pub use outlier::{Ejection, EjectionEnd, Outlier, OutlierRecord};
pub use per_worker::{PerWorker, WorkerId};
pub use rates::{FailurePercentagePolicy, RatePolicy, SuccessRatePolicy};
pub use resolved::Resolved;
pub use retry_budget::RetryBudget;
pub use sample::Sample;
pub use server::ServerState;
pub use upstream::UpstreamState;
