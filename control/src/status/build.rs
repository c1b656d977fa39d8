//! From a compiled upstream or server and its counters to what is shown of it.

use std::{collections::HashMap, net::SocketAddr, time::Duration};

use weir_shared::{
    id::UpstreamId,
    model::{Config, address::Address},
    state::{Evidence, HealthRecord, HistogramCounts, Reason, Recheck, ServerTotals},
    table::{Server, ServerStatus, Upstream, UpstreamStatus},
    time::Now,
};

use super::{
    overload,
    view::{
        ChangeView, CheckView, ConnectionsView, CountersView, DrainHealth, LatencyView, PassiveView,
        ServerHealth, ServerLatencyView, UpstreamHealth,
    },
    window::{self, Window, tenths},
};
use crate::{
    drains::{Drains, Then},
    health::probe::Probe,
};

/// What is shown of `upstream`, one of `config`'s.
pub(super) fn upstream(
    upstream: &Upstream,
    config: &Config,
    servers: Option<Vec<ServerHealth>>,
    windows: &mut HashMap<UpstreamId, Window>,
    now: Now,
) -> UpstreamHealth {
    let status = UpstreamStatus::of(upstream, now.moment);
    let window = window::of(windows, upstream, now);
    let since = window.state_since(status.state, now.wall);
    let recent = window.recent(upstream, now);
    UpstreamHealth {
        id: upstream.id.as_str().to_owned(),
        state: status.state,
        panic: status.panic,
        since,
        routes: config.routes_to(upstream.id.as_str()),
        listeners: config.listeners_to(upstream.id.as_str()),
        eligible: status.eligible,
        total: status.total,
        in_flight: upstream.servers.iter().map(|server| u64::from(server.state.in_flight.count())).sum(),
        queue: overload::queue(upstream),
        circuit_breaker: overload::circuit(upstream),
        rate_limits: overload::rates(upstream),
        rps: recent.rps,
        error_rate_percent: recent.error_rate_percent,
        latency_ms: LatencyView {
            p50: quantile(&recent.latency, 0.5),
            p90: quantile(&recent.latency, 0.9),
            p99: quantile(&recent.latency, 0.99),
        },
        servers,
    }
}

/// What is shown of `server`, one of `upstream`'s.
pub(super) fn server(upstream: &Upstream, server: &Server, drains: &Drains, now: Now) -> ServerHealth {
    let status = ServerStatus::of(server, now.moment);
    let in_flight = server.state.in_flight.count();
    let drain = drains.of(upstream.id.as_str(), server.id.as_str());
    let is_removed = drain.as_ref().is_some_and(|drain| drain.then == Then::Remove);
    let reason = match status.reason {
        Some(Reason::AdminDrain) if is_removed => Some(Reason::Removing),
        reason => reason,
    };
    let totals = ServerTotals::sum(&server.state.counters);
    let ejected = server.state.outlier.is_ejected(now.moment);
    ServerHealth {
        id: server.id.as_str().to_owned(),
        address: server.record.server.address.clone(),
        resolved: resolved(server),
        zone: server.record.server.zone.clone(),
        weight: server.weight,
        priority: server.priority,
        admin_state: server.admin_state,
        state: status.state,
        eligible: status.eligible,
        reason,
        detail: status.detail,
        since: status.since,
        for_ms: now.wall.millis_since(status.since),
        check: check(upstream, server, &status.health),
        passive: PassiveView {
            consecutive_errors: server.state.outlier.consecutive_errors(),
            success_rate_percent: status
                .outlier
                .interval
                .filter(|sample| upstream.is_compared() && sample.requests > 0)
                .map(|sample| tenths(sample.success_rate() * 100.0)),
            ejected_until: status.outlier.until.filter(|_| ejected),
            detector: status.outlier.evidence.filter(|_| ejected).map(Evidence::detector),
            ejections: status.outlier.total_ejections(),
        },
        drain: drain.map(|drain| DrainHealth {
            started_at: drain.started_at,
            deadline: drain.deadline,
            in_flight,
            then: drain.then,
            done: !drain.is_under_way(),
        }),
        in_flight,
        limit: upstream.limit_of(server),
        paused_until: upstream.pause.as_ref().and_then(|_| server.state.pause.until(now.moment)),
        connections: ConnectionsView { active: totals.connections_active, idle: totals.connections_idle },
        latency_ms: ServerLatencyView {
            connect_p50: quantile(&totals.connect_latency, 0.5),
            ttfb_p50: quantile(&totals.latency, 0.5),
            ttfb_p99: quantile(&totals.latency, 0.99),
        },
        counters: counters(&totals),
        counters_since: server.state.counters_since,
    }
}

fn resolved(server: &Server) -> Option<Vec<String>> {
    match &server.address {
        Address::Socket(_) => None,
        Address::Name { port, .. } => {
            let addresses = server.state.resolved.addresses();
            Some(addresses.into_iter().map(|address| SocketAddr::new(address, *port).to_string()).collect())
        }
    }
}

fn check(upstream: &Upstream, server: &Server, health: &HealthRecord) -> Option<CheckView> {
    let spec = &upstream.record.spec.health_check;
    if !spec.enabled {
        return None;
    }
    let last = health.last.as_ref();
    Some(CheckView {
        kind: spec.effective_type(),
        url: match upstream.tls {
            Some(_) => Probe::secured_url(spec, &server.address),
            None => Probe::url(spec, &server.address),
        },
        last_at: last.map(|last| last.at),
        last_ok: last.map(|last| last.ok),
        last_status: last.and_then(|last| last.status),
        duration_ms: last.map(|last| millis(last.duration)),
        next_at: health.next_at,
        recheck_pending: health.recheck == Recheck::Pending,
        consecutive_ok: health.consecutive_ok,
        consecutive_failed: health.consecutive_failed,
        total: health.total,
        failed: health.failed,
        last_change: health.last_change.map(|change| ChangeView {
            from: change.from,
            to: change.to,
            at: change.at,
        }),
        history: health.history.to_text(),
    })
}

fn counters(totals: &ServerTotals) -> CountersView {
    let [responses_1xx, responses_2xx, responses_3xx, responses_4xx, responses_5xx] = totals.responses;
    CountersView {
        requests: totals.requests,
        responses_1xx,
        responses_2xx,
        responses_3xx,
        responses_4xx,
        responses_5xx,
        connect_errors: totals.connect_errors,
        timeouts: totals.timeouts,
        resets: totals.resets,
        cut: totals.cut,
        retries: totals.retries,
        bytes_sent: totals.bytes_sent,
        bytes_received: totals.bytes_received,
    }
}

fn quantile(counts: &HistogramCounts, quantile: f64) -> Option<u64> {
    counts.quantile(quantile).map(millis)
}

/// Whole milliseconds, rounded up: 0 would read as "took no time".
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros().div_ceil(1000)).unwrap_or(u64::MAX)
}
