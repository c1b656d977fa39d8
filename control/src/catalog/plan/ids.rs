//! Names for servers that were submitted without one.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use weir_shared::{
    id,
    model::{Server, ServerRecord, address::Address},
};

/// Gives each of `servers` without an id one: that of the present server at the same address, or else one derived from
/// the address that neither `present` nor another of `servers` has.
pub(super) fn fill(servers: &mut [Server], present: &[Arc<ServerRecord>]) {
    if servers.iter().all(|server| !server.id.is_empty()) {
        return;
    }
    let given: HashSet<String> = servers.iter().map(|server| server.id.clone()).collect();
    let known = at_addresses(servers, present);
    let present: HashSet<&str> = present.iter().map(|record| record.server.id.as_str()).collect();
    let mut derived: HashSet<String> = HashSet::new();
    for server in servers.iter_mut().filter(|server| server.id.is_empty()) {
        let same = Address::parse(&server.address).ok().and_then(|address| known.get(&address).copied());
        server.id = match same.filter(|id| !given.contains(*id)) {
            Some(id) => id.to_owned(),
            None => {
                let is_taken = |id: &str| given.contains(id) || present.contains(id) || derived.contains(id);
                id::slug(&server.address, is_taken)
            }
        };
        derived.insert(server.id.clone());
    }
}

/// The ids of the `present` servers that are where one of `servers` is.
fn at_addresses<'a>(servers: &[Server], present: &'a [Arc<ServerRecord>]) -> HashMap<Address, &'a str> {
    let wanted: HashSet<Address> =
        servers.iter().filter_map(|server| Address::parse(&server.address).ok()).collect();
    let found = present.iter().filter_map(|record| {
        let address = Address::parse(&record.server.address).ok()?;
        wanted.contains(&address).then_some((address, record.server.id.as_str()))
    });
    found.collect()
}
