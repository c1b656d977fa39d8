//! All resources at one revision.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Certificate, CertificateKind, Listener, ListenerRecord, Route, Server, Upstream, address::Address,
};
use crate::{
    id::{CertificateId, Epoch, ListenerId, Revision, RouteId, UpstreamId},
    sharing::SharedMap,
    time::Timestamp,
};

/// What Weir itself notes on every resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Meta {
    /// The commit that last changed the resource or one of its children.
    pub revision: Revision,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// A server as stored: what the operator wrote and what Weir notes.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerRecord {
    /// What the operator wrote, with the id filled in.
    pub server: Server,
    /// What Weir notes.
    pub meta: Meta,
}

/// A certificate as stored, its private key included.
#[derive(Clone, Debug, PartialEq)]
pub struct CertificateRecord {
    /// What the operator wrote.
    pub spec: Certificate,
    /// What Weir notes.
    pub meta: Meta,
}

/// An upstream as stored. `spec.servers` is always empty; the servers are in `servers`, oldest first.
///
/// Records are shared by pointer between configurations, so that what a change did not touch is recognised at once.
#[derive(Clone, Debug, PartialEq)]
pub struct UpstreamRecord {
    /// What the operator wrote, without servers.
    pub spec: Upstream,
    /// What Weir notes.
    pub meta: Meta,
    /// The servers, in the order they were added.
    pub servers: Vec<Arc<ServerRecord>>,
}

impl UpstreamRecord {
    /// The server named `id`.
    #[must_use]
    pub fn server(&self, id: &str) -> Option<&Arc<ServerRecord>> {
        self.servers.iter().find(|record| record.server.id == id)
    }

    /// The server that `key` names: its id, or else its address, however written.
    #[must_use]
    pub fn find(&self, key: &str) -> Option<&Arc<ServerRecord>> {
        if let Some(record) = self.server(key) {
            return Some(record);
        }
        let wanted = Address::parse(key).ok()?;
        self.servers.iter().find(|record| Address::parse(&record.server.address).is_ok_and(|it| it == wanted))
    }

    /// What an operator would write to get this upstream, servers included.
    #[must_use]
    pub fn to_model(&self) -> Upstream {
        Upstream {
            servers: self.servers.iter().map(|record| record.server.clone()).collect(),
            ..self.spec.clone()
        }
    }
}

/// A route as stored.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteRecord {
    /// What the operator wrote.
    pub spec: Route,
    /// What Weir notes.
    pub meta: Meta,
}

/// All resources at one revision. Immutable once committed.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Number of the commit that made it.
    pub revision: Revision,
    /// Life of the store it is from.
    pub epoch: Epoch,
    /// Listeners by id. `default` is always there.
    pub listeners: SharedMap<ListenerId, ListenerRecord>,
    /// Certificates by id.
    pub certificates: SharedMap<CertificateId, CertificateRecord>,
    /// Upstreams by id.
    pub upstreams: SharedMap<UpstreamId, UpstreamRecord>,
    /// Routes by id.
    pub routes: SharedMap<RouteId, RouteRecord>,
}

impl Config {
    /// The configuration before the first commit: the listener `default`, and the catch-all route, bound to nothing.
    #[must_use]
    pub fn empty(epoch: Epoch) -> Self {
        let record = RouteRecord { spec: Route::catch_all(None), meta: Meta::default() };
        let routes = SharedMap::from_iter([(RouteId::new(Route::DEFAULT_ID), Arc::new(record))]);
        let listener = ListenerRecord::default();
        let listeners = SharedMap::from_iter([(ListenerId::new(&listener.spec.id), Arc::new(listener))]);
        Self {
            revision: Revision::default(),
            epoch,
            listeners,
            certificates: SharedMap::default(),
            upstreams: SharedMap::default(),
            routes,
        }
    }

    /// The ids of the routes that send to the upstream named `id`.
    #[must_use]
    pub fn routes_to(&self, id: &str) -> Vec<String> {
        let routes = self.routes.values().map(|record| &record.spec);
        routes.filter(|route| route.refers_to(id)).map(|route| route.id.clone()).collect()
    }

