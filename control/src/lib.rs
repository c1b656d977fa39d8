//! The control plane: an API change in, a new table out.
#![doc = include_str!("../README.md")]

pub mod clock;
pub mod health;
pub mod metrics;
pub mod status;
