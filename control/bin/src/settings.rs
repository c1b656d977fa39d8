//! From flags to what each plane is started with.

use std::{io, net::SocketAddr, num::NonZeroUsize, sync::Arc};

use rustls::RootCertStore;
use tokio::time::Instant;
use weir_control::{
    AccessConfig, ControlConfig, StoreChoice,
    api::Build,
    catalog::precondition::IfMatch,
    clock::Clock,
    seed::{Seed, SeedError},
    startup::data_dir::DataDir,
};
use weir_proxy::ProxyConfig;
use weir_shared::{
    model::ListenerFlags,
    state::ListenerState,
    table::{BalancerNumber, Compiler, Site},
    tls::{Basis, tickets},
};

use crate::{
    cli::{Cli, SiteArgs, StoreKind},
    failure::Failure,
    memory,
};

/// Where Linux says what the machine is called; the standard library does not.
const HOST_NAME: &str = "/proc/sys/kernel/hostname";

/// What TLS needs of the process: whom the system trusts, and keys for session tickets.
///
/// # Errors
/// When the system gives no random numbers.
pub(crate) fn tls() -> io::Result<Basis> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (trusted, unusable) = roots.add_parsable_certificates(found.certs);
    for error in found.errors {
        tracing::warn!(%error, "some of the certificates that the system trusts cannot be read");
    }
    tracing::debug!(trusted, unusable, "certificates that the system trusts");
    Ok(Basis { system_roots: Arc::new(roots), tickets: Some(tickets::new().map_err(io::Error::other)?) })
}

/// How many threads serve traffic.
pub(crate) fn workers(args: &Cli) -> usize {
    match args.workers {
        Some(workers) => usize::from(workers),
        None => std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
    }
}

/// Where this balancer is among others.
///
/// # Errors
/// When there is no such balancer.
pub(crate) fn site(args: &SiteArgs) -> Result<Site, Failure> {
    let number = match (args.balancer_index, args.balancer_count) {
        (Some(index), Some(count)) => {
            Some(BalancerNumber::new(index, count).ok_or(Failure::Balancer { index, count })?)
        }
        _ => None,
    };
    Ok(Site { zone: args.zone.clone(), number })
}

/// Files kept back from connections: the store, logs, the admin API, its callers and listeners, health checks.
const OTHER_FILES: u64 = 2280;

/// How many clients may be connected: as said, or half of what `open_files` leaves, because each request needs a
/// connection to a server as well. Clients could otherwise take every file, and healthy servers would be out of reach.
pub(crate) fn connections(args: &Cli, open_files: Option<u64>) -> u32 {
    match (args.limits.max_connections, open_files) {
        (0, Some(files)) => {
            let left = files.saturating_sub(OTHER_FILES).max(files / 4);
            u32::try_from(left / 2).unwrap_or(u32::MAX).max(1)
        }
        (said, _) => said,
    }
}

/// How much memory may be used: as said, or nine tenths of what the process's control group may use.
fn memory(args: &Cli, group_limit: Option<u64>) -> u64 {
    args.limits.max_memory_bytes.unwrap_or_else(|| group_limit.map_or(0, |limit| limit / 10 * 9))
}

/// What the data plane is started with.
pub(crate) fn proxy(args: &Cli, connections: u32, workers: usize, clock_base: Instant) -> ProxyConfig {
    ProxyConfig {
        listen: args.listen,
        workers,
        max_connections: connections,
        trusted_proxies: args.limits.trusted_proxies.clone(),
        trusted_hops: args.limits.trusted_hops,
        max_memory_bytes: memory(args, memory::group_limit()),
        clock_base,
    }
}

/// The configuration to begin with, if there is one. A file that is faulty is refused here when it is certain to be
/// needed, before anything is opened.
pub(crate) fn seed(args: &Cli) -> Result<Option<Result<Seed, SeedError>>, SeedError> {
    let Some(path) = &args.config else { return Ok(None) };
    let is_needed = match store(args) {
        StoreChoice::Memory => true,
        StoreChoice::Folder(folder) => DataDir::is_unused(&folder),
    };
    match Seed::read(path, Some(&flags(args, args.listen))) {
        Err(error) if is_needed => Err(error),
        read => Ok(Some(read)),
    }
}

