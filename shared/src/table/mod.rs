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

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

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
    sharing::{Change, changed},
};

/// A configuration compiled for the request path. A request holds one from its start to its end.
#[derive(Debug)]
pub struct Table {
    config: Arc<Config>,
    upstreams: BTreeMap<UpstreamId, Arc<Upstream>>,
    default_route: Route,
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

    /// The upstreams that are not the same in `before`, by id.
    pub fn changes_since<'a>(
        &'a self,
        before: &'a Self,
    ) -> impl Iterator<Item = (&'a UpstreamId, Change<'a, Upstream>)> {
        changed(&before.upstreams, &self.upstreams)
    }

    /// The upstreams whose id is greater than `id`, by id.
    pub fn upstreams_after<'a>(&'a self, id: &str) -> impl Iterator<Item = &'a Arc<Upstream>> + use<'a> {
        self.upstreams.range::<str, _>((Bound::Excluded(id), Bound::Unbounded)).map(|(_, upstream)| upstream)
    }

    /// All upstreams, by id.
    pub fn upstreams(&self) -> impl ExactSizeIterator<Item = &Arc<Upstream>> {
        self.upstreams.values()
    }
}
