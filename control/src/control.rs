//! The control plane assembled: what the binary starts and stops.
//!
//! In two steps, because the proxy needs the table before the API may say that the data port is bound: [`Control::prepare`]
//! loads the configuration and gives out the reader, [`Prepared::serve`] opens the API. All of it runs on threads of its
//! own, so that no flood of API calls and no slow disk delays a request.

use std::{
    collections::HashMap,
    io,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use tokio::{
    runtime::Runtime,
    sync::{Semaphore, watch},
    task::JoinSet,
};
use weir_shared::{
    id::Revision,
    state::ListenerState,
    table::{Compiler, TableReader, channel},
};

use crate::{
    access::{
        Access, Policy, Probes, WithoutTokens,
        limit::{Limiter, Rate},
        scope::Scope,
        secret::Secret,
        tokens::Tokens,
    },
    api::{self, Api, Build, envelope::MAX_IN_FLIGHT, guard::Guard, retry::UnderWay, serve::Door},
    audit::{self, Audit},
    catalog::{Catalog, Writer, precondition::IfMatch},
    clock::Clock,
    drains,
    error::CatalogError,
    events::{Bus, CertificateObserver, ListenerObserver, Observer, tickets::Tickets},
    health::{CheckerStats, HealthChecker},
    last_good::Keeper,
    seed::{self, Seed, SeedError},
    socket::SocketFile,
    startup::{self, Source, StartError, Started, data_dir::DataDir},
    status::Status,
    store::{Store, StoreError},
    tls::{Acceptor, TlsError, TlsFiles},
};

/// Threads of the control plane: one may be busy with a large document while the other answers.
const THREADS: usize = 2;

/// Threads for blocking work: reading two large documents, opening the store, writing the last good configuration.
const BLOCKING_THREADS: usize = 6;

/// Where the configuration is kept.
#[derive(Clone, Debug)]
pub enum StoreChoice {
    /// In the folder at this path.
    Folder(PathBuf),
    /// In memory, to be forgotten.
    Memory,
}

/// What the control plane is started with.
#[derive(Debug)]
pub struct ControlConfig {
    /// Where the configuration is kept.
    pub store: StoreChoice,
    /// What is put in force when nothing ever was.
    pub seed: Option<Result<Seed, SeedError>>,
    /// Compiles for the number of workers the data plane has.
    pub compiler: Compiler,
    /// What is observed of all listeners.
    pub listener_state: Arc<ListenerState>,
    /// The process's clock.
    pub clock: Clock,
    /// Names other than loopback by which the API may be called.
    pub allowed_hosts: Vec<String>,
    /// Whether what is there may be changed without naming its state.
    pub if_match: IfMatch,
    /// Who may call the API.
    pub access: AccessConfig,
    /// What this process is called in health documents.
    pub node: String,
    /// What the program is.
    pub build: Build,
}

/// Who may call the API.
#[derive(Debug)]
pub struct AccessConfig {
    /// What a caller over TCP may do while there is no token.
    pub without_tokens: WithoutTokens,
    /// What is shown to anybody.
    pub probes: Probes,
    /// How often one caller may call; `None`: as often as it likes.
    pub rate: Option<Rate>,
    /// Certificates for the admin port; without them it speaks plain text.
    pub tls: Option<TlsFiles>,
    /// A token that an operator's file holds; its bearer may do everything.
    pub token: Option<Secret<String>>,
    /// What certificates' names, and users of the unix socket written `uid:1000`, may do.
    pub principals: HashMap<String, Vec<Scope>>,
}

/// Nobody over TCP needs to say who it is until there is a token.
impl Default for AccessConfig {
    fn default() -> Self {
        Self {
            without_tokens: WithoutTokens::Open,
            probes: Probes::Guarded,
            rate: Some(Rate { per_second: 1000, burst: 2000 }),
            tls: None,
            token: None,
            principals: HashMap::new(),
        }
    }
}

/// Why the control plane cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// No configuration could be set up.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The file with the first configuration cannot be used.
    #[error(transparent)]
    Seed(#[from] SeedError),
    /// The first configuration could not be put in force.
    #[error("cannot put the first configuration in force: {0}")]
    Planting(#[from] CatalogError),
    /// The admin port's certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The system gives no threads or sockets.
    #[error("cannot start the control plane: {0}")]
    System(#[from] io::Error),
}

/// A control plane with a configuration in force and nothing served yet.
#[derive(Debug)]
pub struct Prepared {
    parts: Parts,
    catalog: Catalog,
    checker: Arc<CheckerStats>,
    status: Arc<Status>,
    source: Source,
    access: Access,
    audit: Audit,
    acceptor: Option<Acceptor>,
    published: watch::Receiver<Revision>,
    config: ControlConfig,
}

/// What runs until the end.
#[derive(Debug)]
struct Parts {
    /// Ended first: it reads tables and writes verdicts.
    checker: HealthChecker,
    runtime: Runtime,
    /// The API's connections, which end when told.
    serving: JoinSet<()>,
    /// The writer and whoever follows it, which end when the last catalog is gone.
    following: JoinSet<()>,
    sampling: JoinSet<()>,
    /// Removed before the folder is given up.
    socket: Option<SocketFile>,
    data_dir: Option<DataDir>,
}

/// A control plane at work.
#[derive(Debug)]
pub struct Control {
    parts: Parts,
    stop: watch::Sender<bool>,
    events: Bus,
    admin: SocketAddr,
}

impl Control {
    /// Loads the configuration, puts it in force and starts checking servers.
    ///
    /// # Errors
    /// When the folder cannot be used, is in use, or the system gives no threads. A damaged store is no error.
    pub fn prepare(mut config: ControlConfig) -> Result<(Prepared, TableReader), ControlError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .max_blocking_threads(BLOCKING_THREADS)
            .thread_name("weir-control")
            .enable_all()
            .build()?;
        let acceptor = config.access.tls.as_ref().map(Acceptor::new).transpose()?;
        let started = runtime.block_on(async {
            match &config.store {
                StoreChoice::Folder(path) => startup::in_folder(path, &config.compiler, &config.clock).await,
                StoreChoice::Memory => startup::in_memory(&config.compiler, &config.clock).await,
            }
        })?;
        let Started { table, source, store, report, data_dir } = started;
        let access = runtime
            .block_on(access(&config.access, store.clone(), data_dir.as_ref()))
            .map_err(StartError::Store)?;
        let (audit, refused) = Audit::new();
        let audit_keeper = audit::Keeper::new(refused, store.clone(), Arc::clone(audit.stats()));
        let (table, reader) = channel(table);
        let (writer, catalog) =
            Writer::new(store, report, config.compiler.clone(), (table, reader.clone()), config.clock);
        // Before anything is checked, so that the first verdicts are told.
        let observer = Observer::new(reader.clone(), catalog.events().clone(), config.clock, &config.node);
        let certificates =
            CertificateObserver::new(reader.clone(), catalog.events().clone(), config.clock, &config.node);
        let published = writer.published();
        let checker = HealthChecker::start(reader.clone(), writer.published(), config.clock)?;
        let mut following = JoinSet::new();
        if let Some(folder) = &data_dir {
            let keeper =
                Keeper::new(folder.last_good(), reader.clone(), config.clock, catalog.report().clone());
            following.spawn_on(keeper.run(writer.published()), runtime.handle());
        }
        following.spawn_on(writer.run(), runtime.handle());
        if let Some(seed) = config.seed.take() {
            runtime.block_on(seed::plant(seed, &catalog))?;
        }
        following.spawn_on(audit_keeper.run(), runtime.handle());
        let status = status(&config, &reader, &catalog);
        let mut sampling = JoinSet::new();
        runtime.block_on(catalog.load_drains(&config.clock));
        sampling.spawn_on(drains::Runner::new(catalog.clone(), config.clock).run(), runtime.handle());
        sampling.spawn_on(Arc::clone(&status).run_sampler(), runtime.handle());
        sampling.spawn_on(observer.run(), runtime.handle());
        let bus = catalog.events().clone();
        let listeners = ListenerObserver::new(reader.clone(), bus, config.clock, &config.node);
        sampling.spawn_on(listeners.run(), runtime.handle());
        sampling.spawn_on(certificates.run(), runtime.handle());
        let stats = checker.stats();
        let serving = JoinSet::new();
        let parts = Parts { checker, runtime, serving, following, sampling, socket: None, data_dir };
        let checker = stats;
        let prepared =
            Prepared { parts, catalog, checker, status, source, access, audit, acceptor, published, config };
        Ok((prepared, reader))
    }
}

fn status(config: &ControlConfig, reader: &TableReader, catalog: &Catalog) -> Arc<Status> {
    let listener = Arc::clone(&config.listener_state);
    let status = Status::new(reader.clone(), listener, config.clock, config.node.clone());
    Arc::new(status.with_drains(catalog.drains().clone()))
}

async fn access(
    config: &AccessConfig,
    store: Option<Arc<dyn Store>>,
    folder: Option<&DataDir>,
) -> Result<Access, StoreError> {
    let policy = Policy {
        without_tokens: config.without_tokens,
        probes: config.probes,
        principals: config.principals.clone(),
        owner: rustix::process::geteuid().as_raw(),
    };
    let tokens = Tokens::load(store, folder.map(DataDir::tokens), config.token.as_ref()).await?;
    Ok(Access { tokens, policy })
}

impl Prepared {
    /// What affinity cookies are signed with: the data directory's, or one for the life of the process.
    #[must_use]
    pub fn affinity_secret(&self) -> [u8; 32] {
        let Some(folder) = &self.parts.data_dir else { return rand::random() };
        folder.affinity_secret().unwrap_or_else(|error| {
            tracing::warn!(%error, "affinity cookies will not outlive this process");
            rand::random()
        })
    }

    /// Tells of every revision that is put in force.
    #[must_use]
    pub fn published(&self) -> watch::Receiver<Revision> {
        self.published.clone()
    }

    /// Opens the API on `admin`. `settled` tells of which revision the data plane has tried the listeners.
    ///
    /// # Errors
    /// When the socket cannot be used.
    pub fn serve(
        self,
        admin: TcpListener,
        settled: watch::Receiver<Revision>,
    ) -> Result<Control, ControlError> {
        let Self {
            mut parts,
            catalog,
            checker,
            status,
            source,
            access,
            audit,
            acceptor,
            published: _,
            config,
        } = self;
        admin.set_nonblocking(true)?;
        let address = admin.local_addr()?;
        let api = Api {
            catalog,
            status,
            checker,
            flags: config.compiler.flags,
            listener_state: config.listener_state,
            settled,
            workers: config.compiler.workers,
            source,
            clock: config.clock,
            started_at: config.clock.now().wall,
            build: config.build,
            guard: Guard::new(address, &config.allowed_hosts),
            access,
            failures: Limiter::new(api::access::FAILURES),
            calls: config.access.rate.map(Limiter::new),
            audit,
            in_flight: Semaphore::new(MAX_IN_FLIGHT),
            under_way: UnderWay::default(),
            if_match: config.if_match,
            tickets: Tickets::new(config.clock),
        };
        let events = api.catalog.events().clone();
        let (stop, stopped) = watch::channel(false);
        let router = api::router(Arc::new(api));
        let (port, socket) = {
            let _context = parts.runtime.enter();
            let port = Door::Port(tokio::net::TcpListener::from_std(admin)?, acceptor);
            (port, parts.data_dir.as_ref().and_then(open_socket))
        };
        if let Some((file, door)) = socket {
            parts.socket = Some(file);
            let serving = api::serve::run(door, router.clone(), stopped.clone());
            parts.serving.spawn_on(serving, parts.runtime.handle());
        }
        parts.serving.spawn_on(api::serve::run(port, router, stopped), parts.runtime.handle());
        Ok(Control { parts, stop, events, admin: address })
    }
}

/// Opens the socket in `folder`. Without it there is still the port, so that trouble with it is told and no more.
fn open_socket(folder: &DataDir) -> Option<(SocketFile, Door)> {
    let path = folder.socket();
    let opened = SocketFile::listen(&path)
        .and_then(|(file, listener)| Ok((file, Door::Socket(tokio::net::UnixListener::from_std(listener)?))));
    match opened {
        Ok(opened) => Some(opened),
        Err(error) => {
            tracing::error!(%error, path = %path.display(), "the API has no unix socket");
            None
        }
    }
}

impl Control {
    /// Where the API is.
    #[must_use]
    pub fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// Stops: finishes calls and commits under way, writes the last good configuration, and gives up on what is not done
    /// within `deadline`.
    pub fn shutdown(self, deadline: Duration) {
        self.stop.send_replace(true);
        self.events.close();
        let Parts { checker, runtime, mut serving, mut following, sampling, socket, data_dir } = self.parts;
        drop(checker);
        let finished = runtime.block_on(async {
            drop(sampling);
            let all = async {
                // With the last call goes the last catalog, with it the writer, and with that the keeper.
                while serving.join_next().await.is_some() {}
                while following.join_next().await.is_some() {}
            };
            tokio::time::timeout(deadline, all).await
        });
        if finished.is_err() {
            tracing::warn!("the control plane did not finish in time");
        }
        runtime.shutdown_timeout(Duration::from_secs(1));
        drop(socket);
        drop(data_dir);
    }
}
