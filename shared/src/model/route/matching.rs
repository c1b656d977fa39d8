//! Which requests a route takes. Everything that is said must hold.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::cidr::Cidr;

/// Which requests a route takes: those for which everything that is said here holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct RouteMatch {
    /// Hosts asked for, any of these, at most 64: `shop.example.com`, or `*.example.com` for all names below. None: any.
    #[schema(max_items = 64)]
    pub hosts: Vec<String>,
    /// The path asked for. Default every path.
    pub path: PathMatch,
    /// Methods, any of these, at most 16. None: any.
    #[schema(max_items = 16)]
    pub methods: Vec<String>,
    /// Header fields, all of these, at most 16.
    #[schema(max_items = 16)]
    pub headers: Vec<FieldMatch>,
    /// Parameters of the query, all of these, at most 16. Names and values are compared decoded; of several parameters with
    /// one name the first counts.
    #[schema(max_items = 16)]
    pub query: Vec<FieldMatch>,
    /// Where the client is, any of these, at most 64. None: anywhere. Behind trusted proxies this is the client they name.
    #[schema(max_items = 64)]
    pub client_cidrs: Vec<Cidr>,
}

/// How a path is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PathMatchType {
    /// It is the value.
    Exact,
    /// It is the value or something below: `/a` takes `/a`, `/a/` and `/a/b`, and not `/ab`.
    #[default]
    Prefix,
    /// All of it matches the value, a regular expression.
    Regex,
}

/// Which paths. Case counts; the query is no part of the path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct PathMatch {
    /// How it is compared. Default `prefix`.
    #[serde(rename = "type")]
    pub kind: PathMatchType,
    /// What it is compared with, at most 1024 bytes. Default `/`.
    #[schema(max_length = 1024)]
    pub value: String,
}

impl Default for PathMatch {
    fn default() -> Self {
        Self { kind: PathMatchType::Prefix, value: "/".to_owned() }
    }
}

/// How the value of a header field or a parameter is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FieldMatchType {
    /// It is the value.
    #[default]
    Exact,
    /// There is one, whatever it is.
    Present,
    /// It begins with the value.
    Prefix,
    /// All of it matches the value, a regular expression.
    Regex,
}

/// A header field or a parameter that a request must have. Of several lines of a field any may match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
#[schema(as = RouteFieldMatch, example = json!({"name": "x-canary", "type": "exact", "value": "yes"}))]
pub struct FieldMatch {
    /// Its name. Case does not count for header fields.
    #[schema(max_length = 255)]
    pub name: String,
    /// How its value is compared. Default `exact`.
    #[serde(rename = "type")]
    pub kind: FieldMatchType,
    /// What it is compared with, at most 1024 bytes; not for `present`.
    #[schema(max_length = 1024)]
    pub value: String,
}
