//! A configuration in the making, with the store operations that lead to it.
//!
//! What is not touched is shared by pointer with the configuration before, and costs nothing in the store.

use std::{collections::HashMap, sync::Arc};

use weir_shared::{
    id::{CertificateId, ListenerId, Revision, RouteId, UpstreamId},
    model::{
        Certificate, CertificateRecord, Config, Listener, ListenerRecord, Meta, Route, RouteRecord, Server,
        ServerRecord, Upstream, UpstreamRecord, UpstreamRef,
    },
    time::Now,
};

use crate::store::{Kind, Op, codec};

/// The next configuration, as far as it is planned.
#[derive(Debug)]
pub(super) struct Draft {
    config: Config,
    ops: Vec<Op>,
    /// What is noted on whatever is made or changed.
    fresh: Meta,
}

impl Draft {
    /// A draft that changes nothing yet.
    pub(super) fn new(before: &Config, now: Now) -> Self {
        let mut config = before.clone();
        config.revision = Revision(before.revision.0 + 1);
        let fresh = Meta { revision: config.revision, created_at: now.wall, updated_at: now.wall };
        Self { config, ops: Vec::new(), fresh }
    }

    /// Whether nothing differs yet.
    pub(super) fn is_untouched(&self) -> bool {
        self.ops.is_empty()
    }

    /// Whether there is an upstream named `id` by now.
    pub(super) fn has_upstream(&self, id: &str) -> bool {
        self.config.upstreams.contains_key(id)
    }

    /// The configuration and the operations.
    pub(super) fn finish(self) -> (Arc<Config>, Vec<Op>) {
        (Arc::new(self.config), self.ops)
    }

    /// A record of something just made.
    pub(super) fn new_server(&mut self, upstream: &str, server: Server) -> Arc<ServerRecord> {
        self.put_server(upstream, ServerRecord { server, meta: self.fresh })
    }

    /// A record of `before` with another content.
    pub(super) fn changed_server(
        &mut self,
        upstream: &str,
        before: &ServerRecord,
        server: Server,
    ) -> Arc<ServerRecord> {
        let meta = Meta { created_at: before.meta.created_at, ..self.fresh };
        self.put_server(upstream, ServerRecord { server, meta })
    }

    /// Notes that a server is gone.
    pub(super) fn delete_server(&mut self, upstream: &str, server: &str) {
        self.ops.push(Op::Delete { kind: Kind::Server, id: codec::server_key(upstream, server) });
    }

    fn put_server(&mut self, upstream: &str, record: ServerRecord) -> Arc<ServerRecord> {
        self.ops.push(codec::put_server(upstream, &record));
        Arc::new(record)
    }

    /// Makes the certificate of that name equal to `spec`. Touches nothing when it is.
    pub(super) fn set_certificate(&mut self, spec: Certificate) {
        let meta = match self.config.certificates.get(spec.id.as_str()) {
            Some(present) if present.spec == spec => return,
            Some(present) => Meta { created_at: present.meta.created_at, ..self.fresh },
            None => self.fresh,
        };
        let record = CertificateRecord { spec, meta };
        self.ops.push(codec::put_certificate(&record));
        self.config.certificates.insert_mut(CertificateId::new(&record.spec.id), Arc::new(record));
    }

    /// Deletes the certificate named `id`.
    pub(super) fn delete_certificate(&mut self, id: &str) {
        self.ops.push(Op::Delete { kind: Kind::Certificate, id: id.to_owned() });
        self.config.certificates.remove_mut(id);
    }

    /// Makes an upstream that is not there.
    pub(super) fn create_upstream(&mut self, mut spec: Upstream) {
        let servers = std::mem::take(&mut spec.servers);
        let id = spec.id.clone();
        let servers = servers.into_iter().map(|server| self.new_server(&id, server)).collect();
        self.put_upstream(UpstreamRecord { spec, meta: self.fresh, servers });
    }

    /// Gives the upstream `before` another content. `spec` has no servers.
    pub(super) fn change_upstream(
        &mut self,
        before: &UpstreamRecord,
        spec: Upstream,
        servers: Vec<Arc<ServerRecord>>,
    ) {
        let meta = Meta { created_at: before.meta.created_at, ..self.fresh };
        self.put_upstream(UpstreamRecord { spec, meta, servers });
    }

    fn put_upstream(&mut self, record: UpstreamRecord) {
        self.ops.push(codec::put_upstream(&record));
        self.config.upstreams.insert_mut(UpstreamId::new(&record.spec.id), Arc::new(record));
    }

    /// Deletes an upstream and its servers.
    pub(super) fn delete_upstream(&mut self, record: &UpstreamRecord) {
        let id = &record.spec.id;
        for server in &record.servers {
            self.delete_server(id, &server.server.id);
        }
        self.ops.push(Op::Delete { kind: Kind::Upstream, id: id.clone() });
        self.config.upstreams.remove_mut(id.as_str());
    }

