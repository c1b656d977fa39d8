//! Resources as the API shows them: what the operator wrote, then what Weir notes.

use std::sync::Arc;

use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::Value;
use utoipa::ToSchema;
use weir_shared::{
    id::Revision,
    model::{Certificate, Config, ListenerRecord, Meta, Server, ServerRecord, Upstream, UpstreamRecord},
};

use super::route_view::RouteView;
use crate::{
    error::Target,
    status::{ServerHealth, UpstreamHealth},
};

/// A server with what Weir notes of it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ServerResource, example = json!({
    "id": "127.0.0.1-3001", "address": "127.0.0.1:3001", "weight": 1, "priority": 0, "max_requests": 0,
    "admin_state": "ready", "zone": "", "labels": {}, "revision": 1, "created_at": "2026-11-22T21:40:00.123Z",
    "updated_at": "2026-11-22T21:40:00.123Z"
}))]
pub(super) struct ServerView {
    /// What the operator wrote.
    #[serde(flatten)]
    pub server: Server,
    /// What Weir notes.
    #[serde(flatten)]
    pub meta: Meta,
    /// Its health, when asked for with `expand=health`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub health: Option<ServerHealth>,
}

impl From<&Arc<ServerRecord>> for ServerView {
    fn from(record: &Arc<ServerRecord>) -> Self {
        Self { server: record.server.clone(), meta: record.meta, health: None }
    }
}

/// How much of an upstream is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Servers {
    /// All servers.
    Shown,
    /// None.
    Hidden,
}

/// An upstream with what Weir notes of it.
#[derive(Clone, Debug)]
pub(super) struct UpstreamView {
    /// The upstream.
    pub record: Arc<UpstreamRecord>,
    /// Whether its servers are shown.
    pub servers: Servers,
    /// Routes bound by the change that is answered.
    pub bound_routes: Vec<String>,
    /// Its health, if asked for.
    pub health: Option<UpstreamHealth>,
}

impl UpstreamView {
    /// The upstream with its servers.
    #[must_use]
    pub(super) fn whole(record: &Arc<UpstreamRecord>) -> Self {
        let record = Arc::clone(record);
        Self { record, servers: Servers::Shown, bound_routes: Vec::new(), health: None }
    }
}

/// Writes fields of an upstream in this order, each under its own name. With one left out it does not compile.
macro_rules! write_fields {
    ($map:ident, $spec:expr, $($field:ident),+ $(,)?) => {
        let Upstream { $($field,)+ servers: _ } = $spec;
        $($map.serialize_entry(stringify!($field), $field)?;)+
    };
}

impl Serialize for UpstreamView {
    /// Written field by field to keep the model's order with the servers put in; a new field that is forgotten here does
    /// not compile.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Meta { revision, created_at, updated_at } = &self.record.meta;
        let mut map = serializer.serialize_map(None)?;
        write_fields!(
            map,
            &self.record.spec,
            id,
            description,
            labels,
            protocol,
            algorithm,
            comparison,
            latency,
            load_reports,
            hash,
            shadow,
            affinity,
            forwarded,
            health_check,
            outlier_detection,
            panic_threshold_percent,
            overprovisioning_percent,
            zone_awareness,
            subset,
            slow_start,
            tls,
            connect_timeout,
            response_timeout,
            stream_idle_timeout,
            upgrades,
            tunnel_idle_timeout,
            idle_timeout,
            keepalive_time,
            keepalive_connections,
            send_proxy_protocol,
            rate_limits,
            limits,
            adaptive_limit,
            circuit_breaker,
            server_retry_after,
            retries,
            hedging,
            drain_timeout
        );
        if self.servers == Servers::Shown {
            let servers: Vec<ServerView> = self.record.servers.iter().map(ServerView::from).collect();
            map.serialize_entry("servers", &servers)?;
        }
        map.serialize_entry("revision", revision)?;
        map.serialize_entry("created_at", created_at)?;
        map.serialize_entry("updated_at", updated_at)?;
        if !self.bound_routes.is_empty() {
            map.serialize_entry("bound_routes", &self.bound_routes)?;
        }
        if let Some(health) = &self.health {
            map.serialize_entry("health", health)?;
        }
        map.end()
    }
}

