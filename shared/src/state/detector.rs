//! What tells that a server fails real requests, and by which figures.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What ejects servers. The names are those of Envoy's settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Detector {
    /// Errors in a row: statuses that count as errors, and failures of local origin.
    #[serde(rename = "consecutive_5xx")]
    Consecutive5xx,
    /// 502, 503, 504 and failures of local origin in a row.
    ConsecutiveGatewayFailure,
    /// Failures of local origin in a row: no connection, none or half an answer, one that is not HTTP, none in time.
    ConsecutiveLocalOriginFailure,
    /// A success rate far below that of the other servers.
    SuccessRate,
    /// A share of failures above the threshold.
    FailurePercentage,
}

impl Detector {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Consecutive5xx,
        Self::ConsecutiveGatewayFailure,
        Self::ConsecutiveLocalOriginFailure,
        Self::SuccessRate,
        Self::FailurePercentage,
    ];

    /// The detector as a word, as in JSON and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Consecutive5xx => "consecutive_5xx",
            Self::ConsecutiveGatewayFailure => "consecutive_gateway_failure",
            Self::ConsecutiveLocalOriginFailure => "consecutive_local_origin_failure",
            Self::SuccessRate => "success_rate",
            Self::FailurePercentage => "failure_percentage",
        }
    }

    /// Whether it goes by shares of many requests, which no single answer disproves.
    #[must_use]
    pub fn is_statistical(self) -> bool {
        matches!(self, Self::SuccessRate | Self::FailurePercentage)
    }
}

/// What a server failed at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerFault {
    /// Being connected to, or keeping a connection until its answer: something a mere connection can disprove.
    Connection,
    /// Answering in time.
    Timeout,
    /// Answering in HTTP.
    Malformed,
    /// Ending an answer it had begun.
    Incomplete,
    /// A status that counts as an error.
    Status(u16),
}

impl ServerFault {
    /// Whether the server never answered, so that no response was counted.
    #[must_use]
    pub fn is_unanswered(self) -> bool {
        matches!(self, Self::Connection | Self::Timeout | Self::Malformed)
    }

    /// Whether it counts as a failure of a gateway, or of one behind it: 502, 503, 504, and every failure of local origin.
    #[must_use]
    pub fn is_gateway(self) -> bool {
        matches!(self, Self::Status(502..=504)) || self.is_local_origin()
    }

    /// Whether it is something noticed here, not something the server said.
    #[must_use]
    pub fn is_local_origin(self) -> bool {
        !matches!(self, Self::Status(_))
    }
}

/// By what a server was ejected.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Evidence {
    /// Errors in a row.
    Row {
        /// Which row was full.
        detector: Detector,
        /// How many errors it had.
        errors: u32,
        /// The last of them.
        fault: ServerFault,
    },
    /// A success rate, among those of other servers.
    SuccessRate {
        /// Requests that make up the rate.
        requests: u64,
        /// The rate, 0 to 1.
        rate: f64,
        /// The mean of all servers' rates.
        mean: f64,
        /// The rate below which servers are ejected.
        threshold: f64,
    },
    /// A share of failures.
    FailurePercentage {
        /// Requests that make up the share.
        requests: u64,
        /// The success rate, 0 to 1: what the failures leave.
        rate: f64,
        /// The rate at and below which servers are ejected.
        threshold: f64,
    },
}

impl Evidence {
    /// What found it.
    #[must_use]
    pub fn detector(self) -> Detector {
        match self {
            Self::Row { detector, .. } => detector,
            Self::SuccessRate { .. } => Detector::SuccessRate,
            Self::FailurePercentage { .. } => Detector::FailurePercentage,
        }
    }
}

/// One sentence without its stop, for a person.
impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |share: f64| share * 100.0;
        match *self {
            Self::Row { detector, errors, fault } => {
                let kind = match detector {
                    Detector::ConsecutiveLocalOriginFailure => "requests in a row got no complete answer",
                    Detector::ConsecutiveGatewayFailure => {
                        "requests in a row failed with 502, 503, 504 or without a complete answer"
                    }
                    _ => "requests in a row failed",
                };
                write!(f, "{}: {errors} {kind}, the last with {fault}", detector.as_str())
            }
            Self::SuccessRate { requests, rate, mean, threshold } => write!(
                f,
                "success_rate: {:.1} % of {requests} requests succeeded, below {:.1} %; the mean of all servers is {:.1} %",
                percent(rate),
                percent(threshold),
                percent(mean)
            ),
            Self::FailurePercentage { requests, rate, threshold } => write!(
                f,
                "failure_percentage: {:.1} % of {requests} requests failed, the threshold is {:.0} %",
                percent(1.0 - rate),
                percent(1.0 - threshold)
            ),
        }
    }
}

impl fmt::Display for ServerFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connection => f.write_str("no connection, or one that ended without an answer"),
            Self::Timeout => f.write_str("no answer in time"),
            Self::Malformed => f.write_str("an answer that is not HTTP"),
            Self::Incomplete => f.write_str("an answer that broke off"),
            Self::Status(status) => write!(f, "status {status}"),
        }
    }
}

/// Errors in a row that eject, by kind; 0 = never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowLimits {
    /// Of any error.
    pub any: u32,
    /// Of 502, 503, 504 and failures of local origin.
    pub gateway: u32,
    /// Of failures of local origin.
    pub local_origin: u32,
}

/// When errors in a row eject a server, and for how long any ejection lasts.
#[derive(Clone, Copy, Debug)]
pub struct EjectionPolicy {
    /// How many errors it takes.
    pub rows: RowLimits,
    /// First length; the n-th ejection lasts n times as long.
    pub base: Duration,
    /// Longest.
    pub max: Duration,
    /// Most that is added at random.
    pub jitter: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_the_same_in_json_and_elsewhere() {
        for detector in Detector::ALL {
            assert_eq!(serde_json::to_value(detector).unwrap(), detector.as_str());
        }
    }

    #[test]
    fn evidence_reads_as_a_sentence_with_its_figures() {
        let row =
            Evidence::Row { detector: Detector::Consecutive5xx, errors: 5, fault: ServerFault::Status(500) };
        assert_eq!(row.to_string(), "consecutive_5xx: 5 requests in a row failed, the last with status 500");
        let rate = Evidence::SuccessRate { requests: 212, rate: 0.43, mean: 0.987, threshold: 0.9131 };
        assert_eq!(
            rate.to_string(),
            "success_rate: 43.0 % of 212 requests succeeded, below 91.3 %; the mean of all servers is 98.7 %"
        );
        let share = Evidence::FailurePercentage { requests: 50, rate: 0.1, threshold: 0.15 };
        assert_eq!(
            share.to_string(),
            "failure_percentage: 90.0 % of 50 requests failed, the threshold is 85 %"
        );
    }
}
