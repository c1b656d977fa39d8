//! Active checks: what is asked of a server, how often, and how many answers decide.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{
    StatusRange,
    check::{number, span, statuses},
};
use crate::{
    error::{FieldError, FieldErrorCode, Pointer},
    units::Span,
};

const MILLI_100: Span = Span::from_millis(100);
/// The longest timeout that is not written.
const MOST_BY_DEFAULT: Span = Span::from_secs(2);
const MINUTES_10: Span = Span::from_secs(600);

/// Fields that frame or route a message are the checker's own to set (RFC 9110 §7.6.1).
const RESERVED_FIELDS: [&str; 9] = [
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "proxy-connection",
];

/// What a check does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HealthCheckType {
    /// Sends a request and looks at the status of the answer.
    Http,
    /// Opens a connection.
    Tcp,
    /// Calls `grpc.health.v1.Health/Check` over HTTP/2, secured as the upstream's `tls` says.
    Grpc,
}

/// Active checks of each server of an upstream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct HealthCheck {
    /// Whether servers are checked at all. Default true.
    pub enabled: bool,
    /// `http`, `tcp` or `grpc`. Left out: `http` when a path is given, else `tcp`.
    #[serde(rename = "type")]
    #[schema(nullable)]
    pub kind: Option<HealthCheckType>,
    /// Target of an http check: starts with `/`, at most 2048 bytes. Left out: `/`.
    #[schema(nullable, max_length = 2048)]
    pub path: Option<String>,
    /// `GET`, `HEAD` or `OPTIONS`. Default `GET`.
    pub method: String,
    /// Host field of an http check, authority of a grpc check. Left out: the server's address.
    #[schema(nullable)]
    pub host: Option<String>,
    /// Port to check, 1 to 65535. Left out: the server's port.
    #[schema(nullable, minimum = 1, maximum = 65535)]
    pub port: Option<u16>,
    /// Fields added to an http or grpc check, at most 16.
    pub headers: BTreeMap<String, String>,
    /// Statuses that pass: `"200"` or `"200-399"`, at most 16. Default `["200-399"]` (as NGINX and HAProxy).
    #[schema(max_items = 16)]
    pub expected_statuses: Vec<StatusRange>,
    /// Text that the body has to hold within its first 64 KiB, 1 to 1024 bytes; for http checks. Left out: the body is not
    /// read.
    #[schema(nullable, max_length = 1024)]
    pub expected_body: Option<String>,
    /// Service that a grpc check asks for, at most 255 printable characters. Left out: the server as a whole.
    #[schema(nullable, max_length = 255)]
    pub grpc_service: Option<String>,
    /// Time between checks, 100ms to 10m. Default 5s.
    pub interval: Span,
    /// Time to the next check while a verdict is turning, 100ms to 10m: a healthy server has failed its last check, or an
    /// unhealthy one has passed it (HAProxy's `fastinter`). Left out: as if nothing were turning.
    #[schema(nullable)]
    pub fast_interval: Option<Span>,
    /// Time between checks of an unhealthy server, 100ms to 10m (HAProxy's `downinter`). Left out: `interval`.
    #[schema(nullable)]
    pub unhealthy_interval: Option<Span>,
    /// Time one check may take, 10ms to 60s, less than `interval`. Left out: half of `interval`, and at most 2s.
    #[schema(nullable)]
    pub timeout: Option<Span>,
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

    /// The timeout in force: as written, or what the interval leaves.
    #[must_use]
    pub fn effective_timeout(&self) -> Span {
        let half =
            Span::from_millis(u64::try_from(self.interval.duration().as_millis() / 2).unwrap_or(u64::MAX));
        self.timeout.unwrap_or_else(|| half.min(MOST_BY_DEFAULT))
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
            expected_body: None,
            grpc_service: None,
            interval: Span::from_secs(5),
            fast_interval: None,
            unhealthy_interval: None,
            timeout: None,
            healthy_threshold: 2,
            unhealthy_threshold: 3,
            jitter_percent: 10,
        }
    }
}

/// Checks it, adding every fault found below `at` to `errors`.
pub(super) fn check(check: &HealthCheck, at: &Pointer, errors: &mut Vec<FieldError>) {
    kind(check, at, errors);
    if !matches!(check.method.as_str(), "GET" | "HEAD" | "OPTIONS") {
        let error = at.at("method").error(FieldErrorCode::InvalidValue, "a check must not change anything");
        errors.push(FieldError { allowed: Some("GET, HEAD, OPTIONS".to_owned()), ..error });
    }
    if let Some(host) = &check.host
        && (host.is_empty()
            || host.len() > 261
            || http::uri::Authority::try_from(host.as_str()).is_err()
            || host.contains('@'))
    {
        errors.push(
            at.at("host")
                .error(FieldErrorCode::InvalidValue, "a Host field is a host name with an optional port"),
        );
    }
    if check.port == Some(0) {
        number(0, 1..=65_535, &at.at("port"), errors);
    }
    check_headers(&check.headers, &at.at("headers"), errors);
    statuses(check.expected_statuses.len(), 1, &at.at("expected_statuses"), errors);
    times(check, at, errors);
    number(check.healthy_threshold, 1..=10, &at.at("healthy_threshold"), errors);
    number(check.unhealthy_threshold, 1..=10, &at.at("unhealthy_threshold"), errors);
    number(check.jitter_percent, 0..=50, &at.at("jitter_percent"), errors);
}

