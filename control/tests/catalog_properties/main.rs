//! Random changes through the real catalog, over memory and over SQLite: what is promised of every change at every
//! revision, whatever came before it.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed helper fails its test"
)]

mod deeds;

use std::sync::Arc;

use deeds::{Deed, Kind, Manner, deed};
use proptest::prelude::*;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{task::JoinSet, time::Instant};
use weir_control::{
    catalog::{
        Applied, Beside, Catalog, Mode, Request, StoreReport, Writer,
        certificate::{certificate, take_key},
        change::{Change, Effect, Naming, Shape, Unnamed},
        diff::{Difference, diff},
        document,
        precondition::Precondition,
        submitted,
    },
    clock::Clock,
    drains::StartDrain,
    error::CatalogError,
    store::{Memory, Sqlite, Store},
};
use weir_shared::{
    error::FieldError,
    id::{Epoch, Revision},
    model::{CertificateRecord, Config, PrivateKey},
    table::{Compiler, channel},
};

/// A catalog and what it needs to live.
struct Subject {
    catalog: Catalog,
    _writer: JoinSet<()>,
}

impl Subject {
    async fn over(store: Arc<dyn Store>) -> Self {
        let epoch = Epoch("abc123".into());
        store.initialise(epoch.clone()).await.unwrap();
        let clock = Clock::new(Instant::now());
        let compiler = Compiler { workers: 1, ..Compiler::default() };
        let table = compiler.compile(Arc::new(Config::empty(epoch)), None, clock.now()).unwrap();
        let report = StoreReport::new(store.engine(), None, None);
        let (writer, catalog) = Writer::new(Some(store), report, compiler, channel(table), clock);
        let mut task = JoinSet::new();
        task.spawn(writer.run());
        Self { catalog, _writer: task }
    }

    async fn change(&self, deed: &Deed) -> Result<Change, CatalogError> {
        let config = self.catalog.config();
        let upstream = |id: &str, servers: &[Value]| {
            submitted::upstream(json!({ "servers": servers }), id).map_err(CatalogError::Invalid)
        };
        Ok(match deed.clone() {
            Deed::Create(id, servers, binding) => {
                Change::CreateUpstream { upstream: upstream(&id, &servers)?, naming: Naming::Given, binding }
            }
            Deed::Put(id, servers, binding) => {
                Change::PutUpstream { upstream: upstream(&id, &servers)?, id, binding }
            }
            Deed::Patch(id, patch) => Change::PatchUpstream { id, patch },
            Deed::Delete(id, references) => Change::DeleteUpstream { id, references },
            Deed::Add(upstream, servers) => {
                let servers = submitted::servers(servers).map_err(CatalogError::Invalid)?;
                Change::AddServers { upstream, servers, shape: Shape::Many }
            }
            Deed::PutServer(upstream, key, server) => {
                let server = submitted::server(server, Some(&key)).map_err(CatalogError::Invalid)?;
                Change::PutServer { upstream, key, server }
            }
            Deed::PatchServer(upstream, key, patch) => Change::PatchServer { upstream, key, patch },
            Deed::DeleteServer(upstream, key) => Change::DeleteServer { upstream, key },
            Deed::Drain(upstream, key, then) => {
                Change::StartDrain(StartDrain { upstream, key, timeout: None, then })
            }
            Deed::CancelDrain(upstream, key) => Change::CancelDrain { upstream, key },
            Deed::Of(kind, id, manner) => of_kind(kind, id, manner)?,
            Deed::Replace(document, unnamed, confirm) => {
                let whole = document::read(document, None).map_err(CatalogError::Invalid)?;
                Change::PutConfig { whole, unnamed, confirmed: confirm.of(&config) }
            }
            Deed::Back(steps, confirm) => {
                let to = Revision(config.revision.0.saturating_sub(steps));
                let past = self.catalog.config_at(to).await?;
                Change::RollBack { to, config: past, confirmed: confirm.of(&config) }
            }
        })
    }

    async fn apply(&self, change: Change, mode: Mode) -> Result<Applied, CatalogError> {
        let request = Request {
            change,
            precondition: Precondition::default(),
            mode,
            actor: "test".to_owned(),
            request_id: String::new(),
            message: None,
            beside: Beside::default(),
            held: None,
        };
        self.catalog.apply(request).await
    }

    /// Tries `deed`, makes it, and answers what came of it.
    async fn carry_out(&self, deed: &Deed) -> Result<(Effect, Vec<String>, Vec<Difference>), String> {
        let before = self.catalog.config();
        let change = self.change(deed).await.map_err(told)?;
        let tried = self.apply(change.clone(), Mode::DryRun).await;
        assert!(Arc::ptr_eq(&before, &self.catalog.config()), "a trial changes nothing: {deed:?}");
        let made = self.apply(change, Mode::Commit).await;
        let after = self.catalog.config();
        let (tried, made) = match (tried, made) {
            (Ok(tried), Ok(made)) => (tried, made),
            (Err(tried), Err(made)) => {
                let (tried, made) = (told(tried), told(made));
                assert_eq!(tried, made, "{deed:?}");
                assert_eq!(before, after, "a refused change changes nothing: {deed:?}");
                return Err(made);
            }
            // What is refused only because it is large can be tried.
            (Ok(tried), Err(made)) if !tried.outcome.losses.is_empty() => {
                assert!(matches!(made, CatalogError::LargeChange { .. }), "{deed:?}: {made:?}");
                assert_eq!(before, after, "a refused change changes nothing: {deed:?}");
                return Err(told(made));
            }
            (tried, made) => panic!("{deed:?}: tried {tried:?}, made {made:?}"),
        };
        let real = diff(&before, &after);
        assert_eq!(diff(&tried.before, &tried.config), real, "{deed:?}");
        assert_eq!(
            (tried.outcome.effect, &tried.outcome.servers),
            (made.outcome.effect, &made.outcome.servers)
        );
        let steps = u64::from(made.outcome.effect != Effect::Unchanged);
        assert_eq!(after.revision.0, before.revision.0 + steps, "{deed:?}");
        assert_eq!(made.outcome.effect == Effect::Unchanged, real.is_empty(), "{deed:?}: {real:?}");
        Ok((made.outcome.effect, made.outcome.servers, real))
    }

