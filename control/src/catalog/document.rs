//! A whole configuration as it is submitted: with `PUT /v1/config`, from a file at the first start, or to be validated.
//!
//! One reader for all three, so that what is valid in one place is valid in the others.

use std::collections::HashSet;

use serde_json::Value;
use weir_shared::{
    error::{FieldError, FieldErrorCode, Pointer},
    model::{Certificate, Document, Listener, ListenerFlags, MAX_CERTIFICATES, Route, Upstream, check},
};

use super::{
    certificate::certificate_at,
    listener_flags,
    submitted::{self, Submitted},
    warning::Warning,
};
use crate::strict;

/// Members of the document.
const MEMBERS: [&str; 5] = ["api_version", "certificates", "listeners", "routes", "upstreams"];

/// A whole configuration, checked as far as can be without the present one.
#[derive(Clone, Debug, Default)]
pub struct Whole {
    /// The upstreams, in the order they were written.
    pub upstreams: Vec<Submitted<Upstream>>,
    /// The certificates; `None` when the document does not speak of them.
    pub certificates: Option<Vec<Submitted<Certificate>>>,
    /// The routes; `None` when the document does not speak of them.
    pub routes: Option<Vec<Submitted<Route>>>,
    /// The listeners; `None` when the document does not speak of them.
    pub listeners: Option<Vec<Submitted<Listener>>>,
    /// Fields that stay as they are at the listener `default`, because the command line sets them.
    pub kept: Vec<&'static str>,
    /// What is read and not obeyed, up to a bound.
    pub ignored: Vec<Warning>,
}

/// Reads a whole configuration. `flags` are what the command line says of the listener `default`, if that is known: it
/// differs from process to process, so that what a document says of it is read and not obeyed.
///
/// # Errors
/// Every fault that can be told without knowing the present configuration, up to a bound.
pub fn read(value: Value, flags: Option<&ListenerFlags>) -> Result<Whole, Vec<FieldError>> {
    let root = Pointer::root();
    let Value::Object(mut members) = value else {
        let detail =
            "a configuration is an object like {\"upstreams\": [{\"id\": \"web\", \"servers\": []}]}";
        return Err(vec![root.error(FieldErrorCode::InvalidType, detail)]);
    };
    let mut errors = Vec::new();
    api_version(members.remove("api_version"), &root.at("api_version"), &mut errors);
    let mut ignored = Vec::new();
    let listeners = members.remove("listeners");
    let listeners = read_listeners(listeners, flags, &root.at("listeners"), &mut ignored, &mut errors);
    let certificates =
        read_certificates(members.remove("certificates"), &root.at("certificates"), &mut errors);
    let routes = read_routes(members.remove("routes"), &root.at("routes"), &mut errors);
    let upstreams = read_upstreams(members.remove("upstreams"), &root.at("upstreams"), &mut errors);
    for name in members.keys().take(strict::MAX_ERRORS) {
        errors.push(strict::unknown_field(&root.at(strict::echo(name)), name, &MEMBERS));
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let kept = flags.map_or_else(|| vec!["address"], ListenerFlags::names);
    Ok(Whole { upstreams, certificates, routes, listeners, kept, ignored })
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

fn read_certificates(
    value: Option<Value>,
    at: &Pointer,
    errors: &mut Vec<FieldError>,
) -> Option<Vec<Submitted<Certificate>>> {
    let items = items(value, at, errors)?;
    if items.len() > MAX_CERTIFICATES {
        let detail = format!("a configuration holds at most {MAX_CERTIFICATES} certificates");
        errors.push(at.error(FieldErrorCode::TooMany, detail));
        return None;
    }
    let mut certificates = Vec::with_capacity(items.len());
    let mut ids = HashSet::with_capacity(items.len());
    for (index, value) in items.into_iter().enumerate() {
        if errors.len() >= strict::MAX_ERRORS {
            break;
        }
        let at = at.at(index);
        let Some(certificate) = certificate_at(value, None, &at, errors) else { continue };
        if !ids.insert(certificate.value.id.clone()) {
            let detail = format!("the id \"{}\" is used twice", certificate.value.id);
            errors.push(at.at("id").error(FieldErrorCode::Duplicate, detail));
        }
        certificates.push(certificate);
    }
    Some(certificates)
}

fn read_routes(
    value: Option<Value>,
    at: &Pointer,
    errors: &mut Vec<FieldError>,
) -> Option<Vec<Submitted<Route>>> {
    let items = items(value, at, errors)?;
    if items.len() > check::MAX_ROUTES {
        let detail = format!("a configuration holds at most {} routes", check::MAX_ROUTES);
        errors.push(at.error(FieldErrorCode::TooMany, detail));
        return None;
    }
    let mut routes = Vec::with_capacity(items.len());
    let mut ids = HashSet::with_capacity(items.len());
    for (index, value) in items.into_iter().enumerate() {
        if errors.len() >= strict::MAX_ERRORS {
            break;
        }
        let at = at.at(index);
        if let Some(id) = value.get("id").and_then(Value::as_str)
            && !ids.insert(id.to_owned())
        {
            let detail = format!("the id \"{}\" is used twice", strict::echo(id));
            errors.push(at.at("id").error(FieldErrorCode::Duplicate, detail));
            continue;
        }
        routes.extend(submitted::route_at(value, None, &at, errors));
    }
    Some(routes)
}

/// Reads listeners. Adds to `ignored` what the command line says otherwise of `default`.
fn read_listeners(
    value: Option<Value>,
    flags: Option<&ListenerFlags>,
    at: &Pointer,
    ignored: &mut Vec<Warning>,
    errors: &mut Vec<FieldError>,
) -> Option<Vec<Submitted<Listener>>> {
    let items = items(value, at, errors)?;
    let mut listeners: Vec<Submitted<Listener>> = Vec::new();
    for (index, value) in items.into_iter().enumerate() {
        if errors.len() >= strict::MAX_ERRORS || index > check::MAX_LISTENERS {
            break;
        }
        let at = at.at(index);
        let said = listener_flags::said(&value);
        let Some(listener) = submitted::listener_at(value, Some(Listener::DEFAULT_ID), &at, errors) else {
            continue;
        };
        let id = &listener.value.id;
        if listeners.iter().any(|other| other.value.id == *id) {
            let detail = format!("the id \"{id}\" is used twice");
            errors.push(at.at("id").error(FieldErrorCode::Duplicate, detail));
        }
        if let Some(detail) = listener_flags::ignored(&said, &listener.value, flags) {
            ignored.push(Warning { path: format!("/listeners/{id}"), detail });
        }
        listeners.push(listener);
    }
    Some(listeners)
}
