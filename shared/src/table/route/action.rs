//! What is done with the requests of a route, prepared for the request path.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use regex::bytes::Regex;

use super::Slot;
use crate::{
    model::{self, PathMatch, PathRewriteType, RedirectScheme},
    path,
    pattern::{self, Extent},
};

/// What is done with a route's requests.
#[derive(Debug)]
pub enum Action {
    /// They go to upstreams.
    Forward(Split),
    /// Their clients are sent elsewhere.
    Redirect(RedirectTo),
    /// They are answered at once.
    Answer(FixedAnswer),
}

/// Upstreams, each with its share.
#[derive(Debug)]
pub struct Split {
    /// The upstreams, those without a share as well.
    pub targets: Box<[Target]>,
    total: u64,
}

/// An upstream with its share.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The upstream.
    pub slot: Slot,
    /// Its share relative to the others'.
    pub weight: u32,
    /// The shares up to this one, this one included.
    end: u64,
}

impl Split {
    pub(super) fn new(shares: impl Iterator<Item = (Slot, u32)>) -> Self {
        let mut total = 0;
        let target = |(slot, weight): (Slot, u32)| {
            total += u64::from(weight);
            Target { slot, weight, end: total }
        };
        let targets = shares.map(target).collect();
        Self { targets, total }
    }

    /// The upstream that evenly spread `bits` mean, each as often as its share says; `None` when none has a share.
    #[must_use]
    pub fn choose(&self, bits: u64) -> Option<Slot> {
        let [first, others @ ..] = &*self.targets else { return None };
        if others.is_empty() {
            return (first.weight > 0).then_some(first.slot);
        }
        let scaled = (u128::from(bits) * u128::from(self.total)) >> 64;
        let point = u64::try_from(scaled).unwrap_or(u64::MAX);
        self.targets.iter().find(|target| point < target.end).map(|target| target.slot)
    }
}

/// Where clients are sent.
#[derive(Debug)]
pub struct RedirectTo {
    /// Another scheme.
    pub scheme: Option<RedirectScheme>,
    /// Another host.
    pub host: Option<Box<str>>,
    /// Another port.
    pub port: Option<u16>,
    /// Another path.
    pub path: Option<NewPath>,
    /// The status that says so.
    pub status: StatusCode,
}

/// An answer of Weir's own.
#[derive(Debug)]
pub struct FixedAnswer {
    /// Its status.
    pub status: StatusCode,
    /// Its fields.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl FixedAnswer {
    pub(super) fn compile(answer: &model::FixedResponse) -> Option<Self> {
        let mut headers = HeaderMap::with_capacity(answer.headers.len() + 1);
        for (name, value) in &answer.headers {
            headers.insert(HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?);
        }
        if !answer.body.is_empty() && !headers.contains_key(header::CONTENT_TYPE) {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        }
        Some(Self {
            status: StatusCode::from_u16(answer.status).ok()?,
            headers,
            body: Bytes::from(answer.body.clone()),
        })
    }
}

/// How a path becomes another one.
#[derive(Debug)]
pub enum NewPath {
    /// It is this.
    Full(Box<str>),
    /// As many bytes at its beginning are replaced.
    Prefix(usize, Box<str>),
    /// The first part that matches is replaced.
    Regex(Regex, Box<str>),
}

impl NewPath {
    pub(super) fn compile(rewrite: &model::PathRewrite, matched: &PathMatch) -> Option<Self> {
        let value = || path::canonical(&rewrite.value);
        Some(match rewrite.kind {
            PathRewriteType::Full => Self::Full(value().as_ref().into()),
            PathRewriteType::ReplacePrefix => {
                let prefix = path::canonical(&matched.value);
                let length = path::without_last_slash(&prefix).len();
                Self::Prefix(length, path::without_last_slash(&value()).into())
            }
            PathRewriteType::Regex => {
                let regex = pattern::compile(rewrite.pattern.as_deref()?, Extent::Part).ok()?;
                Self::Regex(regex, rewrite.value.as_str().into())
            }
        })
    }

    /// What becomes of `path`, in whatever spelling the route matched it.
    #[must_use]
    pub fn of(&self, path: &str) -> String {
        let canonical = path::canonical(path);
        let fresh = match self {
            Self::Full(value) => return value.to_string(),
            Self::Prefix(length, value) => format!("{value}{}", canonical.get(*length..).unwrap_or_default()),
            Self::Regex(regex, value) => {
                let replaced = regex.replace(canonical.as_bytes(), value.as_bytes());
                String::from_utf8_lossy(&replaced).into_owned()
            }
        };
        if fresh.starts_with('/') { fresh } else { format!("/{fresh}") }
    }
}

