//! The control plane: an API change in, a new table out.
#![doc = include_str!("../README.md")]

pub mod access;
pub mod api;
#[cfg(test)]
mod arbitrary;
pub mod audit;
pub mod catalog;
pub mod clock;
mod control;
pub mod drains;
pub mod error;
pub mod events;
pub mod health;
pub mod last_good;
pub mod metrics;
pub mod seed;
pub mod socket;
pub mod startup;
pub mod status;
pub mod store;
pub mod strict;
pub mod tls;
mod withhold;
pub mod yaml;

pub use control::{AccessConfig, Control, ControlConfig, ControlError, Prepared, StoreChoice};
