//! Whether a route makes sense.

use std::{collections::HashSet, fmt::Display, net::Ipv6Addr};

use serde_json::Value;

use super::{
    FieldMatchType, PathMatch, PathMatchType, PathRewriteType, Route, RouteMatch, check_action,
    demands::{header, method, parameter},
};
use crate::{
    error::{FieldError, FieldErrorCode, Pointer},
    id,
    model::{
        Config,
        check::{check_id, description, labels, number},
    },
    path,
    pattern::{self, Extent},
};

/// Most routes in one configuration.
pub const MAX_ROUTES: usize = 10_000;
/// Most regular expressions in all routes together: each takes memory of its own.
const MAX_PATTERNS: usize = 2_000;
/// Most bytes of fixed responses in all routes together.
const MAX_BODIES: usize = 16 * 1024 * 1024;
/// Longest value that is compared with, in bytes.
pub(super) const MAX_VALUE_BYTES: usize = 1024;

/// Checks a route by itself.
pub fn route(route: &Route, at: &Pointer, errors: &mut Vec<FieldError>) {
    check_id(&route.id, &at.at("id"), errors);
    description(&route.description, &at.at("description"), errors);
    labels(&route.labels, &at.at("labels"), errors);
    number(route.priority, -1000..=1000, &at.at("priority"), errors);
    listeners(&route.listeners, &at.at("listeners"), errors);
    if route.is_catch_all() {
        catch_all(route, at, errors);
    } else {
        matches(&route.matches, &at.at("match"), errors);
    }
    check_action::action(route, &at.at("action"), errors);
}

/// What is left over has no conditions, and comes last.
fn catch_all(route: &Route, at: &Pointer, errors: &mut Vec<FieldError>) {
    if route.matches != RouteMatch::default() {
        let detail =
            "the route \"default\" takes what no other route takes: its match stays empty; add another route";
        errors.push(at.at("match").error(FieldErrorCode::InvalidValue, detail));
    }
    if route.priority != 0 {
        let detail = "the route \"default\" comes after all others: its priority stays 0";
        errors.push(at.at("priority").error(FieldErrorCode::InvalidValue, detail));
    }
}

/// Checks that what a route sends to is there, which `known` tells of an id.
pub fn references(route: &Route, known: impl Fn(&str) -> bool, at: &Pointer, errors: &mut Vec<FieldError>) {
    let at = at.at("action").at("upstreams");
    for (index, target) in route.action.upstreams.iter().enumerate() {
        if !known(&target.upstream) {
            let name: String = target.upstream.chars().take(64).collect();
            let detail = format!("there is no upstream \"{name}\"");
            errors.push(at.at(index).at("upstream").error(FieldErrorCode::UnknownReference, detail));
        }
    }
}

/// Checks what no single route shows.
pub fn totals(config: &Config, errors: &mut Vec<FieldError>) {
    let at = Pointer::root().at("routes");
    if config.routes.size() > MAX_ROUTES {
        let detail = format!("a configuration holds at most {MAX_ROUTES} routes");
        errors.push(at.error(FieldErrorCode::TooMany, detail));
    }
    let (mut patterns, mut bodies) = (0, 0);
    for record in config.routes.values() {
        patterns += count_patterns(&record.spec);
        bodies += record.spec.action.fixed_response.as_ref().map_or(0, |answer| answer.body.len());
    }
    if patterns > MAX_PATTERNS {
        let detail = format!("all routes together have at most {MAX_PATTERNS} regular expressions");
        errors.push(at.error(FieldErrorCode::TooMany, detail));
    }
    if bodies > MAX_BODIES {
        let detail = format!("the bodies of all fixed responses together have at most {MAX_BODIES} bytes");
        errors.push(at.error(FieldErrorCode::TooMany, detail));
    }
}

fn count_patterns(route: &Route) -> usize {
    let fields = route.matches.headers.iter().chain(&route.matches.query);
    let rewrites = [
        route.action.rewrite.as_ref().and_then(|rewrite| rewrite.path.as_ref()),
        route.action.redirect.as_ref().and_then(|redirect| redirect.path.as_ref()),
    ];
    usize::from(route.matches.path.kind == PathMatchType::Regex)
        + fields.filter(|field| field.kind == FieldMatchType::Regex).count()
        + rewrites.into_iter().flatten().filter(|path| path.kind == PathRewriteType::Regex).count()
}

