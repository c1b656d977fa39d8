//! A whole configuration as it is submitted: with `PUT /v1/config`, from a file at the first start, or to be validated.
//!
//! One reader for all three, so that what is valid in one place is valid in the others.

use std::collections::HashSet;

use serde_json::{Map, Value};
use weir_shared::{
    error::{FieldError, FieldErrorCode, Pointer},
    model::{Document, Listener, Route, Upstream, check},
};

use super::{
    submitted::{self, Submitted},
    warning::Warning,
};
use crate::strict;

/// Members of the document.
const MEMBERS: [&str; 4] = ["api_version", "listeners", "routes", "upstreams"];

/// A whole configuration, checked as far as can be without the present one.
#[derive(Clone, Debug, Default)]
pub struct Whole {
    /// The upstreams, in the order they were written.
    pub upstreams: Vec<Submitted<Upstream>>,
    /// The routes; `None` when the document does not speak of them.
    pub routes: Option<Vec<Route>>,
    /// What is read and not obeyed, up to a bound.
    pub ignored: Vec<Warning>,
}

/// Reads a whole configuration. `listener` is the one that is open, if that is known: it comes from flags, which differ
/// from process to process, so that what a document says of listeners is read and not obeyed.
///
/// # Errors
/// Every fault that can be told without knowing the present configuration, up to a bound.
pub fn read(value: Value, listener: Option<&Listener>) -> Result<Whole, Vec<FieldError>> {
    let root = Pointer::root();
    let Value::Object(mut members) = value else {
        let detail =
            "a configuration is an object like {\"upstreams\": [{\"id\": \"web\", \"servers\": []}]}";
        return Err(vec![root.error(FieldErrorCode::InvalidType, detail)]);
    };
    let mut errors = Vec::new();
    api_version(members.remove("api_version"), &root.at("api_version"), &mut errors);
    let listeners = members.remove("listeners");
    let ignored = read_listeners(listeners, listener, &root.at("listeners"), &mut errors);
    let routes = read_routes(members.remove("routes"), &root.at("routes"), &mut errors);
    let upstreams = read_upstreams(members.remove("upstreams"), &root.at("upstreams"), &mut errors);
    for name in members.keys().take(strict::MAX_ERRORS) {
        errors.push(strict::unknown_field(&root.at(strict::echo(name)), name, &MEMBERS));
    }
    if errors.is_empty() { Ok(Whole { upstreams, routes, ignored }) } else { Err(errors) }
}

fn api_version(value: Option<Value>, at: &Pointer, errors: &mut Vec<FieldError>) {
    if value.is_none_or(|value| value == Document::API_VERSION) {
        return;
    }
    let error = at.error(FieldErrorCode::InvalidValue, "this release reads version \"v1\" and no other");
    errors.push(FieldError { allowed: Some(Document::API_VERSION.to_owned()), ..error });
}

/// The items of an array; `None` when the member is absent or is none.
fn items(value: Option<Value>, at: &Pointer, errors: &mut Vec<FieldError>) -> Option<Vec<Value>> {
    match value? {
        Value::Array(items) => Some(items),
        _ => {
            errors.push(at.error(FieldErrorCode::InvalidType, "must be an array"));
            None
        }
    }
}

