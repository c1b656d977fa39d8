//! Follows the table: binds listeners that are new, gives up those that are gone, tries again what could not be bound.
//!
//! Apart from the workers, so that no request waits for it. A listener that cannot be bound concerns nobody else: why is
//! noted where people look, and it is tried again, less and less often.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, mpsc::SyncSender},
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep_until, timeout},
};
use weir_shared::{
    id::{ListenerId, Revision},
    model::ListenAddress,
    table::{Listener, Table, TableReader},
};

use super::{
    Command, Places, Sockets, WorkerSocket,
    claim::{self, Claim, Unbound},
    handle::Done,
    socket::SocketFile,
};
use crate::clock::Clock;

/// Time until an address that could not be bound is tried again; twice as long each time.
const FIRST_RETRY: Duration = Duration::from_millis(500);
/// The longest such time.
const LAST_RETRY: Duration = Duration::from_secs(15);
/// How long workers are waited for. One that takes longer does as it was told all the same.
const PATIENCE: Duration = Duration::from_secs(2);

/// Binds listeners and hands their sockets to the workers.
pub(crate) struct Manager {
    pub(crate) workers: Vec<mpsc::Sender<Command>>,
    pub(crate) clock: Clock,
    /// What was bound before there was a table.
    pub(crate) first: Option<Sockets>,
    pub(crate) entries: HashMap<ListenerId, Entry>,
    /// The table whose listeners were tried last.
    pub(crate) tried: Option<Arc<Table>>,
}

/// What is known of one listener.
pub(crate) struct Entry {
    listener: Arc<Listener>,
    places: Arc<Places>,
    /// The address it has; `None`: none yet.
    bound: Option<Bound>,
    /// Kept as long as the address is bound.
    file: Option<SocketFile>,
    retry: Option<Retry>,
}

/// An address that is bound.
struct Bound {
    asked: ListenAddress,
    /// The same with the port that was free.
    actual: ListenAddress,
}

impl Bound {
    fn is(&self, address: &ListenAddress) -> bool {
        self.asked == *address || self.actual == *address
    }
}

/// What there is to do for a listener.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Follow {
    /// It is to get an address.
    Bind,
    /// Nothing, or nothing yet.
    Leave,
}

#[derive(Clone, Copy)]
struct Retry {
    at: Instant,
    wait: Duration,
}

/// What the manager follows, and whom it tells.
pub(crate) struct Following {
    pub(crate) reader: TableReader,
    /// Told of every revision that is put in force.
    pub(crate) published: watch::Receiver<Revision>,
    /// Told of every revision whose listeners were tried.
    pub(crate) settled: watch::Sender<Revision>,
    /// Ends it when dropped.
    pub(crate) stop: oneshot::Receiver<()>,
    /// Told once, when the first table's listeners were tried.
    pub(crate) ready: SyncSender<()>,
}