fn listeners(ids: &[String], at: &Pointer, errors: &mut Vec<FieldError>) {
    if too_many(ids, 64, "listeners", at, errors) {
        return;
    }
    for (place, one) in ids.iter().enumerate() {
        check_id(one, &at.at(place), errors);
    }
    unique(ids.iter().map(String::as_str), at, errors);
}

fn matches(matches: &RouteMatch, at: &Pointer, errors: &mut Vec<FieldError>) {
    if !too_many(&matches.hosts, 64, "hosts", &at.at("hosts"), errors) {
        let at = at.at("hosts");
        for (place, one) in matches.hosts.iter().enumerate() {
            host(one, Wildcards::Allowed, &at.at(place), errors);
        }
        unique(matches.hosts.iter().map(|host| host.to_ascii_lowercase()), &at, errors);
    }
    path(&matches.path, &at.at("path").at("value"), errors);
    if !too_many(&matches.methods, 16, "methods", &at.at("methods"), errors) {
        let at = at.at("methods");
        for (place, one) in matches.methods.iter().enumerate() {
            method(one, &at.at(place), errors);
        }
        unique(matches.methods.iter().map(String::as_str), &at, errors);
    }
    if !too_many(&matches.headers, 16, "header fields", &at.at("headers"), errors) {
        for (place, one) in matches.headers.iter().enumerate() {
            header(one, &at.at("headers").at(place), errors);
        }
    }
    if !too_many(&matches.query, 16, "parameters", &at.at("query"), errors) {
        for (place, one) in matches.query.iter().enumerate() {
            parameter(one, &at.at("query").at(place), errors);
        }
    }
    too_many(&matches.client_cidrs, 64, "address ranges", &at.at("client_cidrs"), errors);
}

/// Whether `*.` may stand before a host.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wildcards {
    Allowed,
    Refused,
}

/// Checks the name of a host (RFC 3986 §3.2.2 as far as it is used: a DNS name or an address).
pub(super) fn host(text: &str, wildcards: Wildcards, at: &Pointer, errors: &mut Vec<FieldError>) {
    let name = match wildcards {
        Wildcards::Allowed => text.strip_prefix("*.").unwrap_or(text),
        Wildcards::Refused => text,
    };
    let is_v6 = name
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .is_some_and(|inner| inner.parse::<Ipv6Addr>().is_ok());
    if (is_v6 && name == text) || is_dns_name(name) {
        return;
    }
    let detail = if text == "*" {
        "leave `hosts` empty for any host"
    } else if name.contains('*') {
        "`*` stands for whole labels at the beginning, as in \"*.example.com\", and nowhere else"
    } else if name.ends_with('.') {
        "leave the last dot out"
    } else if name.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()))
        && !is_v6
    {
        "a host is named without a port here"
    } else if !name.is_ascii() {
        "write the name in its ASCII form, as in \"xn--bcher-kva.example\""
    } else {
        "not the name of a host, as \"shop.example.com\" or \"[::1]\""
    };
    push_value(at, FieldErrorCode::InvalidValue, detail, text, errors);
}

