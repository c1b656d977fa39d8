//! What a route demands of a request beside host and path, prepared for the request path.
//!
//! Hot path: no allocation but for parameters that a regular expression looks at.

use std::borrow::Cow;

use http::{HeaderName, Method};
use regex::bytes::Regex;

use super::{RouteRequest, alike::Demand};
use crate::{
    cidr::Cidr,
    model::{FieldMatch, FieldMatchType, PathMatchType, Route as Model},
    pattern::{self, Extent},
};

/// What a route demands.
#[derive(Debug)]
pub(super) struct Conditions {
    listeners: Box<[Box<str>]>,
    /// Only for a path of type `regex`.
    path: Option<Regex>,
    methods: Box<[Method]>,
    headers: Box<[(HeaderName, Value)]>,
    query: Box<[(Box<str>, Value)]>,
    clients: Box<[Cidr]>,
}

/// What a value has to be.
#[derive(Debug)]
enum Value {
    Is(Box<[u8]>),
    Any,
    Begins(Box<[u8]>),
    Matches(Regex),
}

impl Conditions {
    /// What `route` demands; `None` if `check` would have refused it.
    pub(super) fn compile(route: &Model) -> Option<Self> {
        let matches = &route.matches;
        let path = match matches.path.kind {
            PathMatchType::Regex => Some(pattern::compile(&matches.path.value, Extent::Whole).ok()?),
            PathMatchType::Exact | PathMatchType::Prefix => None,
        };
        let header = |field: &FieldMatch| {
            Some((HeaderName::from_bytes(field.name.as_bytes()).ok()?, Value::compile(field)?))
        };
        let parameter = |field: &FieldMatch| Some((field.name.as_str().into(), Value::compile(field)?));
        let method = |method: &String| Method::from_bytes(method.as_bytes()).ok();
        Some(Self {
            listeners: route.listeners.iter().map(|id| id.as_str().into()).collect(),
            path,
            methods: matches.methods.iter().map(method).collect::<Option<_>>()?,
            headers: matches.headers.iter().map(header).collect::<Option<_>>()?,
            query: matches.query.iter().map(parameter).collect::<Option<_>>()?,
            clients: matches.client_cidrs.clone().into_boxed_slice(),
        })
    }

    /// The values that a request has to have, header fields first.
    pub(super) fn demands(&self) -> impl Iterator<Item = Demand<'_>> {
        let headers =
            self.headers.iter().filter_map(|(name, value)| Some(Demand::Header(name, value.only()?)));
        let query =
            self.query.iter().filter_map(|(name, value)| Some(Demand::Parameter(name, value.only()?)));
        headers.chain(query)
    }

    /// Whether `request`, for the canonical path `path`, has all of it. Host and path were compared already, unless the path
    /// is a regular expression.
    pub(super) fn hold(&self, request: &RouteRequest<'_>, path: &str) -> bool {
        (self.listeners.is_empty() || self.listeners.iter().any(|id| **id == *request.listener))
            && (self.methods.is_empty() || self.methods.contains(request.method))
            && self.headers.iter().all(|(name, value)| {
                request.headers.get_all(name).iter().any(|line| value.takes(line.as_bytes()))
            })
            && self.query.iter().all(|(name, value)| value.takes_parameter(request.query, name))
            && (self.clients.is_empty() || {
                let client = (request.client)();
                self.clients.iter().any(|range| range.contains(client))
            })
            && self.path.as_ref().is_none_or(|regex| regex.is_match(path.as_bytes()))
    }
}

impl Value {
    fn compile(field: &FieldMatch) -> Option<Self> {
        let text = || field.value.as_bytes().into();
        Some(match field.kind {
            FieldMatchType::Exact => Self::Is(text()),
            FieldMatchType::Present => Self::Any,
            FieldMatchType::Prefix => Self::Begins(text()),
            FieldMatchType::Regex => Self::Matches(pattern::compile(&field.value, Extent::Whole).ok()?),
        })
    }

    fn takes(&self, value: &[u8]) -> bool {
        match self {
            Self::Is(wanted) => **wanted == *value,
            Self::Any => true,
            Self::Begins(wanted) => value.starts_with(wanted),
            Self::Matches(regex) => regex.is_match(value),
        }
    }

    /// The only value it takes, if there is one.
    fn only(&self) -> Option<&str> {
        match self {
            Self::Is(wanted) => std::str::from_utf8(wanted).ok(),
            Self::Any | Self::Begins(_) | Self::Matches(_) => None,
        }
    }

    /// Whether the first parameter called `name` is what it has to be.
    fn takes_parameter(&self, query: Option<&str>, name: &str) -> bool {
        let Some(value) = first_parameter(query, name) else { return false };
        match self {
            Self::Is(wanted) => decoded(value).eq(wanted.iter().copied()),
            Self::Any => true,
            Self::Begins(wanted) => decoded(value).take(wanted.len()).eq(wanted.iter().copied()),
            Self::Matches(regex) => regex.is_match(&decoded(value).collect::<Vec<u8>>()),
        }
    }
}

/// The first parameter called `name`, as it is written.
fn first_parameter<'q>(query: Option<&'q str>, name: &str) -> Option<&'q str> {
    let mut parameters = query?.split('&');
    parameters.find_map(|parameter| {
        let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        decoded(key).eq(name.bytes()).then_some(value)
    })
}

/// The first parameter called `name`, as servers read it; `None` also for one that is no text.
pub(super) fn parameter<'q>(query: Option<&'q str>, name: &str) -> Option<Cow<'q, str>> {
    let value = first_parameter(query, name)?;
    if value.contains(['%', '+']) {
        String::from_utf8(decoded(value).collect()).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(value))
    }
}

/// The bytes of a part of a query as forms and servers read it: `+` is a space, `%XX` a byte.
fn decoded(text: &str) -> impl Iterator<Item = u8> {
    let mut bytes = text.as_bytes().iter();
    std::iter::from_fn(move || {
        let byte = *bytes.next()?;
        match byte {
            b'+' => Some(b' '),
            b'%' => {
                let digit = |place: usize| {
                    let digit = char::from(*bytes.as_slice().get(place)?).to_digit(16)?;
                    u8::try_from(digit).ok()
                };
                match digit(0).zip(digit(1)) {
                    Some((high, low)) => {
                        bytes.nth(1);
                        Some(high << 4 | low)
                    }
                    None => Some(byte),
                }
            }
            byte => Some(byte),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_compared_decoded_and_the_first_counts() {
        let takes = |kind: FieldMatchType, value: &str, query: &str| {
            let field = FieldMatch { name: "a b".into(), kind, value: value.into() };
            Value::compile(&field).unwrap().takes_parameter(Some(query), &field.name)
        };
        use FieldMatchType::{Exact, Prefix, Present, Regex};
        assert!(takes(Exact, "x y", "q=1&a%20b=x+y") && takes(Exact, "x y", "a+b=x%20y&a+b=z"));
        assert!(!takes(Exact, "z", "a+b=x&a+b=z") && !takes(Exact, "x", "a=x") && !takes(Exact, "x", ""));
        assert!(takes(Exact, "", "a+b") && takes(Exact, "%", "a+b=%") && takes(Exact, "%4", "a+b=%4"));
        assert!(takes(Present, "", "a+b=anything") && !takes(Present, "", "a+bc"));
        assert!(takes(Prefix, "x", "a+b=%78y") && !takes(Prefix, "xyz", "a+b=xy"));
        assert!(takes(Regex, "[0-9]+", "a+b=%31") && !takes(Regex, "[0-9]+", "a+b=1a"));
    }
}
