//! What operators write ([`model`]), what the proxy reads ([`table`]), and what survives a change of either
//! ([`state`]).
//!
//! Nothing here performs I/O, reads a clock or draws a random number: `now` and the like are arguments, so that
//! every rule can be tested with made-up times. Reading order: [`id`], [`units`], [`model`], [`tls`], [`table`], [`state`].
#![doc = include_str!("../README.md")]

pub mod cidr;
pub mod error;
pub mod id;
pub mod model;
pub mod path;
pub mod pattern;
pub mod proxy_protocol;
pub mod sharing;
pub mod state;
pub mod table;
pub mod time;
pub mod tls;
pub mod units;
