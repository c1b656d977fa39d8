//! What a second algorithm would have picked, counted beside what was picked.
//!
//! The first pick of each request is compared; retries and second askings are not. The shadow has requests in flight of its
//! own, so that its picks react to its own load; how long they stay is how long the real ones take.

use std::sync::Arc;

use weir_shared::{
    state::ServerState,
    table::{Server, Shadow, Upstream},
    time::Moment,
};

use super::{Policy, Request, Tried, pick_by};

/// A request in flight of a shadow's, until dropped.
#[derive(Debug)]
pub struct Ghost(Arc<ServerState>);

impl Drop for Ghost {
    fn drop(&mut self) {
        self.0.shadow().end();
    }
}

/// A pick that was followed.
#[derive(Clone, Copy, Debug)]
pub struct Picked<'u> {
    /// The server.
    pub server: &'u Server,
    /// Other requests that were in flight there.
    pub met: u32,
    /// Whether the algorithm had a say.
    pub by: By,
}

/// Who picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The algorithm.
    Algorithm,
    /// The client's cookie, which would have had its way with the shadow too.
    Affinity,
}

/// Lets `shadow`, the upstream's, pick a server for the request that `picked` was the pick for, and counts what differs.
/// `request` has the shadow's key. `None` when the shadow finds no server with room.
pub fn compare(
    upstream: &Upstream,
    shadow: &Shadow,
    picked: Picked<'_>,
    request: &Request<impl Fn() -> u64>,
) -> Option<Ghost> {
    let counters = shadow.state.counters.of(request.worker);
    let other = match picked.by {
        By::Affinity => Some(picked.server),
        By::Algorithm => pick_by(&Policy::shadow(upstream, shadow), &Tried::default(), request),
    };
    let Some(other) = other else {
        counters.unplaced.add(1);
        return None;
    };
    counters.requests.add(1);
    counters.elsewhere.add(u64::from(!std::ptr::eq(other, picked.server)));
    let (real, load) = (picked.server.state.shadow(), other.state.shadow());
    real.count_real(&shadow.state);
    load.count_shadow(&shadow.state);
    let expected = expected(picked.server, picked.met, request.now);
    if let Some((real, shadow)) = expected.zip(self::expected(other, load.in_flight(), request.now)) {
        counters.real.record(real);
        counters.shadow.record(shadow);
    }
    load.start();
    Some(Ghost(Arc::clone(&other.state)))
}

/// How long `server` will probably take for a request that meets so many others: as long as such took, or as long as it has
/// been silent if that is longer.
fn expected(server: &Server, in_flight: u32, now: Moment) -> Option<std::time::Duration> {
    let usual = server.state.shadow().expected(in_flight)?;
    let silence = std::time::Duration::try_from_secs_f32(server.state.latency.silence(now) / 1e6);
    Some(usual.max(silence.unwrap_or_default()))
}