fn is_dns_name(name: &str) -> bool {
    let is_label = |label: &str| {
        let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (1..=63).contains(&label.len())
            && label.bytes().all(is_inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

fn path(path: &PathMatch, at: &Pointer, errors: &mut Vec<FieldError>) {
    if path.kind == PathMatchType::Regex {
        let known = errors.len();
        regex(&path.value, at, errors);
        if errors.len() == known
            && let Some(detail) = never_a_path(&path.value)
        {
            push_value(at, FieldErrorCode::InvalidValue, detail, &path.value, errors);
        }
    } else {
        path_value(&path.value, at, errors);
    }
}

/// Why the expression `text`, or part of it, matches no path, as far as that is plain to see: a route that is never taken
/// protects nothing.
fn never_a_path(text: &str) -> Option<String> {
    for piece in pattern::literals(text) {
        if piece.contains('?') {
            return Some("a path has no query: `?` stands in none".to_owned());
        }
        let canonical = path::canonical(&piece);
        if canonical != piece {
            let shown: String = piece.chars().take(64).collect();
            return Some(format!(
                "no path has \"{shown}\" in it: paths are compared encoded, in upper case and only where needed, as \"{canonical}\""
            ));
        }
        if piece.contains("/../") || piece.contains("/./") {
            return Some(
                "a path with . or .. segments can be read in more than one way: leave them out".to_owned(),
            );
        }
    }
    pattern::never_begins_with(text, b'/').then(|| "a path begins with /".to_owned())
}

/// Checks a path that is written out.
pub(super) fn path_value(value: &str, at: &Pointer, errors: &mut Vec<FieldError>) {
    let detail = if value.len() > MAX_VALUE_BYTES {
        "a path has at most 1024 bytes"
    } else if !value.starts_with('/') {
        "a path begins with /"
    } else if value.contains(['?', '#']) {
        "a path has no query and no fragment"
    } else if value.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
        "a path has no spaces and no control characters"
    } else if !path::readings(&path::canonical(value)).is_empty() {
        "such a path can be read in more than one way: leave out //, . and .. segments, ; and encoded slashes"
    } else {
        return;
    };
    push_value(at, FieldErrorCode::InvalidValue, detail, value, errors);
}

/// Checks a regular expression that has to match a whole value.
pub(super) fn regex(text: &str, at: &Pointer, errors: &mut Vec<FieldError>) {
    if let Err(unusable) = pattern::compile(text, Extent::Whole) {
        push_value(at, FieldErrorCode::InvalidValue, unusable, text, errors);
    }
}

fn too_many<T>(items: &[T], most: usize, what: &str, at: &Pointer, errors: &mut Vec<FieldError>) -> bool {
    if items.len() > most {
        errors.push(at.error(FieldErrorCode::TooMany, format!("at most {most} {what}")));
    }
    items.len() > most
}

/// Adds an error for each of `names` that was there before.
pub(in crate::model) fn unique<N: AsRef<str>>(
    names: impl Iterator<Item = N>,
    at: &Pointer,
    errors: &mut Vec<FieldError>,
) {
    let mut seen = HashSet::new();
    for (place, name) in names.enumerate() {
        let name: String = name.as_ref().chars().take(id::MAX_ID_BYTES * 4).collect();
        if !seen.insert(name.clone()) {
            errors.push(at.at(place).error(FieldErrorCode::Duplicate, format!("\"{name}\" is named twice")));
        }
    }
}

/// Adds an error that repeats the beginning of `value`.
pub(super) fn push_value(
    at: &Pointer,
    code: FieldErrorCode,
    detail: impl Display,
    value: &str,
    errors: &mut Vec<FieldError>,
) {
    let shown: String = value.chars().take(64).collect();
    errors.push(FieldError { value: Some(Value::from(shown)), ..at.error(code, detail.to_string()) });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_that_no_path_matches_is_refused() {
        for text in [
            "/%c3%a4/.*",
            "/ä/.*",
            "/a b/.*",
            r"/\{x\}",
            r"/a\?b",
            "a/.*",
            r"/a/\.\./b",
            r"/a/\./.*",
            "/%61.*",
            "/x#y",
            "(/ok|/a b)",
            "/a(%2f.*)?",
        ] {
            let mut errors = Vec::new();
            let wanted = PathMatch { kind: PathMatchType::Regex, value: text.to_owned() };
            path(&wanted, &Pointer::root(), &mut errors);
            assert_eq!(errors.len(), 1, "{text}: {errors:?}");
        }
        for text in [
            "/%C3%A4/.*",
            "/a%20b",
            "/users/[0-9]+(/.*)?",
            ".*/raw",
            "(?i)/%c3",
            "/a.b/..",
            "/a/{1,2}b",
            "[/x]a",
            ".*",
            "/(a|b)%2F.*|/c",
            r"/v\d+\.\d+/.*",
            "",
        ] {
            assert_eq!(never_a_path(text), None, "{text}");
        }
    }
}
