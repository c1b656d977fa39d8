//! The one way a table reaches the proxy: one writer, any number of readers, one pointer swap.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::{ArcSwap, Cache};

use super::{Table, Upstream};
use crate::{
    sharing::{Change, middle},
    state::ServerState,
    time::{Moment, Now},
};

/// Makes the two ends, starting with `table`.
#[must_use]
pub fn channel(table: Table) -> (TableWriter, TableReader) {
    let shared = Arc::new(ArcSwap::from_pointee(table));
    let writer = TableWriter { shared: Arc::clone(&shared), retired: Vec::new() };
    (writer, TableReader { shared, cuts: Arc::default() })
}

/// Publishes tables. Not `Clone`: two writers could publish in another order than they committed.
#[derive(Debug)]
pub struct TableWriter {
    shared: Arc<ArcSwap<Table>>,
    /// Tables that were in force and that somebody may still be reading. Whoever lets go of a table last frees it, which
    /// takes a while for thousands of servers; held here, that is never a thread with requests to serve.
    retired: Vec<Arc<Table>>,
}

impl TableWriter {
    /// Puts `table` in force: every request that starts after this returns sees it.
    pub fn publish(&mut self, table: Table, now: Now) {
        let previous = self.shared.swap(Arc::new(table));
        let current = self.shared.load();
        for (_, change) in current.changes_since(&previous) {
            match change {
                Change::Added(_) => {}
                Change::Replaced(before, after) => hand_over(before, after, now),
                Change::Removed(before) => before.servers.iter().for_each(|server| server.state.retire()),
            }
        }
        drop(current);
        self.retired.push(previous);
    }

    /// Frees the tables that were replaced and that nobody reads any more. Answers whether there are others, to be freed
    /// later. Call it after [`Self::publish`], when nobody waits for the answer.
    pub fn free_retired(&mut self) -> bool {
        self.retired.retain(|table| Arc::strong_count(table) > 1);
        !self.retired.is_empty()
    }
}

/// Retires the servers that are gone and stamps those whose admin state changed.
fn hand_over(before: &Upstream, after: &Upstream, now: Now) {
    let (was, is) = middle(&before.servers, &after.servers, Arc::ptr_eq);
    let left = after.servers.iter().take(is.end).skip(is.start);
    let kept: HashMap<&str, _> = left.map(|server| (server.id.as_str(), server)).collect();
    for server in before.servers.iter().take(was.end).skip(was.start) {
        match kept.get(server.id.as_str()) {
            Some(same) if Arc::ptr_eq(&same.state, &server.state) => {
                if same.is_wanted() {
                    server.state.give_out();
                } else {
                    server.state.withhold();
                }
                if same.admin_state != server.admin_state || (same.weight == 0) != (server.weight == 0) {
                    server.state.admin_changed(now.wall);
                }
            }
            _ => server.state.retire(),
        }
    }
}

/// Reads tables.
#[derive(Clone, Debug)]
pub struct TableReader {
    shared: Arc<ArcSwap<Table>>,
    /// How often requests of a server were given up, so that workers need not look at every server for it.
    cuts: Arc<AtomicU64>,
}

impl TableReader {
    /// The table in force.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Table> {
        self.shared.load_full()
    }

    /// A reader for one thread that costs a pointer comparison while the table does not change.
    #[must_use]
    pub fn cached(&self) -> CachedReader {
        CachedReader(Cache::new(Arc::clone(&self.shared)))
    }

    /// Gives up the requests of a server, of this table or an earlier one, that began before `now`: every worker ends its
    /// own at its next sweep.
    pub fn cut(&self, server: &ServerState, now: Moment) {
        server.cut(now);
        // After the mark: whoever sees the new count sees the mark.
        self.cuts.fetch_add(1, Ordering::Release);
    }

    /// How often [`Self::cut`] was called.
    #[must_use]
    pub fn cuts(&self) -> u64 {
        self.cuts.load(Ordering::Acquire)
    }
}

/// Reads tables on one thread, keeping the last.
#[derive(Debug)]
pub struct CachedReader(Cache<Arc<ArcSwap<Table>>, Arc<Table>>);

impl CachedReader {
    /// The table in force.
    pub fn snapshot(&mut self) -> &Arc<Table> {
        self.0.load()
    }
}
