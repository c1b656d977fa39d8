//! What the end-to-end suites stand on: a real Weir process, servers that misbehave on request, and clients that count.
//!
//! Everything here blocks and runs on threads: a test of a proxy must not share a scheduler with the thing it measures,
//! and a blocking client shows exactly which byte arrived when. Reading order: [`syntax`] and [`strict`] (what a message
//! may look like), [`origin`], [`http2_origin`], [`frames`], [`grpc`], [`switcher`] and [`process_origin`] (the servers), [`client`],
//! [`frame_client`] and [`load`] (the clients), [`weir`] and [`api`] (the product), [`eventually`] (waiting), [`character`] and [`random`] (servers and moments of what is measured or simulated).
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    clippy::missing_panics_doc,
    clippy::missing_errors_doc,
    reason = "test code: a broken expectation is reported by a panic"
)]

pub mod api;
pub mod character;
pub mod client;
pub mod config;
pub mod ctl;
pub mod events;
pub mod eventually;
pub mod frame_client;
pub mod frames;
pub mod grpc;
pub mod http2_client;
pub mod http2_origin;
pub mod load;
pub mod logs;
pub mod origin;
pub mod process_origin;
pub mod random;
pub mod reply;
pub mod signal;
pub mod strict;
pub mod switcher;
pub mod syntax;
pub mod tally;
pub mod weir;
