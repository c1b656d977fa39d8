//! The data plane: a request in, a response out. Modules in the order a request meets them.
#![doc = include_str!("../README.md")]

mod clock;
mod config;
mod error;

mod deadline;
mod listener;
mod pressure;
mod proxy_header;
mod stream;
mod worker;

mod connection;
mod decode;
mod exchange;
mod gathering;
mod head;
mod outgoing;
mod pipeline;

mod admission;
mod affinity;
mod answer;
pub mod balance;
mod body;
mod breaker;
mod forward;
mod grpc;
mod header;
mod problem;
mod rate_limit;
mod retry;
mod route;
mod shadow;
mod split;
mod time_limit;
mod tunnel;
mod upgrade;

mod proxy;

pub use config::{AffinitySecret, ProxyConfig};
pub use proxy::{Drained, Proxy, RunningProxy};
pub use weir_shared::cidr::{Cidr, InvalidCidr};
