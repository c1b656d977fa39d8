//! Plans for servers of an upstream.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use serde_json::Value;
use weir_shared::{
    error::{FieldError, FieldErrorCode, Pointer},
    id,
    model::{Server, ServerRecord, UpstreamRecord, address::Address, check},
};

use super::{Plan, Scene, ids, none_or_invalid, planned};
use crate::{
    catalog::{
        address,
        change::{Effect, Shape},
        merge,
        submitted::{self, Submitted},
    },
    error::{CatalogError, Target},
};

pub(super) fn add(
    scene: &Scene<'_>,
    upstream: &str,
    submitted: &Submitted<Vec<Server>>,
    shape: Shape,
) -> Result<Plan, CatalogError> {
    let before = scene.upstream(upstream)?;
    scene.demand_place(Target::Upstream(upstream.to_owned()), Some(before.meta.revision))?;
    let mut wanted = submitted.value.clone();
    ids::fill(&mut wanted, &before.servers);
    let index = Index::new(&before.servers, &wanted);
    let mut errors = Vec::new();
    let meta = |place: Option<usize>| {
        let server = wanted.get(place.unwrap_or_default())?;
        index.by_id.get(server.id.as_str()).map(|record| &record.meta)
    };
    submitted.claims.check(meta, &[], &mut errors);
    none_or_invalid(errors)?;
    refuse_different(scene, before, &index, &wanted, shape)?;
    let ids: Vec<String> = wanted.iter().map(|server| server.id.clone()).collect();
    let new: Vec<Server> =
        wanted.into_iter().filter(|server| !index.by_id.contains_key(server.id.as_str())).collect();
    if new.is_empty() {
        return Ok(scene.unchanged(upstream, ids));
    }
    refuse_too_many(before.servers.len() + new.len())?;
    let mut draft = scene.draft();
    let mut servers = before.servers.clone();
    servers.extend(new.into_iter().map(|server| draft.new_server(upstream, server)));
    draft.change_upstream(before, before.spec.clone(), servers);
    Ok(planned(draft, Effect::Created, upstream, ids))
}

/// Refuses servers whose address or id is in use by a server that is not equal.
fn refuse_different(
    scene: &Scene<'_>,
    before: &UpstreamRecord,
    index: &Index<'_>,
    wanted: &[Server],
    shape: Shape,
) -> Result<(), CatalogError> {
    let mut errors = Vec::new();
    let mut first = None;
    for (place, server) in wanted.iter().enumerate() {
        let same_address = index.at_address_of(server);
        let same_id = || index.by_id.get(server.id.as_str()).copied();
        let Some(record) = same_address.or_else(same_id) else { continue };
        if record.server == *server {
            continue;
        }
        let at = match shape {
            Shape::One => Pointer::root(),
            Shape::Many => Pointer::root().at(place),
        };
        let field = if same_address.is_some() { "address" } else { "id" };
        let detail = format!(
            "the server \"{}\" has this {field} already and is different: PUT or PATCH it to change it",
            record.server.id
        );
        first.get_or_insert_with(|| (record.server.id.clone(), detail.clone()));
        errors.push(at.at(field).error(FieldErrorCode::Duplicate, detail));
    }
    match first {
        Some((id, detail)) => Err(scene.exists(Target::Server(before.spec.id.clone(), id), detail, errors)),
        None => Ok(()),
    }
}

pub(super) fn put(
    scene: &Scene<'_>,
    upstream: &str,
    key: &str,
    submitted: &Submitted<Server>,
) -> Result<Plan, CatalogError> {
    let before = scene.upstream(upstream)?;
    let present = before.find(key);
    let id = present.map_or(key, |record| record.server.id.as_str());
    let target = Target::Server(upstream.to_owned(), id.to_owned());
    scene.demand(target, present.map(|record| record.meta.revision))?;
    let Some(record) = present else { return make(scene, before, key, submitted) };
    let mut server = submitted.value.clone();
    if server.id.is_empty() {
        id.clone_into(&mut server.id);
    }
    let mut errors = Vec::new();
    submitted.claims.check(|_| Some(&record.meta), &[], &mut errors);
    unmoved(record, &server, &mut errors);
    none_or_invalid(errors)?;
    Ok(replace(scene, before, record, server))
}

fn make(
    scene: &Scene<'_>,
    before: &Arc<UpstreamRecord>,
    key: &str,
    submitted: &Submitted<Server>,
) -> Result<Plan, CatalogError> {
    let upstream = before.spec.id.as_str();
    let mut server = submitted.value.clone();
    let mut errors = Vec::new();
    submitted.claims.check(|_| None, &[], &mut errors);
    let root = Pointer::root();
    if id::is_valid(key) {
        if server.id.is_empty() {
            key.clone_into(&mut server.id);
        }
        if server.id != key {
            let detail = format!("the path names the server \"{key}\": leave the id out or give the same");
            errors.push(root.at("id").error(FieldErrorCode::Immutable, detail));
        }
    } else if Address::parse(key).is_err() {
        let detail = format!("\"{key}\" in the path is neither an id nor an address");
        errors.push(root.at("id").error(FieldErrorCode::InvalidId, detail));
    } else if address::canonical(&server.address) != address::canonical(key) {
        let detail = format!("the path names the server at {key}: leave the address out or give the same");
        errors.push(root.at("address").error(FieldErrorCode::Immutable, detail));
    }
    none_or_invalid(errors)?;
    ids::fill(std::slice::from_mut(&mut server), &before.servers);
    let index = Index::new(&before.servers, std::slice::from_ref(&server));
    refuse_different(scene, before, &index, std::slice::from_ref(&server), Shape::One)?;
    refuse_too_many(before.servers.len() + 1)?;
    let ids = vec![server.id.clone()];
    let mut draft = scene.draft();
    let mut servers = before.servers.clone();
    servers.push(draft.new_server(upstream, server));
    draft.change_upstream(before, before.spec.clone(), servers);
    Ok(planned(draft, Effect::Created, upstream, ids))
}

