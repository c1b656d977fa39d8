//! Which of several routes for the same host takes a request that all of them match.
//!
//! The Gateway API's order (HTTPRouteRule, `matches`): exact path, longest prefix, method, most header fields, most parameters.
//! Two things are added. `priority` comes before the path, and after the host: whoever names a host keeps its requests whatever
//! others do. A regular expression comes between exact paths and prefixes, the longer one first, because who writes one means
//! something that a prefix would hide. What then still ties goes by id and not by age, so that the same configuration routes
//! alike wherever and whenever it was put.

use std::cmp::Reverse;

use crate::{
    model::{PathMatchType, Route},
    path,
};

/// The place of a route among those of its host, but for its id; the least comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    kind: Kind,
    priority: Reverse<i32>,
    path: PathRank,
    methods: Said,
    headers: Reverse<usize>,
    parameters: Reverse<usize>,
    clients: Said,
    listeners: Said,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Other,
    CatchAll,
}

/// Whether something is said of what a route is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Said {
    Something,
    Nothing,
}

impl Said {
    fn of<T>(items: &[T]) -> Self {
        if items.is_empty() { Self::Nothing } else { Self::Something }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum PathRank {
    Exact,
    Regex(Reverse<usize>),
    Prefix(Reverse<usize>),
}

impl Rank {
    /// The place of `route`.
    pub(super) fn of(route: &Route) -> Self {
        let matches = &route.matches;
        let value = &matches.path.value;
        Self {
            kind: if route.is_catch_all() { Kind::CatchAll } else { Kind::Other },
            priority: Reverse(route.priority),
            path: match matches.path.kind {
                PathMatchType::Exact => PathRank::Exact,
                PathMatchType::Regex => PathRank::Regex(Reverse(value.len())),
                PathMatchType::Prefix => {
                    PathRank::Prefix(Reverse(path::without_last_slash(&path::canonical(value)).len()))
                }
            },
            methods: Said::of(&matches.methods),
            headers: Reverse(matches.headers.len()),
            parameters: Reverse(matches.query.len()),
            clients: Said::of(&matches.client_cidrs),
            listeners: Said::of(&route.listeners),
        }
    }
}
