//! The API, called without a socket.

mod bad_input;
mod conditions;
mod drains;
mod harness;
mod operations;
mod preferences;
mod retries;
mod servers;
mod tokens;
mod trials;
mod upstreams;