impl Manager {
    /// Works until it is stopped. Files of unix sockets are removed then.
    pub(crate) async fn run(mut self, following: Following) {
        let Following { reader, mut published, settled, mut stop, ready } = following;
        // Nobody waits any more when the start has failed.
        let _ = self.settle(&reader, &settled).await;
        let _ = ready.send(());
        loop {
            let retry = self.entries.values().filter_map(|entry| entry.retry).map(|retry| retry.at).min();
            let due = async {
                match retry {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = &mut stop => return,
                // Without a writer nothing changes any more.
                changed = published.changed() => if changed.is_err() {
                    let _ = stop.await;
                    return;
                },
                () = due => {}
            }
            self.settle(&reader, &settled).await;
        }
    }

    async fn settle(&mut self, reader: &TableReader, settled: &watch::Sender<Revision>) {
        let table = reader.snapshot();
        let is_due = |entry: &Entry| entry.retry.is_some_and(|retry| retry.at <= Instant::now());
        // Most changes are of something else, and shall not cost more the more listeners there are.
        let is_same = self.tried.as_ref().is_some_and(|tried| table.has_listeners_of(tried));
        if !is_same || self.entries.values().any(is_due) {
            self.apply(&table).await;
        }
        self.tried = Some(Arc::clone(&table));
        settled.send_replace(table.revision());
    }

    async fn apply(&mut self, table: &Table) {
        let (done, mut all_done) = mpsc::channel(1);
        let gone: Vec<ListenerId> =
            self.entries.keys().filter(|id| table.listener(id.as_str()).is_none()).cloned().collect();
        for id in gone {
            tracing::info!(listener = %id, "listener closed");
            // The file goes first: who comes later finds nothing to connect to.
            self.entries.remove(&id);
            self.tell(|done| Command::Close { id: id.clone(), done }, &done).await;
        }
        drop(done);
        let _ = timeout(PATIENCE, all_done.recv()).await;
        let (done, mut all_done) = mpsc::channel(1);
        let mut wanting = Vec::new();
        for listener in table.listeners() {
            if self.follow(listener, &done).await == Follow::Bind {
                wanting.push(listener);
            }
        }
        let claims = self.claim(&wanting);
        for (listener, claim) in wanting.into_iter().zip(claims) {
            self.take_over(listener, claim.got, &done).await;
        }
        drop(done);
        if timeout(PATIENCE, all_done.recv()).await.is_err() {
            tracing::warn!("a worker has not taken over its listeners yet");
        }
    }

    /// Takes in what is said of `listener`. Answers whether it is to get an address.
    async fn follow(&mut self, listener: &Arc<Listener>, done: &Done) -> Follow {
        let Some(entry) = self.entries.get_mut(&listener.id) else { return Follow::Bind };
        let is_same = Arc::ptr_eq(&entry.listener, listener);
        let is_bound = entry.bound.as_ref().is_some_and(|bound| bound.is(&listener.address));
        if is_same && (is_bound || entry.retry.is_some_and(|retry| retry.at > Instant::now())) {
            return Follow::Leave;
        }
        if !is_same {
            entry.listener = Arc::clone(listener);
            entry.places.set_limit(listener.spec.max_connections);
            if is_bound {
                // An address that could not be bound was given up again.
                entry.retry = None;
                let address = listener.state.status().address.unwrap_or_default();
                listener.state.bound(address, self.clock.now().wall);
            }
            self.tell(|done| Command::Update { listener: Arc::clone(listener), done }, done).await;
        }
        if is_bound { Follow::Leave } else { Follow::Bind }
    }

    /// Binds what the `wanting` want, as far as they may have it.
    fn claim(&mut self, wanting: &[&Arc<Listener>]) -> Vec<Claim> {
        let mut held: HashMap<&ListenerId, &ListenAddress> = self
            .entries
            .iter()
            .filter_map(|(id, entry)| entry.bound.as_ref().map(|bound| (id, &bound.actual)))
            .collect();
        let mut claims: Vec<Claim> = wanting
            .iter()
            .map(|listener| Claim {
                id: listener.id.clone(),
                wants: listener.address.clone(),
                has: held.remove(&listener.id).cloned(),
                got: Ok(self.first.take_if(|first| first.address == listener.address)),
            })
            .collect();
        let stay: Vec<_> = held.into_iter().map(|(id, address)| (id.clone(), address.clone())).collect();
        claim::bind(&mut claims, &stay, self.workers.len());
        claims
    }

    /// Takes in what came of binding `listener`'s address.
    async fn take_over(
        &mut self,
        listener: &Arc<Listener>,
        got: Result<Option<Sockets>, Unbound>,
        done: &Done,
    ) {
        let now = self.clock.now().wall;
        let entry = self.entries.entry(listener.id.clone()).or_insert_with(|| Entry {
            listener: Arc::clone(listener),
            places: Places::new(listener.spec.max_connections),
            bound: None,
            file: None,
            retry: None,
        });
        match got {
            // Whatever is wanted is bound or refused.
            Ok(None) => {}
            Ok(Some(Sockets { address, each, file, .. })) => {
                tracing::info!(listener = %listener.id, %address, "listener bound");
                listener.state.bound(address.to_string(), now);
                entry.bound = Some(Bound { asked: listener.address.clone(), actual: address });
                entry.retry = None;
                let places = Arc::clone(&entry.places);
                // With the file before goes the way to the socket before, whose queue is served.
                entry.file = file;
                self.hand_out(listener, &places, each, done).await;
            }
            Err(error) => {
                let error =
                    describe(&listener.address, entry.bound.as_ref().map(|bound| &bound.actual), &error);
                let wait = entry.retry.map_or(FIRST_RETRY, |retry| (retry.wait * 2).min(LAST_RETRY));
                if entry.retry.is_none() {
                    tracing::warn!(listener = %listener.id, error, "listener not bound");
                }
                entry.retry = Some(Retry { at: Instant::now() + wait, wait });
                listener.state.failed(error, now);
            }
        }
    }

    async fn hand_out(
        &self,
        listener: &Arc<Listener>,
        places: &Arc<Places>,
        each: Vec<WorkerSocket>,
        done: &Done,
    ) {
        for (worker, socket) in self.workers.iter().zip(each) {
            let (listener, places) = (Arc::clone(listener), Arc::clone(places));
            // A worker that has ended serves nobody any more.
            let _ = worker.send(Command::Open { listener, places, socket, done: done.clone() }).await;
        }
    }

    async fn tell(&self, command: impl Fn(Done) -> Command, done: &Done) {
        for worker in &self.workers {
            let _ = worker.send(command(done.clone())).await;
        }
    }
}

/// Why `address` cannot be bound, for a person.
fn describe(address: &ListenAddress, before: Option<&ListenAddress>, error: &Unbound) -> String {
    let kind = match error {
        Unbound::System(error) => Some(error.kind()),
        Unbound::Taken(_) => None,
    };
    let cause = match kind {
        Some(io::ErrorKind::AddrInUse) => "the address is in use".to_owned(),
        Some(io::ErrorKind::AddrNotAvailable) => "this machine does not have the address".to_owned(),
        Some(io::ErrorKind::PermissionDenied) => "permission denied".to_owned(),
        _ => error.to_string(),
    };
    match before {
        Some(before) => format!("cannot listen on {address}: {cause}; it still listens on {before}"),
        None => format!("cannot listen on {address}: {cause}"),
    }
}