pub(super) fn patch(
    scene: &Scene<'_>,
    upstream: &str,
    key: &str,
    patch: &Value,
) -> Result<Plan, CatalogError> {
    let before = scene.upstream(upstream)?;
    let record = find(before, key)?;
    let target = Target::Server(upstream.to_owned(), record.server.id.clone());
    scene.demand(target, Some(record.meta.revision))?;
    let mut errors = Vec::new();
    let mut document = serde_json::to_value(&record.server).unwrap_or_default();
    merge::unknown_nulls(patch, &document, &Pointer::root(), &mut errors);
    merge::apply(&mut document, patch.clone());
    match submitted::server(document, Some(&record.server.address)) {
        Ok(submitted) => {
            submitted.claims.check(|_| Some(&record.meta), &[], &mut errors);
            let mut server = submitted.value;
            if server.id.is_empty() {
                server.id.clone_from(&record.server.id);
            }
            unmoved(record, &server, &mut errors);
            none_or_invalid(errors)?;
            Ok(replace(scene, before, record, server))
        }
        Err(found) => {
            errors.extend(found);
            Err(CatalogError::Invalid(errors))
        }
    }
}

pub(super) fn delete(scene: &Scene<'_>, upstream: &str, key: &str) -> Result<Plan, CatalogError> {
    let before = scene.upstream(upstream)?;
    let record = find(before, key)?;
    let id = record.server.id.clone();
    scene.demand(Target::Server(upstream.to_owned(), id.clone()), Some(record.meta.revision))?;
    let mut draft = scene.draft();
    draft.delete_server(upstream, &id);
    let servers = before.servers.iter().filter(|other| other.server.id != id).cloned().collect();
    draft.change_upstream(before, before.spec.clone(), servers);
    Ok(planned(draft, Effect::Deleted, upstream, vec![id]))
}

fn replace(
    scene: &Scene<'_>,
    before: &Arc<UpstreamRecord>,
    record: &Arc<ServerRecord>,
    server: Server,
) -> Plan {
    let upstream = before.spec.id.as_str();
    let ids = vec![server.id.clone()];
    if server == record.server {
        return scene.unchanged(upstream, ids);
    }
    let mut draft = scene.draft();
    let changed = draft.changed_server(upstream, record, server);
    let servers = before
        .servers
        .iter()
        .map(|other| if Arc::ptr_eq(other, record) { Arc::clone(&changed) } else { Arc::clone(other) })
        .collect();
    draft.change_upstream(before, before.spec.clone(), servers);
    planned(draft, Effect::Changed, upstream, ids)
}

fn find<'a>(upstream: &'a UpstreamRecord, key: &str) -> Result<&'a Arc<ServerRecord>, CatalogError> {
    upstream.find(key).ok_or_else(|| {
        CatalogError::NotFound(format!("server \"{key}\" in upstream \"{}\"", upstream.spec.id))
    })
}

/// Adds an error when `server` has another name or address than `record`.
fn unmoved(record: &ServerRecord, server: &Server, errors: &mut Vec<FieldError>) {
    let root = Pointer::root();
    if server.id != record.server.id {
        let detail = format!("the id is \"{}\" and never changes", record.server.id);
        errors.push(root.at("id").error(FieldErrorCode::Immutable, detail));
    }
    if address::canonical(&server.address) != address::canonical(&record.server.address) {
        let detail = format!(
            "the address is {} and never changes: delete the server and add another",
            record.server.address
        );
        errors.push(root.at("address").error(FieldErrorCode::Immutable, detail));
    }
}

fn refuse_too_many(count: usize) -> Result<(), CatalogError> {
    if count <= check::MAX_SERVERS_PER_UPSTREAM {
        return Ok(());
    }
    let detail = format!("an upstream holds at most {} servers", check::MAX_SERVERS_PER_UPSTREAM);
    Err(CatalogError::Invalid(vec![Pointer::root().error(FieldErrorCode::TooMany, detail)]))
}

/// Those present servers that have the id or the address of one that is wanted.
struct Index<'a> {
    by_id: HashMap<&'a str, &'a Arc<ServerRecord>>,
    by_address: HashMap<Address, &'a Arc<ServerRecord>>,
}

impl<'a> Index<'a> {
    /// Looks at each of `records` once: there may be thousands of them, and one that is wanted.
    fn new(records: &'a [Arc<ServerRecord>], wanted: &[Server]) -> Self {
        let ids: HashSet<&str> = wanted.iter().map(|server| server.id.as_str()).collect();
        let addresses: HashSet<Address> =
            wanted.iter().filter_map(|server| Address::parse(&server.address).ok()).collect();
        let mut index = Self { by_id: HashMap::new(), by_address: HashMap::new() };
        for record in records {
            if ids.contains(record.server.id.as_str()) {
                index.by_id.insert(&record.server.id, record);
            }
            if let Some(address) =
                Address::parse(&record.server.address).ok().filter(|it| addresses.contains(it))
            {
                index.by_address.insert(address, record);
            }
        }
        index
    }

    /// The server at the address of `server`.
    fn at_address_of(&self, server: &Server) -> Option<&'a Arc<ServerRecord>> {
        self.by_address.get(&Address::parse(&server.address).ok()?).copied()
    }
}
