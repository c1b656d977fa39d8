//! TLS of a real Weir: towards clients, towards servers, and what becomes of private keys.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    reason = "test code: a broken expectation is reported by a panic"
)]

mod agreement;
mod client;
mod outdated;
mod pki;
mod secrets;
mod server;
mod speaker;
mod upstream;
