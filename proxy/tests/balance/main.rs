//! Which server is picked, with servers in given states and nothing running.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "a failed helper fails its test"
)]

mod algorithms;
mod keys;
mod limits;
mod over_time;
mod placement;
mod shadow;
mod subject;
