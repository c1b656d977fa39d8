//! The API, called without a socket.

mod bad_input;
mod certificates;
mod conditions;
mod config;
mod drains;
mod events;
mod events_access;
mod examples;
mod harness;
mod history;
mod listeners;
mod observation;
mod operations;
mod preferences;
mod retries;
mod routes;
mod servers;
mod tokens;
mod trials;
mod upstreams;
