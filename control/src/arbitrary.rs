//! Made-up values for property tests: any JSON, and any configuration.

use std::{collections::BTreeMap, sync::Arc};

use proptest::{collection, prelude::*, sample::select, string::string_regex};
use serde_json::Value;
use weir_shared::{
    id::{CertificateId, Epoch, ListenerId, Revision, RouteId, UpstreamId},
    model::{
        AdminState, Certificate, CertificateRecord, Config, Listener, ListenerRecord, Meta, PrivateKey,
        Route, RouteRecord, Server, ServerRecord, Upstream, UpstreamRecord, UpstreamRef,
    },
    time::Timestamp,
};

/// Texts of a form that is read once, not for every text.
fn matching(pattern: &str) -> impl Strategy<Value = String> + use<> {
    string_regex(pattern).unwrap()
}

/// Texts, awkward ones among them.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        matching("[ -~]{0,12}"),
        matching("\\PC{0,8}"),
        matching("[0-9eE+.:x_-]{1,8}"),
        select(vec![
            "null", "~", "yes", "- a", "a: b", "#", "---", "...", "\n", "\u{85}", "\u{2028}", "\u{feff}",
            "\0"
        ])
        .prop_map(str::to_owned),
    ]
}

/// JSON without fractions: an arrangement of objects, arrays and simple values.
pub(crate) fn json() -> impl Strategy<Value = Value> {
    json_of(text().boxed())
}

/// The same with these names for fields.
pub(crate) fn json_of(names: BoxedStrategy<String>) -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 5, move |inner| {
        prop_oneof![
            collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            collection::btree_map(names.clone(), inner, 0..5)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Configurations as they may be stored; not all of them valid.
pub(crate) fn config() -> impl Strategy<Value = Config> {
    let meta = (1..1000_u64, any::<u32>(), any::<u32>()).prop_map(|(revision, created, changed)| Meta {
        revision: Revision(revision),
        created_at: Timestamp(i64::from(created)),
        updated_at: Timestamp(i64::from(created) + i64::from(changed)),
    });
    let labels = || collection::btree_map(text(), text(), 0..3);
    let state = select(vec![AdminState::Ready, AdminState::Drain, AdminState::Maint]);
    let server = (text(), any::<u16>(), state, labels(), meta.clone());
    let servers = collection::btree_map(matching("[a-z0-9.-]{1,8}"), server, 0..5);
    let upstream = (text(), labels(), 0..=100_u8, servers, meta.clone());
    let certificate = (text(), proptest::option::of(text()), meta.clone());
    let upstreams = collection::btree_map(matching("[a-z0-9.-]{1,8}"), upstream, 0..4);
    let certificates = collection::btree_map(matching("[a-z0-9.-]{1,8}"), certificate, 0..3);
    let listener = (text(), any::<u32>(), meta.clone());
    let listeners = collection::btree_map(matching("[a-z0-9.-]{1,8}"), listener, 0..3);
    let route = (text(), labels(), any::<i32>(), collection::vec(text(), 0..3), any::<bool>(), meta);
    let routes = collection::btree_map(matching("[a-z0-9.-]{1,8}"), route, 0..4);
    let whole = (1..1000_u64, upstreams, certificates, listeners, routes);
    whole.prop_map(|(revision, upstreams, certificates, listeners, routes)| {
        let mut config = Config::empty(Epoch("abc123".into()));
        config.revision = Revision(revision);
        for (id, (address, max_connections, meta)) in listeners {
            let spec = Listener { id, address, max_connections, ..Listener::default() };
            let record = ListenerRecord { spec, meta };
            config.listeners.insert_mut(ListenerId::new(&record.spec.id), Arc::new(record));
        }
        for (id, (certificate, key, meta)) in certificates {
            let private_key = key.as_deref().map(PrivateKey::new);
            let spec = Certificate { id: id.clone(), certificate, private_key, ..Certificate::default() };
            let record = CertificateRecord { spec, meta };
            config.certificates.insert_mut(CertificateId::new(&id), Arc::new(record));
        }
        for (id, (description, labels, priority, texts, enabled, meta)) in routes {
            let mut spec =
                Route { id: id.clone(), description, labels, enabled, priority, ..Route::default() };
            spec.action.upstreams.extend(texts.first().map(|text| UpstreamRef::to(text)));
            spec.matches.hosts = texts;
            config.routes.insert_mut(RouteId::new(&id), Arc::new(RouteRecord { spec, meta }));
        }
        for (id, (description, labels, panic_threshold_percent, servers, meta)) in upstreams {
            let spec = Upstream {
                id: id.clone(),
                description,
                labels,
                panic_threshold_percent,
                ..Upstream::default()
            };
            let servers = servers.into_iter().map(|(id, (zone, weight, admin_state, labels, meta))| {
                let labels: BTreeMap<String, String> = labels;
                let address = format!("{id}:{}", weight.max(1));
                let server = Server { id, address, zone, weight, admin_state, labels, ..Server::default() };
                Arc::new(ServerRecord { server, meta })
            });
            let record = UpstreamRecord { spec, meta, servers: servers.collect() };
            config.upstreams.insert_mut(UpstreamId::new(&id), Arc::new(record));
        }
        config
    })
}
