//! The index finds what a search through all routes in order finds.

use std::cmp::Reverse;

use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::{Value, json};

use super::{Asked, compiled, config};
use crate::{
    model::{FieldMatchType, PathMatchType, Route},
    path,
    pattern::{self, Extent},
};

fn any_route() -> impl Strategy<Value = Value> {
    let hosts = vec(select(vec!["a.test", "b.a.test", "*.a.test", "*.test", "*.c.a.test"]), 0..3);
    let exact = select(vec!["/", "/a", "/a/", "/a/b", "/b/a", "/%c3%a4"]);
    let prefix = select(vec!["/", "/a", "/a/", "/a/b", "/a/b/c", "/b"]);
    let regex = select(vec!["/a/.*", ".*", "/[ab]", "/a/b|/b/a", "/(a|b)/[a-z]+", "/a/b/?"]);
    let path = prop_oneof![
        exact.prop_map(|value| json!({"type": "exact", "value": value})),
        prefix.prop_map(|value| json!({"type": "prefix", "value": value})),
        regex.prop_map(|value| json!({"type": "regex", "value": value})),
    ];
    let methods =
        prop_oneof![3 => Just(json!([])), 1 => Just(json!(["GET"])), 1 => Just(json!(["POST", "PUT"]))];
    let field = || {
        let exact = select(vec!["1", "2"]).prop_map(|value| json!({"name": "x", "value": value}));
        let field = prop_oneof![exact, Just(json!({"name": "y", "type": "present"}))];
        vec(field, 0..2)
    };
    let listeners =
        prop_oneof![4 => Just(json!([])), 1 => Just(json!(["default"])), 1 => Just(json!(["other"]))];
    let clients = prop_oneof![4 => Just(json!([])), 1 => Just(json!(["10.0.0.0/8"]))];
    let priority = prop_oneof![4 => Just(0), 1 => Just(5), 1 => Just(-5)];
    let enabled = prop_oneof![6 => Just(true), 1 => Just(false)];
    let what = (hosts, path, methods, field(), field());
    (what, listeners, clients, priority, enabled).prop_map(
        |((mut hosts, path, methods, headers, query), listeners, client_cidrs, priority, enabled)| {
            hosts.dedup();
            json!({
                "enabled": enabled, "priority": priority, "listeners": listeners,
                "match": {"hosts": hosts, "path": path, "methods": methods, "headers": headers, "query": query,
                          "client_cidrs": client_cidrs}
            })
        },
    )
}

fn any_request() -> impl Strategy<Value = String> {
    let host = select(vec!["a.test", "B.a.test:80", "x.c.a.test", "c.test.", "other", ""]);
    let path = vec(select(vec!["a", "b", "c", "", "ä", "%61"]), 1..5).prop_map(|segments| segments.join("/"));
    let query = select(vec!["", "?x=1", "?x=2&y", "?y=&x=1"]);
    let headers = select(vec!["", " x:1", " y:0", " x:2 y:1 x:1"]);
    let rest = select(vec!["", " @other", " ~10.0.0.1"]);
    (select(vec!["GET", "PUT"]), host, path, query, headers, rest).prop_map(
        |(method, host, path, query, headers, rest)| format!("{method} {host}/{path}{query}{headers}{rest}"),
    )
}

/// How well a route's hosts fit; greater is better. `None`: not at all.
fn host_rank(route: &Route, host: &str) -> Option<(u8, usize)> {
    let host = host.split(':').next().unwrap().trim_end_matches('.').to_lowercase();
    if route.matches.hosts.is_empty() {
        return Some((0, 0));
    }
    let ranks = route.matches.hosts.iter().filter_map(|wanted| match wanted.strip_prefix('*') {
        Some(suffix) => host.ends_with(suffix).then_some((1, suffix.len())),
        None => (host == *wanted).then_some((2, 0)),
    });
    ranks.max()
}

fn path_takes(route: &Route, path: &str) -> bool {
    let value = path::canonical(&route.matches.path.value).into_owned();
    match route.matches.path.kind {
        PathMatchType::Exact => path == value,
        PathMatchType::Prefix => {
            let prefix = value.trim_end_matches('/');
            path == prefix || path.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/'))
        }
        PathMatchType::Regex => {
            pattern::compile(&route.matches.path.value, Extent::Whole).unwrap().is_match(path.as_bytes())
        }
    }
}