/// What the control plane is started with.
pub(crate) fn control(
    args: &Cli,
    seed: Option<Result<Seed, SeedError>>,
    compiler: Compiler,
    listener_state: Arc<ListenerState>,
    clock: Clock,
) -> ControlConfig {
    ControlConfig {
        store: store(args),
        seed,
        compiler,
        listener_state,
        clock,
        allowed_hosts: args.admin.admin_allowed_host.clone(),
        if_match: if args.changes.require_if_match { IfMatch::Required } else { IfMatch::Optional },
        access: AccessConfig::default(),
        node: node(),
        build: Build {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: option_env!("WEIR_BUILD_COMMIT").unwrap_or("unknown").to_owned(),
        },
    }
}

fn store(args: &Cli) -> StoreChoice {
    // A demo leaves nothing behind unless asked to: its servers are gone when it ends, and a configuration that names
    // them would greet the next start.
    let default = if args.demo { StoreKind::Memory } else { StoreKind::Sqlite };
    match args.store.unwrap_or(default) {
        StoreKind::Sqlite => StoreChoice::Folder(args.data_dir.clone()),
        StoreKind::Memory => StoreChoice::Memory,
    }
}

/// What is said of the listener `default`, which is bound to `address`.
pub(crate) fn flags(args: &Cli, address: SocketAddr) -> ListenerFlags {
    let limits = &args.limits;
    ListenerFlags {
        address: address.to_string(),
        header_timeout: limits.header_timeout,
        idle_timeout: limits.idle_timeout,
        max_header_bytes: limits.max_header_bytes,
        max_headers: limits.max_headers,
        max_uri_bytes: limits.max_uri_bytes,
        max_body_bytes: limits.max_body_bytes,
    }
}

fn node() -> String {
    let name = std::fs::read_to_string(HOST_NAME).unwrap_or_default();
    match name.trim() {
        "" => "weir".to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(flags: &[&str]) -> Cli {
        crate::usage::balance(std::iter::once("weir").chain(flags.iter().copied()).map(Into::into)).unwrap()
    }

    #[test]
    fn clients_leave_files_for_servers() {
        assert_eq!(connections(&args(&[]), Some(22_280)), 10_000);
        assert_eq!(connections(&args(&[]), Some(1024)), 128);
        assert_eq!(connections(&args(&[]), None), 0);
        assert_eq!(connections(&args(&["--max-connections", "7"]), Some(1024)), 7);
    }

    #[test]
    fn memory_is_what_was_said_or_most_of_what_the_group_has() {
        assert_eq!(memory(&args(&[]), Some(1000)), 900);
        assert_eq!(memory(&args(&[]), None), 0);
        assert_eq!(memory(&args(&["--max-memory-bytes", "7"]), Some(1000)), 7);
        assert_eq!(memory(&args(&["--max-memory-bytes", "0"]), Some(1000)), 0);
    }

    #[test]
    fn flags_that_are_not_given_leave_the_limits_to_the_api() {
        assert_eq!(flags(&args(&[]), "0.0.0.0:8080".parse().unwrap()), ListenerFlags::default());
        let given = flags(&args(&["--max-headers", "17"]), "0.0.0.0:8080".parse().unwrap());
        assert_eq!(given.names(), ["address", "max_headers"]);
    }

    #[test]
    fn a_demo_keeps_nothing_unless_told_to() {
        assert!(matches!(store(&args(&[])), StoreChoice::Folder(_)));
        assert!(matches!(store(&args(&["--demo"])), StoreChoice::Memory));
        assert!(matches!(store(&args(&["--demo", "--store", "sqlite"])), StoreChoice::Folder(_)));
        assert!(matches!(store(&args(&["--store", "memory"])), StoreChoice::Memory));
    }
}
