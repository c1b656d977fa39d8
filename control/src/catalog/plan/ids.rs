//! Names for servers that were submitted without one.

use std::collections::HashSet;

use weir_shared::{
    id,
    model::{Server, ServerRecord},
};

use crate::catalog::address;

/// Gives each of `servers` without an id one: that of the present server at the same address, or else one derived from
/// the address that neither `present` nor another of `servers` has.
pub(super) fn fill(servers: &mut [Server], present: &[std::sync::Arc<ServerRecord>]) {
    if servers.iter().all(|server| !server.id.is_empty()) {
        return;
    }
    let addresses: std::collections::HashMap<String, &str> = present
        .iter()
        .map(|record| (address::canonical(&record.server.address), record.server.id.as_str()))
        .collect();
    let mut taken: HashSet<String> = servers
        .iter()
        .map(|server| server.id.clone())
        .chain(present.iter().map(|record| record.server.id.clone()))
        .collect();
    let given: HashSet<String> = servers.iter().map(|server| server.id.clone()).collect();
    for server in servers.iter_mut().filter(|server| server.id.is_empty()) {
        let same = addresses.get(&address::canonical(&server.address));
        server.id = match same.filter(|id| !given.contains(**id)) {
            Some(id) => (*id).to_owned(),
            None => id::slug(&server.address, |id| taken.contains(id)),
        };
        taken.insert(server.id.clone());
    }
}
