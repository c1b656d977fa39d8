//! The routes of one host, found by path.
//!
//! Exact paths are looked up whole. Prefixes are in a tree by segment, and so are regular expressions, as far as every match of
//! them begins with whole segments. A request passes along one branch, and of the routes it meets there the first in order whose
//! conditions hold takes it: the cost is that of the path's own segments, however many routes there are, plus that of routes with
//! the very same path.
//!
//! Hot path: no allocation.

use std::{collections::HashMap, sync::Arc};

use foldhash::fast::FixedState;

use super::{Route, RouteRequest, order::Rank};
use crate::{model::PathMatchType, path, pattern};

/// Places of routes in their order, ascending.
type Places = Vec<u32>;
type Map<V> = HashMap<Box<str>, V, FixedState>;

/// The routes of one host.
#[derive(Debug, Default)]
pub(super) struct HostRoutes {
    /// All of them, the first in order first.
    routes: Box<[Arc<Route>]>,
    exact: Map<Places>,
    /// The tree; the first is its root.
    nodes: Vec<Node>,
}

/// A prefix of whole segments.
#[derive(Debug, Default)]
struct Node {
    children: Map<u32>,
    /// Expressions whose matches all begin with it.
    regexes: Places,
    /// Prefixes that end here.
    prefixes: Places,
}

impl HostRoutes {
    /// Prepares `routes`, in whatever order.
    pub(super) fn build(mut routes: Vec<Arc<Route>>) -> Self {
        routes.sort_by(|one, other| Rank::of(one).cmp(&Rank::of(other)));
        let mut built = Self { nodes: vec![Node::default()], ..Self::default() };
        for (place, route) in (0..).zip(&routes) {
            let wanted = &route.record.spec.matches.path;
            match wanted.kind {
                PathMatchType::Exact => {
                    let value = path::canonical(&wanted.value).as_ref().into();
                    built.exact.entry(value).or_default().push(place);
                }
                PathMatchType::Prefix => {
                    let value = path::canonical(&wanted.value);
                    if let Some(node) = built.node(path::without_last_slash(&value)) {
                        node.prefixes.push(place);
                    }
                }
                PathMatchType::Regex => {
                    let prefix = pattern::literal_prefix(&wanted.value);
                    let whole = prefix.rsplit_once('/').map_or("", |(whole, _)| whole);
                    if let Some(node) = built.node(whole) {
                        node.regexes.push(place);
                    }
                }
            }
        }
        built.routes = routes.into_boxed_slice();
        built
    }

    /// The node for `prefix`, which is empty or begins with a slash.
    fn node(&mut self, prefix: &str) -> Option<&mut Node> {
        let mut at = 0;
        for segment in prefix.split('/').skip(1) {
            let fresh = u32::try_from(self.nodes.len()).ok()?;
            let children = &mut self.nodes.get_mut(at)?.children;
            let next = *children.entry(segment.into()).or_insert(fresh);
            if next == fresh {
                self.nodes.push(Node::default());
            }
            at = next as usize;
        }
        self.nodes.get_mut(at)
    }

    /// All routes, the first in order first.
    pub(super) fn all(&self) -> &[Arc<Route>] {
        &self.routes
    }

    /// The route that takes `request`, for the canonical path `path`.
    pub(super) fn find(&self, request: &RouteRequest<'_>, path: &str) -> Option<&Arc<Route>> {
        let mut best = Best { routes: &self.routes, request, path, place: u32::MAX };
        if let Some(places) = self.exact.get(path) {
            best.look(places);
        }
        let mut node = self.nodes.first()?;
        best.look(&node.regexes);
        best.look(&node.prefixes);
        // What follows the first slash; a path without one has no segments.
        let mut rest = path.strip_prefix('/');
        while let Some(left) = rest
            && !node.children.is_empty()
        {
            let (segment, after) = match left.split_once('/') {
                Some((segment, after)) => (segment, Some(after)),
                None => (left, None),
            };
            let Some(child) = node.children.get(segment) else { break };
            node = self.nodes.get(*child as usize)?;
            best.look(&node.regexes);
            best.look(&node.prefixes);
            rest = after;
        }
        best.route()
    }
}

/// The first route found so far.
struct Best<'h, 'r> {
    routes: &'h [Arc<Route>],
    request: &'r RouteRequest<'r>,
    path: &'r str,
    place: u32,
}

impl<'h> Best<'h, '_> {
    /// Takes the first of `places` that comes before what was found and whose conditions hold.
    fn look(&mut self, places: &[u32]) {
        for place in places.iter().take_while(|place| **place < self.place) {
            let route = self.routes.get(*place as usize);
            if route.is_some_and(|route| route.conditions.hold(self.request, self.path)) {
                self.place = *place;
                return;
            }
        }
    }

    fn route(self) -> Option<&'h Arc<Route>> {
        self.routes.get(usize::try_from(self.place).ok()?)
    }
}
