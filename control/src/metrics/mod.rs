//! The numbers of one process as Prometheus reads them (text exposition format 0.0.4).
//!
//! Written by hand: the numbers live in the workers' own counters already, so a registry would only copy them. Labels
//! are configured ids alone, never request text, so that no client can add a series.

mod certificates;
mod listeners;
mod overload;
mod own;
mod process;
mod routes;
mod servers;
mod shadow;
#[cfg(test)]
mod tests;
mod upstreams;
mod writer;

use weir_shared::{state::ListenerState, table::Table, time::Now};

use crate::{
    audit::Stats as AuditStats, catalog::ApplyTimes, events::Counts, health::CheckerStats, status::StoreView,
};

/// The media type of what [`render`] answers.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// With more servers than this, [`ServerSeries::Auto`] leaves their series out.
const MAX_SERVERS: usize = 2000;

/// Whether servers have series of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServerSeries {
    /// Up to 2000 servers; beyond that each upstream is shown as a whole.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl ServerSeries {
    fn is_on(self, table: &Table) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => {
                table.upstreams().map(|upstream| upstream.servers.len()).sum::<usize>() <= MAX_SERVERS
            }
        }
    }
}

/// Where the numbers come from.
#[derive(Debug)]
pub struct Sources<'a> {
    /// The table in force.
    pub table: &'a Table,
    /// What all listeners counted.
    pub listener: &'a ListenerState,
    /// How the checker is doing.
    pub checker: &'a CheckerStats,
    /// What listeners were told.
    pub events: &'a Counts,
    /// What became of the audit's records.
    pub audit: &'a AuditStats,
    /// How the configuration is kept.
    pub store: &'a StoreView,
    /// How often `last-good.json` could not be written.
    pub last_good_failures: u64,
    /// Drains under way.
    pub drains: usize,
    /// How long changes took.
    pub changes: &'a ApplyTimes,
    /// Whether servers have series of their own.
    pub servers: ServerSeries,
    /// When the numbers are read.
    pub now: Now,
}

/// All numbers, as text.
#[must_use]
pub fn render(sources: &Sources<'_>) -> String {
    let mut text = writer::Writer::default();
    own::write(sources, &mut text);
    certificates::write(sources.table, &mut text);
    listeners::write(sources.table, &mut text);
    let with_servers = sources.servers.is_on(sources.table);
    upstreams::write(sources, &mut text);
    overload::write(sources, &mut text);
    shadow::write(sources, &mut text);
    routes::write(sources, &mut text);
    if with_servers {
        servers::write(sources, &mut text);
    } else {
        upstreams::write_instead_of_servers(sources, &mut text);
    }
    process::write(&mut text);
    text.finish()
}
