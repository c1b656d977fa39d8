//! What an operator submitted: the model, and apart from it what was repeated of the fields only Weir sets.
//!
//! Such fields are accepted when they are what Weir would answer, so that what was read can be edited and put back.

use serde_json::{Map, Value};
use weir_shared::{
    error::{FieldError, FieldErrorCode, Pointer},
    model::{ListenAddress, Listener, Meta, Route, Server, Upstream, check, listener},
};

use super::address;
use crate::strict;

/// Fields of every resource that only Weir sets.
pub(super) const META_FIELDS: [&str; 3] = ["revision", "created_at", "updated_at"];

/// Most servers added by one request; a larger group is put as a whole.
pub const MAX_ADDED: usize = 1000;

/// A server-set field found in what was submitted.
#[derive(Clone, Debug)]
struct Claim {
    at: Pointer,
    field: String,
    value: Value,
    /// The server it is said of, by place; `None`: of the document itself.
    server: Option<usize>,
}

/// Server-set fields found in what was submitted, to be compared with what they are.
#[derive(Clone, Debug, Default)]
pub struct Claims(Vec<Claim>);

/// A document read and checked by itself.
#[derive(Clone, Debug)]
pub struct Submitted<T> {
    /// What the operator wants.
    pub value: T,
    /// What was repeated of Weir's own fields.
    pub claims: Claims,
}

impl Claims {
    /// Whether nothing was repeated.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn take(
        &mut self,
        value: &mut Value,
        names: &[&str],
        at: impl Fn() -> Pointer,
        server: Option<usize>,
    ) {
        let Some(fields) = value.as_object_mut() else { return };
        for name in names {
            if let Some(value) = fields.remove(*name) {
                self.0.push(Claim { at: at().at(name), field: (*name).to_owned(), value, server });
            }
        }
    }

    /// Adds an error for each claim that is not so. `meta` answers what Weir notes of the document (`None`) or of the
    /// server at a place; `bound_routes` are the routes that send to the upstream.
    pub fn check<'a>(
        &self,
        meta: impl Fn(Option<usize>) -> Option<&'a Meta>,
        bound_routes: &[String],
        errors: &mut Vec<FieldError>,
    ) {
        for claim in &self.0 {
            let actual = if claim.field == "bound_routes" {
                Some(Value::from(bound_routes))
            } else {
                meta(claim.server).and_then(|meta| noted(meta).remove(&claim.field))
            };
            if actual.as_ref() == Some(&claim.value) {
                continue;
            }
            let detail = match actual {
                Some(actual) => format!(
                    "\"{}\" is set by Weir and is {actual} now: leave it out, or read the resource again",
                    claim.field
                ),
                None => format!("\"{}\" is set by Weir: leave it out", claim.field),
            };
            let error = claim.at.error(FieldErrorCode::ReadOnly, detail);
            errors.push(FieldError { value: Some(claim.value.clone()), ..error });
        }
    }
}

fn noted(meta: &Meta) -> Map<String, Value> {
    match serde_json::to_value(meta) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}

/// Reads an upstream. `id` is the name it gets when it has none.
///
/// # Errors
/// Every fault that can be told without knowing the present configuration.
pub fn upstream(value: Value, id: &str) -> Result<Submitted<Upstream>, Vec<FieldError>> {
    let mut errors = Vec::new();
    upstream_at(value, id, &Pointer::root(), &mut errors).ok_or(errors)
}

/// Reads the upstream at `at` in a larger document. Adds every fault to `errors`, and answers `None` when it has any.
pub(super) fn upstream_at(
    mut value: Value,
    id: &str,
    at: &Pointer,
    errors: &mut Vec<FieldError>,
) -> Option<Submitted<Upstream>> {
    let mut claims = Claims::default();
    let count = value.get("servers").and_then(Value::as_array).map_or(0, Vec::len);
    if count > check::MAX_SERVERS_PER_UPSTREAM {
        let detail = format!("an upstream holds at most {} servers", check::MAX_SERVERS_PER_UPSTREAM);
        errors.push(at.at("servers").error(FieldErrorCode::TooMany, detail));
        return None;
    }
    claims.take(&mut value, &META_FIELDS, || at.clone(), None);
    claims.take(&mut value, &["bound_routes"], || at.clone(), None);
    if let Some(servers) = value.get_mut("servers").and_then(Value::as_array_mut) {
        for (index, server) in servers.iter_mut().enumerate() {
            claims.take(server, &META_FIELDS, || at.at("servers").at(index), Some(index));
        }
    }
    let is_named = value.get("id").is_some();
    let known = errors.len();
    let value = object(value, at, errors)?;
    let mut upstream = strict::read::<Upstream>(value, at, errors)?;
    if !is_named {
        id.clone_into(&mut upstream.id);
    }
    check::upstream(&upstream, at, errors);
    if errors.len() > known {
        return None;
    }
    canonicalise(&mut upstream.servers);
    Some(Submitted { value: upstream, claims })
}

/// Reads a listener. `id` is the name it gets when it has none.
///
/// # Errors
/// Every fault that can be told without knowing the present configuration.
pub fn listener(value: Value, id: Option<&str>) -> Result<Submitted<Listener>, Vec<FieldError>> {
    let mut errors = Vec::new();
    listener_at(value, id, &Pointer::root(), &mut errors).ok_or(errors)
}

