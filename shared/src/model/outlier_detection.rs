//! Ejection: a server that fails real requests gets none for a while.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    StatusRange,
    check::{DAY, HOUR, number, span, statuses},
};
use crate::{
    error::{FieldError, FieldErrorCode, Pointer},
    units::Span,
};

/// When and for how long a server is ejected. Names and defaults are Envoy's, except where stated; what Envoy calls a host
/// is a server here, and a detector is turned off with 0 instead of an `enforcing_…` percentage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "two switches that have nothing to do with each other")]
pub struct OutlierDetection {
    /// Whether servers are ejected at all. Default true.
    pub enabled: bool,
    /// Errors in a row that eject a server, 1 to 1000; 0 = not for this. Errors are the `count_statuses`, and what counts
    /// as a failure of local origin. Default 5.
    #[schema(minimum = 0, maximum = 1000)]
    pub consecutive_5xx: u16,
    /// The same for 502, 503 and 504, as far as they are among `count_statuses`, and failures of local origin. Default 5
    /// (Envoy counts them and ejects nobody).
    #[schema(minimum = 0, maximum = 1000)]
    pub consecutive_gateway_failure: u16,
    /// The same for failures of local origin alone: no connection, none or half an answer, one that is not HTTP, none in
    /// time. Default 5.
    #[schema(minimum = 0, maximum = 1000)]
    pub consecutive_local_origin_failure: u16,
    /// Statuses that count as errors, at most 16. Default `["500-599"]`.
    #[schema(max_items = 16)]
    pub count_statuses: Vec<StatusRange>,
    /// How often servers are compared with each other by what they answered since the last time, 1s to 1h. Default 10s.
    pub interval: Span,
    /// How many standard deviations below the mean of all servers a success rate has to be to eject its server, 0.1 to
    /// 10; 0 = not for this. Default 1.9 (Envoy writes 1900).
    #[schema(minimum = 0, maximum = 10)]
    pub success_rate_stdev_factor: f64,
    /// How many percentage points below the mean it has to be besides, 0 to 100. Without such a floor (Envoy has none) one
    /// error in a thousand answers ejects a server whenever the others have none. Default 5.
    #[schema(minimum = 0, maximum = 100)]
    pub success_rate_minimum_drop_percent: u8,
    /// Servers with enough requests that it takes to compare success rates, 2 to 10000. Default 5.
    #[schema(minimum = 2, maximum = 10_000)]
    pub success_rate_minimum_servers: u16,
    /// Requests within `interval` that a server must have answered to be compared, 1 to 1000000. Default 100.
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub success_rate_request_volume: u32,
    /// Share of failed requests within `interval` that ejects a server, in percent, 1 to 100; 0 = not for this. Default 0
    /// (in Envoy 85, which ejects nobody unless asked for).
    #[schema(minimum = 0, maximum = 100)]
    pub failure_percentage_threshold: u8,
    /// Servers with enough requests that it takes to judge shares of failures, 1 to 10000. Default 5.
    #[schema(minimum = 1, maximum = 10_000)]
    pub failure_percentage_minimum_servers: u16,
    /// Requests within `interval` that a server must have answered to be judged, 1 to 1000000. Default 50.
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub failure_percentage_request_volume: u32,
    /// Length of the first ejection, 1s to 1h; the second lasts twice as long, the third three times, and so on. Each time
    /// as long without an ejection takes one off. Default 30s.
    pub base_ejection_time: Span,
    /// Longest ejection, 1s to 24h. Default 5m.
    pub max_ejection_time: Span,
    /// Random time added to each ejection, up to this, 0s to 1h: servers ejected together do not return together. Default
    /// 0s.
    pub max_ejection_time_jitter: Span,
    /// Largest share of an upstream's servers that may be ejected at once, 0 to 100; above 0 it is at least one server.
    /// Default 50 (Envoy: 10). The last eligible server is never ejected.
    #[schema(minimum = 0, maximum = 100)]
    pub max_ejection_percent: u8,
    /// Whether a passed active check ends an ejection for errors in a row: of an `http` or `grpc` check any pass, of a `tcp`
    /// check one that shows that connections are possible again; if requests lose theirs all the same, the next ejection
    /// runs its time. So do ejections by rates, because one check says nothing about a rate (in Envoy these end too). Default
    /// true.
    pub successful_active_health_check_uneject_server: bool,
}

impl Default for OutlierDetection {
    fn default() -> Self {
        Self {
            enabled: true,
            consecutive_5xx: 5,
            consecutive_gateway_failure: 5,
            consecutive_local_origin_failure: 5,
            count_statuses: vec![StatusRange { first: 500, last: 599 }],
            interval: Span::from_secs(10),
            success_rate_stdev_factor: 1.9,
            success_rate_minimum_drop_percent: 5,
            success_rate_minimum_servers: 5,
            success_rate_request_volume: 100,
            failure_percentage_threshold: 0,
            failure_percentage_minimum_servers: 5,
            failure_percentage_request_volume: 50,
            base_ejection_time: Span::from_secs(30),
            max_ejection_time: Span::from_secs(300),
            max_ejection_time_jitter: Span::default(),
            max_ejection_percent: 50,
            successful_active_health_check_uneject_server: true,
        }
    }
}

