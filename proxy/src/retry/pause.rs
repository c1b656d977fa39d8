//! Leaves a server alone that asks for it with `Retry-After` (RFC 9110 §10.2.3), where the upstream says so.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode, header};
use weir_shared::table::{Server, Upstream};

use crate::worker::Worker;

/// Takes in the head of an answer of `server`.
pub(super) fn note(
    worker: &Worker,
    upstream: &Upstream,
    server: &Server,
    status: StatusCode,
    headers: &HeaderMap,
) {
    let Some(policy) = &upstream.pause else { return };
    if !policy.statuses.iter().any(|range| range.contains(status.as_u16())) {
        return;
    }
    let field = headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
    if let Some(time) = field.and_then(|text| parse(text, SystemTime::now())).filter(|time| !time.is_zero()) {
        server.state.pause.ask(time.min(policy.max_time), worker.now());
    }
}

/// Seconds, or a date.
fn parse(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More seconds than can be counted are still many.
        return (!text.is_empty()).then(|| Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_or_dates() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_770);
        for (text, expected) in [
            ("0", Some(0)),
            (" 120 ", Some(120)),
            ("99999999999999999999999", Some(u64::MAX)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(7)),
            ("Sun, 06 Nov 1994 08:49:00 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
            ("1.5", None),
            ("", None),
        ] {
            assert_eq!(parse(text, now), expected.map(Duration::from_secs), "{text:?}");
        }
    }
}
