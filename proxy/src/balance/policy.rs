//! By what a pick is made: the upstream's own settings and the requests that are under way, or those of its shadow.

use weir_shared::{
    model::{Algorithm, Comparison},
    state::{Counter, PerWorker, ShadowLoad},
    table::{HashTable, LatencyPolicy, Server, Shadow, Upstream},
    time::Moment,
};

/// Whose requests count as under way.
#[derive(Clone, Copy)]
enum Load {
    Real,
    Shadow,
}

/// By what a pick is made.
pub(super) struct Policy<'u> {
    pub(super) upstream: &'u Upstream,
    pub(super) algorithm: Algorithm,
    pub(super) comparison: &'u Comparison,
    pub(super) latency: Option<LatencyPolicy>,
    pub(super) hash: Option<&'u HashTable>,
    pub(super) balance_percent: u16,
    pub(super) cursors: &'u PerWorker<Counter>,
    load: Load,
}

impl<'u> Policy<'u> {
    /// What requests are sent by.
    pub(super) fn real(upstream: &'u Upstream) -> Self {
        Self {
            upstream,
            algorithm: upstream.algorithm,
            comparison: &upstream.comparison,
            latency: upstream.latency,
            hash: upstream.hash.as_ref(),
            balance_percent: upstream.balance_percent,
            cursors: &upstream.state.cursors,
            load: Load::Real,
        }
    }

    /// What requests would be sent by.
    pub(super) fn shadow(upstream: &'u Upstream, shadow: &'u Shadow) -> Self {
        Self {
            upstream,
            algorithm: shadow.algorithm,
            comparison: &shadow.comparison,
            latency: Some(shadow.latency),
            hash: shadow.hash.as_ref(),
            balance_percent: shadow.balance_percent,
            cursors: &shadow.state.cursors,
            load: Load::Shadow,
        }
    }

    /// Requests in flight at `server`.
    pub(super) fn count(&self, server: &Server) -> u32 {
        match self.load {
            Load::Real => server.state.in_flight.count(),
            Load::Shadow => server.state.shadow_if_any().map_or(0, ShadowLoad::in_flight),
        }
    }

    /// The same, to be calculated with.
    #[expect(clippy::cast_precision_loss, reason = "exact up to sixteen million requests in flight")]
    pub(super) fn in_flight(&self, server: &Server) -> f32 {
        self.count(server) as f32
    }

    /// The same and those of other balancers, as far as the server has told.
    #[expect(clippy::cast_precision_loss, reason = "exact up to sixteen million requests in flight")]
    pub(super) fn with_others(&self, server: &Server, now: Moment) -> f32 {
        let others = self.upstream.load_reports.map_or(0, |age| server.state.load_report.others(now, age));
        self.count(server).saturating_add(others) as f32
    }

    /// What `server` has told that it takes for a request, in microseconds.
    pub(super) fn told(&self, server: &Server, now: Moment) -> Option<f32> {
        server.state.load_report.expected(now, self.upstream.load_reports?)
    }

    /// Whether `server` can take one more request.
    pub(super) fn has_room(&self, server: &Server) -> bool {
        self.upstream.has_room_beside(server, || self.count(server))
    }
}
