//! Between configurations and stored objects: one object per listener, upstream, server, route and certificate, so that a change of one server
//! among thousands writes two small rows.
//!
//! Reading ignores unknown fields, so that an older release can read what a newer one wrote.

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use weir_shared::{
    id::{CertificateId, ListenerId, RouteId, UpstreamId},
    model::{
        Certificate, CertificateRecord, Config, Listener, ListenerRecord, Meta, PrivateKey, Route,
        RouteRecord, Server, ServerRecord, Upstream, UpstreamRecord,
    },
    time::Timestamp,
};

use super::{Kind, Object, Op, Snapshot, StoreError};

/// A resource with what Weir notes of it. The revision is the object's own, kept by the store.
#[derive(Serialize, Deserialize)]
struct Stored<T> {
    created_at: Timestamp,
    updated_at: Timestamp,
    spec: T,
}

/// Name of a server's object.
#[must_use]
pub fn server_key(upstream: &str, server: &str) -> String {
    format!("{upstream}/{server}")
}

/// The operation that stores an upstream, without its servers.
#[must_use]
pub fn put_upstream(record: &UpstreamRecord) -> Op {
    put(Kind::Upstream, record.spec.id.clone(), &stored(&record.spec, record.meta))
}

/// The operation that stores a server of `upstream`.
#[must_use]
pub fn put_server(upstream: &str, record: &ServerRecord) -> Op {
    let id = server_key(upstream, &record.server.id);
    put(Kind::Server, id, &stored(&record.server, record.meta))
}

/// The operation that stores a route.
#[must_use]
pub fn put_route(record: &RouteRecord) -> Op {
    put(Kind::Route, record.spec.id.clone(), &stored(&record.spec, record.meta))
}

/// The operation that stores a listener.
#[must_use]
pub fn put_listener(record: &ListenerRecord) -> Op {
    put(Kind::Listener, record.spec.id.clone(), &stored(&record.spec, record.meta))
}

/// A certificate with its private key, for whoever keeps both. Read as a [`Certificate`].
#[derive(Serialize)]
pub struct WithKey<'a> {
    #[serde(flatten)]
    certificate: &'a Certificate,
    private_key: Option<&'a str>,
}

impl<'a> From<&'a Certificate> for WithKey<'a> {
    fn from(certificate: &'a Certificate) -> Self {
        Self { certificate, private_key: certificate.private_key.as_ref().map(PrivateKey::expose) }
    }
}

/// Without the key.
impl fmt::Debug for WithKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.certificate.fmt(f)
    }
}

/// The operation that stores a certificate, its private key included.
#[must_use]
pub fn put_certificate(record: &CertificateRecord) -> Op {
    put(Kind::Certificate, record.spec.id.clone(), &stored(WithKey::from(&record.spec), record.meta))
}

/// The operations that store all of `config`, in an order that keeps the servers'.
#[must_use]
pub fn put_all(config: &Config) -> Vec<Op> {
    let mut ops: Vec<Op> = config.certificates.values().map(|record| put_certificate(record)).collect();
    ops.extend(config.routes.values().map(|record| put_route(record)));
    // One that was never changed is there without being stored.
    let changed = config.listeners.values().filter(|record| ***record != ListenerRecord::default());
    ops.extend(changed.map(|record| put_listener(record)));
    for (id, record) in &config.upstreams {
        ops.push(put_upstream(record));
        ops.extend(record.servers.iter().map(|server| put_server(id.as_str(), server)));
    }
    ops
}

fn stored<T>(spec: T, meta: Meta) -> Stored<T> {
    Stored { created_at: meta.created_at, updated_at: meta.updated_at, spec }
}

fn put<T: Serialize>(kind: Kind, id: String, value: &T) -> Op {
    let json = serde_json::to_string(value).expect("model types have text keys and no failing serializer");
    Op::Put { kind, id, json }
}

