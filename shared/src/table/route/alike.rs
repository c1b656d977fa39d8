//! Routes of the same host and the same path.
//!
//! Those that demand one value of a header field or of a parameter, as tenants and versions are told apart by, are found by that value:
//! it costs a look for each field that any of them names, however many values there are. The others are tried one by one.
//!
//! Hot path: no allocation but for a parameter whose value is spelt specially.

use std::{borrow::Cow, sync::Arc};

use http::HeaderName;

use super::{Ranked, Route, RouteRequest, conditions, insert, map::Map, tree::Content};

/// Routes of the same host and the same path.
#[derive(Clone, Debug, Default)]
pub(super) struct Alike {
    /// Those that demand no value, the first in order first.
    plain: Ranked,
    by_header: Vec<(HeaderName, Map<Ranked>)>,
    by_parameter: Vec<(Box<str>, Map<Ranked>)>,
}

/// One value that a route demands of a request.
#[derive(Clone, Copy, Debug)]
pub(super) enum Demand<'c> {
    Header(&'c HeaderName, &'c str),
    Parameter(&'c str, &'c str),
}

impl Content for Alike {
    fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.by_header.is_empty() && self.by_parameter.is_empty()
    }
}

impl Alike {
    /// Takes `route` in: with that of its values which fewest others demand.
    pub(super) fn insert(&mut self, route: &Arc<Route>) {
        match route.conditions.demands().min_by_key(|demand| self.count(*demand)) {
            Some(demand) => self.change(demand, |routes| insert(routes, route)),
            None => insert(&mut self.plain, route),
        }
    }

    /// Takes `route` out.
    pub(super) fn remove(&mut self, route: &Route) {
        self.plain.retain(|other| other.id != route.id);
        for demand in route.conditions.demands() {
            if self.count(demand) > 0 {
                self.change(demand, |routes| routes.retain(|other| other.id != route.id));
            }
        }
        self.by_header.retain(|(_, routes)| !routes.is_empty());
        self.by_parameter.retain(|(_, routes)| !routes.is_empty());
    }

    /// The first of those that demand no value.
    pub(super) fn first_plain(&self) -> Option<&Arc<Route>> {
        self.plain.first()
    }

    /// Shows `look` all routes that `request` may be for, those of each value in order.
    pub(super) fn each<'s>(&'s self, request: &RouteRequest<'_>, mut look: impl FnMut(&'s [Arc<Route>])) {
        look(&self.plain);
        for (name, routes) in &self.by_header {
            let lines = || request.headers.get_all(name).iter();
            for (number, line) in lines().enumerate() {
                // A line said again says nothing new, but would have its routes looked at again.
                if lines().take(number).any(|earlier| earlier == line) {
                    continue;
                }
                if let Some(routes) =
                    std::str::from_utf8(line.as_bytes()).ok().and_then(|text| routes.get(text))
                {
                    look(routes);
                }
            }
        }
        for (name, routes) in &self.by_parameter {
            let value: Option<Cow<'_, str>> = conditions::parameter(request.query, name);
            if let Some(routes) = value.and_then(|value| routes.get(&value)) {
                look(routes);
            }
        }
    }

    fn count(&self, demand: Demand<'_>) -> usize {
        let routes = match demand {
            Demand::Header(name, value) => self
                .by_header
                .iter()
                .find(|(other, _)| other == name)
                .and_then(|(_, routes)| routes.get(value)),
            Demand::Parameter(name, value) => self
                .by_parameter
                .iter()
                .find(|(other, _)| **other == *name)
                .and_then(|(_, routes)| routes.get(value)),
        };
        routes.map_or(0, |routes| routes.len())
    }

    fn change(&mut self, demand: Demand<'_>, edit: impl FnOnce(&mut Ranked)) {
        let (map, value) = match demand {
            Demand::Header(name, value) => {
                (named(&mut self.by_header, |other| other == name, || name.clone()), value)
            }
            Demand::Parameter(name, value) => {
                (named(&mut self.by_parameter, |other| **other == *name, || name.into()), value)
            }
        };
        if let Some(map) = map {
            map.change(value, edit, Vec::is_empty);
        }
    }
}

/// What there is of `maps` under a name, from now on if not before.
fn named<N>(
    maps: &mut Vec<(N, Map<Ranked>)>,
    is_named: impl Fn(&N) -> bool,
    name: impl FnOnce() -> N,
) -> Option<&mut Map<Ranked>> {
    if !maps.iter().any(|(other, _)| is_named(other)) {
        maps.push((name(), Map::default()));
    }
    maps.iter_mut().find(|(other, _)| is_named(other)).map(|(_, map)| map)
}
