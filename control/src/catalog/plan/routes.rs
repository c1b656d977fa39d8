//! Plans for routes.

use serde_json::Value;
use weir_shared::{
    error::{FieldError, FieldErrorCode, Pointer},
    model::{Config, Route, RouteRecord},
};

use super::{Plan, Scene, none_or_invalid, planned};
use crate::{
    catalog::{
        change::Effect,
        merge,
        submitted::{self, Submitted},
    },
    error::{CatalogError, Target},
    strict,
};

pub(super) fn create(scene: &Scene<'_>, submitted: &Submitted<Route>) -> Result<Plan, CatalogError> {
    let id = &submitted.value.id;
    scene.demand_place(Target::Routes, Some(scene.config.revision))?;
    if scene.config.routes.contains_key(id.as_str()) {
        let detail = format!("there is a route \"{id}\" already: PUT or PATCH it to change it");
        return Err(scene.exists(Target::Route(id.clone()), detail, Vec::new()));
    }
    let mut errors = Vec::new();
    submitted.claims.check(|_| None, &[], &mut errors);
    make(scene, submitted, errors)
}

fn make(
    scene: &Scene<'_>,
    submitted: &Submitted<Route>,
    mut errors: Vec<FieldError>,
) -> Result<Plan, CatalogError> {
    references(&submitted.value, scene.config, &mut errors);
    none_or_invalid(errors)?;
    let mut draft = scene.draft();
    draft.set_route(submitted.value.clone());
    Ok(planned(draft, Effect::Created, "", Vec::new()))
}

pub(super) fn put(scene: &Scene<'_>, id: &str, submitted: &Submitted<Route>) -> Result<Plan, CatalogError> {
    let present = scene.config.routes.get(id);
    scene.demand(Target::Route(id.to_owned()), present.map(|record| record.meta.revision))?;
    let mut errors = Vec::new();
    immutable_id(id, &submitted.value, &mut errors);
    submitted.claims.check(|_| present.map(|record| &record.meta), &[], &mut errors);
    match present {
        None => make(scene, submitted, errors),
        Some(before) => replace(scene, before, submitted.value.clone(), errors),
    }
}

pub(super) fn patch(scene: &Scene<'_>, id: &str, patch: &Value) -> Result<Plan, CatalogError> {
    let before = scene.route(id)?;
    scene.demand(Target::Route(id.to_owned()), Some(before.meta.revision))?;
    let mut errors = Vec::new();
    let mut document = serde_json::to_value(&before.spec).unwrap_or_default();
    merge::unknown_nulls(patch, &document, &Pointer::root(), &mut errors);
    merge::apply(&mut document, patch.clone());
    match submitted::route(document, id) {
        Ok(submitted) => {
            submitted.claims.check(|_| Some(&before.meta), &[], &mut errors);
            immutable_id(id, &submitted.value, &mut errors);
            replace(scene, before, submitted.value, errors)
        }
        Err(found) => {
            errors.extend(found);
            Err(CatalogError::Invalid(errors))
        }
    }
}

fn replace(
    scene: &Scene<'_>,
    before: &RouteRecord,
    route: Route,
    mut errors: Vec<FieldError>,
) -> Result<Plan, CatalogError> {
    references(&route, scene.config, &mut errors);
    none_or_invalid(errors)?;
    if route == before.spec {
        return Ok(scene.unchanged("", Vec::new()));
    }
    let mut draft = scene.draft();
    draft.set_route(route);
    Ok(planned(draft, Effect::Changed, "", Vec::new()))
}

pub(super) fn delete(scene: &Scene<'_>, id: &str) -> Result<Plan, CatalogError> {
    let before = scene.route(id)?;
    scene.demand(Target::Route(id.to_owned()), Some(before.meta.revision))?;
    if before.spec.is_catch_all() {
        let detail = "the route \"default\" is always there, for what no other route takes: disable it with \
                      {\"enabled\": false} to answer the rest 404";
        return Err(CatalogError::Invalid(vec![
            Pointer::root().at("id").error(FieldErrorCode::Immutable, detail),
        ]));
    }
    let mut draft = scene.draft();
    draft.delete_route(id);
    Ok(planned(draft, Effect::Deleted, "", Vec::new()))
}

/// Adds an error for each upstream that is not there, with the name that is most like it.
fn references(route: &Route, config: &Config, errors: &mut Vec<FieldError>) {
    let at = Pointer::root().at("action").at("upstreams");
    for (place, target) in route.action.upstreams.iter().enumerate() {
        if !config.upstreams.contains_key(target.upstream.as_str()) {
            let known: Vec<&str> = config.upstreams.keys().map(weir_shared::id::UpstreamId::as_str).collect();
            errors.push(unknown_upstream(&at.at(place), &target.upstream, &known));
        }
    }
}

/// The error for a reference at `at` to `upstream`, which is none of `known`.
pub(super) fn unknown_upstream(at: &Pointer, upstream: &str, known: &[&str]) -> FieldError {
    let nearest = strict::nearest(upstream, known);
    let hint = nearest.map(|nearest| format!("; did you mean \"{nearest}\"?")).unwrap_or_default();
    let detail = format!("there is no upstream \"{}\"{hint}", strict::echo(upstream));
    at.at("upstream").error(FieldErrorCode::UnknownReference, detail)
}

fn immutable_id(id: &str, route: &Route, errors: &mut Vec<FieldError>) {
    if route.id != id {
        let detail = format!("the id is \"{id}\", as in the path, and never changes");
        errors.push(Pointer::root().at("id").error(FieldErrorCode::Immutable, detail));
    }
}
