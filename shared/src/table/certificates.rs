//! The certificates of a configuration compiled, and which of the rest depends on them.

use std::{collections::HashSet, sync::Arc};

use super::{Listener, Table, Upstream};
use crate::{
    error::{FieldError, Pointer},
    id::CertificateId,
    model::{self, AlpnProtocol, Config, ListenerProtocol, ListenerRecord, UpstreamRecord, UpstreamTls},
    sharing::{Change, SharedMap, changed},
    tls::{Basis, Certificate, IncomingTls, OutgoingTls},
};

/// The certificates of a configuration. What did not change is taken over.
pub(super) struct Certificates {
    pub(super) all: SharedMap<CertificateId, Certificate>,
    /// Those that are not the same as before.
    pub(super) touched: HashSet<CertificateId>,
}

impl Certificates {
    /// Reads those of `config` that are not in `previous`. What is wrong with them is added to `errors`.
    pub(super) fn compile(config: &Config, previous: Option<&Table>, errors: &mut Vec<FieldError>) -> Self {
        let none = SharedMap::default();
        let known = previous.map_or(&none, |table| &table.config.certificates);
        let mut all = previous.map(|table| table.certificates.clone()).unwrap_or_default();
        let mut touched = HashSet::new();
        let at = Pointer::root().at("certificates");
        for (id, change) in changed(known, &config.certificates) {
            touched.insert(id.clone());
            match change {
                Change::Added(record) | Change::Replaced(_, record) => {
                    if let Some(certificate) = Certificate::compile(id, record, &at.at(id), errors) {
                        all.insert_mut(id.clone(), Arc::new(certificate));
                    }
                }
                Change::Removed(_) => {
                    all.remove_mut(id);
                }
            }
        }
        Self { all, touched }
    }

    /// Those of `all` that are the same as in `known`, but name a certificate that is not: as good as new.
    pub(super) fn concerned<'a, K: Ord, V: NamesCertificates>(
        &self,
        all: &'a SharedMap<K, V>,
        known: &SharedMap<K, V>,
    ) -> Vec<(&'a K, Change<'a, V>)> {
        if self.touched.is_empty() {
            return Vec::new();
        }
        let is_concerned = |(id, record): &(&'a K, &'a Arc<V>)| {
            record.names().iter().any(|name| self.touched.contains(*name))
                && known.get(*id).is_some_and(|known| Arc::ptr_eq(known, record))
        };
        all.iter().filter(is_concerned).map(|(id, record)| (id, Change::Added(record))).collect()
    }

    /// How the connections of a listener's clients are secured. What is wrong is added to `errors`.
    pub(super) fn incoming(
        &self,
        listener: &model::Listener,
        before: Option<&Listener>,
        basis: &Basis,
        errors: &mut Vec<FieldError>,
    ) -> Option<Arc<IncomingTls>> {
        if listener.protocol != ListenerProtocol::Https {
            return None;
        }
        let at = Pointer::root().at("listeners").at(&listener.id).at("tls");
        let before = before.and_then(|before| before.tls.as_ref());
        let mut settings = listener.tls.clone();
        if !listener.http2 {
            settings.alpn = vec![AlpnProtocol::Http11];
        }
        IncomingTls::compile(&settings, &self.all, before, basis.tickets.as_ref(), &at, errors)
    }

    /// How connections to the servers of an upstream are secured. What is wrong is added to `errors`.
    pub(super) fn outgoing(
        &self,
        settings: &UpstreamTls,
        before: Option<&Upstream>,
        basis: &Basis,
        at: &Pointer,
        errors: &mut Vec<FieldError>,
    ) -> Option<Arc<OutgoingTls>> {
        let before = before.and_then(|before| before.tls.as_ref());
        OutgoingTls::compile(settings, &self.all, before, basis, at, errors)
    }
}

/// A resource that may name certificates.
pub(super) trait NamesCertificates {
    /// Those it names.
    fn names(&self) -> Vec<&str>;
}

impl NamesCertificates for UpstreamRecord {
    fn names(&self) -> Vec<&str> {
        self.spec.tls.references().map(|reference| reference.id).collect()
    }
}

impl NamesCertificates for ListenerRecord {
    fn names(&self) -> Vec<&str> {
        self.spec.tls.references().map(|reference| reference.id).collect()
    }
}
