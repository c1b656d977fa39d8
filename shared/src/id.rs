//! Names of resources, and the number of a configuration.
//!
//! An id is a stable string chosen by the operator or derived from an address; it never changes while the
//! resource lives. Integer ids would force every client to list and match before it can change anything.

use std::{borrow::Borrow, fmt, sync::Arc};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Longest id, in bytes: the limit of a DNS label, which operators' own names already obey.
pub const MAX_ID_BYTES: usize = 63;

/// What an id must look like, as a regular expression (for documents and messages).
pub const ID_PATTERN: &str = "^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$";

/// Tells whether `text` is a well-formed id: 1 to 63 of `a-z 0-9 . _ -`, starting and ending with a letter or digit.
#[must_use]
pub fn is_valid(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_edge = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    bytes.len() <= MAX_ID_BYTES
        && bytes.first().is_some_and(is_edge)
        && bytes.last().is_some_and(is_edge)
        && bytes.iter().all(|b| is_edge(b) || matches!(b, b'.' | b'_' | b'-'))
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Wraps `text` without checking it; [`is_valid`] tells whether it is well-formed.
            #[must_use]
            pub fn new(text: &str) -> Self {
                Self(Arc::from(text))
            }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &self.0)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

id! {
    /// Name of an upstream, unique in the configuration.
    UpstreamId
}
id! {
    /// Name of a server, unique in its upstream.
    ServerId
}
id! {
    /// Name of a route, unique in the configuration.
    RouteId
}
id! {
    /// Name of a certificate, unique in the configuration.
    CertificateId
}

id! {
    /// Name of a listener, unique in the configuration.
    ListenerId
}

/// Number of a committed configuration: gap-free, one more with every commit, 0 before the first.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(transparent)]
pub struct Revision(pub u64);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Life of a store: six hexadecimal digits drawn when it is created or restored.
///
/// Part of every ETag, so that a tag taken before a restore can never match a reused revision number.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub Arc<str>);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Derives a server's default id from its address: every byte outside `[a-z0-9.-]` becomes `-`.
///
/// The result is a valid id for any valid address; `taken` ids get a suffix from a hash of the address.
#[must_use]
pub fn slug(address: &str, taken: impl Fn(&str) -> bool) -> String {
    let lower = address.to_ascii_lowercase();
    let mut slug: String = lower
        .chars()
        .map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.' { c } else { '-' })
        .collect();
    slug.truncate(MAX_ID_BYTES);
    let trimmed = slug.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    let slug = if trimmed.is_empty() { "server" } else { trimmed };
    if is_valid(slug) && !taken(slug) && lower.len() <= MAX_ID_BYTES {
        return slug.to_owned();
    }
    let stem: String = slug.chars().take(MAX_ID_BYTES - 9).collect();
    let mut hash = fnv1a(lower.as_bytes());
    loop {
        let candidate = format!("{}-{:08x}", stem.trim_end_matches(['.', '-', '_']), hash >> 32);
        if !taken(&candidate) {
            return candidate;
        }
        hash = fnv1a(&hash.to_be_bytes());
    }
}

/// FNV-1a, 64 bit: stable over releases and machines, unlike the standard library's hasher.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, b| (hash ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_follow_the_pattern() {
        for good in ["a", "web", "10.0.0.7-8080", "a_b", &"x".repeat(63)] {
            assert!(is_valid(good), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a b", "a/b", "ä", &"x".repeat(64)] {
            assert!(!is_valid(bad), "{bad}");
        }
    }

    #[test]
    fn slugs_are_valid_ids_and_avoid_taken_ones() {
        assert_eq!(slug("127.0.0.1:3001", |_| false), "127.0.0.1-3001");
        assert_eq!(slug("[::1]:80", |_| false), "1--80");
        assert_eq!(slug("Web.Example.com:80", |_| false), "web.example.com-80");
        let second = slug("a:1", |id| id == "a-1");
        assert!(is_valid(&second) && second != "a-1", "{second}");
        let long = slug(&format!("{}:80", "h".repeat(200)), |_| false);
        assert!(is_valid(&long), "{long}");
    }
}
