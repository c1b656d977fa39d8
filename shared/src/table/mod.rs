//! What the proxy reads: a configuration compiled for the request path. Immutable; replaced as a whole.

mod affinity;
mod certificates;
mod channel;
mod compile;
mod ejecting;
mod eligible;
mod hash;
mod limits;
mod listener;
#[cfg(test)]
mod over_time;
mod placement;
mod rate_limit;
mod route;
mod sampler;
mod server;
mod shadow;
mod site;
mod size;
mod slow_start;
mod spill;
mod status;
mod tier;
mod turns;
mod upstream;

use std::{
    ops::Bound,
    sync::{Arc, Weak},
};

pub use affinity::AffinityTable;
pub use channel::{CachedReader, TableReader, TableWriter, channel};
pub use compile::Compiler;
pub use ejecting::Ejected;
pub use eligible::{Eligible, EligiblePolicy};
pub use hash::{HashTable, Key};
pub use limits::LimitPolicy;
pub use listener::Listener;
pub use placement::{Membership, Place, Placement, Side};
pub use rate_limit::{Asker, RateLimiter, Taken};
pub use route::{
    Action, FieldEdits, FixedAnswer, NewPath, NoRoute, RedirectTo, Route, RouteRequest, Routes, Slot, Slots,
    Split, Target,
};
pub use sampler::Sampler;
pub use server::Server;
pub use shadow::Shadow;
pub use site::{BalancerNumber, Site};
pub use slow_start::SlowStartPolicy;
pub use spill::SpillPolicy;
pub use status::{ServerStatus, UpstreamState as UpstreamCondition, UpstreamStatus};
pub use tier::Tier;
pub use upstream::{HedgeDelay, HedgePolicy, LatencyPolicy, PausePolicy, RetryPolicy, Upstream};

use crate::{
    id::{CertificateId, ListenerId, Revision, UpstreamId},
    model::{Config, UpstreamRecord},
    sharing::{Change, SharedMap, changed},
    tls::Certificate,
};

/// A configuration compiled for the request path. A request holds one from its start to its end.
#[derive(Debug)]
pub struct Table {
    config: Arc<Config>,
    listeners: SharedMap<ListenerId, Listener>,
    certificates: SharedMap<CertificateId, Certificate>,
    upstreams: SharedMap<UpstreamId, Upstream>,
    /// How many servers they have in all.
    servers: usize,
    /// How large all of it is when it is written out.
    bytes: usize,
    slots: Slots,
    routes: Arc<Routes>,
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

    /// The route that takes `request`.
    ///
    /// # Errors
    /// None does.
    pub fn route(&self, request: &RouteRequest<'_>) -> Result<&Route, NoRoute> {
        self.routes.find(request).map(AsRef::as_ref)
    }

    /// All routes.
    #[must_use]
    pub fn routes(&self) -> &Routes {
        &self.routes
    }

    /// The upstream that a route of this table knows by `slot`.
    #[must_use]
    pub fn target(&self, slot: Slot) -> Option<&Arc<Upstream>> {
        self.slots.get(slot)
    }

    /// The listener named `id`.
    #[must_use]
    pub fn listener(&self, id: &str) -> Option<&Arc<Listener>> {
        self.listeners.get(id)
    }

    /// All listeners, `default` first: whoever binds them in this order leaves it the address that the machine gives it.
    pub fn listeners(&self) -> impl Iterator<Item = &Arc<Listener>> {
        let others = self.listeners.values().filter(|listener| !listener.spec.is_default());
        self.listener(crate::model::Listener::DEFAULT_ID).into_iter().chain(others)
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

    /// The upstreams that are not the same in the configuration `before`, as [`Self::changes_since`].
    #[must_use]
    pub fn records_changed_since<'a>(
        &'a self,
        before: &'a Arc<Config>,
    ) -> Vec<(&'a UpstreamId, Change<'a, UpstreamRecord>)> {
        let (was, is) = (&before.upstreams, &self.config.upstreams);
        if Weak::as_ptr(&self.steps.from) != Arc::as_ptr(before) {
            return changed(was, is).collect();
        }
        let change = |id| Some((id, Change::of(was.get(id), is.get(id))?));
        self.steps.upstreams.iter().filter_map(change).collect()
    }

    /// Whether the listeners are the same in `before`.
    #[must_use]
    pub fn has_listeners_of(&self, before: &Self) -> bool {
        changed(&before.listeners, &self.listeners).next().is_none()
    }

    /// The upstreams whose id is greater than `id`, by id.
    pub fn upstreams_after<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a Arc<Upstream>> {
        self.upstreams.range::<str, _>((Bound::Excluded(id), Bound::Unbounded)).map(|(_, upstream)| upstream)
    }

    /// All certificates, by id.
    pub fn certificates(&self) -> impl ExactSizeIterator<Item = &Arc<Certificate>> {
        self.certificates.values()
    }

    /// The certificate named `id`.
    #[must_use]
    pub fn certificate(&self, id: &str) -> Option<&Arc<Certificate>> {
        self.certificates.get(id)
    }

    /// All upstreams, by id.
    pub fn upstreams(&self) -> impl ExactSizeIterator<Item = &Arc<Upstream>> {
        self.upstreams.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        id::Epoch,
        model::{Document, Meta, Upstream as Model},
        sharing::taking_over,
        time::Now,
    };

    /// A table of upstreams, each with a weight of its server, compiled after `before`.
    fn table(upstreams: &[(&str, u16)], before: Option<&Table>) -> Table {
        let model = |&(id, weight): &(&str, u16)| {
            let server = crate::model::Server {
                id: "a".into(),
                address: "10.0.0.1:80".into(),
                weight,
                ..crate::model::Server::default()
            };
            Model { id: id.into(), servers: vec![server], ..Model::default() }
        };
        let document = Document { upstreams: upstreams.iter().map(model).collect(), ..Document::default() };
        let mut config = document.into_config(Revision(1), Epoch("abc123".into()), Meta::default());
        if let Some(before) = before {
            config.upstreams = taking_over(&config.upstreams, &before.config.upstreams);
        }
        Compiler { workers: 1, ..Compiler::default() }
            .compile(Arc::new(config), before, Now::default())
            .unwrap()
    }

    fn told(before: &Table, after: &Table) -> Vec<String> {
        let tell = |(id, change): (&UpstreamId, Change<'_, Upstream>)| match change {
            Change::Added(_) => format!("+{id}"),
            Change::Removed(_) => format!("-{id}"),
            Change::Replaced(_, _) => format!("!{id}"),
        };
        after.changes_since(before).into_iter().map(tell).collect()
    }

    #[test]
    fn changes_are_told_between_any_two_tables() {
        let first = table(&[("a", 1), ("b", 1), ("c", 1)], None);
        let second = table(&[("a", 1), ("b", 2), ("d", 1)], Some(&first));
        let third = table(&[("a", 2), ("b", 2), ("c", 1), ("d", 1)], Some(&second));
        assert_eq!(told(&first, &second), ["!b", "-c", "+d"], "noted while compiling");
        assert_eq!(told(&second, &third), ["!a", "+c"]);
        assert_eq!(told(&first, &third), ["!a", "!b", "!c", "+d"], "found by comparing");
        assert_eq!(told(&second, &first), ["!b", "+c", "-d"], "backwards too");
        assert!(told(&third, &third).is_empty());
    }
}
