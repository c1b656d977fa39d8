//! A listener as the data plane sees it.

use std::sync::Arc;

use crate::{
    error::{FieldError, Pointer},
    id::ListenerId,
    model::{self, ListenAddress, ListenerFlags, ListenerRecord, listener},
    state::Binding,
    time::Now,
    tls::IncomingTls,
};

/// A compiled listener. Reused as it is by every table until its own configuration changes.
#[derive(Debug)]
pub struct Listener {
    /// Name.
    pub id: ListenerId,
    /// Where it listens.
    pub address: ListenAddress,
    /// What is in force of it: what was written, and what the command line says.
    pub spec: model::Listener,
    /// How connections are secured; `None`: they are not.
    pub tls: Option<Arc<IncomingTls>>,
    /// What is observed of it.
    pub state: Arc<Binding>,
    /// What it was compiled from.
    pub record: Arc<ListenerRecord>,
}

impl Listener {
    /// Not secured yet. `None` when that added to `errors`.
    pub(super) fn compile(
        id: &ListenerId,
        record: &Arc<ListenerRecord>,
        before: Option<&Self>,
        flags: &ListenerFlags,
        workers: usize,
        now: Now,
        errors: &mut Vec<FieldError>,
    ) -> Option<Self> {
        let found = errors.len();
        let spec = flags.over(&record.spec);
        listener::check(&spec, &Pointer::root().at("listeners").at(id), errors);
        if errors.len() > found {
            return None;
        }
        let state = before
            .map_or_else(|| Arc::new(Binding::new(workers, now.wall)), |before| Arc::clone(&before.state));
        // It was checked.
        let address = ListenAddress::parse(&spec.address).ok()?;
        Some(Self { id: id.clone(), address, spec, tls: None, state, record: Arc::clone(record) })
    }
}
