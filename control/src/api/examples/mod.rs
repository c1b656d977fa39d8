//! Examples for the API's document: made from the types themselves, or held to what the API answers by a test, so that they
//! cannot go stale.

mod certificates;
mod observed;

use std::sync::Arc;

use serde_json::{Value, json};
use weir_shared::{
    id::{Epoch, Revision},
    model::{Config, Listener, Meta, Route, RouteRecord, Server, ServerRecord, Upstream, UpstreamRecord},
    time::Timestamp,
};

pub(super) use self::certificates::{authority_to_put, certificate, certificate_to_put, certificates};
pub(super) use self::observed::{explanation, health, info, server_health, shadow, upstream_health};
use super::{
    route_view::RouteView,
    view::{ServerView, Servers, UpstreamView},
};
use crate::yaml;

/// A fixed time: 2026-11-22T21:40:00.123Z.
const AT: Timestamp = Timestamp(1_795_383_600_123);

fn meta() -> Meta {
    Meta { revision: Revision(1), created_at: AT, updated_at: AT }
}

fn records() -> Vec<Arc<ServerRecord>> {
    [("127.0.0.1-3001", "127.0.0.1:3001"), ("127.0.0.1-3002", "127.0.0.1:3002")]
        .map(|(id, address)| {
            let server = Server { id: id.to_owned(), address: address.to_owned(), ..Server::default() };
            Arc::new(ServerRecord { server, meta: meta() })
        })
        .to_vec()
}

fn record() -> UpstreamRecord {
    let spec = Upstream { id: "default".to_owned(), ..Upstream::default() };
    UpstreamRecord { spec, meta: meta(), servers: records() }
}

/// An upstream.
pub(super) fn upstream() -> Value {
    json!(UpstreamView::whole(&Arc::new(record())))
}

/// An upstream just created, and bound.
pub(super) fn created_upstream() -> Value {
    json!(UpstreamView {
        bound_routes: vec!["default".to_owned()],
        ..UpstreamView::whole(&Arc::new(record()))
    })
}

/// A page of upstreams.
pub(super) fn upstreams() -> Value {
    let view = UpstreamView { servers: Servers::Hidden, ..UpstreamView::whole(&Arc::new(record())) };
    json!({"items": [view], "next": null, "revision": 1})
}

/// A server just added.
pub(super) fn server() -> Value {
    json!(records().iter().map(ServerView::from).next())
}

/// A page of servers.
pub(super) fn servers() -> Value {
    let items: Vec<ServerView> = records().iter().map(ServerView::from).collect();
    json!({"items": items, "next": null, "revision": 1})
}

/// A drain just begun.
pub(super) fn drain() -> Value {
    json!({
        "upstream": "default", "server": "127.0.0.1-3001", "started_at": AT,
        "deadline": AT.plus(std::time::Duration::from_secs(30)), "then": "remove", "in_flight": 3, "connections": 3,
        "bound": null, "done": false, "outcome": null, "ended_at": null
    })
}

/// A page of drains.
pub(super) fn drains() -> Value {
    json!({"items": [drain()], "next": null, "revision": 2})
}

/// A whole configuration as one would write it.
pub(super) fn config_to_put() -> Value {
    json!({
        "routes": [{"id": "default", "action": {"upstreams": [{"upstream": "web"}]}}],
        "upstreams": [{"id": "web", "servers": ["10.0.0.7:8080", {"address": "10.0.0.8:8080", "weight": 2}]}]
    })
}

/// The same in YAML.
pub(super) fn config_as_yaml() -> String {
    yaml::text(&config_to_put())
}

fn difference() -> Value {
    json!({"op": "replace", "path": "/upstreams/web/servers/10.0.0.7-8080/weight", "old": 1, "new": 5})
}

/// What came of a change of everything.
pub(super) fn config_change() -> Value {
    json!({"revision": 42, "unchanged": false, "diff": [difference()], "warnings": []})
}

/// A revision.
pub(super) fn revision() -> Value {
    json!({
        "revision": 42, "at": AT, "actor": "api", "message": "more for the new machine",
        "request_id": "4f1c0e6a9b3d4c7e8a5f2b1d0c9e8f7a",
        "changes": {"total": 1, "changes": [{"op": "replace", "path": "/upstreams/web/servers/10.0.0.7-8080/weight"}]}
    })
}

/// A page of revisions.
pub(super) fn revisions() -> Value {
    json!({"items": [revision()], "next": "42", "revision": 42})
}

/// What differs between two revisions.
pub(super) fn revision_diff() -> Value {
    json!({"revision": 42, "against": 41, "diff": [difference()]})
}