fn takes(route: &Route, asked: &Asked, path: &str) -> bool {
    let matches = &route.matches;
    let query: Vec<(&str, &str)> = asked
        .query
        .as_deref()
        .unwrap_or_default()
        .split('&')
        .map(|parameter| parameter.split_once('=').unwrap_or((parameter, "")))
        .collect();
    route.enabled
        && (route.listeners.is_empty() || route.listeners.contains(&asked.listener))
        && (matches.methods.is_empty() || matches.methods.iter().any(|method| asked.method == **method))
        && matches.headers.iter().all(|field| {
            let mut lines = asked.headers.get_all(&field.name).iter();
            lines.any(|line| field.kind == FieldMatchType::Present || line == field.value.as_str())
        })
        && matches.query.iter().all(|field| {
            let value = query.iter().find(|(name, _)| *name == field.name);
            value.is_some_and(|(_, value)| field.kind == FieldMatchType::Present || *value == field.value)
        })
        && (matches.client_cidrs.is_empty()
            || matches.client_cidrs.iter().any(|range| range.contains(asked.client)))
        && path_takes(route, path)
}

/// The route that comes first of those that take the path `path`.
fn first<'r>(routes: &'r [Route], asked: &Asked, path: &str) -> Option<&'r str> {
    let taking = routes.iter().filter(|route| takes(route, asked, path));
    let ranked = taking.filter_map(|route| Some((host_rank(route, &asked.host)?, route)));
    let best = ranked.min_by_key(|(host, route)| {
        let matches = &route.matches;
        let kind = match matches.path.kind {
            PathMatchType::Exact => (0, Reverse(0)),
            PathMatchType::Regex => (1, Reverse(matches.path.value.len())),
            PathMatchType::Prefix => {
                (2, Reverse(path::canonical(&matches.path.value).trim_end_matches('/').len()))
            }
        };
        (
            (Reverse(*host), route.id == "default", Reverse(route.priority), kind),
            (
                matches.methods.is_empty(),
                Reverse(matches.headers.len()),
                Reverse(matches.query.len()),
                matches.client_cidrs.is_empty(),
                route.listeners.is_empty(),
                route.id.clone(),
            ),
        )
    });
    best.map(|(_, route)| route.id.as_str())
}

fn searched(routes: &[Route], asked: &Asked) -> String {
    let canonical = path::canonical(&asked.path).into_owned();
    let found = first(routes, asked, &canonical);
    let differs = path::readings(&canonical).iter().any(|reading| first(routes, asked, reading) != found);
    if differs { "ambiguous" } else { found.unwrap_or("none") }.to_owned()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_index_finds_what_a_search_finds(
        routes in vec(any_route(), 0..12),
        changed in vec(any_route(), 0..4),
        requests in vec(any_request(), 1..24),
    ) {
        let named = |routes: &[Value]| -> Vec<Value> {
            let named = routes.iter().enumerate().map(|(n, route)| {
                let mut route = route.clone();
                route["id"] = json!(format!("r{n}"));
                route
            });
            std::iter::once(json!({"id": "default"})).chain(named).collect()
        };
        let mut all = named(&routes);
        let mut table = compiled(config(&json!(all)), None);
        // Made in one go, and then by changing some.
        for step in 0..2 {
            let plain: Vec<Route> = serde_json::from_value(json!(all)).unwrap();
            for request in &requests {
                let asked = Asked::parse(request);
                prop_assert_eq!(asked.routed(&table), searched(&plain, &asked), "{} in {:?}", request, plain);
            }
            if step == 0 {
                let keep = all.len().saturating_sub(2).max(1);
                all.truncate(keep);
                all.extend(named(&changed).split_off(1));
                let mut seen = std::collections::HashSet::new();
                all.reverse();
                all.retain(|route| seen.insert(route["id"].clone()));
                table = compiled(config(&json!(all)), Some(&table));
            }
        }
    }
}
