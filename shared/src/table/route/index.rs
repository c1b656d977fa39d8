//! All routes, found by host and then by path.
//!
//! A host's own routes come before those of the longest wildcard it is under, those before a shorter one's, and routes for any
//! host last. A host whose routes do not match a request leaves it to the next, as the Gateway API has it.
//! A change of one route copies the way to it and shares all others.
//!
//! Hot path: no allocation for a path that can be read in one way only.

use std::sync::Arc;

use super::{
    NoRoute, Route, RouteRequest,
    host::HostRoutes,
    map::Map,
    tree::{Content, Tree},
};
use crate::{
    id::RouteId,
    path::{self, Form},
    sharing::SharedMap,
};

/// Longest name of a host (RFC 1035 §2.3.4), or of an address in brackets.
const MAX_HOST_BYTES: usize = 255;

/// All routes of a table.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    pub(super) by_id: SharedMap<RouteId, Route>,
    pub(super) exact: Map<HostRoutes>,
    /// By the labels of what follows `*.`, the last one first.
    wildcards: Tree<HostRoutes>,
    any: HostRoutes,
    /// The catch-all route, when it takes everything and there is no other.
    pub(super) only: Option<Arc<Route>>,
}

impl Routes {
    /// The route that takes `request`.
    ///
    /// # Errors
    /// None does.
    pub fn find(&self, request: &RouteRequest<'_>) -> Result<&Arc<Route>, NoRoute> {
        if let Some(only) = &self.only {
            return Ok(only);
        }
        if path::form(request.path) == Form::Plain {
            return self.find_by(request, request.path).ok_or(NoRoute::Unmatched);
        }
        let canonical = path::canonical(request.path);
        let found = self.find_by(request, &canonical);
        let id = |route: Option<&Arc<Route>>| route.map(Arc::as_ptr);
        for reading in path::readings(&canonical) {
            if id(self.find_by(request, &reading)) != id(found) {
                return Err(NoRoute::Ambiguous);
            }
        }
        found.ok_or(NoRoute::Unmatched)
    }

    /// The route named `id`.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Arc<Route>> {
        self.by_id.get(id)
    }

    /// All routes that take requests, by id.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<Route>> {
        self.by_id.values()
    }

    fn find_by(&self, request: &RouteRequest<'_>, path: &str) -> Option<&Arc<Route>> {
        let mut buffer = [0; MAX_HOST_BYTES];
        if !(self.exact.is_empty() && self.wildcards.is_empty())
            && let Some(host) = request.host.and_then(|host| name_of(host, &mut buffer))
            && let Some(route) = self.find_under(request, path, host)
        {
            return Some(route);
        }
        self.any.find(request, path)
    }

    fn find_under(&self, request: &RouteRequest<'_>, path: &str, host: &str) -> Option<&Arc<Route>> {
        if let Some(route) = self.exact.get(host).and_then(|routes| routes.find(request, path)) {
            return Some(route);
        }
        below(&self.wildcards, request, path, host)
    }

    /// The only route, if it is for every host and every path.
    pub(super) fn single(&self) -> Option<&Arc<Route>> {
        let is_alone = self.exact.is_empty() && self.wildcards.is_empty();
        self.any.only().filter(|_| is_alone)
    }

    /// Changes the routes of `host`, in lower case; without one, those for any host.
    pub(super) fn change(&mut self, host: Option<&str>, edit: impl Fn(&mut HostRoutes)) {
        match host.map(|host| (host, host.strip_prefix("*."))) {
            None => edit(&mut self.any),
            Some((_, Some(parent))) => {
                self.wildcards.change(&mut parent.rsplit('.'), &mut |routes| edit(routes))
            }
            Some((host, None)) => self.exact.change(host, edit, Content::is_empty),
        }
    }
}

/// The route of the longest wildcard below `tree` that has one for `request`, `host` being the labels that are left. One of them
/// is what the star stands for.
fn below<'t>(
    tree: &'t Tree<HostRoutes>,
    request: &RouteRequest<'_>,
    path: &str,
    host: &str,
) -> Option<&'t Arc<Route>> {
    if tree.is_leaf() {
        return None;
    }
    let (rest, label) = host.rsplit_once('.')?;
    let next = tree.step(label)?;
    below(next, request, path, rest).or_else(|| next.here.find(request, path))
}

/// The name in an authority, in lower case, without port and without a last dot. `None` for one that no route can have.
fn name_of<'b>(authority: &[u8], buffer: &'b mut [u8; MAX_HOST_BYTES]) -> Option<&'b str> {
    let end = if authority.first() == Some(&b'[') {
        authority.iter().position(|byte| *byte == b']')? + 1
    } else {
        authority.iter().position(|byte| *byte == b':').unwrap_or(authority.len())
    };
    let name = authority.get(..end)?;
    let name = name.strip_suffix(b".").unwrap_or(name);
    let place = buffer.get_mut(..name.len())?;
    place.copy_from_slice(name);
    place.make_ascii_lowercase();
    std::str::from_utf8(place).ok()
}
