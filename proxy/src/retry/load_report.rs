//! Takes in what servers say of their load, where the upstream says so, and keeps it from clients.

use http::{HeaderMap, HeaderName};
use weir_shared::table::{Server, Upstream};

use crate::worker::Worker;

const IN_FLIGHT: HeaderName = HeaderName::from_static("x-prequal-rif");
const LATENCY: HeaderName = HeaderName::from_static("x-prequal-latency-us");

/// Takes in the head of an answer of `server`.
pub(super) fn note(worker: &Worker, upstream: &Upstream, server: &Server, headers: &HeaderMap) {
    if upstream.load_reports.is_none() {
        return;
    }
    let state = &server.state;
    if let Some(requests) = number(headers, &IN_FLIGHT) {
        state.load_report.in_flight(requests, state.in_flight.count(), worker.clock.moment());
    }
    if let Some(micros) = number(headers, &LATENCY) {
        state.load_report.latency(micros, worker.clock.moment());
    }
}

/// Takes the fields out of what the client gets.
pub(super) fn strip(upstream: &Upstream, headers: &mut HeaderMap) {
    if upstream.load_reports.is_some() {
        headers.remove(&IN_FLIGHT);
        headers.remove(&LATENCY);
    }
}

/// The number that the only field called `name` is; nothing else is believed.
fn number(headers: &HeaderMap, name: &HeaderName) -> Option<u32> {
    let mut values = headers.get_all(name).iter();
    let text = values.next()?.to_str().ok()?.trim();
    let is_plain = !text.is_empty() && text.len() <= 10 && text.bytes().all(|byte| byte.is_ascii_digit());
    (is_plain && values.next().is_none()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_plain_number_is_believed() {
        let read = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(IN_FLIGHT, value.parse().unwrap());
            }
            number(&headers, &IN_FLIGHT)
        };
        assert_eq!(read(&["12"]), Some(12));
        assert_eq!(read(&["4294967295"]), Some(u32::MAX));
        for bad in [
            &[][..],
            &[""],
            &["-1"],
            &["+1"],
            &["1.5"],
            &["4294967296"],
            &["99999999999"],
            &["1", "1"],
            &["a"],
        ] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
    }
}