fn read_upstreams(
    value: Option<Value>,
    at: &Pointer,
    errors: &mut Vec<FieldError>,
) -> Vec<Submitted<Upstream>> {
    let items = items(value, at, errors).unwrap_or_default();
    if items.len() > check::MAX_UPSTREAMS {
        let detail = format!("a configuration holds at most {} upstreams", check::MAX_UPSTREAMS);
        errors.push(at.error(FieldErrorCode::TooMany, detail));
        return Vec::new();
    }
    let mut upstreams: Vec<Submitted<Upstream>> = Vec::with_capacity(items.len());
    let mut ids = HashSet::with_capacity(items.len());
    for (index, value) in items.into_iter().enumerate() {
        if errors.len() >= strict::MAX_ERRORS {
            break;
        }
        let at = at.at(index);
        if value.is_object() && value.get("id").is_none() {
            let detail = "an upstream in a configuration needs a name of its own";
            errors.push(at.at("id").error(FieldErrorCode::Required, detail));
        }
        let Some(upstream) = submitted::upstream_at(value, "unnamed", &at, errors) else { continue };
        if !ids.insert(upstream.value.id.clone()) {
            let detail = format!("the id \"{}\" is used twice", upstream.value.id);
            errors.push(at.at("id").error(FieldErrorCode::Duplicate, detail));
        }
        upstreams.push(upstream);
    }
    if upstreams.iter().map(|upstream| upstream.value.servers.len()).sum::<usize>() > check::MAX_SERVERS {
        let detail = format!("a configuration holds at most {} servers", check::MAX_SERVERS);
        errors.push(at.error(FieldErrorCode::TooMany, detail));
    }
    upstreams
}

fn read_routes(value: Option<Value>, at: &Pointer, errors: &mut Vec<FieldError>) -> Option<Vec<Route>> {
    let items = items(value, at, errors)?;
    let mut routes: Vec<Route> = Vec::new();
    for (index, mut value) in items.into_iter().enumerate() {
        if errors.len() >= strict::MAX_ERRORS {
            break;
        }
        let at = at.at(index);
        // Observed, not configured: it follows from the rest.
        without(&mut value, "status");
        let Some(route) = strict::read::<Route>(value, &at, errors) else { continue };
        if routes.iter().any(|other| other.id == route.id) {
            let detail = format!("the id \"{}\" is used twice", strict::echo(&route.id));
            errors.push(at.at("id").error(FieldErrorCode::Duplicate, detail));
            continue;
        }
        check::route(&route, &at, errors);
        routes.push(route);
    }
    Some(routes)
}

/// Checks what is said of listeners, and answers what of it is not so.
fn read_listeners(
    value: Option<Value>,
    present: Option<&Listener>,
    at: &Pointer,
    errors: &mut Vec<FieldError>,
) -> Vec<Warning> {
    let mut ignored = Vec::new();
    for (index, mut value) in items(value, at, errors).into_iter().flatten().enumerate() {
        if errors.len() >= strict::MAX_ERRORS {
            break;
        }
        // Observed, not configured.
        without(&mut value, "status");
        let said: Vec<String> = value.as_object().into_iter().flat_map(Map::keys).cloned().collect();
        let Some(wanted) = strict::read::<Listener>(value, &at.at(index), errors) else { continue };
        if ignored.len() < strict::MAX_ERRORS {
            ignored.extend(
                differing(&said, &wanted, present).map(|detail| Warning {
                    path: format!("/listeners/{}", strict::echo(&wanted.id)),
                    detail,
                }),
            );
        }
    }
    ignored
}

/// What is `said` of a listener that is not so at the one that is `present`, in words.
fn differing(said: &[String], wanted: &Listener, present: Option<&Listener>) -> Option<String> {
    let Some(present) = present else {
        return Some(
            "listeners are set by flags when Weir starts: what is said of them here is ignored".to_owned(),
        );
    };
    let (wanted, present) = (fields(wanted), fields(present));
    let differs = |name: &&String| wanted.get(*name) != present.get(*name);
    let kept: Vec<String> = said
        .iter()
        .filter(differs)
        .filter_map(|name| Some(format!("{name} stays {}", present.get(name)?)))
        .collect();
    let kept = (!kept.is_empty()).then(|| kept.join(", "))?;
    Some(format!("listeners are set by flags when Weir starts, and this is ignored: {kept}"))
}

fn fields(listener: &Listener) -> Map<String, Value> {
    match serde_json::to_value(listener) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}

fn without(value: &mut Value, name: &str) {
    if let Some(fields) = value.as_object_mut() {
        fields.remove(name);
    }
}
