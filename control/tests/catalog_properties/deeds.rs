//! Changes that are made up: most of them sense, some of them nonsense.

use std::sync::LazyLock;

use proptest::prelude::*;
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use weir_control::{
    catalog::change::{Binding, References, Unnamed},
    drains::Then,
};
use weir_shared::{id::Revision, model::Config};

/// A change in a form that can be made up; revisions are counted back from the last one.
#[derive(Clone, Debug)]
pub(crate) enum Deed {
    Create(String, Vec<Value>, Binding),
    Put(String, Vec<Value>, Binding),
    Patch(String, Value),
    Delete(String, References),
    Add(String, Vec<Value>),
    PutServer(String, String, Value),
    PatchServer(String, String, Value),
    DeleteServer(String, String),
    Drain(String, String, Then),
    CancelDrain(String, String),
    Of(Kind, String, Manner),
    Replace(Value, Unnamed, Confirm),
    Back(u64, Confirm),
}

/// Resources that are all changed in the same ways.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Route,
    Listener,
    Certificate,
}

/// What is done with one of them.
#[derive(Clone, Debug)]
pub(crate) enum Manner {
    Create(Value),
    Put(Value),
    Patch(Value),
    Delete,
}

/// Whether a large change says that it is meant.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Confirm {
    Yes,
    No,
}

impl Confirm {
    pub(crate) fn of(self, config: &Config) -> Option<Revision> {
        matches!(self, Self::Yes).then_some(config.revision)
    }
}

fn upstream_id() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["api", "web", "shop", "Bad Id"]).prop_map(str::to_owned)
}

fn address() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a:1", "b:1", "c:1", "d:1", "e:1", "missing-port"]).prop_map(str::to_owned)
}

/// A server's id or its address.
fn key() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a-1", "b-1", "c-1", "d:1", "e:1", "unknown"]).prop_map(str::to_owned)
}

fn fields() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![
        json!({}),
        json!({ "weight": 0 }),
        json!({ "weight": 7, "labels": { "x": "y" } }),
        json!({ "weight": null, "labels": { "x": null } }),
        json!({ "admin_state": "drain" }),
        json!({ "admin_state": "maint" }),
        json!({ "admin_state": "ready" }),
        json!({ "weight": -1 }),
        json!({ "wieght": 1 }),
    ])
}

fn server() -> impl Strategy<Value = Value> {
    (address(), fields()).prop_map(|(address, mut fields)| {
        fields["address"] = json!(address);
        fields
    })
}

fn servers() -> impl Strategy<Value = Vec<Value>> {
    let plain = prop::sample::subsequence(vec!["a:1", "b:1", "c:1", "d:1", "e:1"], 0..=5);
    prop_oneof![
        4 => plain.prop_map(|names| names.into_iter().map(Value::from).collect()),
        1 => prop::collection::vec(server(), 0..4),
    ]
}

fn patch() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![
        json!({}),
        json!({ "algorithm": "random" }),
        json!({ "algorithm": null, "health_check": { "path": "/x" } }),
        json!({ "health_check": null, "labels": { "x": "y" } }),
        json!({ "algorithm": "fastest" }),
        json!({ "servers": [] }),
    ])
}

/// The name of a route or a listener.
fn name() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["default", "one", "two", "Bad Id"]).prop_map(str::to_owned)
}

fn route() -> impl Strategy<Value = Value> {
    let action = prop_oneof![
        4 => upstream_id().prop_map(|id| json!({ "upstreams": [{ "upstream": id }] })),
        1 => Just(json!({ "redirect": { "scheme": "https" } })),
        1 => Just(json!({ "fixed_response": { "status": 404 }, "redirect": { "host": "x.test" } })),
        1 => Just(json!({ "upstreams": [] })),
    ];
    let path = prop::sample::select(vec!["/", "/a", "/a/b", "relative"]);
    let priority = prop::sample::select(vec![0, 7, 5000]);
    (action, path, priority).prop_map(
        |(action, path, priority)| json!({ "priority": priority, "match": { "path": { "value": path } }, "action": action }),
    )
}

fn route_patch() -> impl Strategy<Value = Value> {
    prop_oneof![
        prop::sample::select(vec![
            json!({}),
            json!({ "enabled": false }),
            json!({ "enabled": null, "priority": 3 }),
            json!({ "match": { "hosts": ["a.test"] } }),
            json!({ "action": { "timeout": "0h" } }),
            json!({ "no_such": 1 }),
        ]),
        upstream_id().prop_map(|id| json!({ "action": { "upstreams": [{ "upstream": id }] } })),
    ]
}

fn listener() -> impl Strategy<Value = Value> {
    prop_oneof![
        // Two of these cannot be side by side, and one needs a certificate that may be there.
        prop::sample::select(vec![
            json!({ "address": "127.0.0.1:1001" }),
            json!({ "address": "127.0.0.1:1002", "max_connections": 5 }),
            json!({ "address": "127.0.0.1:1003", "protocol": "https", "tls": { "certificates": ["site"] } }),
            json!({ "address": "nowhere" }),
            json!({ "address": "unix:/tmp/x.sock" }),
        ]),
        upstream_id()
            .prop_map(|id| json!({ "address": "127.0.0.1:1004", "protocol": "tcp", "upstream": id })),
    ]
}

fn listener_patch() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![
        json!({}),
        json!({ "max_connections": 9 }),
        json!({ "max_connections": null, "http2": false }),
        json!({ "address": "127.0.0.1:1001" }),
        json!({ "protocol": "https", "tls": { "certificates": ["site"] } }),
        json!({ "header_timeout": "never" }),
    ])
}

