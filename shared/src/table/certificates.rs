//! The certificates of a configuration compiled, and which of the rest depends on them.

use std::{collections::HashSet, sync::Arc};

use super::{Table, Upstream};
use crate::{
    error::{FieldError, Pointer},
    id::{CertificateId, UpstreamId},
    model::{Config, UpstreamRecord, UpstreamTls},
    sharing::{Change, SharedMap, changed},
    tls::{Basis, Certificate, OutgoingTls},
};

/// The certificates of a configuration. What did not change is taken over.
pub(super) struct Certificates {
    pub(super) all: SharedMap<CertificateId, Certificate>,
    /// Those that are not the same as before.
    touched: HashSet<CertificateId>,
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

    /// The upstreams of `config` that are the same as in `known`, but name a certificate that is not.
    pub(super) fn concerned<'a>(
        &self,
        config: &'a Config,
        known: &SharedMap<UpstreamId, UpstreamRecord>,
    ) -> Vec<(&'a UpstreamId, &'a Arc<UpstreamRecord>)> {
        if self.touched.is_empty() {
            return Vec::new();
        }
        let is_concerned = |(id, record): &(&UpstreamId, &Arc<UpstreamRecord>)| {
            record.spec.tls.references().any(|reference| self.touched.contains(reference.id))
                && known.get(id.as_str()).is_some_and(|known| Arc::ptr_eq(known, record))
        };
        config.upstreams.iter().filter(is_concerned).collect()
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
