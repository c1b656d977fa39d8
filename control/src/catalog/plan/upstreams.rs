//! Plans for upstreams.

use serde_json::Value;
use weir_shared::{
    error::{FieldErrorCode, Pointer},
    model::{Upstream, UpstreamRecord},
};

use super::{Plan, Scene, draft::Draft, ids, none_or_invalid, planned};
use crate::{
    catalog::{
        change::{Binding, Effect, Naming, References},
        merge,
        submitted::{self, Submitted},
    },
    error::{CatalogError, Target},
};

pub(super) fn create(
    scene: &Scene<'_>,
    submitted: &Submitted<Upstream>,
    naming: Naming,
    binding: Binding,
) -> Result<Plan, CatalogError> {
    let id = &submitted.value.id;
    let present = scene.config.upstreams.get(id.as_str());
    scene.demand_place(Target::Upstreams, Some(scene.config.revision))?;
    if let Some(record) = present {
        if naming == Naming::Default {
            let detail = format!("there is an upstream \"{id}\" already: give this one a name of its own");
            let error = Pointer::root().at("id").error(FieldErrorCode::Required, detail);
            return Err(CatalogError::Invalid(vec![error]));
        }
        let detail = format!("there is an upstream \"{id}\" already: PUT or PATCH it to change it");
        return Err(scene.exists(Target::Upstream(record.spec.id.clone()), detail, Vec::new()));
    }
    make(scene, submitted, binding)
}

fn make(scene: &Scene<'_>, submitted: &Submitted<Upstream>, binding: Binding) -> Result<Plan, CatalogError> {
    let mut errors = Vec::new();
    submitted.claims.check(|_| None, &[], &mut errors);
    none_or_invalid(errors)?;
    let mut upstream = submitted.value.clone();
    ids::fill(&mut upstream.servers, &[]);
    let id = upstream.id.clone();
    let mut draft = scene.draft();
    draft.create_upstream(upstream);
    let bound_routes = match binding {
        Binding::Automatic => draft.bind_default(&id),
        Binding::Off => Vec::new(),
    };
    let mut plan = planned(draft, Effect::Created, &id, Vec::new());
    plan.outcome.bound_routes = bound_routes;
    Ok(plan)
}

pub(super) fn put(
    scene: &Scene<'_>,
    id: &str,
    submitted: &Submitted<Upstream>,
    binding: Binding,
) -> Result<Plan, CatalogError> {
    let present = scene.config.upstreams.get(id);
    scene.demand(Target::Upstream(id.to_owned()), present.map(|record| record.meta.revision))?;
    if submitted.value.id != id {
        return Err(CatalogError::Invalid(vec![immutable_id(id)]));
    }
    let Some(before) = present else { return make(scene, submitted, binding) };
    let mut upstream = submitted.value.clone();
    ids::fill(&mut upstream.servers, &before.servers);
    let mut errors = Vec::new();
    let meta = |server: Option<usize>| match server {
        None => Some(&before.meta),
        Some(place) => {
            let server = upstream.servers.get(place)?;
            before.server(&server.id).map(|record| &record.meta)
        }
    };
    submitted.claims.check(meta, &scene.config.routes_to(id), &mut errors);
    none_or_invalid(errors)?;
    Ok(replace(scene, before, upstream))
}

fn replace(scene: &Scene<'_>, before: &UpstreamRecord, upstream: Upstream) -> Plan {
    let id = before.spec.id.as_str();
    let mut draft = scene.draft();
    revise(&mut draft, before, upstream);
    if draft.is_untouched() {
        return scene.unchanged(id, Vec::new());
    }
    planned(draft, Effect::Changed, id, Vec::new())
}

/// Makes the upstream `before` equal to `upstream`, servers included. Touches nothing when it is.
pub(super) fn revise(draft: &mut Draft, before: &UpstreamRecord, mut upstream: Upstream) {
    let servers = std::mem::take(&mut upstream.servers);
    let same_servers = servers.len() == before.servers.len()
        && servers.iter().zip(&before.servers).all(|(server, record)| *server == record.server);
    if upstream == before.spec && same_servers {
        return;
    }
    let servers = if same_servers { before.servers.clone() } else { draft.servers_like(before, servers) };
    draft.change_upstream(before, upstream, servers);
}

pub(super) fn patch(scene: &Scene<'_>, id: &str, patch: &Value) -> Result<Plan, CatalogError> {
    let before = scene.upstream(id)?;
    scene.demand(Target::Upstream(id.to_owned()), Some(before.meta.revision))?;
    let root = Pointer::root();
    let mut errors = Vec::new();
    if patch.get("servers").is_some() {
        let detail = format!(
            "servers are not patched here: use /v1/upstreams/{id}/servers, or PUT the upstream as a whole"
        );
        errors.push(root.at("servers").error(FieldErrorCode::Immutable, detail));
        return Err(CatalogError::Invalid(errors));
    }
    let mut document = serde_json::to_value(&before.spec).unwrap_or_default();
    merge::unknown_nulls(patch, &document, &root, &mut errors);
    merge::apply(&mut document, patch.clone());
    match submitted::upstream(document, id) {
        Ok(submitted) => {
            submitted.claims.check(|_| Some(&before.meta), &scene.config.routes_to(id), &mut errors);
            if submitted.value.id != id {
                errors.push(immutable_id(id));
            }
            none_or_invalid(errors)?;
            let mut draft = scene.draft();
            if submitted.value == before.spec {
                return Ok(scene.unchanged(id, Vec::new()));
            }
            draft.change_upstream(before, submitted.value, before.servers.clone());
            Ok(planned(draft, Effect::Changed, id, Vec::new()))
        }
        Err(found) => {
            errors.extend(found);
            Err(CatalogError::Invalid(errors))
        }
    }
}

pub(super) fn delete(scene: &Scene<'_>, id: &str, references: References) -> Result<Plan, CatalogError> {
    let before = scene.upstream(id)?;
    scene.demand(Target::Upstream(id.to_owned()), Some(before.meta.revision))?;
    let routes = scene.config.routes_to(id);
    if references == References::Refuse && !routes.is_empty() {
        return Err(CatalogError::InUse { upstream: id.to_owned(), routes });
    }
    let listeners = scene.config.listeners_to(id);
    if !listeners.is_empty() {
        // Nothing to unbind: a tcp listener without an upstream is none.
        return Err(CatalogError::InUseByListeners { upstream: id.to_owned(), listeners });
    }
    let mut draft = scene.draft();
    for route in &routes {
        draft.unbind(route, id);
    }
    draft.delete_upstream(before);
    Ok(planned(draft, Effect::Deleted, id, Vec::new()))
}

fn immutable_id(id: &str) -> weir_shared::error::FieldError {
    let detail = format!("the id is \"{id}\", as in the path, and never changes");
    Pointer::root().at("id").error(FieldErrorCode::Immutable, detail)
}
