//! The API, called without a socket.

mod bad_input;
mod conditions;
mod harness;
mod operations;
mod servers;
mod trials;
mod upstreams;
