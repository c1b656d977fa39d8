//! One address in an upstream.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};
use utoipa::ToSchema;

/// What the operator wants of a server (HAProxy's words).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AdminState {
    /// In use.
    #[default]
    Ready,
    /// No new requests; those under way finish.
    Drain,
    /// Out of use and not counted.
    Maint,
}

/// One address in an upstream. Also accepted as a plain `"host:port"` string.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(example = json!({"address": "10.0.0.7:8080", "weight": 1}))]
pub struct Server {
    /// Unique in its upstream, immutable. Default: the address with every character outside `a-z 0-9 . -` as `-`.
    #[schema(
        pattern = "^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$",
        min_length = 1,
        max_length = 63,
        required = false
    )]
    pub id: String,
    /// `IPv4:port`, `[IPv6]:port` or `dns-name:port`. Unique in its upstream, immutable: delete and add instead.
    pub address: String,
    /// Share of requests relative to the other servers; 0 = no new requests. Default 1.
    #[schema(minimum = 0, maximum = 65535, required = false)]
    pub weight: u16,
    /// Level of priority, 0 to 15: 0 is used first, the next (a backup) gets what the levels before it cannot take.
    /// Default 0.
    #[schema(minimum = 0, maximum = 15, required = false)]
    pub priority: u8,
    /// Requests under way at once, over all workers, 1 to 1000000; 0 = any number. Default 0. A server that has as many
    /// is passed over until one has ended.
    #[schema(minimum = 0, maximum = 1_000_000, required = false)]
    pub max_requests: u32,
    /// What the operator wants. Default `ready`.
    #[schema(required = false)]
    pub admin_state: AdminState,
    /// Where the server is, at most 63 characters; see `zone_awareness` of the upstream.
    #[schema(max_length = 63, required = false)]
    pub zone: String,
    /// At most 32 pairs; keys up to 63, values up to 255 characters.
    #[schema(required = false)]
    pub labels: BTreeMap<String, String>,
}

/// A server: an object or a plain `"host:port"` string. Only its schema is used; [`Server`] is read from both.
#[derive(Debug, ToSchema)]
#[serde(untagged)]
pub enum ServerOrAddress {
    /// As an object.
    Server(Server),
    /// By its address.
    Address(String),
}

impl Default for Server {
    fn default() -> Self {
        Self {
            id: String::new(),
            address: String::new(),
            weight: 1,
            priority: 0,
            max_requests: 0,
            admin_state: AdminState::Ready,
            zone: String::new(),
            labels: BTreeMap::new(),
        }
    }
}

/// The object form. Apart from [`Server`], whose own reader also takes a string.
#[derive(Deserialize)]
#[serde(default)]
struct Fields {
    id: String,
    address: String,
    weight: u16,
    priority: u8,
    max_requests: u32,
    admin_state: AdminState,
    zone: String,
    labels: BTreeMap<String, String>,
}

impl Default for Fields {
    fn default() -> Self {
        let Server { id, address, weight, priority, max_requests, admin_state, zone, labels } =
            Server::default();
        Self { id, address, weight, priority, max_requests, admin_state, zone, labels }
    }
}

impl<'de> Deserialize<'de> for Server {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct StringOrObject;

        impl<'de> Visitor<'de> for StringOrObject {
            type Value = Server;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a server: \"host:port\" or an object with an address")
            }

            fn visit_str<E>(self, address: &str) -> Result<Server, E> {
                Ok(Server { address: address.to_owned(), ..Server::default() })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Server, A::Error> {
                let Fields { id, address, weight, priority, max_requests, admin_state, zone, labels } =
                    Fields::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Server { id, address, weight, priority, max_requests, admin_state, zone, labels })
            }
        }

        deserializer.deserialize_any(StringOrObject)
    }
}
