//! Trying another server when one fails.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An outcome after which another server may be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RetryOn {
    /// No connection could be made, or the server told that it has not begun with the request (HTTP/2: `REFUSED_STREAM`, or
    /// `GOAWAY` for an earlier one; RFC 9113 §8.7). It cannot have run, so any request may be repeated.
    ConnectError,
    /// The connection ended before a response, or what came cannot be read as one. A request that may have run is repeated
    /// only if its method is idempotent (RFC 9110 §9.2.2).
    ResetBeforeResponse,
    /// The server answered 500. Idempotent methods only.
    #[serde(rename = "status_500")]
    Status500,
    /// The server answered 502. Idempotent methods only.
    #[serde(rename = "status_502")]
    Status502,
    /// The server answered 503. Idempotent methods only.
    #[serde(rename = "status_503")]
    Status503,
    /// The server answered 504. Idempotent methods only.
    #[serde(rename = "status_504")]
    Status504,
    /// No response within `response_timeout`. Idempotent methods only.
    Timeout,
    /// A gRPC call was answered `CANCELLED` (1) before any message. Calls are repeated whatever they do.
    GrpcCancelled,
    /// A gRPC call was answered `DEADLINE_EXCEEDED` (4) before any message. Calls are repeated whatever they do.
    GrpcDeadlineExceeded,
    /// A gRPC call was answered `RESOURCE_EXHAUSTED` (8) before any message. Calls are repeated whatever they do.
    GrpcResourceExhausted,
    /// A gRPC call was answered `INTERNAL` (13) before any message. Calls are repeated whatever they do.
    GrpcInternal,
    /// A gRPC call was answered `UNAVAILABLE` (14) before any message. Calls are repeated whatever they do.
    GrpcUnavailable,
}

/// When and how often another server is tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Retries {
    /// Attempts after the first, each on another server while there is one, 0 to 5. Default 2.
    #[schema(minimum = 0, maximum = 5)]
    pub attempts: u8,
    /// Outcomes that are retried. Default `["connect_error", "reset_before_response", "status_500", "status_502",
    /// "status_503"]`: one failing server shall not show. Without `status_504` and `timeout`, after which the client has
    /// waited long already and the servers are probably overloaded. 501 and 505 would come from any server and are never
    /// retried. Without those of gRPC: a call is a POST, and one that a server answered may have run.
    #[schema(max_items = 12)]
    pub on: Vec<RetryOn>,
    /// Retries allowed as a share of requests 0 to 100; ten a second are always allowed to each worker. Default 20.
    #[schema(minimum = 0, maximum = 100)]
    pub budget_percent: u8,
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            attempts: 2,
            on: vec![
                RetryOn::ConnectError,
                RetryOn::ResetBeforeResponse,
                RetryOn::Status500,
                RetryOn::Status502,
                RetryOn::Status503,
            ],
            budget_percent: 20,
        }
    }
}
