//! Addresses of servers that are known by name.
//!
//! The system's resolver is asked: it knows the files, caches and search domains of the machine. Its answer holds for
//! [`FRESH`]; after that one caller asks again while the others go on with the old one, which also serves while the
//! resolver is out of order. A lookup occupies a thread until the resolver gives up, so only so many run at once, and
//! one that nobody waits for any more still counts.

use std::{cell::RefCell, collections::HashMap, net::SocketAddr, rc::Rc, sync::Arc, time::Duration};

use tokio::{net::lookup_host, sync::Semaphore, task::spawn_local};
use weir_shared::time::Moment;

use crate::{error::ProxyError, worker::Worker};

/// How long an answer holds. The library does not tell the record's own time to live.
const FRESH: Duration = Duration::from_secs(30);
/// Lookups of one worker under way at once.
const MOST_LOOKUPS: usize = 16;
/// Addresses used of one name.
const MOST_ADDRESSES: usize = 8;
/// Names remembered. Names of servers that were removed are forgotten when there are more.
const MOST_NAMES: usize = 10_000;

/// What one worker knows of names.
pub(crate) struct Resolver {
    known: Rc<RefCell<HashMap<Arc<str>, Known>>>,
    lookups: Arc<Semaphore>,
}

struct Known {
    addresses: Rc<[SocketAddr]>,
    /// When the answer stops being fresh. Moved on by whoever asks again.
    until: Moment,
}

impl Default for Resolver {
    fn default() -> Self {
        Self { known: Rc::default(), lookups: Arc::new(Semaphore::new(MOST_LOOKUPS)) }
    }
}

impl Resolver {
    /// The addresses of `host`, each with `port`.
    pub(super) async fn resolve(
        &self,
        worker: &Worker,
        host: &Arc<str>,
        port: u16,
    ) -> Result<Vec<SocketAddr>, ProxyError> {
        let now = worker.clock.moment();
        let known = self.known.borrow_mut().get_mut(host).map(|known| {
            let is_fresh = now < known.until;
            if !is_fresh {
                known.until = now.plus(FRESH);
            }
            (Rc::clone(&known.addresses), is_fresh)
        });
        let addresses = match known {
            Some((addresses, true)) => addresses,
            Some((addresses, false)) => self.look_up(worker, host).await.unwrap_or(addresses),
            None => self.look_up(worker, host).await?,
        };
        Ok(addresses.iter().map(|address| SocketAddr::new(address.ip(), port)).collect())
    }

    async fn look_up(&self, worker: &Worker, host: &Arc<str>) -> Result<Rc<[SocketAddr]>, ProxyError> {
        // Closed only with the worker.
        let permit = Arc::clone(&self.lookups).acquire_owned().await.map_err(|_| ProxyError::DnsError)?;
        let (known, clock, host) = (Rc::clone(&self.known), worker.clock, Arc::clone(host));
        // On a task of its own: the caller may give up, but the lookup cannot.
        let lookup = spawn_local(async move {
            let _permit = permit;
            let found: Rc<[SocketAddr]> = lookup_host((&*host, 0)).await.ok()?.take(MOST_ADDRESSES).collect();
            if found.is_empty() {
                return None;
            }
            let mut known = known.borrow_mut();
            if known.len() >= MOST_NAMES {
                known.clear();
            }
            known.insert(host, Known { addresses: Rc::clone(&found), until: clock.moment().plus(FRESH) });
            Some(found)
        });
        lookup.await.ok().flatten().ok_or(ProxyError::DnsError)
    }
}
