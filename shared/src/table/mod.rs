//! What the proxy reads: a configuration compiled for the request path. Immutable; replaced as a whole.

mod channel;
mod compile;
mod eligible;
mod hash;
mod route;
mod sampler;
mod server;
mod status;
mod upstream;

use std::{
    ops::Bound,
    sync::{Arc, Weak},
};

pub use channel::{CachedReader, TableReader, TableWriter, channel};
pub use compile::Compiler;
pub use eligible::Eligible;
pub use hash::{HashTable, Key};
pub use route::Route;
pub use sampler::Sampler;
pub use server::Server;
pub use status::{ServerStatus, UpstreamState as UpstreamCondition, UpstreamStatus};
pub use upstream::{LatencyPolicy, RetryPolicy, Upstream};

use crate::{
    id::{Revision, UpstreamId},
    model::Config,
    sharing::{Change, SharedMap, changed},
};

/// A configuration compiled for the request path. A request holds one from its start to its end.
#[derive(Debug)]
pub struct Table {
    config: Arc<Config>,
    upstreams: SharedMap<UpstreamId, Upstream>,
    default_route: Route,
    steps: Steps,
}

/// What differs from the table this one was compiled from, noted so that followers need not compare all of both.
#[derive(Debug, Default)]
struct Steps {
    /// The configuration of the other table.
    from: Weak<Config>,
    /// The upstreams that are not the same, in order.
    upstreams: Box<[UpstreamId]>,
}

impl Table {
    /// Number of the configuration it was compiled from.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.config.revision
    }

    /// The configuration it was compiled from.
    #[must_use]
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// The route that takes a request. Every request, for now, takes the catch-all route.
    #[must_use]
    pub fn route(&self) -> &Route {
        &self.default_route
    }

    /// The upstream named `id`.
    #[must_use]
    pub fn upstream(&self, id: &str) -> Option<&Arc<Upstream>> {
        self.upstreams.get(id)
    }

    /// The upstreams that are not the same in `before`, by id. Between two tables of which one was compiled from the other,
    /// this costs no more than what changed.
    #[must_use]
    pub fn changes_since<'a>(&'a self, before: &'a Self) -> Vec<(&'a UpstreamId, Change<'a, Upstream>)> {
        if Weak::as_ptr(&self.steps.from) != Arc::as_ptr(&before.config) {
            return changed(&before.upstreams, &self.upstreams).collect();
        }
        let change = |id| Some((id, Change::of(before.upstreams.get(id), self.upstreams.get(id))?));
        self.steps.upstreams.iter().filter_map(change).collect()
    }

    /// The upstreams whose id is greater than `id`, by id.
    pub fn upstreams_after<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a Arc<Upstream>> {
        self.upstreams.range::<str, _>((Bound::Excluded(id), Bound::Unbounded)).map(|(_, upstream)| upstream)
    }

    /// All upstreams, by id.
    pub fn upstreams(&self) -> impl ExactSizeIterator<Item = &Arc<Upstream>> {
        self.upstreams.values()
    }
}
