//! What is checked: every server of the table in force, with its place in the queue.
//!
//! What did not change from one table to the next is recognised by pointer, so that a change of one server among
//! thousands costs little more than that server; a server keeps its schedule as long as it keeps its state, whatever else
//! changes.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use tokio::{task::AbortHandle, time::Instant};
use weir_shared::{
    id::{ServerId, UpstreamId},
    model::address::Address,
    sharing::{Change, middle},
    state::ServerState,
    table::{Server, Table, Upstream},
    time::Now,
};

use super::{
    probe::Probe,
    queue::{Queue, TargetId, jittered, spread},
};

/// More new servers than this in one upstream are checked spread over the interval instead of at once.
const MAX_AT_ONCE: usize = 64;
/// More new servers than this in one publish are spread too, whatever their upstreams.
const MAX_AT_ONCE_TOTAL: usize = 1024;
/// A check may start this late, or one interval if that is longer, before the verdict counts as old.
const MIN_LATENESS: Duration = Duration::from_secs(1);

/// Least time between two checks of a server that requests have come to doubt.
const DOUBT_INTERVAL: Duration = Duration::from_secs(1);

/// One server being checked.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) upstream: UpstreamId,
    pub(super) server: ServerId,
    pub(super) address: Address,
    pub(super) state: Arc<ServerState>,
    /// Its place in the queue; `None` while a check is under way.
    due: Option<Instant>,
    /// The check under way.
    pub(super) running: Option<AbortHandle>,
    /// When the last check began.
    begun: Option<Instant>,
    /// Whether requests found no connection, and the checks have not said yet whether that is so.
    is_doubted: bool,
}

/// One upstream whose servers are being checked.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) upstream: Arc<Upstream>,
    /// How; `None` when checks are turned off.
    pub(super) probe: Option<Arc<Probe>>,
    /// By where the server's state is, which is what makes a server the same; its target keeps the state there.
    members: HashMap<usize, TargetId>,
}

/// Everything being checked.
#[derive(Debug, Default)]
pub(super) struct Targets {
    groups: HashMap<UpstreamId, Group>,
    targets: HashMap<TargetId, Target>,
    queue: Queue,
    last_id: u64,
    /// The table that all of it is from.
    table: Option<Arc<Table>>,
}

/// Both clocks, read together, and where random numbers come from.
pub(super) struct Timing<'a> {
    pub(super) at: Instant,
    pub(super) now: Now,
    pub(super) draw: &'a mut dyn FnMut() -> f64,
}