    /// The upstreams that requests or connections may go to: where routes that are enabled send a share, and TCP listeners
    /// everything. One may be named more than once, or not be there.
    pub fn in_use(&self) -> impl Iterator<Item = &str> {
        let routes = self.routes.values().map(|record| &record.spec).filter(|route| route.enabled);
        let targets = routes.flat_map(|route| &route.action.upstreams).filter(|target| target.weight > 0);
        let connected = self.listeners.values().filter_map(|record| record.spec.upstream.as_deref());
        targets.map(|target| target.upstream.as_str()).chain(connected)
    }

    /// The ids of the listeners whose connections go to the upstream named `id`.
    #[must_use]
    pub fn listeners_to(&self, id: &str) -> Vec<String> {
        let specs = self.listeners.values().map(|record| &record.spec);
        specs.filter(|spec| spec.upstream.as_deref() == Some(id)).map(|spec| spec.id.clone()).collect()
    }

    /// What the certificate named `id` is for; `None` when there is none.
    #[must_use]
    pub fn certificate_kind(&self, id: &str) -> Option<CertificateKind> {
        self.certificates.get(id).map(|record| record.spec.kind)
    }

    /// What uses certificates: each resource's path with the certificates that it names.
    pub fn certificate_users(&self) -> impl Iterator<Item = (String, Vec<&str>)> {
        let upstreams = self.upstreams.values().map(|record| {
            let names = record.spec.tls.references().map(|reference| reference.id).collect();
            (format!("/upstreams/{}", record.spec.id), names)
        });
        let listeners = self.listeners.values().map(|record| {
            let names = record.spec.tls.references().map(|reference| reference.id).collect();
            (format!("/listeners/{}", record.spec.id), names)
        });
        listeners.chain(upstreams).filter(|(_, names): &(_, Vec<&str>)| !names.is_empty())
    }

    /// The configuration as one document, without private keys.
    #[must_use]
    pub fn to_document(&self) -> Document {
        Document {
            api_version: Document::API_VERSION.to_owned(),
            listeners: self.listeners.values().map(|record| record.spec.clone()).collect(),
            certificates: self.certificates.values().map(|record| record.spec.clone()).collect(),
            routes: self.routes.values().map(|record| record.spec.clone()).collect(),
            upstreams: self.upstreams.values().map(|record| record.to_model()).collect(),
        }
    }
}

/// The whole configuration as one document, as exported and kept in `last-good.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Document {
    /// `v1`.
    pub api_version: String,
    /// Where clients connect. The address of `default` is the process's own, whatever is said here.
    pub listeners: Vec<Listener>,
    /// What Weir proves itself with, and whom it believes. Private keys are left out of what is read, and kept where they are
    /// left out of what is put.
    pub certificates: Vec<Certificate>,
    /// Which requests go where.
    pub routes: Vec<Route>,
    /// The groups of servers.
    pub upstreams: Vec<Upstream>,
}

impl Document {
    /// The version this program writes.
    pub const API_VERSION: &str = "v1";

    /// The configuration the document describes, as of `revision` and `meta`. Unchecked.
    #[must_use]
    pub fn into_config(self, revision: Revision, epoch: Epoch, meta: Meta) -> Config {
        let record = |mut spec: Upstream| {
            let servers = std::mem::take(&mut spec.servers);
            let servers = servers.into_iter().map(|server| Arc::new(ServerRecord { server, meta })).collect();
            (UpstreamId::new(&spec.id), Arc::new(UpstreamRecord { spec, meta, servers }))
        };
        let mut listeners = Config::empty(epoch.clone()).listeners;
        for spec in self.listeners {
            // One that is as it always was has never been changed.
            if !spec.is_default() || spec != Listener::default() {
                listeners.insert_mut(ListenerId::new(&spec.id), Arc::new(ListenerRecord { spec, meta }));
            }
        }
        let certificate =
            |spec: Certificate| (CertificateId::new(&spec.id), Arc::new(CertificateRecord { spec, meta }));
        let route = |spec: Route| (RouteId::new(&spec.id), Arc::new(RouteRecord { spec, meta }));
        Config {
            revision,
            epoch,
            listeners,
            certificates: self.certificates.into_iter().map(certificate).collect(),
            upstreams: self.upstreams.into_iter().map(record).collect(),
            routes: self.routes.into_iter().map(route).collect(),
        }
    }
}
