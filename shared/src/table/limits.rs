//! How much work is let through to an upstream at once: who has room, and taking a place.
//!
//! Places are counted by all workers together, so that a limit is exact. Where nothing is limited nothing is counted for
//! the upstream, and a request pays one branch.

use std::{sync::Arc, time::Duration};

use http::HeaderName;

use super::{Server, Upstream};
use crate::{model, state::AdaptivePolicy};

/// Limits of one upstream. There only where it or one of its servers has a limit.
#[derive(Clone, Debug)]
pub struct LimitPolicy {
    /// Requests under way at all servers together; `u32::MAX` = any number.
    pub max_requests: u32,
    /// Requests that may wait for a place.
    pub queue_size: usize,
    /// How long one may wait.
    pub queue_timeout: Duration,
    /// The field that says how urgent a request is.
    pub priority_field: Option<HeaderName>,
    /// How limits of servers are found out, if they are.
    pub adaptive: Option<AdaptivePolicy>,
}

impl LimitPolicy {
    /// What `spec` and `servers` say; `None` without any limit.
    pub(super) fn of(spec: &model::Upstream, servers: &[Arc<Server>]) -> Option<Self> {
        let all = spec.limits.max_requests;
        let adaptive = &spec.adaptive_limit;
        let is_limited =
            all != 0 || adaptive.enabled || servers.iter().any(|server| server.max_requests != u32::MAX);
        let queue = &spec.limits.queue;
        is_limited.then(|| Self {
            max_requests: if all == 0 { u32::MAX } else { all },
            queue_size: usize::try_from(queue.size).unwrap_or(usize::MAX),
            queue_timeout: queue.timeout.duration(),
            priority_field: queue.priority_header.as_deref().and_then(|name| HeaderName::try_from(name).ok()),
            adaptive: adaptive.enabled.then(|| AdaptivePolicy {
                initial: adaptive.initial.clamp(adaptive.min, adaptive.max),
                min: adaptive.min,
                max: adaptive.max,
                smoothing: adaptive.smoothing,
                tolerance: adaptive.latency_tolerance,
                queue: adaptive.queue_size,
                window: adaptive.window.duration(),
                long_windows: adaptive.long_windows,
            }),
        })
    }
}

impl LimitPolicy {
    /// Requests `server` may have under way; `u32::MAX` = any number.
    fn of_server(&self, server: &Server) -> u32 {
        match self.adaptive {
            None => server.max_requests,
            Some(policy) => server.max_requests.min(server.state.adaptive.limit(policy)),
        }
    }
}

impl Upstream {
    /// Requests `server` may have under way now; `None` = any number.
    #[must_use]
    pub fn limit_of(&self, server: &Server) -> Option<u32> {
        let limit = self.limits.as_ref()?.of_server(server);
        (limit != u32::MAX).then_some(limit)
    }

    /// Whether `server` can take one more request. Others may take the place meanwhile: [`Self::reserve`] decides.
    #[must_use]
    pub fn has_room(&self, server: &Server) -> bool {
        self.has_room_beside(server, || server.state.in_flight.count())
    }

    /// Whether `server` could take one more request beside those that `in_flight` tells.
    #[must_use]
    pub fn has_room_beside(&self, server: &Server, in_flight: impl FnOnce() -> u32) -> bool {
        match &self.limits {
            None => true,
            Some(limits) => in_flight() < limits.of_server(server),
        }
    }

    /// Whether the upstream as a whole has as many requests under way as it may have.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.limits.as_ref().is_some_and(|limits| self.state.limited.count() >= limits.max_requests)
    }

    /// Counts one request more at `server` if it and the upstream have room, and answers how many the server had. Where
    /// there are limits it is counted for the upstream too. Whoever calls this gives both back exactly once, and tells the
    /// queue.
    #[must_use]
    pub fn reserve(&self, server: &Server) -> Option<u32> {
        let Some(limits) = &self.limits else {
            return Some(server.state.in_flight.start());
        };
        self.state.limited.start_within(limits.max_requests)?;
        let met = server.state.in_flight.start_within(limits.of_server(server));
        if met.is_none() {
            self.state.limited.end();
            // Somebody may just have found the upstream full for this.
            self.state.queue.place_free();
        }
        met
    }
}
