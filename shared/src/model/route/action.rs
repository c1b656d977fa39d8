//! What a route does with its requests.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    model::{RateLimit, Retries},
    units::Span,
};

/// What a route does with its requests: sends them to upstreams, or answers them by a redirect or a fixed response.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct RouteAction {
    /// The upstreams requests go to, at most 16, each with its share. None, and nothing else to do: 503.
    #[schema(max_items = 16)]
    pub upstreams: Vec<UpstreamRef>,
    /// Sends clients elsewhere instead.
    #[schema(nullable)]
    pub redirect: Option<Redirect>,
    /// Answers at once instead.
    #[schema(nullable)]
    pub fixed_response: Option<FixedResponse>,
    /// What is changed about where a request is for, before a server gets it.
    #[schema(nullable)]
    pub rewrite: Option<Rewrite>,
    /// What is changed about the header fields of a request, before a server gets it.
    #[schema(nullable)]
    pub request_headers: Option<HeaderEdits>,
    /// What is changed about the header fields of a response, but for errors of Weir's own.
    #[schema(nullable)]
    pub response_headers: Option<HeaderEdits>,
    /// Time for the whole of a request and its response, retries included, `0s` (off) or 10ms to 24h. Default off.
    #[schema(nullable)]
    pub timeout: Option<Span>,
    /// Time from the request's end until the first byte of the response, `0s` (off) or 10ms to 1h. Left out: the upstream's.
    #[schema(nullable)]
    pub response_timeout: Option<Span>,
    /// Trying another server when one fails. Left out: as the upstream says.
    #[schema(nullable)]
    pub retries: Option<Retries>,
    /// Largest request body in bytes; more is answered 413. 0 and left out: no limit but the listener's, which always holds.
    #[schema(nullable)]
    pub max_body_bytes: Option<u64>,
    /// Rates at which requests may come, at most 8; all of them hold, and the upstream's as well.
    #[schema(max_items = 8)]
    pub rate_limits: Vec<RateLimit>,
}

/// One upstream a route sends to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UpstreamRef {
    /// Id of the upstream.
    pub upstream: String,
    /// Share of the route's requests relative to the others, 0 to 1000000. 0 = none. Default 100.
    #[serde(default = "UpstreamRef::default_weight")]
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub weight: u32,
}

impl UpstreamRef {
    /// A share like any other of the upstream named `id`.
    #[must_use]
    pub fn to(id: &str) -> Self {
        Self { upstream: id.to_owned(), weight: Self::default_weight() }
    }

    fn default_weight() -> u32 {
        100
    }
}

/// How a client gets to where it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RedirectScheme {
    /// In plain text.
    Http,
    /// Encrypted.
    Https,
}

/// Where clients are sent: to what they asked for, but for what is said here. The query stays.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
#[schema(as = RouteRedirect, example = json!({"scheme": "https", "status": 301}))]
pub struct Redirect {
    /// `http` or `https`. Left out: as the request came.
    #[schema(nullable)]
    pub scheme: Option<RedirectScheme>,
    /// Name of a host, without a port.
    #[schema(nullable, max_length = 253)]
    pub host: Option<String>,
    /// A port. Left out: the usual one of `scheme` if that is given, else the one asked for.
    #[schema(nullable, minimum = 1, maximum = 65535)]
    pub port: Option<u16>,
    /// Another path.
    #[schema(nullable)]
    pub path: Option<PathRewrite>,
    /// 301, 302, 303, 307 or 308. Default 302.
    #[schema(minimum = 301, maximum = 308)]
    pub status: u16,
}

impl Default for Redirect {
    fn default() -> Self {
        Self { scheme: None, host: None, port: None, path: None, status: 302 }
    }
}

/// An answer of Weir's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
#[schema(as = RouteFixedResponse, example = json!({"status": 503, "body": "back at noon\n"}))]
pub struct FixedResponse {
    /// Its status, 200 to 599. Default 200.
    #[schema(minimum = 200, maximum = 599)]
    pub status: u16,
    /// Its header fields, at most 16. `content-type` is `text/plain; charset=utf-8` unless it is given.
    pub headers: BTreeMap<String, String>,
    /// Its body, at most 65536 bytes.
    #[schema(max_length = 65_536)]
    pub body: String,
}

impl Default for FixedResponse {
    fn default() -> Self {
        Self { status: 200, headers: BTreeMap::new(), body: String::new() }
    }
}

/// What is changed about where a request is for, before a server gets it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
#[schema(as = RouteRewrite)]
pub struct Rewrite {
    /// The host that the server is asked for, with a port if need be. Left out: the one the client asked for.
    #[schema(nullable, max_length = 255)]
    pub host: Option<String>,
    /// Another path. The query stays.
    #[schema(nullable)]
    pub path: Option<PathRewrite>,
}

/// How a path is changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PathRewriteType {
    /// It becomes the value.
    #[default]
    Full,
    /// What the route's prefix matched becomes the value; what follows stays. For routes with a path of type `prefix`.
    ReplacePrefix,
    /// The first part that matches `pattern` becomes the value.
    Regex,
}

/// Another path.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
#[schema(as = RoutePathRewrite, example = json!({"type": "replace_prefix", "value": "/v2"}))]
pub struct PathRewrite {
    /// How it is changed. Default `full`.
    #[serde(rename = "type")]
    pub kind: PathRewriteType,
    /// What it becomes, at most 1024 bytes. With `regex`, `$1` or `${name}` stand for groups of the pattern.
    #[schema(max_length = 1024)]
    pub value: String,
    /// A regular expression, for `regex` alone; at most 1024 bytes.
    #[schema(nullable, max_length = 1024)]
    pub pattern: Option<String>,
}

/// What is changed about header fields: `remove` first, then `set`, then `add`; at most 16 of each.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
#[schema(example = json!({"set": {"x-tier": "gold"}, "add": {}, "remove": ["x-debug"]}))]
pub struct HeaderEdits {
    /// Fields that have this value and no other.
    pub set: BTreeMap<String, String>,
    /// Lines that are added to what is there.
    pub add: BTreeMap<String, String>,
    /// Fields that are taken out.
    #[schema(max_items = 16)]
    pub remove: Vec<String>,
}
