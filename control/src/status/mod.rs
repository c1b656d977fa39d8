//! What a dashboard is shown: one page with every upstream and server, its state, why, and since when.
//!
//! Everything is computed when asked for, from the table in force and the counters of the proxy's workers, off the
//! request path. Only rates need a memory: [`Status::run_sampler`] keeps the last ten seconds of each upstream, and an hour
//! of points to draw.
//!
//! Reading order: [`view`] (the JSON), [`query`], `page`, `build`, `window`; [`explain`]; [`timeseries`], `series`.

mod build;
mod certificates;
mod counts;
pub mod explain;
mod listeners;
mod overload;
mod page;
pub mod query;
mod series;
pub mod shadow;
#[cfg(test)]
mod tests;
pub mod timeseries;
pub mod view;
mod window;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

pub use certificates::{CertificateView, CertificatesView, days_left};
pub use listeners::{ListenerCounts, UnboundListener};
pub use query::{HealthFormat, HealthQuery};
use tokio::time::MissedTickBehavior;
pub use view::{HealthPage, ServerHealth, StoreState, StoreView, UpstreamHealth};
use weir_shared::{
    id::UpstreamId,
    state::ListenerState,
    table::{Server, Table, TableReader, Upstream},
    time::Now,
};

use self::window::{Detail, Window};
use crate::{clock::Clock, drains::Drains};

/// Time between two readings of the counters.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);

/// With more servers than this, they have no series of their own: 15 MiB for a thousand.
pub const MAX_SERVER_SERIES: usize = 1000;
/// With more upstreams than this, those that have had no request yet have no series.
const MAX_IDLE_SERIES: usize = 1000;

/// Answers what is up, what is not, and why.
#[derive(Debug)]
pub struct Status {
    reader: TableReader,
    listener: Arc<ListenerState>,
    clock: Clock,
    node: String,
    drains: Drains,
    /// What was read of each upstream in the last ten seconds. Held while one reading or one page is made.
    windows: Mutex<HashMap<UpstreamId, Window>>,
}

impl Status {
    /// Reads tables from `reader` and names the answering process `node`.
    #[must_use]
    pub fn new(reader: TableReader, listener: Arc<ListenerState>, clock: Clock, node: String) -> Self {
        Self { reader, listener, clock, node, drains: Drains::default(), windows: Mutex::default() }
    }

    /// The same, showing `drains`.
    #[must_use]
    pub fn with_drains(self, drains: Drains) -> Self {
        Self { drains, ..self }
    }

    /// The health of everything `query` asks for. `store` tells how the configuration is kept.
    #[must_use]
    pub fn health(&self, query: &HealthQuery, store: StoreView) -> HealthPage {
        page::build(self, query, store)
    }

    /// The health of the upstream named `id`, servers included.
    #[must_use]
    pub fn upstream(&self, id: &str) -> Option<UpstreamHealth> {
        let table = self.reader.snapshot();
        let now = self.clock.now();
        let upstream = table.upstream(id)?;
        let servers = upstream
            .servers
            .iter()
            .map(|server| build::server(upstream, server, &self.drains, now))
            .collect();
        Some(build::upstream(upstream, table.config(), Some(servers), &mut self.windows(), now))
    }

    /// The health of the server of `upstream` whose id, or else whose address, is `key`.
    #[must_use]
    pub fn server(&self, upstream: &str, key: &str) -> Option<ServerHealth> {
        let table = self.reader.snapshot();
        let upstream = table.upstream(upstream)?;
        let server = upstream.server(&upstream.record.find(key)?.server.id)?;
        Some(build::server(upstream, server, &self.drains, self.clock.now()))
    }

    /// The health of `server`, one of `upstream`'s, at `now`.
    #[must_use]
    pub fn health_of(&self, upstream: &Upstream, server: &Server, now: Now) -> ServerHealth {
        build::server(upstream, server, &self.drains, now)
    }

    /// Reads the counters every second, for ever. Run it on the control plane's runtime.
    pub async fn run_sampler(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(SAMPLE_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.sample();
        }
    }

    /// Reads the counters once.
    pub fn sample(&self) {
        let table = self.reader.snapshot();
        let now = self.clock.now();
        let detail = detail(&table);
        let mut windows = self.windows();
        for upstream in table.upstreams() {
            window::of(&mut windows, upstream, now).read(upstream, detail, now);
        }
        if windows.len() > table.upstreams().len() {
            windows.retain(|id, _| table.upstream(id.as_str()).is_some());
        }
    }

    fn windows(&self) -> MutexGuard<'_, HashMap<UpstreamId, Window>> {
        // A panic between two readings leaves whole readings only.
        self.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which points are kept with as many upstreams and servers as `table` has.
fn detail(table: &Table) -> Detail {
    let servers: usize = table.upstreams().map(|upstream| upstream.servers.len()).sum();
    match table.upstreams().len() {
        _ if servers <= MAX_SERVER_SERIES => Detail::Servers,
        upstreams if upstreams <= MAX_IDLE_SERIES => Detail::Upstreams,
        _ => Detail::Busy,
    }
}
