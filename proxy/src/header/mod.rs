//! What an intermediary must do to the fields of a message.

mod client_cert;
mod connection_options;
mod cookie;
pub(crate) mod forwarded;
pub(crate) mod framing;
mod survey;
mod target;
mod trailers;

pub(crate) use client_cert::Identity;
pub(crate) use connection_options::{ConnectionOptions, end_connection_fields, is_hop_by_hop, is_rewritten};
pub(crate) use cookie::{cookies, join_cookies};
pub(crate) use forwarded::{client_address, is_encrypted};
pub(crate) use framing::Expectation;
pub(crate) use target::{origin_form, write_target};
pub(crate) use trailers::{
    accepts_trailers, is_forbidden_trailer, request_trailers, response_trailers, write_trailers,
};
