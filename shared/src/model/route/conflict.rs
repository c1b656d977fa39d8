//! Routes that stand in each other's way: the same conditions, so that only one of them ever takes a request.

use super::{FieldMatch, PathMatchType, Route};
use crate::path;

/// The one of `others` that takes all requests that `route` would, for some host at least, because both say the same: the one
/// whose id comes first takes them. The catch-all route has no rival; what is left for it may be nothing.
pub fn rival<'a>(route: &Route, others: impl Iterator<Item = &'a Route>) -> Option<&'a Route> {
    if !route.enabled || route.is_catch_all() {
        return None;
    }
    let mut rivals = others.filter(|other| other.enabled && !other.is_catch_all() && other.id < route.id);
    rivals.find(|other| says_the_same(other, route) && covers(other, route) && shares_host(other, route))
}

fn says_the_same(one: &Route, other: &Route) -> bool {
    let (a, b) = (&one.matches, &other.matches);
    one.priority == other.priority
        && a.path.kind == b.path.kind
        && is_same_path(a.path.kind, &a.path.value, &b.path.value)
        && same(&a.methods, &b.methods, PartialEq::eq)
        && same(&a.headers, &b.headers, is_same_field)
        && same(&a.query, &b.query, PartialEq::eq)
        && same(&a.client_cidrs, &b.client_cidrs, PartialEq::eq)
}

fn is_same_path(kind: PathMatchType, one: &str, other: &str) -> bool {
    match kind {
        PathMatchType::Exact => path::canonical(one) == path::canonical(other),
        PathMatchType::Prefix => {
            path::without_last_slash(&path::canonical(one))
                == path::without_last_slash(&path::canonical(other))
        }
        PathMatchType::Regex => one == other,
    }
}

fn is_same_field(one: &FieldMatch, other: &FieldMatch) -> bool {
    one.name.eq_ignore_ascii_case(&other.name) && one.kind == other.kind && one.value == other.value
}

/// Whether all listeners of `route` are also `other`'s, and neither is more specific for naming some.
fn covers(other: &Route, route: &Route) -> bool {
    other.listeners.is_empty() == route.listeners.is_empty()
        && route.listeners.iter().all(|listener| other.listeners.contains(listener))
}

fn shares_host(one: &Route, other: &Route) -> bool {
    let (a, b) = (&one.matches.hosts, &other.matches.hosts);
    (a.is_empty() && b.is_empty()) || a.iter().any(|host| b.iter().any(|it| it.eq_ignore_ascii_case(host)))
}

/// Whether two lists hold the same, in whatever order.
fn same<T>(one: &[T], other: &[T], is_same: impl Fn(&T, &T) -> bool) -> bool {
    one.len() == other.len() && one.iter().all(|item| other.iter().any(|it| is_same(item, it)))
}