/// Checks it, adding every fault found below `at` to `errors`.
pub(super) fn check(outlier: &OutlierDetection, at: &Pointer, errors: &mut Vec<FieldError>) {
    for (name, count) in [
        ("consecutive_5xx", outlier.consecutive_5xx),
        ("consecutive_gateway_failure", outlier.consecutive_gateway_failure),
        ("consecutive_local_origin_failure", outlier.consecutive_local_origin_failure),
    ] {
        number(count, 0..=1000, &at.at(name), errors);
    }
    statuses(outlier.count_statuses.len(), 0, &at.at("count_statuses"), errors);
    rates(outlier, at, errors);
    let second = Span::from_secs(1);
    span(outlier.base_ejection_time, second..=HOUR, &at.at("base_ejection_time"), errors);
    span(outlier.max_ejection_time, second..=DAY, &at.at("max_ejection_time"), errors);
    if outlier.max_ejection_time < outlier.base_ejection_time {
        let detail = format!("must be at least base_ejection_time ({})", outlier.base_ejection_time);
        errors.push(at.at("max_ejection_time").error(FieldErrorCode::OutOfRange, detail));
    }
    let jitter = outlier.max_ejection_time_jitter;
    span(jitter, Span::default()..=HOUR, &at.at("max_ejection_time_jitter"), errors);
    number(outlier.max_ejection_percent, 0..=100, &at.at("max_ejection_percent"), errors);
}

/// Checks what servers are compared by.
fn rates(outlier: &OutlierDetection, at: &Pointer, errors: &mut Vec<FieldError>) {
    span(outlier.interval, Span::from_secs(1)..=HOUR, &at.at("interval"), errors);
    let factor = outlier.success_rate_stdev_factor;
    if factor != 0.0 && !(0.1..=10.0).contains(&factor) {
        let detail = "must be 0 (off) or 0.1 to 10 standard deviations; what Envoy writes 1900 is 1.9";
        let error = at.at("success_rate_stdev_factor").error(FieldErrorCode::OutOfRange, detail);
        errors.push(FieldError {
            value: Some(factor.into()),
            allowed: Some("0 or 0.1..10".to_owned()),
            ..error
        });
    }
    let drop = outlier.success_rate_minimum_drop_percent;
    number(drop, 0..=100, &at.at("success_rate_minimum_drop_percent"), errors);
    let servers = outlier.success_rate_minimum_servers;
    number(servers, 2..=10_000, &at.at("success_rate_minimum_servers"), errors);
    let volume = outlier.success_rate_request_volume;
    number(volume, 1..=1_000_000, &at.at("success_rate_request_volume"), errors);
    let threshold = outlier.failure_percentage_threshold;
    number(threshold, 0..=100, &at.at("failure_percentage_threshold"), errors);
    let servers = outlier.failure_percentage_minimum_servers;
    number(servers, 1..=10_000, &at.at("failure_percentage_minimum_servers"), errors);
    let volume = outlier.failure_percentage_request_volume;
    number(volume, 1..=1_000_000, &at.at("failure_percentage_request_volume"), errors);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(outlier: &OutlierDetection) -> Vec<String> {
        let mut errors = Vec::new();
        check(outlier, &Pointer::root(), &mut errors);
        errors.into_iter().map(|error| error.pointer).collect()
    }

    #[test]
    fn defaults_are_valid_and_so_is_everything_off() {
        assert!(faults(&OutlierDetection::default()).is_empty());
        let off = OutlierDetection {
            consecutive_5xx: 0,
            consecutive_gateway_failure: 0,
            consecutive_local_origin_failure: 0,
            success_rate_stdev_factor: 0.0,
            max_ejection_percent: 0,
            ..OutlierDetection::default()
        };
        assert!(faults(&off).is_empty());
    }

    #[test]
    fn every_fault_is_pointed_at() {
        let wrong = OutlierDetection {
            enabled: true,
            consecutive_5xx: 1001,
            consecutive_gateway_failure: 1001,
            consecutive_local_origin_failure: 1001,
            count_statuses: vec![StatusRange { first: 500, last: 500 }; 17],
            interval: Span::from_millis(999),
            success_rate_stdev_factor: 1900.0,
            success_rate_minimum_drop_percent: 101,
            success_rate_minimum_servers: 1,
            success_rate_request_volume: 0,
            failure_percentage_threshold: 101,
            failure_percentage_minimum_servers: 0,
            failure_percentage_request_volume: 0,
            base_ejection_time: Span::from_secs(3601),
            max_ejection_time: Span::from_secs(3600),
            max_ejection_time_jitter: Span::from_secs(3601),
            max_ejection_percent: 101,
            successful_active_health_check_uneject_server: true,
        };
        let written = serde_json::to_value(&wrong).unwrap();
        let mut expected: Vec<String> = written
            .as_object()
            .unwrap()
            .keys()
            .filter(|name| {
                !["enabled", "successful_active_health_check_uneject_server"].contains(&name.as_str())
            })
            .map(|name| format!("#/{name}"))
            .collect();
        let mut found = faults(&wrong);
        expected.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, expected);
    }
}