/// The configuration a snapshot holds.
///
/// # Errors
/// [`StoreError::Corrupt`] when an object cannot be read or a server's upstream is missing.
pub fn decode(snapshot: Snapshot) -> Result<Config, StoreError> {
    let mut config = Config::empty(snapshot.epoch);
    config.revision = snapshot.revision;
    let mut upstreams: BTreeMap<UpstreamId, UpstreamRecord> = BTreeMap::new();
    let (parents, servers): (Vec<Object>, Vec<Object>) =
        snapshot.objects.into_iter().partition(|object| object.kind != Kind::Server);
    for object in parents {
        match object.kind {
            Kind::Route => {
                let record = route(&object)?;
                config.routes.insert_mut(RouteId::new(&object.id), Arc::new(record));
            }
            Kind::Listener => {
                let stored: Stored<Listener> = read(&object)?;
                let meta = meta(&object, &stored);
                let record = ListenerRecord { spec: stored.spec, meta };
                config.listeners.insert_mut(ListenerId::new(&object.id), Arc::new(record));
            }
            Kind::Certificate => {
                let stored: Stored<Certificate> = read(&object)?;
                let meta = meta(&object, &stored);
                let record = CertificateRecord { spec: stored.spec, meta };
                config.certificates.insert_mut(CertificateId::new(&object.id), Arc::new(record));
            }
            Kind::Upstream | Kind::Server => {
                let stored: Stored<Upstream> = read(&object)?;
                let meta = meta(&object, &stored);
                let record = UpstreamRecord { spec: stored.spec, meta, servers: Vec::new() };
                upstreams.insert(UpstreamId::new(&object.id), record);
            }
        }
    }
    for object in servers {
        let stored: Stored<Server> = read(&object)?;
        let meta = meta(&object, &stored);
        let upstream = object.id.split('/').next().unwrap_or_default();
        let parent = upstreams.get_mut(upstream).ok_or_else(|| {
            StoreError::Corrupt(format!("the upstream of server \"{}\" is missing", object.id))
        })?;
        parent.servers.push(Arc::new(ServerRecord { server: stored.spec, meta }));
    }
    config.upstreams = upstreams.into_iter().map(|(id, record)| (id, Arc::new(record))).collect();
    Ok(config)
}

/// A route; one that was stored before routes had notes has none.
fn route(object: &Object) -> Result<RouteRecord, StoreError> {
    let value: Value = read(object)?;
    if value.get("spec").is_none() {
        let meta = Meta { revision: object.touched, ..Meta::default() };
        return Ok(RouteRecord { spec: read(object)?, meta });
    }
    let stored: Stored<Route> = read(object)?;
    let meta = meta(object, &stored);
    Ok(RouteRecord { spec: stored.spec, meta })
}

fn meta<T>(object: &Object, stored: &Stored<T>) -> Meta {
    Meta { revision: object.touched, created_at: stored.created_at, updated_at: stored.updated_at }
}

fn read<T: DeserializeOwned>(object: &Object) -> Result<T, StoreError> {
    serde_json::from_str(&object.json).map_err(|error| {
        StoreError::Corrupt(format!("{} \"{}\" cannot be read: {error}", object.kind.as_str(), object.id))
    })
}

#[cfg(test)]
mod properties {
    use proptest::{collection::vec, prelude::*, sample::select};
    use weir_shared::id::{Epoch, Revision};

    use super::*;
    use crate::arbitrary;

    fn snapshot(revision: Revision, objects: Vec<Object>) -> Snapshot {
        Snapshot { epoch: Epoch("abc123".into()), revision, committed_at: None, objects }
    }

    /// What a store has after `config` was put into it.
    fn stored(config: &Config) -> Snapshot {
        let touched = |kind: Kind, id: &str| {
            if kind == Kind::Listener {
                return config.listeners[id].meta.revision;
            }
            if kind == Kind::Certificate {
                let record = config.certificates.get(id);
                return record.map(|record| record.meta.revision).unwrap_or_default();
            }
            let (upstream, server) = id.split_once('/').unwrap_or((id, ""));
            if kind == Kind::Route {
                return config.routes.get(id).map(|record| record.meta.revision).unwrap_or_default();
            }
            let record = config.upstreams.get(upstream);
            let of_server =
                record.and_then(|record| record.server(server)).map(|server| server.meta.revision);
            of_server.or_else(|| record.map(|record| record.meta.revision)).unwrap_or_default()
        };
        let object = |op| match op {
            Op::Put { kind, id, json } => Object { touched: touched(kind, &id), kind, id, json },
            Op::Delete { .. } => unreachable!("nothing is deleted"),
        };
        snapshot(config.revision, put_all(config).into_iter().map(object).collect())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_was_stored_is_read_as_it_was(config in arbitrary::config()) {
            prop_assert_eq!(decode(stored(&config)).unwrap(), config);
        }

        /// A newer release may have stored more; nothing else is guessed at.
        #[test]
        fn any_content_is_read_or_called_corrupt(
            objects in vec((select(vec![Kind::Upstream, Kind::Server, Kind::Route, Kind::Listener, Kind::Certificate]), "[a/]{0,3}", arbitrary::json()), 0..6),
        ) {
            let object = |(kind, id, json): (Kind, String, Value)| {
                Object { kind, id, json: json.to_string(), touched: Revision(1) }
            };
            let read = decode(snapshot(Revision(1), objects.into_iter().map(object).collect()));
            prop_assert!(matches!(read, Ok(_) | Err(StoreError::Corrupt(_))));
        }

        #[test]
        fn fields_of_a_newer_release_are_left_alone(config in arbitrary::config(), value in arbitrary::json()) {
            let mut newer = stored(&config);
            for object in &mut newer.objects {
                let mut json: Value = serde_json::from_str(&object.json).unwrap();
                json["of_tomorrow"] = value.clone();
                object.json = json.to_string();
            }
            prop_assert_eq!(decode(newer).unwrap(), config);
        }
    }
}