/// The schema of [`UpstreamView`].
#[derive(Debug, ToSchema)]
#[schema(as = UpstreamResource)]
#[expect(dead_code, reason = "only its schema is used; the view is written by hand")]
pub(super) struct UpstreamSchema {
    /// What the operator wrote.
    #[schema(inline = false)]
    #[serde(flatten)]
    upstream: Upstream,
    /// What Weir notes.
    #[serde(flatten)]
    meta: Meta,
    /// Routes that were bound to the upstream in the same commit.
    #[schema(required = false)]
    bound_routes: Vec<String>,
    /// Its health, when asked for with `expand=health`.
    #[schema(required = false)]
    health: Option<UpstreamHealth>,
}

/// A certificate as it was written, and what Weir notes of it.
#[derive(Serialize)]
struct Stored<'a> {
    #[serde(flatten)]
    spec: &'a Certificate,
    #[serde(flatten)]
    meta: Meta,
}

/// Where a resource is.
#[must_use]
pub(super) fn location(target: &Target) -> String {
    match target {
        Target::Config => "/v1/config".to_owned(),
        Target::Certificates => "/v1/certificates".to_owned(),
        Target::Certificate(id) => format!("/v1/certificates/{id}"),
        Target::Upstreams => "/v1/upstreams".to_owned(),
        Target::Upstream(id) => format!("/v1/upstreams/{id}"),
        Target::Listeners => "/v1/listeners".to_owned(),
        Target::Listener(id) => format!("/v1/listeners/{id}"),
        Target::Server(upstream, id) => format!("/v1/upstreams/{upstream}/servers/{id}"),
        Target::Routes => "/v1/routes".to_owned(),
        Target::Route(id) => format!("/v1/routes/{id}"),
    }
}

/// The commit that last touched a resource.
#[must_use]
pub(super) fn revision(target: &Target, config: &Config) -> Option<Revision> {
    match target {
        Target::Config | Target::Certificates | Target::Upstreams | Target::Listeners | Target::Routes => {
            Some(config.revision)
        }
        Target::Listener(id) => config.listeners.get(id.as_str()).map(|record| record.meta.revision),
        Target::Certificate(id) => config.certificates.get(id.as_str()).map(|record| record.meta.revision),
        Target::Route(id) => config.routes.get(id.as_str()).map(|record| record.meta.revision),
        Target::Upstream(id) => config.upstreams.get(id.as_str()).map(|record| record.meta.revision),
        Target::Server(upstream, id) => config
            .upstreams
            .get(upstream.as_str())
            .and_then(|record| record.server(id))
            .map(|record| record.meta.revision),
    }
}

/// A resource as it is, for a caller who knew it otherwise. Null for a list and for everything.
#[must_use]
pub(super) fn current(target: &Target, config: &Config) -> Value {
    let value = match target {
        Target::Config | Target::Certificates | Target::Upstreams | Target::Listeners | Target::Routes => {
            None
        }
        Target::Certificate(id) => config
            .certificates
            .get(id.as_str())
            .and_then(|record| serde_json::to_value(Stored { spec: &record.spec, meta: record.meta }).ok()),
        Target::Listener(id) => config.listeners.get(id.as_str()).and_then(|record| listener(record)),
        Target::Route(id) => {
            let record = config.routes.get(id.as_str());
            record.and_then(|record| serde_json::to_value(RouteView::of(record, config)).ok())
        }
        Target::Upstream(id) => config
            .upstreams
            .get(id.as_str())
            .and_then(|record| serde_json::to_value(UpstreamView::whole(record)).ok()),
        Target::Server(upstream, id) => config
            .upstreams
            .get(upstream.as_str())
            .and_then(|record| record.server(id))
            .and_then(|record| serde_json::to_value(ServerView::from(record)).ok()),
    };
    value.unwrap_or(Value::Null)
}

/// A listener as written, with what Weir notes of it.
fn listener(record: &ListenerRecord) -> Option<Value> {
    let mut shown = serde_json::to_value(&record.spec).ok()?;
    if record.spec.address.is_empty() {
        // Of the process's own, which is not part of the state.
        shown.as_object_mut()?.remove("address");
    }
    let meta = serde_json::to_value(record.meta).ok()?;
    shown.as_object_mut()?.extend(meta.as_object()?.clone());
    Some(shown)
}
