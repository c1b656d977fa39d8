//! What the data plane is started with.

use std::net::{IpAddr, SocketAddr};

use tokio::time::Instant;
use weir_shared::model::Listener;

use crate::Cidr;

/// Settings of the process that no API changes.
#[derive(Clone, Debug)]
pub struct ProxyConfig {
    /// Where clients connect. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Worker threads.
    pub workers: usize,
    /// Limits and timeouts on the client's side.
    pub listener: Listener,
    /// Clients whose `X-Forwarded-*`, `Forwarded` and `X-Request-Id` are believed. Default none.
    pub trusted_proxies: Vec<Cidr>,
    /// Memory in bytes above which new work is refused; 0 = any amount.
    pub max_memory_bytes: u64,
    /// Where moments count from.
    pub clock_base: Instant,
}

impl ProxyConfig {
    /// Whether `peer` may speak for other clients.
    pub(crate) fn trusts(&self, peer: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|range| range.contains(peer))
    }
}
