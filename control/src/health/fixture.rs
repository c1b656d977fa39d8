//! A configuration that tests change, and the table made of it.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::{sync::watch, time::Instant};
use weir_shared::{
    id::{Epoch, Revision},
    model::{Config, Document, Meta},
    sharing::taking_over,
    state::{EjectionPolicy, Evidence, HealthRecord, RowLimits, ServerState, WorkerId},
    table::{Compiler, TableReader, TableWriter, Upstream, channel},
};

use crate::clock::Clock;

/// The first worker.
pub(crate) const WORKER: WorkerId = WorkerId(0);

/// A configuration in force.
#[derive(Debug)]
pub(crate) struct Fixture {
    pub(crate) clock: Clock,
    pub(crate) reader: TableReader,
    pub(crate) published: watch::Receiver<Revision>,
    writer: TableWriter,
    announce: watch::Sender<Revision>,
}

impl Fixture {
    /// Puts the document with these upstreams in force, the first of them routed to.
    pub(crate) fn new(upstreams: Value) -> Self {
        let clock = Clock::new(Instant::now());
        let config = Arc::new(Config::empty(Epoch("000000".into())));
        let table =
            Compiler { workers: 2, ..Compiler::default() }.compile(config, None, clock.now()).unwrap();
        let (writer, reader) = channel(table);
        let (announce, published) = watch::channel(Revision(0));
        let mut fixture = Self { clock, reader, published, writer, announce };
        fixture.publish(upstreams);
        fixture
    }

    /// Replaces the upstreams, as one change. What stays equal stays the same record.
    pub(crate) fn publish(&mut self, upstreams: Value) {
        let first = upstreams[0]["id"].as_str().map(str::to_owned);
        let catch_all = weir_shared::model::Route::catch_all(first.as_deref());
        self.publish_whole(json!({ "upstreams": upstreams, "routes": [catch_all] }));
    }

    /// Replaces everything, as one change.
    pub(crate) fn publish_whole(&mut self, document: Value) {
        let mut document: Document = serde_json::from_value(document).unwrap();
        for server in document.upstreams.iter_mut().flat_map(|upstream| &mut upstream.servers) {
            if server.id.is_empty() {
                server.id = weir_shared::id::slug(&server.address, |_| false);
            }
        }
        let table = self.reader.snapshot();
        let before = table.config();
        let revision = Revision(before.revision.0 + 1);
        let mut config = document.into_config(revision, before.epoch.clone(), Meta::default());
        config.upstreams = taking_over(&config.upstreams, &before.upstreams);
        config.routes = taking_over(&config.routes, &before.routes);
        let compiler = Compiler { workers: 2, ..Compiler::default() };
        let next = compiler.compile(Arc::new(config), Some(&table), self.clock.now()).unwrap();
        self.writer.publish(next, self.clock.now());
        self.announce.send_replace(revision);
    }

    /// The upstream named `id`.
    pub(crate) fn upstream(&self, id: &str) -> Arc<Upstream> {
        Arc::clone(self.reader.snapshot().upstream(id).unwrap())
    }

    /// The state of the server at `address` in the upstream `web`.
    pub(crate) fn state(&self, address: &str) -> Arc<ServerState> {
        let upstream = self.upstream("web");
        let server = upstream.servers.iter().find(|server| server.record.server.address == address).unwrap();
        Arc::clone(&server.state)
    }

    /// Ejects the server at `address` in the upstream `web` for `length`, without asking whether it can be spared.
    pub(crate) fn eject(&self, address: &str, evidence: Evidence, length: Duration) {
        let policy =
            EjectionPolicy { rows: RowLimits::default(), base: length, max: length, jitter: Duration::ZERO };
        self.state(address).outlier.eject(&policy, evidence, self.clock.now(), 0);
        self.upstream("web").state.eligibility_changed();
    }

    /// What checks say of the server at `address` in the upstream `web`.
    pub(crate) fn health(&self, address: &str) -> HealthRecord {
        self.state(address).health.record()
    }
}
