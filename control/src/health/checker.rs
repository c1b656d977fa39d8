//! The loop: starts checks when they are due, and tells the verdict what came of them.
//!
//! One timer and one set of running checks, however many servers there are. What the loop cannot do in time it admits:
//! verdicts are frozen, never turned.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    task::{self, JoinError, JoinSet},
    time::{Instant, sleep_until},
};
use weir_shared::{
    id::Revision,
    model::HealthCheckType,
    state::{CheckOutcome, EjectionEnd, Evidence, Reason, ServerFault, Transition},
    table::TableReader,
    time::{self, Now},
};

use super::{
    CheckerStats,
    probe::{Answer, Prober},
    queue::TargetId,
    stall::StallMeter,
    targets::{Group, Target, Targets, Timing, freeze},
};
use crate::clock::Clock;

/// Most checks at once: each holds a file descriptor.
const MAX_RUNNING: usize = 512;
/// Time between two looks for old verdicts while all places are taken.
const SWEEP: Duration = Duration::from_secs(1);
/// Time between two looks for servers that requests have come to doubt.
const LOOK: Duration = Duration::from_millis(250);
/// Time between two complaints about checks that could not be made.
const COMPLAINT: Duration = Duration::from_secs(60);
/// The loop wakes at least this often.
const IDLE: Duration = Duration::from_secs(3600);

/// A check that ended.
struct Done {
    answer: Answer,
    duration: Duration,
}

/// A check under way.
struct Running {
    target: TargetId,
    started: Instant,
    /// What the meter showed when it started.
    stalled: Duration,
}

/// Checks the servers of the table in force.
pub(super) struct Checker<P> {
    reader: TableReader,
    clock: Clock,
    prober: P,
    stats: Arc<CheckerStats>,
    targets: Targets,
    checks: JoinSet<Done>,
    running: HashMap<task::Id, Running>,
    stall: StallMeter,
    swept_at: Instant,
    looked_at: Instant,
    complained_at: Option<Instant>,
}

impl<P: Prober> Checker<P> {
    pub(super) fn new(reader: TableReader, clock: Clock, prober: P, stats: Arc<CheckerStats>) -> Self {
        let now = Instant::now();
        Self {
            reader,
            clock,
            prober,
            stats,
            targets: Targets::default(),
            checks: JoinSet::new(),
            running: HashMap::new(),
            stall: StallMeter::new(now),
            swept_at: now,
            looked_at: now,
            complained_at: None,
        }
    }

    /// Checks for ever. `published` tells when there is another table.
    pub(super) async fn run(mut self, mut published: watch::Receiver<Revision>) {
        let mut is_told = true;
        self.reconcile();
        loop {
            self.look_into_doubts();
            self.start_due();
            let wake = self.wake_at();
            tokio::select! {
                changed = published.changed(), if is_told => match changed {
                    Ok(()) => self.reconcile(),
                    Err(_) => is_told = false,
                },
                Some(ended) = self.checks.join_next_with_id() => self.ended(ended),
                () = sleep_until(wake) => {}
            }
            while let Some(ended) = self.checks.try_join_next_with_id() {
                self.ended(ended);
            }
            self.stall.tick(Instant::now());
        }
    }

    fn reconcile(&mut self) {
        let table = self.reader.snapshot();
        let mut timing = Timing { at: Instant::now(), now: self.clock.now(), draw: &mut rand::random };
        self.targets.reconcile(table, &mut timing);
    }

    /// At most half of the places are for doubts, so that a storm of them delays no other check for long.
    fn look_into_doubts(&mut self) {
        let at = Instant::now();
        if at.saturating_duration_since(self.looked_at) >= LOOK {
            self.looked_at = at;
            let most = (MAX_RUNNING / 2).saturating_sub(self.running.len());
            let timing = Timing { at, now: self.clock.now(), draw: &mut rand::random };
            self.targets.look_into_doubts(most, &timing);
        }
    }

    fn start_due(&mut self) {
        let at = Instant::now();
        while self.running.len() < MAX_RUNNING {
            let Some((due, id)) = self.targets.next(at) else { break };
            self.start(id, due, at);
        }
        if self.running.len() >= MAX_RUNNING && at.saturating_duration_since(self.swept_at) >= SWEEP {
            self.swept_at = at;
            self.targets.freeze_overdue(at);
        }
        let now = self.clock.now().moment;
        let next_due = self.targets.next_due().map(|due| match due.checked_duration_since(at) {
            Some(wait) => now.plus(wait),
            None => time::Moment::from_elapsed(now.since(time::Moment(0)).saturating_sub(at - due)),
        });
        self.stats.note(self.targets.len(), self.running.len(), next_due);
    }

    fn start(&mut self, id: TargetId, due: Instant, at: Instant) {
        let Some((target, group)) = self.targets.get(id) else { return };
        let Some(probe) = &group.probe else { return };
        self.stats.started(at.saturating_duration_since(due), self.clock.now().moment);
        if Targets::is_late(group, due, at) {
            freeze(target, group);
        }
        if self.running.is_empty() {
            self.stall.resume(at);
        }
        let check = self.prober.check(Arc::clone(probe), target.address.clone(), Arc::clone(&target.state));
        let check = self.checks.spawn(async move {
            let started = Instant::now();
            let answer = check.await;
            Done { answer, duration: started.elapsed() }
        });
        let running = Running { target: id, started: at, stalled: self.stall.total(at) };
        self.running.insert(check.id(), running);
        self.targets.started(id, check, at);
    }