    /// Makes the listener of that name equal to `spec`. Touches nothing when it is.
    pub(super) fn set_listener(&mut self, spec: Listener) {
        let before = self.config.listeners.get(spec.id.as_str());
        if before.is_some_and(|before| before.spec == spec) {
            return;
        }
        let created_at = before.map_or(self.fresh.created_at, |before| before.meta.created_at);
        let record = ListenerRecord { spec, meta: Meta { created_at, ..self.fresh } };
        self.ops.push(codec::put_listener(&record));
        self.config.listeners.insert_mut(ListenerId::new(&record.spec.id), Arc::new(record));
    }

    /// Deletes the listener named `id`. `default` is as it was before it was ever changed.
    pub(super) fn delete_listener(&mut self, id: &str) {
        let pristine = ListenerRecord::default();
        if id == Listener::DEFAULT_ID {
            if self.config.listeners.get(id).is_some_and(|present| **present == pristine) {
                return;
            }
            self.config.listeners.insert_mut(ListenerId::new(id), Arc::new(pristine));
        } else {
            self.config.listeners.remove_mut(id);
        }
        self.ops.push(Op::Delete { kind: Kind::Listener, id: id.to_owned() });
    }

    /// Binds the catch-all route to `upstream` if it is bound to nothing. Answers the routes bound.
    pub(super) fn bind_default(&mut self, upstream: &str) -> Vec<String> {
        let present = self.config.routes.get(Route::DEFAULT_ID);
        let mut route = present.map_or_else(|| Route::catch_all(None), |record| record.spec.clone());
        let action = &mut route.action;
        if !action.upstreams.is_empty() || action.redirect.is_some() || action.fixed_response.is_some() {
            return Vec::new();
        }
        action.upstreams.push(UpstreamRef::to(upstream));
        self.put_route(route);
        vec![Route::DEFAULT_ID.to_owned()]
    }

    /// Takes `upstream` out of the route named `route`.
    pub(super) fn unbind(&mut self, route: &str, upstream: &str) {
        if let Some(record) = self.config.routes.get(route) {
            let mut route = record.spec.clone();
            route.action.upstreams.retain(|target| target.upstream != upstream);
            self.put_route(route);
        }
    }

    /// Makes the route of that name equal to `route`.
    pub(super) fn set_route(&mut self, route: Route) {
        if self.config.routes.get(route.id.as_str()).is_none_or(|present| present.spec != route) {
            self.put_route(route);
        }
    }

    /// Deletes the route named `id`.
    pub(super) fn delete_route(&mut self, id: &str) {
        self.ops.push(Op::Delete { kind: Kind::Route, id: id.to_owned() });
        self.config.routes.remove_mut(id);
    }

    fn put_route(&mut self, route: Route) {
        let id = RouteId::new(&route.id);
        let created_at =
            self.config.routes.get(&id).map_or(self.fresh.created_at, |before| before.meta.created_at);
        let record = RouteRecord { spec: route, meta: Meta { created_at, ..self.fresh } };
        self.ops.push(codec::put_route(&record));
        self.config.routes.insert_mut(id, Arc::new(record));
    }

    /// The servers of `before` made equal to `wanted`, in that order. What did not change keeps its record, unless
    /// something before it moved: the store keeps the order of creation, so that what follows is created anew.
    pub(super) fn servers_like(
        &mut self,
        before: &UpstreamRecord,
        wanted: Vec<Server>,
    ) -> Vec<Arc<ServerRecord>> {
        let upstream = &before.spec.id;
        let present: HashMap<&str, &Arc<ServerRecord>> =
            before.servers.iter().map(|record| (record.server.id.as_str(), record)).collect();
        let keeps: HashMap<&str, &Server> =
            wanted.iter().map(|server| (server.id.as_str(), server)).collect();
        let kept: Vec<&Arc<ServerRecord>> =
            before.servers.iter().filter(|record| keeps.contains_key(record.server.id.as_str())).collect();
        let in_place =
            kept.iter().zip(&wanted).take_while(|(record, server)| record.server.id == server.id).count();
        for record in &before.servers {
            if !keeps.contains_key(record.server.id.as_str()) {
                self.delete_server(upstream, &record.server.id);
            }
        }
        for record in kept.iter().skip(in_place) {
            self.delete_server(upstream, &record.server.id);
        }
        drop(keeps);
        wanted
            .into_iter()
            .enumerate()
            .map(|(place, server)| match present.get(server.id.as_str()) {
                Some(record) if place < in_place && record.server == server => Arc::clone(record),
                Some(record) if record.server.address == server.address => {
                    self.changed_server(upstream, record, server)
                }
                Some(_) | None => self.new_server(upstream, server),
            })
            .collect()
    }
}
