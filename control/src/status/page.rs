//! One page of health: which upstreams and servers are on it, and the sums over all of them.

use std::collections::HashMap;

use weir_shared::{
    id::UpstreamId,
    state::ListenerTotals,
    table::{ServerStatus, Table, Upstream, UpstreamCondition, UpstreamStatus},
    time::{Moment, Now},
};

use super::{
    HealthFormat, HealthPage, HealthQuery, ServerHealth, Status, StoreView, UpstreamHealth, build,
    certificates,
    listeners::{self, ListenerCounts},
    view::{OverallStatus, Scope, Totals},
    window::{self, Window},
};
use crate::drains::Drains;

/// The page `query` asks for.
pub(super) fn build(status: &Status, query: &HealthQuery, store: StoreView) -> HealthPage {
    let table = status.reader.snapshot();
    let now = status.clock.now();
    let drains = &status.drains;
    let mut listing =
        Listing { table: &table, query, drains, now, left: query.effective_limit(), next: None };
    let mut windows = status.windows();
    let upstreams = listing.upstreams(&mut windows);
    let totals = totals(&table, &mut windows, now);
    drop(windows);
    HealthPage {
        at: now.wall,
        node: status.node.clone(),
        revision: table.revision(),
        scope: Scope::Node,
        status: overall(&table, now.moment),
        totals,
        store,
        certificates: certificates::view(&table, now.wall),
        listener: listener(&ListenerTotals::sum(&status.listener.counters)),
        listeners_unbound: listeners::unbound(&table),
        upstreams,
        next: listing.next,
    }
}

/// Fills a page until it is full.
struct Listing<'a> {
    table: &'a Table,
    query: &'a HealthQuery,
    drains: &'a Drains,
    now: Now,
    /// Entries that still fit.
    left: usize,
    /// Where the next page begins, once this one is full.
    next: Option<String>,
}

impl Listing<'_> {
    fn upstreams(&mut self, windows: &mut HashMap<UpstreamId, Window>) -> Vec<UpstreamHealth> {
        let (after_upstream, after_server) = self.query.cursor();
        let mut page = Vec::new();
        let only = self.query.upstream.as_deref();
        let first = only.or(after_upstream).unwrap_or_default();
        let rest = self.table.upstreams_after(first).take_while(|_| only.is_none());
        for upstream in self.table.upstream(first).into_iter().chain(rest) {
            let id = upstream.id.as_str();
            let is_before =
                after_upstream.is_some_and(|after| id < after || (id == after && after_server.is_none()));
            let has_none = |state| {
                window::of(windows, upstream, self.now).counts(upstream, self.now).in_state(state) == 0
            };
            if is_before || self.query.state.is_some_and(has_none) {
                continue;
            }
            if self.left == 0 {
                self.next = self.next.take().or_else(|| page.last().map(last_entry));
                break;
            }
            let after = after_server.filter(|_| after_upstream == Some(id));
            let servers = self.servers(upstream, after);
            let is_bare = servers.as_ref().is_none_or(Vec::is_empty);
            if is_bare && (self.query.state.is_some() || after.is_some()) {
                continue;
            }
            if is_bare || self.query.format == HealthFormat::Summary {
                self.left -= 1;
            }
            let servers = servers.filter(|_| self.query.format == HealthFormat::Full);
            page.push(build::upstream(upstream, self.table.config(), servers, windows, self.now));
            if self.next.is_some() {
                break;
            }
        }
        page
    }

    /// The servers of `upstream` that belong on the page; `None` when servers are not asked for at all.
    ///
    /// A server that was removed since it ended a page starts its upstream again: shown twice is better than not shown.
    fn servers(&mut self, upstream: &Upstream, after: Option<&str>) -> Option<Vec<ServerHealth>> {
        let is_summary = self.query.format == HealthFormat::Summary;
        if is_summary && self.query.state.is_none() {
            return None;
        }
        let position =
            after.and_then(|id| upstream.servers.iter().position(|server| server.id.as_str() == id));
        let mut shown = Vec::new();
        for server in upstream.servers.iter().skip(position.map_or(0, |position| position + 1)) {
            let is_asked = |state| self.query.state.is_none_or(|wanted| wanted == state);
            if self.query.state.is_some() && !is_asked(ServerStatus::state_of(server, self.now.moment)) {
                continue;
            }
            if is_summary {
                return Some(vec![build::server(upstream, server, self.drains, self.now)]);
            }
            if self.left == 0 {
                let last = shown.last().map(|last: &ServerHealth| last.id.as_str());
                self.next = last.map(|last| format!("{}/{last}", upstream.id));
                break;
            }
            self.left -= 1;
            shown.push(build::server(upstream, server, self.drains, self.now));
        }
        Some(shown)
    }
}

fn last_entry(upstream: &UpstreamHealth) -> String {
    match upstream.servers.as_ref().and_then(|servers| servers.last()) {
        Some(server) => format!("{}/{}", upstream.id, server.id),
        None => upstream.id.clone(),
    }
}

fn overall(table: &Table, now: Moment) -> OverallStatus {
    let of = |upstream: &Upstream| match UpstreamStatus::of(upstream, now).state {
        UpstreamCondition::Healthy => OverallStatus::Ok,
        UpstreamCondition::Degraded | UpstreamCondition::Panic => OverallStatus::Degraded,
        UpstreamCondition::Down | UpstreamCondition::Empty => OverallStatus::Down,
    };
    let in_use = table.config().in_use();
    in_use.filter_map(|id| table.upstream(id)).map(|upstream| of(upstream)).max().unwrap_or(OverallStatus::Ok)
}

fn totals(table: &Table, windows: &mut HashMap<UpstreamId, Window>, now: Now) -> Totals {
    let mut totals = Totals { upstreams: table.upstreams().len(), ..Totals::default() };
    for upstream in table.upstreams() {
        totals.servers += upstream.servers.len();
        window::of(windows, upstream, now).counts(upstream, now).add_to(&mut totals);
    }
    totals
}

fn listener(totals: &ListenerTotals) -> ListenerCounts {
    ListenerCounts {
        connections_active: totals.connections_active,
        connections_accepted: totals.connections_accepted,
        requests_active: totals.requests_active,
        requests: totals.requests,
        requests_refused: totals.requests_refused,
        connections_shed: totals.connections_shed,
        requests_shed: totals.requests_shed,
        client_timeouts: totals.client_timeouts,
        client_aborts: totals.client_aborts,
        tunnels_active: totals.tunnels_active,
        tunnels: totals.tunnels,
        floods: totals.floods,
    }
}
