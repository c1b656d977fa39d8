//! The routes of one host, found by path.
//!
//! Exact paths are looked up whole. Prefixes are in a tree by segment, and so are regular expressions, as far as every match of
//! them begins with whole segments. A request passes along one branch, and of the routes it meets there the first in order whose
//! conditions hold takes it: the cost is that of the path's own segments, however many routes there are, plus that of routes with
//! the very same path that are not told apart by a value (`alike`). A route that comes or goes changes its own place alone.
//!
//! Hot path: no allocation.

use std::sync::Arc;

use super::{
    Route, RouteRequest,
    alike::Alike,
    expressions::Expressions,
    map::Map,
    tree::{Content, Tree},
};
use crate::{
    model::{PathMatch, PathMatchType},
    path, pattern,
};

/// The routes of one host.
#[derive(Clone, Debug, Default)]
pub(super) struct HostRoutes {
    count: usize,
    exact: Map<Alike>,
    tree: Tree<Place>,
}

/// A prefix of whole segments.
#[derive(Clone, Debug, Default)]
struct Place {
    /// Expressions whose matches all begin with it.
    regexes: Expressions,
    /// Prefixes that end here.
    prefixes: Alike,
}

/// Where a route lies.
enum Found<'p> {
    Alike(&'p mut Alike),
    Expressions(&'p mut Expressions),
}

impl Content for Place {
    fn is_empty(&self) -> bool {
        self.regexes.is_empty() && self.prefixes.is_empty()
    }
}

impl Content for HostRoutes {
    fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl HostRoutes {
    /// Takes `route` in.
    pub(super) fn insert(&mut self, route: &Arc<Route>) {
        self.count += 1;
        self.change(&route.record.spec.matches.path, &mut |found| match found {
            Found::Alike(routes) => routes.insert(route),
            Found::Expressions(routes) => routes.insert(route),
        });
    }

    /// Takes `route` out, which was taken in.
    pub(super) fn remove(&mut self, route: &Route) {
        self.count = self.count.saturating_sub(1);
        self.change(&route.record.spec.matches.path, &mut |found| match found {
            Found::Alike(routes) => routes.remove(route),
            Found::Expressions(routes) => routes.remove(route),
        });
    }

    /// Changes the routes that lie where those with the path `wanted` do.
    fn change(&mut self, wanted: &PathMatch, edit: &mut dyn FnMut(Found<'_>)) {
        let value = path::canonical(&wanted.value);
        match wanted.kind {
            PathMatchType::Exact => {
                self.exact.change(&value, |routes| edit(Found::Alike(routes)), Alike::is_empty);
            }
            PathMatchType::Prefix => {
                let mut steps = path::without_last_slash(&value).split('/').skip(1);
                self.tree.change(&mut steps, &mut |place| edit(Found::Alike(&mut place.prefixes)));
            }
            PathMatchType::Regex => {
                let prefix = pattern::literal_prefix(&wanted.value);
                let whole = prefix.rsplit_once('/').map_or("", |(whole, _)| whole);
                let mut steps = whole.split('/').skip(1);
                self.tree.change(&mut steps, &mut |place| edit(Found::Expressions(&mut place.regexes)));
            }
        }
    }

    /// The only route, if there is one and it is for every path.
    pub(super) fn only(&self) -> Option<&Arc<Route>> {
        self.tree.here.prefixes.first_plain().filter(|_| self.count == 1)
    }

    /// The route that takes `request`, for the canonical path `path`.
    pub(super) fn find(&self, request: &RouteRequest<'_>, path: &str) -> Option<&Arc<Route>> {
        let mut best = Best { request, path, route: None };
        if let Some(routes) = self.exact.get(path) {
            best.look_among(routes);
        }
        let mut tree = &self.tree;
        best.look_at(&tree.here);
        // What follows the first slash; a path without one has no segments.
        let mut rest = path.strip_prefix('/');
        while let Some(left) = rest
            && !tree.is_leaf()
        {
            let (segment, after) = match left.split_once('/') {
                Some((segment, after)) => (segment, Some(after)),
                None => (left, None),
            };
            let Some(below) = tree.step(segment) else { break };
            tree = below;
            best.look_at(&tree.here);
            rest = after;
        }
        best.route
    }
}

/// The first route found so far.
struct Best<'h, 'r> {
    request: &'r RouteRequest<'r>,
    path: &'r str,
    route: Option<&'h Arc<Route>>,
}

impl<'h> Best<'h, '_> {
    fn look_at(&mut self, place: &'h Place) {
        for group in place.regexes.groups() {
            if self.is_wanted(&group.routes) && group.may_match(self.path) {
                self.look(&group.routes);
            }
        }
        self.look_among(&place.prefixes);
    }

    fn look_among(&mut self, routes: &'h Alike) {
        let request = self.request;
        routes.each(request, |routes| self.look(routes));
    }

    /// Whether the first of `routes` comes before what was found.
    fn is_wanted(&self, routes: &[Arc<Route>]) -> bool {
        routes.first().is_some_and(|first| self.route.is_none_or(|best| first.precedes(best)))
    }

    /// Takes the first of `routes` that comes before what was found and whose conditions hold.
    fn look(&mut self, routes: &'h [Arc<Route>]) {
        for route in routes {
            if self.route.is_some_and(|best| !route.precedes(best)) {
                return;
            }
            if route.conditions.hold(self.request, self.path) {
                self.route = Some(route);
                return;
            }
        }
    }
}
