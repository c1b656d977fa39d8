//! Ejection: a server that fails real requests gets none for a while.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::StatusRange;
use crate::units::Span;

/// When and for how long a server is ejected. Names and defaults are Envoy's, except where stated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct OutlierDetection {
    /// Whether servers are ejected at all. Default true.
    pub enabled: bool,
    /// Errors in a row that eject a server, 1 to 1000. Default 5.
    #[schema(minimum = 1, maximum = 1000)]
    pub consecutive_errors: u16,
    /// Statuses that count as errors, at most 16. Failed connections, resets and timeouts always do.
    /// Default `["500-599"]`.
    #[schema(max_items = 16)]
    pub count_statuses: Vec<StatusRange>,
    /// Length of the first ejection, 1s to 1h; doubles with each further one. Default 30s.
    pub base_ejection_time: Span,
    /// Longest ejection, 1s to 24h. Default 5m.
    pub max_ejection_time: Span,
    /// Largest share of an upstream's servers that may be ejected at once, 0 to 100. Default 50 (Envoy: 10). The last
    /// eligible server is never ejected.
    #[schema(minimum = 0, maximum = 100)]
    pub max_ejection_percent: u8,
}

impl Default for OutlierDetection {
    fn default() -> Self {
        Self {
            enabled: true,
            consecutive_errors: 5,
            count_statuses: vec![StatusRange { first: 500, last: 599 }],
            base_ejection_time: Span::from_secs(30),
            max_ejection_time: Span::from_secs(300),
            max_ejection_percent: 50,
        }
    }
}