/// Reads the listener at `at` in a larger document. Adds every fault to `errors`, and answers `None` when it has any.
pub(super) fn listener_at(
    mut value: Value,
    id: Option<&str>,
    at: &Pointer,
    errors: &mut Vec<FieldError>,
) -> Option<Submitted<Listener>> {
    if !value.is_object() {
        let detail = "a listener is an object like {\"id\": \"internal\", \"address\": \"10.0.0.1:8081\"}";
        errors.push(at.error(FieldErrorCode::InvalidType, detail));
        return None;
    }
    let mut claims = Claims::default();
    claims.take(&mut value, &META_FIELDS, || at.clone(), None);
    let known = errors.len();
    if let Some(fields) = value.as_object_mut() {
        // Observed, not configured.
        fields.remove("status");
        match id {
            _ if fields.contains_key("id") => {}
            Some(id) => drop(fields.insert("id".to_owned(), id.into())),
            None => {
                let detail = "a listener needs a name of its own";
                errors.push(at.at("id").error(FieldErrorCode::Required, detail));
            }
        }
    }
    let mut listener = strict::read::<Listener>(value, at, errors)?;
    listener::check(&listener, at, errors);
    if errors.len() > known {
        return None;
    }
    if let Ok(address) = ListenAddress::parse(&listener.address) {
        // In its one form, so that from here on addresses compare as texts.
        listener.address = address.to_string();
    }
    Some(Submitted { value: listener, claims })
}

/// Reads a route. `id` is the name it gets when it has none.
///
/// # Errors
/// Every fault that can be told without knowing the present configuration.
pub fn route(value: Value, id: &str) -> Result<Submitted<Route>, Vec<FieldError>> {
    let mut errors = Vec::new();
    route_at(value, Some(id), &Pointer::root(), &mut errors).ok_or(errors)
}

/// Reads the route at `at`, perhaps in a larger document. Adds every fault to `errors`, and answers `None` when it has any.
pub(super) fn route_at(
    mut value: Value,
    id: Option<&str>,
    at: &Pointer,
    errors: &mut Vec<FieldError>,
) -> Option<Submitted<Route>> {
    let mut claims = Claims::default();
    claims.take(&mut value, &META_FIELDS, || at.clone(), None);
    let Some(fields) = value.as_object_mut() else {
        let detail = "a route is an object like {\"id\": \"api\", \"match\": {\"path\": {\"value\": \"/api\"}}, \
                      \"action\": {\"upstreams\": [{\"upstream\": \"api\"}]}}";
        errors.push(at.error(FieldErrorCode::InvalidType, detail));
        return None;
    };
    // Observed, not configured: it follows from the rest.
    fields.remove("status");
    if let Some(id) = id {
        fields.entry("id").or_insert_with(|| id.into());
    }
    let known = errors.len();
    if fields.get("id").is_none_or(|id| id == "") {
        errors.push(at.at("id").error(FieldErrorCode::Required, "a route needs a name of its own"));
        fields.insert("id".to_owned(), "unnamed".into());
    }
    let route = strict::read::<Route>(value, at, errors);
    if let Some(route) = &route {
        check::route(route, at, errors);
    }
    route.filter(|_| errors.len() == known).map(|value| Submitted { value, claims })
}

/// Reads one server: an object, or `"host:port"`. `address` is the one it gets when it has none.
///
/// # Errors
/// Every fault that can be told without knowing the present configuration.
pub fn server(mut value: Value, address: Option<&str>) -> Result<Submitted<Server>, Vec<FieldError>> {
    let root = Pointer::root();
    let mut errors = Vec::new();
    let mut claims = Claims::default();
    claims.take(&mut value, &META_FIELDS, || root.clone(), Some(0));
    if let Some(mut server) = strict::read::<Server>(value, &root, &mut errors) {
        if let Some(address) = address.filter(|_| server.address.is_empty()) {
            address.clone_into(&mut server.address);
        }
        check::server(&server, || root.clone(), &mut errors);
        if errors.is_empty() {
            canonicalise(std::slice::from_mut(&mut server));
            return Ok(Submitted { value: server, claims });
        }
    }
    Err(errors)
}

/// Reads several servers.
///
/// # Errors
/// Every fault that can be told without knowing the present configuration.
pub fn servers(values: Vec<Value>) -> Result<Submitted<Vec<Server>>, Vec<FieldError>> {
    let root = Pointer::root();
    if values.len() > MAX_ADDED {
        let detail = format!("at most {MAX_ADDED} servers are added at once: PUT the upstream instead");
        return Err(vec![root.error(FieldErrorCode::TooMany, detail)]);
    }
    let mut errors = Vec::new();
    let mut claims = Claims::default();
    let mut servers = Vec::with_capacity(values.len());
    for (index, mut value) in values.into_iter().enumerate() {
        if errors.len() >= strict::MAX_ERRORS {
            break;
        }
        let at = root.at(index);
        claims.take(&mut value, &META_FIELDS, || at.clone(), Some(index));
        servers.extend(strict::read::<Server>(value, &at, &mut errors));
    }
    if errors.is_empty() {
        check::servers(&servers.iter().collect::<Vec<_>>(), &root, &mut errors);
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    canonicalise(&mut servers);
    Ok(Submitted { value: servers, claims })
}

/// Writes each address in its one form, so that from here on addresses compare as texts.
fn canonicalise(servers: &mut [Server]) {
    for server in servers {
        server.address = address::canonical(&server.address);
    }
}

/// `value` if it is an object; an error that says what to write otherwise.
fn object(value: Value, at: &Pointer, errors: &mut Vec<FieldError>) -> Option<Value> {
    if value.is_object() {
        return Some(value);
    }
    let detail = "an upstream is an object like {\"servers\": [\"127.0.0.1:3001\"]}";
    errors.push(at.error(FieldErrorCode::InvalidType, detail));
    None
}