/// Two keys, each with a certificate of its own, and one to believe.
static PAIRS: LazyLock<[(String, String); 2]> = LazyLock::new(|| {
    ["a.test", "b.test"].map(|name| {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    })
});

fn certificate_id() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["site", "other", "Bad Id"]).prop_map(str::to_owned)
}

fn certificate() -> impl Strategy<Value = Value> {
    (0..2_usize, prop::option::of(0..2_usize)).prop_map(|(certificate, key)| {
        let mut body = json!({ "certificate": PAIRS[certificate].0 });
        if let Some(key) = key {
            body["private_key"] = json!(PAIRS[key].1);
        }
        body
    })
}

fn certificate_patch() -> impl Strategy<Value = Value> {
    prop_oneof![
        prop::sample::select(vec![json!({}), json!({ "description": "x" }), json!({ "kind": "ca" })]),
        certificate(),
    ]
}

/// Something done with a route, a listener or a certificate.
fn of_kind() -> impl Strategy<Value = Deed> {
    fn manner(
        whole: impl Strategy<Value = Value> + Clone + 'static,
        patch: impl Strategy<Value = Value> + 'static,
    ) -> impl Strategy<Value = Manner> {
        prop_oneof![
            2 => whole.clone().prop_map(Manner::Create),
            2 => whole.prop_map(Manner::Put),
            2 => patch.prop_map(Manner::Patch),
            1 => Just(Manner::Delete),
        ]
    }
    prop_oneof![
        (name(), manner(route().boxed(), route_patch())).prop_map(|(id, how)| Deed::Of(Kind::Route, id, how)),
        (name(), manner(listener().boxed(), listener_patch())).prop_map(|(id, how)| Deed::Of(
            Kind::Listener,
            id,
            how
        )),
        (certificate_id(), manner(certificate().boxed(), certificate_patch()))
            .prop_map(|(id, how)| Deed::Of(Kind::Certificate, id, how)),
    ]
}

/// `resource` by the name `id`.
fn named((id, mut resource): (String, Value)) -> Value {
    resource["id"] = json!(id);
    resource
}

fn document() -> impl Strategy<Value = Value> {
    let upstream = (upstream_id(), servers()).prop_map(|(id, all)| json!({ "id": id, "servers": all }));
    let default = prop::option::of(upstream_id()).prop_map(|id| {
        let targets: Vec<Value> = id.into_iter().map(|id| json!({ "upstream": id })).collect();
        json!({ "id": "default", "action": { "upstreams": targets } })
    });
    let route = prop_oneof![2 => default, 1 => (name(), route()).prop_map(named)];
    let listener = (name(), listener()).prop_map(named);
    let certificate = (certificate_id(), certificate()).prop_map(named);
    let upstreams = prop::collection::vec(upstream, 0..4);
    let routes = prop::option::of(prop::collection::vec(route, 0..3));
    let listeners = prop::option::weighted(0.3, prop::collection::vec(listener, 0..3));
    let certificates = prop::option::weighted(0.3, prop::collection::vec(certificate, 0..3));
    (upstreams, routes, listeners, certificates).prop_map(|(upstreams, routes, listeners, certificates)| {
        let mut document = json!({ "upstreams": upstreams });
        for (member, all) in [("routes", routes), ("listeners", listeners), ("certificates", certificates)] {
            if let Some(all) = all {
                document[member] = json!(all);
            }
        }
        document
    })
}

pub(crate) fn deed() -> impl Strategy<Value = Deed> {
    let binding = || prop_oneof![Just(Binding::Automatic), Just(Binding::Off)];
    let references = prop_oneof![Just(References::Refuse), Just(References::Unbind)];
    let unnamed = prop_oneof![Just(Unnamed::Delete), Just(Unnamed::Keep)];
    let confirm = || prop_oneof![Just(Confirm::Yes), Just(Confirm::No)];
    let then = prop_oneof![Just(Then::Keep), Just(Then::Maint), Just(Then::Remove)];
    prop_oneof![
        2 => (upstream_id(), servers(), binding()).prop_map(|(id, all, binding)| Deed::Create(id, all, binding)),
        3 => (upstream_id(), servers(), binding()).prop_map(|(id, all, binding)| Deed::Put(id, all, binding)),
        1 => (upstream_id(), patch()).prop_map(|(id, patch)| Deed::Patch(id, patch)),
        1 => (upstream_id(), references).prop_map(|(id, references)| Deed::Delete(id, references)),
        2 => (upstream_id(), servers()).prop_map(|(id, all)| Deed::Add(id, all)),
        2 => (upstream_id(), key(), fields()).prop_map(|(id, key, server)| Deed::PutServer(id, key, server)),
        3 => (upstream_id(), key(), fields()).prop_map(|(id, key, patch)| Deed::PatchServer(id, key, patch)),
        1 => (upstream_id(), key()).prop_map(|(id, key)| Deed::DeleteServer(id, key)),
        2 => (upstream_id(), key(), then).prop_map(|(id, key, then)| Deed::Drain(id, key, then)),
        1 => (upstream_id(), key()).prop_map(|(id, key)| Deed::CancelDrain(id, key)),
        6 => of_kind(),
        3 => (document(), unnamed, confirm()).prop_map(|(all, unnamed, confirm)| Deed::Replace(all, unnamed, confirm)),
        2 => (0..8_u64, confirm()).prop_map(|(steps, confirm)| Deed::Back(steps, confirm)),
    ]
}
