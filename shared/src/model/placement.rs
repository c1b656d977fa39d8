//! Which servers a balancer prefers or knows at all, because of where it is and how many others there are.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Upstream,
    check::{MAX_SERVERS_PER_UPSTREAM, number},
};
use crate::error::{FieldError, Pointer};

/// What the zones of servers are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ZoneMode {
    /// Servers of the balancer's own zone come first, others get what these cannot take.
    #[default]
    PreferLocal,
    /// They are only shown.
    Off,
}

/// Zones: requests stay in the zone of the balancer (`weir --zone`) unless a server there would get more than
/// `overprovisioning_percent` of what it would get if zones did not count, all zones having the same traffic. Without
/// `--zone`, or without a server in that zone, zones do not count.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
#[schema(example = json!({"mode": "prefer_local", "min_servers": 1}))]
pub struct ZoneAwareness {
    /// What zones are for. Default `prefer_local`.
    pub mode: ZoneMode,
    /// Zones do not count while fewer servers than this may be picked, 1 to 10000. Default 1.
    #[schema(minimum = 1, maximum = 10000)]
    pub min_servers: u16,
}

impl Default for ZoneAwareness {
    fn default() -> Self {
        Self { mode: ZoneMode::PreferLocal, min_servers: 1 }
    }
}

/// Subsetting: of many servers each of many balancers uses only some, so that there are fewer connections. Which ones
/// follows from `weir --balancer-index` and `--balancer-count`: every server is used by the same number of balancers, give or
/// take one. Without these flags all servers are used.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
#[schema(example = json!({"size": 0}))]
pub struct Subset {
    /// Servers that a balancer uses, of each level of priority and, where zones count, of its own zone and of the others;
    /// 0 (all) to 10000. Default 0. 20 to 100 are usual (Google SRE book, chapter 20).
    #[schema(minimum = 0, maximum = 10000)]
    pub size: u16,
}

/// Checks where `upstream`'s servers are looked for.
pub(super) fn check(upstream: &Upstream, at: &Pointer, errors: &mut Vec<FieldError>) {
    let most = u16::try_from(MAX_SERVERS_PER_UPSTREAM).unwrap_or(u16::MAX);
    let zones = at.at("zone_awareness");
    number(upstream.zone_awareness.min_servers, 1..=most, &zones.at("min_servers"), errors);
    number(upstream.subset.size, 0..=most, &at.at("subset").at("size"), errors);
}
