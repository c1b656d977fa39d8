//! Trying another server when one fails.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An outcome after which another server may be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RetryOn {
    /// No connection could be made. Nothing was sent, so any request may be repeated.
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
    /// retried.
    #[schema(max_items = 7)]
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
