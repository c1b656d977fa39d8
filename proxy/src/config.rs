//! What the data plane is started with.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use tokio::time::Instant;

use crate::Cidr;

/// Settings of the process that no API changes.
#[derive(Clone, Debug)]
pub struct ProxyConfig {
    /// Where the listener `default` is. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Worker threads.
    pub workers: usize,
    /// Client connections at once, over all listeners; 0 = any number.
    pub max_connections: u32,
    /// Clients whose `X-Forwarded-*`, `Forwarded` and `X-Request-Id` are believed, where the listener does not say otherwise.
    pub trusted_proxies: Vec<Cidr>,
    /// Proxies in front, whatever their addresses: as many hops are believed. Default 0.
    pub trusted_hops: u8,
    /// Memory in bytes above which new work is refused; 0 = any amount.
    pub max_memory_bytes: u64,
    /// Where moments count from.
    pub clock_base: Instant,
}

/// What affinity cookies are signed with: 32 bytes nobody else knows. Processes that share it honour each other's.
#[derive(Clone, Copy)]
pub struct AffinitySecret(pub [u8; 32]);

impl fmt::Debug for AffinitySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AffinitySecret(…)")
    }
}

impl ProxyConfig {
    /// Whether `peer` may speak for other clients.
    pub(crate) fn trusts(&self, peer: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|range| range.contains(peer))
    }
}
