//! Active checks: what is asked of a server, how often, and how many answers decide.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::StatusRange;
use crate::units::Span;

/// What a check does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HealthCheckType {
    /// Sends a request and looks at the status of the answer.
    Http,
    /// Opens a connection.
    Tcp,
}

/// Active checks of each server of an upstream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct HealthCheck {
    /// Whether servers are checked at all. Default true.
    pub enabled: bool,
    /// `http` or `tcp`. Left out: `http` when a path is given, else `tcp`.
    #[serde(rename = "type")]
    #[schema(nullable)]
    pub kind: Option<HealthCheckType>,
    /// Target of an http check: starts with `/`, at most 2048 bytes. Left out: `/`.
    #[schema(nullable, max_length = 2048)]
    pub path: Option<String>,
    /// `GET`, `HEAD` or `OPTIONS`. Default `GET`.
    pub method: String,
    /// Host field of an http check. Left out: the server's address.
    #[schema(nullable)]
    pub host: Option<String>,
    /// Port to check, 1 to 65535. Left out: the server's port.
    #[schema(nullable, minimum = 1, maximum = 65535)]
    pub port: Option<u16>,
    /// Fields added to an http check, at most 16.
    pub headers: BTreeMap<String, String>,
    /// Statuses that pass: `"200"` or `"200-399"`, at most 16. Default `["200-399"]` (as NGINX and HAProxy).
    #[schema(max_items = 16)]
    pub expected_statuses: Vec<StatusRange>,
    /// Time between checks, 100ms to 10m. Default 5s.
    pub interval: Span,
    /// Time between checks of an unhealthy server, 100ms to 10m. Left out: `interval`.
    #[schema(nullable)]
    pub unhealthy_interval: Option<Span>,
    /// Time one check may take, 10ms to 60s, less than `interval`. Default 2s.
    pub timeout: Span,
    /// Passes in a row that make an unhealthy server healthy, 1 to 10. A new server needs one. Default 2.
    #[schema(minimum = 1, maximum = 10)]
    pub healthy_threshold: u8,
    /// Failures in a row that make a healthy server unhealthy, 1 to 10. Default 3.
    #[schema(minimum = 1, maximum = 10)]
    pub unhealthy_threshold: u8,
    /// How much each interval varies, so that checks spread out, 0 to 50. Default 10.
    #[schema(minimum = 0, maximum = 50)]
    pub jitter_percent: u8,
}

impl HealthCheck {
    /// The type in force: as written, or by whether a path is given.
    #[must_use]
    pub fn effective_type(&self) -> HealthCheckType {
        let by_path = if self.path.is_some() { HealthCheckType::Http } else { HealthCheckType::Tcp };
        self.kind.unwrap_or(by_path)
    }
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self {
            enabled: true,
            kind: None,
            path: None,
            method: "GET".to_owned(),
            host: None,
            port: None,
            headers: BTreeMap::new(),
            expected_statuses: vec![StatusRange { first: 200, last: 399 }],
            interval: Span::from_secs(5),
            unhealthy_interval: None,
            timeout: Span::from_secs(2),
            healthy_threshold: 2,
            unhealthy_threshold: 3,
            jitter_percent: 10,
        }
    }
}
