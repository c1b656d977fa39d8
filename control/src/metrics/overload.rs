//! What upstreams do about too much work: rates, circuit breakers, and limits that servers were found to bear. Only of those
//! that have them.

use weir_shared::{
    state::BreakerState,
    table::{RateLimiter, Upstream},
};

use super::{
    Sources,
    writer::{Kind, Writer},
};

const STATES: [BreakerState; 3] = [BreakerState::Closed, BreakerState::Open, BreakerState::HalfOpen];

pub(super) fn write(sources: &Sources<'_>, text: &mut Writer) {
    rates(sources, text);
    breakers(sources, text);
}

fn rates(sources: &Sources<'_>, text: &mut Writer) {
    type Read = fn(&RateLimiter) -> u64;
    let families: [(&str, Kind, &str, Read); 3] = [
        ("weir_rate_limited_total", Kind::Counter, "Requests refused for a rate.", |rate| {
            rate.allowances.refused()
        }),
        ("weir_rate_limit_keys", Kind::Gauge, "Allowances remembered for a rate.", |rate| {
            u64::try_from(rate.allowances.keys()).unwrap_or(u64::MAX)
        }),
        (
            "weir_rate_limit_forgotten_total",
            Kind::Counter,
            "Allowances forgotten for want of room before they were unused again.",
            |rate| rate.allowances.forgotten(),
        ),
    ];
    for (name, kind, help, read) in families {
        let mut family = text.family(name, kind, help);
        for upstream in sources.table.upstreams() {
            for rate in &upstream.rate_limits {
                family.sample(&[("upstream", upstream.id.as_str()), ("rate", &rate.name)], read(rate));
            }
        }
    }
}

fn breakers(sources: &Sources<'_>, text: &mut Writer) {
    let with_breaker = || sources.table.upstreams().filter(|upstream| upstream.breaker.is_some());
    let help = "1 for the state the circuit breaker is in, 0 for the others.";
    let mut family = text.family("weir_upstream_circuit_state", Kind::Gauge, help);
    for upstream in with_breaker() {
        let (current, _) = upstream.state.breaker.state();
        for state in STATES {
            let labels = [("upstream", upstream.id.as_str()), ("state", state.as_str())];
            family.sample(&labels, u64::from(current == state));
        }
    }
    type Read = fn(&Upstream) -> u64;
    let families: [(&str, &str, Read); 2] = [
        ("weir_upstream_circuit_opened_total", "How often the circuit breaker has opened.", |upstream| {
            upstream.state.breaker.opened()
        }),
        ("weir_upstream_circuit_refused_total", "Requests refused by the circuit breaker.", |upstream| {
            upstream.state.breaker.refused()
        }),
    ];
    for (name, help, read) in families {
        let mut family = text.family(name, Kind::Counter, help);
        for upstream in with_breaker() {
            family.sample(&[("upstream", upstream.id.as_str())], read(upstream));
        }
    }
}