/// Checks what only some types of checks have.
fn kind(check: &HealthCheck, at: &Pointer, errors: &mut Vec<FieldError>) {
    let kind = check.effective_type();
    let mut refuse = |name: &str, detail: &str| {
        errors.push(at.at(name).error(FieldErrorCode::InvalidValue, detail));
    };
    if let Some(path) = &check.path {
        let valid = path.starts_with('/') && path.len() <= 2048 && path.bytes().all(|b| b.is_ascii_graphic());
        if !valid {
            refuse(
                "path",
                "a path starts with / and has at most 2048 printable ASCII characters, without spaces",
            );
        }
        match kind {
            HealthCheckType::Http => {}
            HealthCheckType::Tcp => refuse("path", "a tcp check has no path: use \"type\": \"http\""),
            HealthCheckType::Grpc => {
                refuse("path", "a grpc check has no path: say \"grpc_service\", or use \"type\": \"http\"");
            }
        }
    }
    if let Some(text) = &check.expected_body {
        if kind != HealthCheckType::Http {
            refuse(
                "expected_body",
                "only an http check has a body: give it a path, or use \"type\": \"http\"",
            );
        } else if check.method == "HEAD" {
            refuse("expected_body", "the answer to HEAD has no body: use GET");
        }
        if text.is_empty() || text.len() > 1024 {
            refuse("expected_body", "a text has 1 to 1024 bytes");
        }
    }
    if let Some(service) = &check.grpc_service {
        if kind != HealthCheckType::Grpc {
            refuse("grpc_service", "only a grpc check asks for a service: use \"type\": \"grpc\"");
        }
        if service.len() > 255 || !service.bytes().all(|byte| byte.is_ascii_graphic()) {
            refuse(
                "grpc_service",
                "a service's name has at most 255 printable ASCII characters, without spaces",
            );
        }
    }
}

/// Checks how often checks are made, and how long they may take.
fn times(check: &HealthCheck, at: &Pointer, errors: &mut Vec<FieldError>) {
    span(check.interval, MILLI_100..=MINUTES_10, &at.at("interval"), errors);
    for (name, interval) in
        [("fast_interval", check.fast_interval), ("unhealthy_interval", check.unhealthy_interval)]
    {
        if let Some(interval) = interval {
            span(interval, MILLI_100..=MINUTES_10, &at.at(name), errors);
        }
    }
    let Some(timeout) = check.timeout else { return };
    span(timeout, Span::from_millis(10)..=Span::from_secs(60), &at.at("timeout"), errors);
    // An interval that is wrong itself is no measure for the timeout.
    if timeout >= check.interval && (MILLI_100..=MINUTES_10).contains(&check.interval) {
        let error = at
            .at("timeout")
            .error(FieldErrorCode::OutOfRange, format!("must be less than interval ({})", check.interval));
        errors.push(FieldError {
            value: Some(Value::from(timeout.to_string())),
            allowed: Some("10ms..<interval".to_owned()),
            ..error
        });
    }
}

fn check_headers(headers: &BTreeMap<String, String>, at: &Pointer, errors: &mut Vec<FieldError>) {
    if headers.len() > 16 {
        errors.push(at.error(FieldErrorCode::TooMany, "at most 16 fields"));
    }
    for (name, value) in headers {
        let at = at.at(name);
        if http::HeaderName::try_from(name.as_str()).is_err() {
            errors.push(at.error(FieldErrorCode::InvalidValue, "not a valid field name"));
        } else if RESERVED_FIELDS.contains(&name.to_ascii_lowercase().as_str()) {
            errors.push(at.error(FieldErrorCode::InvalidValue, "this field is set by the check itself"));
        } else if value.len() > 4096 || http::HeaderValue::try_from(value.as_str()).is_err() {
            errors.push(at.error(FieldErrorCode::InvalidValue, "not a valid field value"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(interval: u64, timeout: Option<u64>) -> Vec<String> {
        let (interval, timeout) = (Span::from_millis(interval), timeout.map(Span::from_millis));
        let mut errors = Vec::new();
        check(&HealthCheck { interval, timeout, ..HealthCheck::default() }, &Pointer::root(), &mut errors);
        errors.into_iter().map(|error| error.pointer).collect()
    }

    #[test]
    fn a_timeout_that_is_not_written_leaves_the_interval_its_half() {
        for (interval, timeout) in [(5000, 2000), (600_000, 2000), (2000, 1000), (101, 50)] {
            let check = HealthCheck { interval: Span::from_millis(interval), ..HealthCheck::default() };
            assert_eq!(check.effective_timeout(), Span::from_millis(timeout), "{interval}");
            assert!(faults(interval, None).is_empty(), "{interval}");
        }
        assert_eq!(faults(2000, Some(2000)), ["#/timeout"], "one that is written is taken as it is, or not");
        let written = HealthCheck { timeout: Some(Span::from_secs(3)), ..HealthCheck::default() };
        assert_eq!(written.effective_timeout(), Span::from_secs(3));
    }
}
