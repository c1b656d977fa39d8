//! What operators write. The API's bodies and the stored form are these types.
//!
//! Reading is lenient here (unknown fields are ignored, so that a newer writer's store can be read); the API refuses
//! unknown fields itself. Values are checked by [`check`].

pub mod address;
mod balancing;
pub mod check;
mod config;
mod health_check;
mod listener;
mod outlier_detection;
mod retries;
mod route;
mod server;
mod status_range;
mod upstream;

pub use balancing::{Algorithm, Comparison, Hash, HashOn, Latency};
pub use config::{Config, Document, Meta, ServerRecord, UpstreamRecord};
pub use health_check::{HealthCheck, HealthCheckType};
pub use listener::{Listener, ListenerStatus};
pub use outlier_detection::OutlierDetection;
pub use retries::{Retries, RetryOn};
pub use route::{Route, RouteAction, RouteMatch, UpstreamRef};
pub use server::{AdminState, Server, ServerOrAddress};
pub use status_range::StatusRange;
pub use upstream::Upstream;