impl Targets {
    /// Takes over what `table` says is to be checked.
    pub(super) fn reconcile(&mut self, table: Arc<Table>, timing: &mut Timing<'_>) {
        let before = self.table.replace(Arc::clone(&table));
        let changes: Vec<Change<'_, Upstream>> = match &before {
            Some(before) => table.changes_since(before).into_iter().map(|(_, change)| change).collect(),
            None => table.upstreams().map(Change::Added).collect(),
        };
        let mut soon: Vec<(Duration, Vec<TargetId>)> = Vec::new();
        for change in changes {
            match change {
                Change::Added(upstream) | Change::Replaced(_, upstream) => {
                    let fresh = self.regroup(upstream, timing.now);
                    if !fresh.is_empty() {
                        soon.push((upstream.record.spec.health_check.interval.duration(), fresh));
                    }
                }
                Change::Removed(upstream) => {
                    let members = self.groups.remove(&upstream.id).map(|group| group.members);
                    members.iter().flat_map(HashMap::values).for_each(|id| self.remove(*id));
                }
            }
        }
        let total: usize = soon.iter().map(|(_, ids)| ids.len()).sum();
        for (interval, ids) in soon {
            let is_large = ids.len() > MAX_AT_ONCE || total > MAX_AT_ONCE_TOTAL;
            for id in ids {
                let delay = if is_large { spread(interval, (timing.draw)()) } else { Duration::ZERO };
                self.schedule(id, timing.at + delay, timing.at, timing.now);
            }
        }
    }

    /// Takes over a new or changed upstream. Answers the servers that are to be checked soon.
    fn regroup(&mut self, upstream: &Arc<Upstream>, now: Now) -> Vec<TargetId> {
        let spec = &upstream.record.spec.health_check;
        let (protocol, introduction) = (upstream.protocol, upstream.send_proxy_protocol);
        let mut fresh = Vec::new();
        let Group { upstream: before, probe, mut members } = match self.groups.remove(&upstream.id) {
            Some(group) => group,
            None => Group { upstream: Arc::clone(upstream), probe: None, members: HashMap::new() },
        };
        let tls = upstream.tls.as_ref();
        let makes_it =
            |probe: &Arc<Probe>| probe.is_of(spec, protocol, introduction) && probe.is_secured_as(tls);
        let same = probe.filter(|probe| spec.enabled && makes_it(probe));
        // With the same check, only servers that came or went are looked at.
        let (was, is) = match &same {
            Some(_) => middle(&before.servers, &upstream.servers, is_same),
            None => (0..before.servers.len(), 0..upstream.servers.len()),
        };
        let wanted = upstream.servers.iter().take(is.end).skip(is.start);
        let keys: HashSet<usize> =
            if spec.enabled { wanted.clone().map(|server| key(server)).collect() } else { HashSet::new() };
        for server in before.servers.iter().take(was.end).skip(was.start) {
            if !keys.contains(&key(server))
                && let Some(id) = members.remove(&key(server))
            {
                self.remove(id);
            }
        }
        if spec.enabled {
            for server in wanted {
                let known = members.get(&key(server)).copied();
                let id = known.unwrap_or_else(|| self.add(upstream, server));
                if known.is_none() || same.is_none() {
                    server.state.health.recheck();
                    fresh.push(id);
                }
                members.insert(key(server), id);
            }
        } else {
            assume_healthy(upstream, now);
        }
        let fresh_probe = || Arc::new(Probe::new(spec, protocol).secured(tls).introduced(introduction));
        let probe = spec.enabled.then(|| same.unwrap_or_else(fresh_probe));
        self.groups.insert(upstream.id.clone(), Group { upstream: Arc::clone(upstream), probe, members });
        fresh
    }

    fn add(&mut self, upstream: &Upstream, server: &Server) -> TargetId {
        self.last_id += 1;
        let id = TargetId(self.last_id);
        let target = Target {
            upstream: upstream.id.clone(),
            server: server.id.clone(),
            address: server.address.clone(),
            state: Arc::clone(&server.state),
            due: None,
            running: None,
            begun: None,
            is_doubted: false,
        };
        self.targets.insert(id, target);
        id
    }

    fn remove(&mut self, id: TargetId) {
        if let Some(target) = self.targets.remove(&id) {
            if let Some(due) = target.due {
                self.queue.remove(due, id);
            }
            if let Some(check) = target.running {
                check.abort();
            }
        }
    }

    /// Sets the next check of `id`; one under way was asked for by an older configuration and is given up.
    fn schedule(&mut self, id: TargetId, due: Instant, at: Instant, now: Now) {
        let Some(target) = self.targets.get_mut(&id) else { return };
        if let Some(before) = target.due.replace(due) {
            self.queue.remove(before, id);
        }
        if let Some(check) = target.running.take() {
            check.abort();
        }
        self.queue.push(due, id);
        target.state.health.schedule(now.wall.plus(due.saturating_duration_since(at)));
    }

    /// Sets the check after one that started at `started`.
    pub(super) fn reschedule(&mut self, id: TargetId, started: Instant, timing: &mut Timing<'_>) {
        let Some((target, group)) = self.get(id) else { return };
        let spec = &group.upstream.record.spec.health_check;
        let health = &target.state.health;
        let fast = spec.fast_interval.filter(|_| health.is_turning());
        let slow = spec.unhealthy_interval.filter(|_| !health.is_healthy());
        let interval = fast.or(slow).unwrap_or(spec.interval);
        let mut wait = jittered(interval.duration(), spec.jitter_percent, (timing.draw)());
        let is_doubted = target.is_doubted && health.is_turning();
        if is_doubted {
            wait = wait.min(DOUBT_INTERVAL);
        }
        if let Some(target) = self.targets.get_mut(&id) {
            target.is_doubted = is_doubted;
        }
        self.schedule(id, (started + wait).max(timing.at), timing.at, timing.now);
    }

    /// Has servers checked soon that are healthy and that requests have come to doubt, `most` of them at a time; the others when
    /// they are due.
    pub(super) fn look_into_doubts(&mut self, most: usize, timing: &Timing<'_>) {
        let groups = self.groups.values().filter(|group| group.upstream.state.take_doubt());
        let doubted = groups.flat_map(|group| {
            let servers = group.upstream.servers.iter().filter(|server| server.state.health.take_doubt());
            let healthy = servers.filter(|server| server.state.health.is_healthy());
            healthy.filter_map(|server| group.members.get(&key(server)).copied())
        });
        let doubted: Vec<TargetId> = doubted.take(most).collect();
        for id in doubted {
            let Some(target) = self.targets.get_mut(&id) else { continue };
            target.is_doubted = true;
            let soon = target.begun.map_or(timing.at, |begun| timing.at.max(begun + DOUBT_INTERVAL));
            if target.running.is_none() && target.due.is_some_and(|due| due > soon) {
                self.schedule(id, soon, timing.at, timing.now);
            }
        }
    }

    /// Takes out the next check that is due at `at`.
    pub(super) fn next(&mut self, at: Instant) -> Option<(Instant, TargetId)> {
        let (due, id) = self.queue.pop(at)?;
        if let Some(target) = self.targets.get_mut(&id) {
            target.due = None;
        }
        Some((due, id))
    }

    /// A server being checked, with its upstream.
    pub(super) fn get(&self, id: TargetId) -> Option<(&Target, &Group)> {
        let target = self.targets.get(&id)?;
        Some((target, self.groups.get(&target.upstream)?))
    }

    /// Notes the check under way, which began at `at`.
    pub(super) fn started(&mut self, id: TargetId, check: AbortHandle, at: Instant) {
        if let Some(target) = self.targets.get_mut(&id) {
            target.running = Some(check);
            target.begun = Some(at);
        }
    }

    /// Notes that the check under way ended, and answers whether it is still wanted.
    pub(super) fn ended(&mut self, id: TargetId, check: tokio::task::Id) -> bool {
        let target = self.targets.get_mut(&id);
        target.is_some_and(|target| target.running.take_if(|running| running.id() == check).is_some())
    }

    /// Whether a check that was due at `due` is so late at `at` that the verdict is old.
    pub(super) fn is_late(group: &Group, due: Instant, at: Instant) -> bool {
        let interval = group.upstream.record.spec.health_check.interval.duration();
        at.saturating_duration_since(due) > interval.max(MIN_LATENESS)
    }

    /// Marks the verdicts that are old because their checks wait for a place.
    pub(super) fn freeze_overdue(&self, at: Instant) {
        let overdue = self.queue.overdue(at.checked_sub(MIN_LATENESS).unwrap_or(at));
        for (due, id) in overdue {
            if let Some((target, group)) = self.get(id).filter(|(_, group)| Self::is_late(group, due, at)) {
                freeze(target, group);
            }
        }
    }

    /// When the next check is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.queue.next_due()
    }

    /// How many servers are being checked.
    pub(super) fn len(&self) -> usize {
        self.targets.len()
    }
}

/// Notes that the verdict on `target` is old because of us.
pub(super) fn freeze(target: &Target, group: &Group) {
    if target.state.health.freeze() {
        group.upstream.state.appearance_changed();
    }
}

/// What makes a server the same, whatever is changed of it.
fn key(server: &Server) -> usize {
    Arc::as_ptr(&server.state).addr()
}

fn is_same(one: &Arc<Server>, other: &Arc<Server>) -> bool {
    Arc::ptr_eq(one, other) || key(one) == key(other)
}

fn assume_healthy(upstream: &Upstream, now: Now) {
    // Each one is told, so no short-circuit.
    let changed = upstream.servers.iter().filter(|server| server.state.health.assume_healthy(now)).count();
    if changed > 0 {
        upstream.state.eligibility_changed();
        // Built here, it need not be built for a request.
        drop(upstream.eligible(now.moment));
    }
}
