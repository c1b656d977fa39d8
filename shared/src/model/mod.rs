//! What operators write. The API's bodies and the stored form are these types.
//!
//! Reading is lenient here (unknown fields are ignored, so that a newer writer's store can be read); the API refuses
//! unknown fields itself. Values are checked by [`check`].

mod adaptive_limit;
pub mod address;
mod affinity;
mod balancing;
mod certificate;
pub mod check;
mod circuit_breaker;
mod config;
mod forwarded;
mod health_check;
mod hedging;
mod limits;
mod listen_address;
pub mod listener;
mod load_reports;
mod outlier_detection;
mod placement;
mod protocol;
mod proxy_protocol;
mod rate_limit;
mod retries;
mod route;
mod server;
mod server_retry_after;
mod shadow;
mod slow_start;
mod status_range;
mod tls;
mod upgrades;
mod upstream;

pub use adaptive_limit::AdaptiveLimit;
pub use affinity::{Affinity, SameSite, SecureCookie};
pub use balancing::{Algorithm, Comparison, Hash, HashOn, Latency};
pub use certificate::{
    Certificate, CertificateKind, MAX_CERTIFICATES, PrivateKey, check as check_certificate,
};
pub use circuit_breaker::CircuitBreaker;
pub use config::{CertificateRecord, Config, Document, Meta, RouteRecord, ServerRecord, UpstreamRecord};
pub use forwarded::{Forwarded, ForwardedMode};
pub use health_check::{HealthCheck, HealthCheckType};
pub use hedging::Hedging;
pub use limits::{Limits, Queue};
pub use listen_address::ListenAddress;
pub use listener::{Listener, ListenerFlags, ListenerProtocol, ListenerRecord, ListenerStatus};
pub use load_reports::LoadReports;
pub use outlier_detection::OutlierDetection;
pub use placement::{Subset, ZoneAwareness, ZoneMode};
pub use protocol::ServerProtocol;
pub use proxy_protocol::{Accept, ProxyProtocol, ProxyVersion, SendProxyProtocol};
pub use rate_limit::{RateFields, RateKey, RateLimit};
pub use retries::{Retries, RetryOn};
pub use route::{
    FieldMatch, FieldMatchType, FixedResponse, HeaderEdits, PathMatch, PathMatchType, PathRewrite,
    PathRewriteType, Redirect, RedirectScheme, Rewrite, Route, RouteAction, RouteMatch, UpstreamRef, rival,
};
pub use server::{AdminState, Server, ServerOrAddress};
pub use server_retry_after::ServerRetryAfter;
pub use shadow::Shadow;
pub use slow_start::SlowStart;
pub use status_range::StatusRange;
pub use tls::{
    AlpnProtocol, ClientAuth, ClientAuthMode, ListenerTls, Reference, TlsVerify, TlsVersion, UnknownName,
    UpstreamTls, check_references,
};
pub use upgrades::UpgradeProtocol;
pub use upstream::Upstream;