/// A listener as it is in force, with whether it is bound.
fn bound(id: &str, address: &str) -> Value {
    let listener = Listener { id: id.into(), address: address.into(), ..Listener::default() };
    with(json!(listener), "status", json!({"bound": true, "address": address, "error": null, "since": AT}))
}

/// A listener.
pub(super) fn listener() -> Value {
    let noted = with(bound("internal", "10.0.0.1:8081"), "revision", json!(1));
    with(with(noted, "created_at", json!(AT)), "updated_at", json!(AT))
}

/// A page of listeners.
pub(super) fn listeners() -> Value {
    json!({"items": [listener()], "next": null, "revision": 1})
}

/// A whole configuration.
pub(super) fn config() -> Value {
    json!({
        "api_version": "v1",
        "listeners": [bound("default", "0.0.0.0:8080")],
        "certificates": [],
        "routes": [Route::catch_all(Some("default"))],
        "upstreams": [record().to_model()]
    })
}

/// The same in YAML.
pub(super) fn config_in_yaml() -> String {
    yaml::text(&config())
}

/// A route.
pub(super) fn route() -> Value {
    let record = Arc::new(RouteRecord { spec: Route::catch_all(Some("default")), meta: meta() });
    json!(RouteView::of(&record, &Config::empty(Epoch("7f3a9c".into()))))
}

/// A page of routes.
pub(super) fn routes() -> Value {
    json!({"items": [route()], "next": null, "revision": 42})
}

/// A token.
pub(super) fn token() -> Value {
    json!({
        "id": "ci", "scopes": ["servers:write:web"], "description": null, "created_at": AT, "created_by": "token:ops",
        "expires_at": AT.plus(std::time::Duration::from_secs(720 * 3600)), "expired": false, "rotating_until": null
    })
}

/// A page of tokens.
pub(super) fn tokens() -> Value {
    json!({"items": [token()], "next": null})
}

/// A token with its secret, which is none that Weir has made.
pub(super) fn issued() -> Value {
    with(token(), "token", json!("weir_ci_…"))
}

/// The same after its secret was changed.
pub(super) fn rotated() -> Value {
    with(issued(), "rotating_until", json!(AT.plus(std::time::Duration::from_secs(3600))))
}

fn with(mut shown: Value, name: &str, value: Value) -> Value {
    shown.as_object_mut().map(|fields| fields.insert(name.to_owned(), value));
    shown
}

/// A page of the audit.
pub(super) fn audit() -> Value {
    json!({
        "items": [{
            "at": AT, "request_id": "4f1c0e6a9b3d4c7e8a5f2b1d0c9e8f7a", "actor": {"kind": "token", "id": "ci"},
            "remote": "10.0.0.5:51234", "method": "POST", "path": "/v1/upstreams/web/servers", "status": 201, "code": null,
            "reason": null, "revision_before": 41, "revision_after": 42, "dry_run": false, "message": null,
            "changes": {"changes": [{"op": "add", "path": "/upstreams/web/servers/10.0.0.9-8080"}], "total": 1},
            "duration_ms": 3
        }],
        "next": null
    })
}

/// A few of the numbers.
pub(super) const METRICS: &str = "\
    # HELP weir_config_revision Configuration in force.\n# TYPE weir_config_revision gauge\nweir_config_revision 42\n\
    # HELP weir_servers Configured servers.\n# TYPE weir_servers gauge\nweir_servers 2\n";

/// Events as they are written for a browser.
pub(super) const EVENT_STREAM: &str = "\
    retry: 1000\nid: 7f3a9c.42.1795383600123455\n\n\
    id: 7f3a9c.43.1795383600123455\nevent: config\ndata: {\"revision\":43,\"at\":\"2026-11-22T21:40:00.123Z\",\
    \"actor\":\"api\",\"message\":\"put upstream api\",\"request_id\":\"4f1c0e6a9b3d4c7e8a5f2b1d0c9e8f7a\",\
    \"changes\":[{\"op\":\"add\",\"path\":\"/upstreams/api\"}],\"total\":1}\n\n\
    id: 7f3a9c.43.1795383600123456\nevent: health\ndata: {\"upstream\":\"web\",\"server\":\"10.0.0.7-8080\",\
    \"from\":\"healthy\",\"to\":\"unhealthy\",\"reason\":\"connect_refused\",\"detail\":\"connection refused\",\
    \"at\":\"2026-11-22T21:40:00.123Z\",\"node\":\"weir\"}\n\n\
    : hb\nid: 7f3a9c.43.1795383600123456\n\n";

/// An event as a line.
pub(super) fn event_line() -> Value {
    json!({
        "id": "7f3a9c.43.1795383600123456", "event": "health",
        "data": {
            "upstream": "web", "from": "degraded", "to": "healthy", "at": AT, "node": "weir"
        }
    })
}
