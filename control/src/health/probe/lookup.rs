//! Names to addresses, by the system's resolver.
//!
//! The resolver blocks its thread for as long as it likes and cannot be stopped, so only so many lookups run at once; a
//! check that finds no place in time is not made, which says nothing about its server.

use std::{
    io,
    net::{SocketAddr, ToSocketAddrs as _},
    sync::Arc,
};

use tokio::{
    sync::Semaphore,
    task::spawn_blocking,
    time::{Instant, timeout_at},
};
use weir_shared::{model::address::Address, state::Reason};

use super::{Answer, error};

/// Most lookups at once, a thread each.
pub(in crate::health) const MAX_LOOKUPS: usize = 32;
/// Most addresses of one name that are tried.
const MAX_ADDRESSES: usize = 16;

/// Places for lookups.
#[derive(Clone, Debug)]
pub(super) struct Lookups {
    places: Arc<Semaphore>,
}

impl Default for Lookups {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(MAX_LOOKUPS)) }
    }
}

impl Lookups {
    /// The addresses of `target`.
    pub(super) async fn resolve(
        &self,
        target: &Address,
        deadline: Instant,
    ) -> Result<Vec<SocketAddr>, Answer> {
        let (host, port) = match target {
            Address::Socket(socket) => return Ok(vec![*socket]),
            Address::Name { host, port } => (Arc::clone(host), *port),
        };
        let Ok(Ok(place)) = timeout_at(deadline, Arc::clone(&self.places).acquire_owned()).await else {
            return Err(Answer::Unmade { detail: format!("lookup of {host}: {MAX_LOOKUPS} others hang") });
        };
        let name = Arc::clone(&host);
        let lookup = spawn_blocking(move || {
            let _place = place;
            (&*name, port).to_socket_addrs().map(|found| found.take(MAX_ADDRESSES).collect::<Vec<_>>())
        });
        let failed = |detail| Err(Answer::failed(Reason::DnsError, detail));
        match timeout_at(deadline, lookup).await {
            Ok(Ok(Ok(found))) => Ok(found),
            Ok(Ok(Err(error))) => failed(format!("lookup of {host}: {}", error::text(&error))),
            Ok(Err(error)) => {
                Err(Answer::Unmade { detail: format!("lookup of {host}: {}", io::Error::other(error)) })
            }
            Err(_) => failed(format!("lookup of {host}: no answer in time")),
        }
    }
}