    fn wake_at(&self) -> Instant {
        let at = Instant::now();
        let mut wake = if self.targets.len() == 0 { at + IDLE } else { self.looked_at + LOOK };
        if self.running.len() < MAX_RUNNING {
            wake = self.targets.next_due().map_or(wake, |due| wake.min(due));
        }
        if !self.running.is_empty() {
            wake = wake.min(self.stall.next_tick());
        }
        wake
    }

    fn ended(&mut self, ended: Result<(task::Id, Done), JoinError>) {
        let (check, done) = match ended {
            Ok((check, done)) => (check, Some(done)),
            Err(error) => (error.id(), None),
        };
        let Some(running) = self.running.remove(&check) else { return };
        if !self.targets.ended(running.target, check) {
            return;
        }
        let at = Instant::now();
        let now = self.clock.now();
        if let Some((target, group)) = self.targets.get(running.target) {
            let stalled = self.stall.total(at).saturating_sub(running.stalled);
            let done = done.unwrap_or_else(|| Done {
                answer: Answer::Unmade { detail: "the check itself failed".to_owned() },
                duration: Duration::ZERO,
            });
            if let Err(cause) = conclude(target, group, done, stalled, now) {
                freeze(target, group);
                self.stats.discard();
                if self.complained_at.is_none_or(|last| at - last >= COMPLAINT) {
                    self.complained_at = Some(at);
                    tracing::warn!(
                        upstream = %target.upstream,
                        server = %target.server,
                        cause,
                        "a health check could not be made; verdicts stay as they are"
                    );
                }
            }
        }
        let mut timing = Timing { at, now, draw: &mut rand::random };
        self.targets.reschedule(running.target, running.started, &mut timing);
    }
}

/// Tells the verdict how a check ended during which the checker was kept from running for `stalled`.
///
/// # Errors
/// Why the outcome says nothing about the server.
fn conclude(target: &Target, group: &Group, done: Done, stalled: Duration, now: Now) -> Result<(), String> {
    let outcome = match done.answer {
        Answer::Unmade { detail } => return Err(detail),
        Answer::Passed { status } => {
            CheckOutcome { failure: None, detail: String::new(), status, duration: done.duration }
        }
        Answer::Failed { reason, detail, status } => {
            let timeout = group.probe.as_ref().map_or(Duration::ZERO, |probe| probe.timeout());
            if is_timeout(reason) && stalled > timeout / 2 {
                let millis = stalled.as_millis();
                return Err(format!(
                    "{detail}, but the checker itself was kept from running for {millis} ms"
                ));
            }
            CheckOutcome { failure: Some(reason), detail, status, duration: done.duration }
        }
    };
    let is_vouched = outcome.failure.is_none() && vouches(target, group, now);
    let (_, was_late) = target.state.health.verdict();
    let transition = target.state.health.observe(&outcome, group.upstream.thresholds, now);
    if was_late {
        group.upstream.state.appearance_changed();
    }
    if let Some(transition) = transition {
        eligibility_changed(group, now);
        log(target, transition, &outcome.detail);
    }
    if is_vouched && target.state.outlier.uneject(EjectionEnd::Early(now.wall)) {
        eligibility_changed(group, now);
        tracing::info!(
            upstream = %target.upstream,
            server = %target.server,
            "a passing health check ended an ejection"
        );
    }
    Ok(())
}

/// Tells of it, and builds what requests pick from, so that none of them has to.
fn eligibility_changed(group: &Group, now: Now) {
    group.upstream.state.eligibility_changed();
    drop(group.upstream.eligible(now.moment));
}

fn is_timeout(reason: Reason) -> bool {
    matches!(reason, Reason::ConnectTimeout | Reason::ResponseTimeout | Reason::DnsError)
}

/// Whether a pass is reason enough to end an ejection, if there is one.
///
/// An http or grpc check asks what requests ask, so its pass speaks for them (as in Envoy). Opening a connection says less: it
/// speaks for a server only where connections were what it lacked: by the check before, or by the error that ejected it, and
/// then once. A port that accepts and closes for want of a server behind it (a container's, a tunnel's) would else be given
/// requests to fail after each check, until one of them succeeds.
/// No single check speaks against a rate over many requests.
fn vouches(target: &Target, group: &Group, now: Now) -> bool {
    let outliers = &group.upstream.record.spec.outlier_detection;
    if !target.state.outlier.is_ejected(now.moment) || !outliers.successful_active_health_check_uneject_server
    {
        return false;
    }
    let Some(Evidence::Row { fault, .. }) = target.state.outlier.record().evidence else { return false };
    match group.probe.as_ref().map(|probe| probe.kind()) {
        Some(HealthCheckType::Http | HealthCheckType::Grpc) => true,
        Some(HealthCheckType::Tcp) => {
            let was_failing = target.state.health.record().last.is_some_and(|last| !last.ok);
            let outlier = &target.state.outlier;
            was_failing || (fault == ServerFault::Connection && !outlier.is_unproven())
        }
        None => false,
    }
}

fn log(target: &Target, transition: Transition, detail: &str) {
    let reason = transition.reason.and_then(|reason| serde_json::to_value(reason).ok());
    tracing::info!(
        upstream = %target.upstream,
        server = %target.server,
        from = transition.from.as_str(),
        to = transition.to.as_str(),
        reason = reason.as_ref().and_then(serde_json::Value::as_str),
        detail,
        "health changed"
    );
}
