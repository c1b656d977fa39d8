//! Plans for listeners.

use serde_json::Value;
use weir_shared::{
    error::{FieldError, FieldErrorCode, Pointer},
    model::{Listener, ListenerRecord, check},
};

use super::{Plan, Scene, none_or_invalid, planned};
use crate::{
    catalog::{
        change::Effect,
        merge,
        submitted::{self, Submitted},
    },
    error::{CatalogError, Target},
};

pub(super) fn create(scene: &Scene<'_>, submitted: &Submitted<Listener>) -> Result<Plan, CatalogError> {
    let id = &submitted.value.id;
    scene.demand_place(Target::Listeners, Some(scene.config.revision))?;
    if scene.config.listeners.contains_key(id.as_str()) {
        let detail = format!("there is a listener \"{id}\" already: PUT or PATCH it to change it");
        return Err(scene.exists(Target::Listener(id.clone()), detail, Vec::new()));
    }
    set(scene, None, submitted)
}

pub(super) fn put(
    scene: &Scene<'_>,
    id: &str,
    submitted: &Submitted<Listener>,
    kept: &[&str],
) -> Result<Plan, CatalogError> {
    let present = scene.config.listeners.get(id).map(AsRef::as_ref);
    scene.demand(Target::Listener(id.to_owned()), present.map(|record| record.meta.revision))?;
    if submitted.value.id != id {
        return Err(CatalogError::Invalid(vec![immutable_id(id)]));
    }
    let value = keeping(kept, present, submitted.value.clone());
    set(scene, present, &Submitted { value, claims: submitted.claims.clone() })
}

/// `wanted`, at the listener `default` with these fields as they are at `present`.
pub(super) fn keeping(kept: &[&str], present: Option<&ListenerRecord>, wanted: Listener) -> Listener {
    let Some(present) = present.filter(|_| wanted.is_default()) else { return wanted };
    let (Ok(was), Ok(mut is)) = (serde_json::to_value(&present.spec), serde_json::to_value(&wanted)) else {
        return wanted;
    };
    for name in kept {
        if let (Some(is), Some(was)) = (is.get_mut(*name), was.get(*name)) {
            is.clone_from(was);
        }
    }
    serde_json::from_value(is).unwrap_or(wanted)
}

pub(super) fn patch(scene: &Scene<'_>, id: &str, patch: &Value) -> Result<Plan, CatalogError> {
    let present = scene.config.listeners.get(id).ok_or_else(|| not_found(id))?;
    scene.demand(Target::Listener(id.to_owned()), Some(present.meta.revision))?;
    let mut errors = Vec::new();
    let mut document = serde_json::to_value(&present.spec).unwrap_or_default();
    merge::unknown_nulls(patch, &document, &Pointer::root(), &mut errors);
    merge::apply(&mut document, patch.clone());
    match submitted::listener(document, Some(id)) {
        Ok(submitted) => {
            if submitted.value.id != id {
                errors.push(immutable_id(id));
            }
            none_or_invalid(errors)?;
            set(scene, Some(present), &submitted)
        }
        Err(found) => {
            errors.extend(found);
            Err(CatalogError::Invalid(errors))
        }
    }
}

pub(super) fn delete(scene: &Scene<'_>, id: &str) -> Result<Plan, CatalogError> {
    let present = scene.config.listeners.get(id).ok_or_else(|| not_found(id))?;
    scene.demand(Target::Listener(id.to_owned()), Some(present.meta.revision))?;
    if id == Listener::DEFAULT_ID {
        return Err(CatalogError::OwnListener);
    }
    let mut draft = scene.draft();
    draft.delete_listener(id);
    Ok(about(id, planned(draft, Effect::Deleted, "", Vec::new())))
}

/// Makes the listener what was submitted.
fn set(
    scene: &Scene<'_>,
    present: Option<&ListenerRecord>,
    submitted: &Submitted<Listener>,
) -> Result<Plan, CatalogError> {
    let wanted = &submitted.value;
    let mut errors = Vec::new();
    submitted.claims.check(|_| present.map(|record| &record.meta), &[], &mut errors);
    // Others come first, so that it is this one that has an address twice.
    let others =
        scene.config.listeners.values().map(|record| &record.spec).filter(|spec| spec.id != wanted.id);
    let all = others.chain([wanted]).map(|spec| (Pointer::root(), spec));
    check::listeners_together(all, |id| scene.config.upstreams.contains_key(id), &mut errors);
    beside_default(scene, present, wanted, &Pointer::root(), &mut errors);
    none_or_invalid(errors)?;
    let mut draft = scene.draft();
    draft.set_listener(wanted.clone());
    if draft.is_untouched() {
        return Ok(about(&wanted.id, scene.unchanged("", Vec::new())));
    }
    let effect = if present.is_some() { Effect::Changed } else { Effect::Created };
    Ok(about(&wanted.id, planned(draft, effect, "", Vec::new())))
}

/// Checks that `wanted` does not take the address of `default`. One that has it from before this was refused, or since Weir
/// was started with another address, may stay as it is.
pub(super) fn beside_default(
    scene: &Scene<'_>,
    present: Option<&ListenerRecord>,
    wanted: &Listener,
    at: &Pointer,
    errors: &mut Vec<FieldError>,
) {
    if let Some(flags) = scene.flags
        && present.is_none_or(|present| present.spec.address != wanted.address)
    {
        flags.check_beside(wanted, at, errors);
    }
}

fn about(id: &str, mut plan: Plan) -> Plan {
    id.clone_into(&mut plan.outcome.listener);
    plan
}

fn not_found(id: &str) -> CatalogError {
    CatalogError::NotFound(format!("listener \"{id}\""))
}

fn immutable_id(id: &str) -> FieldError {
    let detail = format!("the id is \"{id}\", as in the path, and never changes");
    Pointer::root().at("id").error(FieldErrorCode::Immutable, detail)
}
