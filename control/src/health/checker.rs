//! The loop.
use std::sync::Arc;

use tokio::sync::watch;
use weir_shared::{id::Revision, table::TableReader};

use super::{CheckerStats, probe::Prober};
use crate::clock::Clock;

pub(super) struct Checker<P> {
    _p: (TableReader, Clock, P, Arc<CheckerStats>),
}

impl<P: Prober> Checker<P> {
    pub(super) fn new(reader: TableReader, clock: Clock, prober: P, stats: Arc<CheckerStats>) -> Self {
        Self { _p: (reader, clock, prober, stats) }
    }

    pub(super) async fn run(self, _published: watch::Receiver<Revision>) {
        std::future::pending().await
    }
}
