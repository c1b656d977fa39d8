//! From a configuration and a change to the next configuration and the store operations that lead there.
//!
//! Pure: no store, no clock, no HTTP, so that every rule can be tested by itself and a dry run is the plan alone. A
//! resource's state is looked at in the order: is it there, is it in the state the caller knows, is the change valid.

mod certificates;
mod draft;
mod ids;
mod listeners;
mod routes;
mod servers;
#[cfg(test)]
mod tests;
mod upstreams;
mod whole;

use std::sync::Arc;

use weir_shared::{
    error::FieldError,
    model::{Config, ListenerFlags, RouteRecord, UpstreamRecord},
    time::Now,
};

use self::draft::Draft;
use super::{
    change::{Change, Effect, Outcome},
    precondition::{Precondition, tag},
};
use crate::{
    drains::StartDrain,
    error::{CatalogError, Target},
    store::Op,
};

/// What is to be done.
#[derive(Debug)]
pub struct Plan {
    /// The next configuration; the present one when nothing changes.
    pub next: Arc<Config>,
    /// What the store has to do; nothing when nothing changes.
    pub ops: Vec<Op>,
    /// What will have come of it.
    pub outcome: Outcome,
}

/// Plans `change` on `config`. `flags` are what the command line says of the listener `default`, if that is known.
///
/// # Errors
/// Why the change is refused, with every fault.
pub fn plan(
    config: &Arc<Config>,
    change: &Change,
    precondition: &Precondition,
    flags: Option<&ListenerFlags>,
    now: Now,
) -> Result<Plan, CatalogError> {
    let scene = Scene { config, precondition, flags, now };
    match change {
        Change::CreateUpstream { upstream, naming, binding } => {
            upstreams::create(&scene, upstream, *naming, *binding)
        }
        Change::PutUpstream { id, upstream, binding } => upstreams::put(&scene, id, upstream, *binding),
        Change::PatchUpstream { id, patch } => upstreams::patch(&scene, id, patch),
        Change::DeleteUpstream { id, references } => upstreams::delete(&scene, id, *references),
        Change::AddServers { upstream, servers, shape } => servers::add(&scene, upstream, servers, *shape),
        Change::PutServer { upstream, key, server } => servers::put(&scene, upstream, key, server),
        Change::PatchServer { upstream, key, patch } => servers::patch(&scene, upstream, key, patch),
        Change::DeleteServer { upstream, key } => servers::delete(&scene, upstream, key),
        Change::CreateListener { listener } => listeners::create(&scene, listener),
        Change::PutListener { id, listener, kept } => listeners::put(&scene, id, listener, kept),
        Change::PatchListener { id, patch } => listeners::patch(&scene, id, patch),
        Change::DeleteListener { id } => listeners::delete(&scene, id),
        Change::CreateCertificate { certificate } => certificates::create(&scene, certificate),
        Change::PutCertificate { id, certificate } => certificates::put(&scene, id, certificate),
        Change::PatchCertificate { id, patch, private_key } => {
            certificates::patch(&scene, id, patch, private_key.as_ref())
        }
        Change::DeleteCertificate { id } => certificates::delete(&scene, id),
        // The writer plans what they come to, which depends on the drains that there are.
        Change::StartDrain(StartDrain { upstream, .. }) | Change::CancelDrain { upstream, .. } => {
            Ok(scene.unchanged(upstream, Vec::new()))
        }
        Change::EndDrain { drain, .. } => Ok(scene.unchanged(&drain.upstream, Vec::new())),
        Change::CreateRoute { route } => routes::create(&scene, route),
        Change::PutRoute { id, route } => routes::put(&scene, id, route),
        Change::PatchRoute { id, patch } => routes::patch(&scene, id, patch),
        Change::DeleteRoute { id } => routes::delete(&scene, id),
        Change::PutConfig { whole, unnamed, confirmed } => whole::put(&scene, whole, *unnamed, *confirmed),
        Change::RollBack { to: _, config, confirmed } => whole::roll_back(&scene, config, *confirmed),
    }
}

/// What every plan looks at.
struct Scene<'a> {
    config: &'a Arc<Config>,
    precondition: &'a Precondition,
    flags: Option<&'a ListenerFlags>,
    now: Now,
}

impl<'a> Scene<'a> {
    fn draft(&self) -> Draft {
        Draft::new(self.config, self.now)
    }

    fn upstream(&self, id: &str) -> Result<&'a Arc<UpstreamRecord>, CatalogError> {
        self.config.upstreams.get(id).ok_or_else(|| CatalogError::NotFound(format!("upstream \"{id}\"")))
    }

    fn route(&self, id: &str) -> Result<&'a Arc<RouteRecord>, CatalogError> {
        self.config.routes.get(id).ok_or_else(|| CatalogError::NotFound(format!("route \"{id}\"")))
    }

    /// Refuses when the resource `target`, last touched as `meta` says (`None`: not there), which is to be replaced,
    /// changed or deleted, is not as demanded, or when its state must be named and is not.
    fn demand(
        &self,
        target: Target,
        revision: Option<weir_shared::id::Revision>,
    ) -> Result<(), CatalogError> {
        if revision.is_some() && self.precondition.is_missing() {
            let config = Arc::clone(self.config);
            return Err(CatalogError::PreconditionRequired { current: target, config });
        }
        self.demand_place(target, revision)
    }

    /// The same for the place `target` in which something new is made: its state may be named.
    fn demand_place(
        &self,
        target: Target,
        revision: Option<weir_shared::id::Revision>,
    ) -> Result<(), CatalogError> {
        let current = revision.map(|revision| tag(revision, &self.config.epoch));
        if self.precondition.holds(current.as_deref()) {
            return Ok(());
        }
        let config = Arc::clone(self.config);
        Err(CatalogError::PreconditionFailed { current: current.map(|_| target), config })
    }

    fn exists(&self, existing: Target, detail: String, errors: Vec<FieldError>) -> CatalogError {
        CatalogError::Exists { existing, config: Arc::clone(self.config), detail, errors }
    }

    fn unchanged(&self, upstream: &str, servers: Vec<String>) -> Plan {
        let outcome = Outcome {
            effect: Effect::Unchanged,
            upstream: upstream.to_owned(),
            listener: String::new(),
            servers,
            bound_routes: Vec::new(),
            losses: Vec::new(),
        };
        Plan { next: Arc::clone(self.config), ops: Vec::new(), outcome }
    }
}

fn planned(draft: Draft, effect: Effect, upstream: &str, servers: Vec<String>) -> Plan {
    let (next, ops) = draft.finish();
    let outcome = Outcome {
        effect,
        upstream: upstream.to_owned(),
        listener: String::new(),
        servers,
        bound_routes: Vec::new(),
        losses: Vec::new(),
    };
    Plan { next, ops, outcome }
}

fn none_or_invalid(errors: Vec<FieldError>) -> Result<(), CatalogError> {
    if errors.is_empty() { Ok(()) } else { Err(CatalogError::Invalid(errors)) }
}