    /// What is read can be put back, and that changes nothing.
    async fn assert_put_back_is_unchanged(&self) {
        let config = self.catalog.config();
        let document = serde_json::to_value(config.to_document()).unwrap();
        let whole = document::read(document, None).unwrap();
        let put = Change::PutConfig { whole, unnamed: Unnamed::Delete, confirmed: None };
        let applied = self.apply(put, Mode::Commit).await.unwrap();
        assert_eq!(applied.outcome.effect, Effect::Unchanged);
        assert!(Arc::ptr_eq(&config, &self.catalog.config()));
    }
}

/// A change of a route, a listener or a certificate.
fn of_kind(kind: Kind, id: String, manner: Manner) -> Result<Change, CatalogError> {
    Ok(match kind {
        Kind::Route => match manner {
            Manner::Create(body) => Change::CreateRoute { route: read(submitted::route(body, &id))? },
            Manner::Put(body) => Change::PutRoute { route: read(submitted::route(body, &id))?, id },
            Manner::Patch(patch) => Change::PatchRoute { id, patch },
            Manner::Delete => Change::DeleteRoute { id },
        },
        Kind::Listener => match manner {
            Manner::Create(body) => {
                Change::CreateListener { listener: read(submitted::listener(body, Some(&id)))? }
            }
            Manner::Put(body) => {
                let listener = read(submitted::listener(body, Some(&id)))?;
                Change::PutListener { id, listener, kept: vec!["address"] }
            }
            Manner::Patch(patch) => Change::PatchListener { id, patch },
            Manner::Delete => Change::DeleteListener { id },
        },
        Kind::Certificate => match manner {
            Manner::Create(body) => {
                Change::CreateCertificate { certificate: read(certificate(body, Some(&id)))? }
            }
            Manner::Put(body) => {
                Change::PutCertificate { certificate: read(certificate(body, Some(&id)))?, id }
            }
            Manner::Patch(mut patch) => {
                let private_key = read(take_key(&mut patch))?;
                Change::PatchCertificate { id, patch, private_key }
            }
            Manner::Delete => Change::DeleteCertificate { id },
        },
    })
}

fn read<T>(submitted: Result<T, Vec<FieldError>>) -> Result<T, CatalogError> {
    submitted.map_err(CatalogError::Invalid)
}

/// An error in words, with every fault, and without the configuration that some carry.
fn told(error: CatalogError) -> String {
    match error {
        CatalogError::Invalid(errors) => format!("{errors:?}"),
        CatalogError::Exists { existing, detail, errors, .. } => format!("{existing:?} {detail} {errors:?}"),
        CatalogError::LargeChange { revision, losses } => format!("{revision} {losses:?}"),
        CatalogError::InUse { upstream, routes } => format!("{upstream} {routes:?}"),
        other => other.to_string(),
    }
}

/// What two catalogs must agree on: all but the times, which are those of the wall.
fn content(config: &Config) -> Value {
    let touched: Vec<_> = config
        .upstreams
        .values()
        .map(|record| {
            (
                record.meta.revision,
                record.servers.iter().map(|server| server.meta.revision).collect::<Vec<_>>(),
            )
        })
        .collect();
    let routes: Vec<_> = config.routes.values().map(|record| record.meta.revision).collect();
    let listeners: Vec<_> = config.listeners.values().map(|record| record.meta.revision).collect();
    // A key is in no document.
    let certificate =
        |record: &Arc<CertificateRecord>| (record.meta.revision, record.spec.private_key.clone());
    let certificates: Vec<_> = config.certificates.values().map(certificate).collect();
    let certificates: Vec<_> =
        certificates.iter().map(|(revision, key)| (revision, key.as_ref().map(PrivateKey::expose))).collect();
    json!({
        "revision": config.revision, "touched": touched, "document": config.to_document(),
        "routes": routes, "listeners": listeners, "certificates": certificates,
    })
}

/// Does `deeds` over both stores and compares them after each, and their histories in the end.
async fn compare(deeds: Vec<Deed>) {
    let folder = TempDir::new().unwrap();
    let sqlite = Arc::new(Sqlite::open(&folder.path().join("state.db")).unwrap());
    let (one, two) = (Subject::over(Arc::new(Memory::default())).await, Subject::over(sqlite).await);
    let mut past = vec![content(&one.catalog.config())];
    for deed in &deeds {
        let told = (one.carry_out(deed).await, two.carry_out(deed).await);
        assert_eq!(told.0, told.1, "{deed:?}");
        let present = content(&one.catalog.config());
        assert_eq!(present, content(&two.catalog.config()), "{deed:?}");
        if past.last() != Some(&present) {
            past.push(present);
        }
        one.assert_put_back_is_unchanged().await;
        two.assert_put_back_is_unchanged().await;
    }
    for (revision, expected) in (0..).map(Revision).zip(&past) {
        for subject in [&one, &two] {
            assert_eq!(content(&subject.catalog.config_at(revision).await.unwrap()), *expected, "{revision}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_stores_tell_the_same_and_every_change_keeps_its_promises(deeds in prop::collection::vec(deed(), 1..40)) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(compare(deeds));
    }
}