/// What is changed about the fields of a message.
#[derive(Debug, Default)]
pub struct FieldEdits {
    /// Fields that are taken out first.
    pub drop: Box<[HeaderName]>,
    /// Lines that are added then.
    pub write: Box<[(HeaderName, HeaderValue)]>,
}

impl FieldEdits {
    pub(super) fn compile(edits: Option<&model::HeaderEdits>) -> Option<Self> {
        let Some(edits) = edits else { return Some(Self::default()) };
        let dropped = edits.remove.iter().chain(edits.set.keys());
        let written = edits.set.iter().chain(&edits.add);
        let line = |(name, value): (&String, &String)| {
            Some((HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?))
        };
        Some(Self {
            drop: dropped.map(|name| HeaderName::try_from(name).ok()).collect::<Option<_>>()?,
            write: written.map(line).collect::<Option<_>>()?,
        })
    }

    /// Whether a field of the message is taken out.
    #[must_use]
    pub fn drops(&self, name: &HeaderName) -> bool {
        !self.drop.is_empty() && self.drop.contains(name)
    }

    /// Makes the changes.
    pub fn apply(&self, headers: &mut HeaderMap) {
        for name in &self.drop {
            headers.remove(name);
        }
        for (name, value) in &self.write {
            headers.append(name, value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of the Gateway API's `replacePrefixMatch`.
    #[test]
    fn prefixes_are_replaced_by_segment() {
        for (path, prefix, value, expected) in [
            ("/foo/bar", "/foo", "/xyz", "/xyz/bar"),
            ("/foo/bar", "/foo", "/xyz/", "/xyz/bar"),
            ("/foo/bar", "/foo/", "/xyz", "/xyz/bar"),
            ("/foo/bar", "/foo/", "/xyz/", "/xyz/bar"),
            ("/foo", "/foo", "/xyz", "/xyz"),
            ("/foo/", "/foo", "/xyz", "/xyz/"),
            ("/foo/bar", "/foo", "", "/bar"),
            ("/foo/", "/foo", "", "/"),
            ("/foo", "/foo", "", "/"),
            ("/foo/", "/foo", "/", "/"),
            ("/foo", "/foo", "/", "/"),
            ("/foo", "/", "/xyz", "/xyz/foo"),
            ("/%66oo/b%2fr", "/foo", "/xyz", "/xyz/b%2Fr"),
        ] {
            let rewrite = model::PathRewrite {
                kind: PathRewriteType::ReplacePrefix,
                value: value.into(),
                pattern: None,
            };
            let matched = PathMatch { value: prefix.into(), ..PathMatch::default() };
            let fresh = NewPath::compile(&rewrite, &matched).unwrap();
            assert_eq!(fresh.of(path), expected, "{path}: {prefix} by {value}");
        }
    }

    #[test]
    fn what_matches_is_replaced() {
        let of = |pattern: &str, value: &str, path: &str| {
            let rewrite = model::PathRewrite {
                kind: PathRewriteType::Regex,
                value: value.into(),
                pattern: Some(pattern.into()),
            };
            NewPath::compile(&rewrite, &PathMatch::default()).unwrap().of(path)
        };
        assert_eq!(of("^/v([0-9]+)/(.*)$", "/$2/v$1", "/v2/users/7"), "/users/7/v2");
        assert_eq!(of("a", "b", "/a/a"), "/b/a", "the first alone");
        assert_eq!(of("x", "y", "/a"), "/a");
        assert_eq!(of("^/a/", "", "/a/b"), "/b", "a path begins with a slash");
    }

    #[test]
    fn shares_are_kept() {
        let slots: Vec<Slot> = {
            let mut all = super::super::Slots::default();
            (0..4).map(|_| all.reserve()).collect()
        };
        let split = Split::new(slots.iter().copied().zip([0, 1, 0, 3]));
        let count = |wanted: Slot| {
            (0..1000_u64)
                .filter(|n| split.choose(n * (u64::MAX / 1000) + u64::MAX / 2000) == Some(wanted))
                .count()
        };
        assert_eq!(slots.iter().map(|slot| count(*slot)).collect::<Vec<_>>(), [0, 250, 0, 750]);
        assert_eq!(split.choose(u64::MAX), Some(slots[3]));
        assert_eq!(Split::new(slots.iter().copied().zip([0, 0])).choose(7), None);
        assert_eq!(Split::new(slots.iter().copied().zip([0])).choose(7), None);
        assert_eq!(Split::new(slots.iter().copied().zip([1])).choose(u64::MAX), Some(slots[0]));
        assert_eq!(Split::new(std::iter::empty()).choose(7), None);
    }
}
