//! A named group of servers and how requests are given to them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    AdaptiveLimit, Affinity, Algorithm, CircuitBreaker, Comparison, Forwarded, Hash, HealthCheck, Hedging,
    Latency, Limits, LoadReports, OutlierDetection, RateLimit, Retries, SendProxyProtocol, Server,
    ServerOrAddress, ServerProtocol, ServerRetryAfter, Shadow, SlowStart, Subset, UpgradeProtocol,
    UpstreamTls, ZoneAwareness, upgrades,
};
use crate::units::Span;

/// A named group of servers and the policies for using them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
#[schema(example = json!({"id": "web", "servers": ["127.0.0.1:3001", "127.0.0.1:3002"]}))]
pub struct Upstream {
    /// Unique name, immutable. Left out on creation: `default` if that is free.
    #[schema(
        pattern = "^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$",
        min_length = 1,
        max_length = 63,
        default = "default"
    )]
    pub id: String,
    /// Free text, at most 1024 characters.
    #[schema(max_length = 1024)]
    pub description: String,
    /// At most 32 pairs; keys up to 63, values up to 255 characters.
    pub labels: BTreeMap<String, String>,
    /// What is spoken to the servers. Default `http1`. gRPC needs `http2`, or `auto` where servers agree to that.
    pub protocol: ServerProtocol,
    /// How a server is picked. Default `least_time`: of all it leaves the fewest requests waiting at a server that is slow or
    /// stalls, and servers much alike share evenly.
    pub algorithm: Algorithm,
    /// How servers are compared.
    pub comparison: Comparison,
    /// What is taken for a server's latency.
    pub latency: Latency,
    /// What servers say of their load.
    pub load_reports: LoadReports,
    /// The key of a request, and what is made of it.
    pub hash: Hash,
    /// A second algorithm that picks as well, and to whose servers nothing is sent; null: none.
    #[schema(nullable)]
    pub shadow: Option<Shadow>,
    /// Binding of clients to servers.
    pub affinity: Affinity,
    /// What servers are told of the client.
    pub forwarded: Forwarded,
    /// Active checks of each server.
    pub health_check: HealthCheck,
    /// Ejection of servers by the outcome of real requests.
    pub outlier_detection: OutlierDetection,
    /// Below this share of eligible servers all servers that are not drained or in maintenance are used: with so many
    /// failing at once the verdict is more likely wrong than the servers. With several levels of priority, only those
    /// of a level, and only when all levels together cannot take the requests. 0 = never. Default 50 (Envoy).
    #[schema(minimum = 0, maximum = 100)]
    pub panic_threshold_percent: u8,
    /// What a level of priority can take while all its servers are healthy, in percent of all requests, 100 to 1000: with
    /// 140, two of seven servers may fail before the next level gets requests. Default 140 (Envoy).
    #[schema(minimum = 100, maximum = 1000)]
    pub overprovisioning_percent: u16,
    /// What the zones of servers are for.
    pub zone_awareness: ZoneAwareness,
    /// How many of the servers one of many balancers uses.
    pub subset: Subset,
    /// How a server that is new or back gets its requests little by little.
    pub slow_start: SlowStart,
    /// How connections to the servers are secured.
    pub tls: UpstreamTls,
    /// Time to open a connection to a server, the TLS handshake included, 10ms to 60s. Default 3s.
    pub connect_timeout: Span,
    /// Time from the request's end until the first byte of the response, `0s` (off) or 10ms to 1h. Default 60s.
    pub response_timeout: Span,
    /// Time without a byte in either direction while a message is under way, 1s to 24h. Default 5m.
    pub stream_idle_timeout: Span,
    /// Protocols that clients may switch connections to, at most 16, where a server agrees: over HTTP/1.1 with `Upgrade`, over
    /// HTTP/2 with extended CONNECT (RFC 8441). Default `websocket`. An empty list: none. Not where `protocol` is `http2`.
    #[schema(max_items = 16)]
    pub upgrades: Vec<UpgradeProtocol>,
    /// Time without a byte in either direction on a connection that was switched to another protocol, 1s to 24h. Default 1h.
    pub tunnel_idle_timeout: Span,
    /// How long an unused connection to a server is kept, 1s to 1h. Default 60s.
    pub idle_timeout: Span,
    /// Age at which a connection to a server is no longer reused, 1s to 24h. Default 1h.
    pub keepalive_time: Span,
    /// Unused connections kept per server and worker, 0 to 65536. Default 256.
    #[schema(minimum = 0, maximum = 65536)]
    pub keepalive_connections: u32,
    /// Whether connections to the servers begin with a PROXY header that says who the client is. Each client then has
    /// connections of its own: none is kept for another request. Health checks send a header that names nobody.
    pub send_proxy_protocol: SendProxyProtocol,
    /// Rates at which requests may come, at most 8; all of them hold.
    #[schema(max_items = 8)]
    pub rate_limits: Vec<RateLimit>,
    /// How much work is let through at once.
    pub limits: Limits,
    /// Limits of servers found out from how fast they answer.
    pub adaptive_limit: AdaptiveLimit,
    /// Refusing requests at once while most fail.
    pub circuit_breaker: CircuitBreaker,
    /// Leaving a server alone that asks for it.
    pub server_retry_after: ServerRetryAfter,
    /// Trying another server when one fails.
    pub retries: Retries,
    /// Asking a second server when the first takes long.
    pub hedging: Hedging,
    /// How long a drain of a server waits for requests under way unless it says otherwise, 0s to 1h. Default 30s.
    pub drain_timeout: Span,
    /// The servers: objects, or plain `"host:port"` strings. At most 10 000.
    #[schema(max_items = 10000, value_type = Vec<ServerOrAddress>)]
    pub servers: Vec<Server>,
}

impl Default for Upstream {
    fn default() -> Self {
        Self {
            id: String::new(),
            description: String::new(),
            labels: BTreeMap::new(),
            protocol: ServerProtocol::default(),
            algorithm: Algorithm::default(),
            comparison: Comparison::default(),
            latency: Latency::default(),
            load_reports: LoadReports::default(),
            hash: Hash::default(),
            shadow: None,
            affinity: Affinity::default(),
            forwarded: Forwarded::default(),
            health_check: HealthCheck::default(),
            outlier_detection: OutlierDetection::default(),
            panic_threshold_percent: 50,
            overprovisioning_percent: 140,
            zone_awareness: ZoneAwareness::default(),
            subset: Subset::default(),
            slow_start: SlowStart::default(),
            tls: UpstreamTls::default(),
            connect_timeout: Span::from_secs(3),
            response_timeout: Span::from_secs(60),
            stream_idle_timeout: Span::from_secs(300),
            upgrades: upgrades::default(),
            tunnel_idle_timeout: Span::from_secs(3600),
            idle_timeout: Span::from_secs(60),
            keepalive_time: Span::from_secs(3600),
            keepalive_connections: 256,
            send_proxy_protocol: SendProxyProtocol::Off,
            rate_limits: Vec::new(),
            limits: Limits::default(),
            adaptive_limit: AdaptiveLimit::default(),
            circuit_breaker: CircuitBreaker::default(),
            server_retry_after: ServerRetryAfter::default(),
            retries: Retries::default(),
            hedging: Hedging::default(),
            drain_timeout: Span::from_secs(30),
            servers: Vec::new(),
        }
    }
}
