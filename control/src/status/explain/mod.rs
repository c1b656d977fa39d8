//! Why a server gets requests, or does not: every factor in the order in which it decides, and what would change it.
//!
//! Taken from the same table and states that the balancer picks from, so that the explanation cannot differ from what
//! happens; only the words are made here.

mod factors;
mod hints;
mod overload;
#[cfg(test)]
mod tests;
pub mod view;

use weir_shared::{
    id::Revision,
    state::{CheckRecord, Ejection, Evidence, Reason},
    table::{Eligible, Server, ServerStatus, Tier, Upstream},
    time::{Now, Timestamp},
};

use self::view::{Cause, CheckEntry, CheckResult, EjectionEntry, Explanation, Factor, FactorName};
use super::{ServerHealth, Status, build::millis, window::tenths};

/// A server, with everything that an explanation is made of.
struct Scene<'a> {
    upstream: &'a Upstream,
    server: &'a Server,
    /// Its place among the upstream's.
    index: u32,
    eligible: &'a Eligible,
    status: ServerStatus,
    is_in_use: bool,
    now: Now,
}

impl Scene<'_> {
    fn is_ejected(&self) -> bool {
        self.server.state.outlier.is_ejected(self.now.moment)
    }

    /// Whether the balancer may pick the server.
    fn is_member(&self) -> bool {
        self.tier().is_some()
    }

    /// The servers that share a part of the requests with this one, if it may be picked.
    fn tier(&self) -> Option<&Tier> {
        self.eligible.tiers.iter().find(|tier| tier.members.contains(&self.index))
    }
}

impl Status {
    /// Why the server of `upstream` that `key` names, its id or address, gets requests or does not.
    #[must_use]
    pub fn explain(&self, upstream: &str, key: &str) -> Option<Explanation> {
        let table = self.reader.snapshot();
        let upstream = table.upstream(upstream)?;
        let id = upstream.record.find(key)?.server.id.as_str();
        let mut servers = (0..).zip(&upstream.servers);
        let (index, server) = servers.find(|(_, server)| server.id.as_str() == id)?;
        let now = self.clock.now();
        let eligible = upstream.eligible(now.moment);
        let scene = Scene {
            upstream,
            server,
            index,
            eligible: &eligible,
            status: ServerStatus::of(server, now.moment),
            is_in_use: table.config().in_use().any(|id| id == upstream.id.as_str()),
            now,
        };
        let shown = self.health_of(upstream, server, now);
        Some(explain(&scene, shown, table.revision()))
    }
}

fn explain(scene: &Scene<'_>, shown: ServerHealth, revision: Revision) -> Explanation {
    let Scene { upstream, server, status, .. } = scene;
    let factors = factors::all(scene);
    let is_member = scene.is_member();
    let effective_weight =
        if is_member { factors.iter().map(|factor| factor.multiplier).product() } else { 0.0 };
    #[expect(clippy::cast_precision_loss, reason = "a sum of at most 10 000 weights")]
    let share = scene.tier().map_or(0.0, |tier| {
        f64::from(scene.eligible.weight(scene.index, server)) / tier.weight.max(1) as f64 * tier.share * 100.0
    });
    Explanation {
        at: scene.now.wall,
        revision,
        upstream: upstream.id.as_str().to_owned(),
        server: shown.id,
        address: shown.address,
        gets_requests: is_member && factors.iter().all(|factor| factor.multiplier > 0.0),
        state: status.state,
        cause: cause(scene, &factors, shown.reason),
        drain: shown.drain,
        effective_weight: hundredths(effective_weight),
        share_percent: tenths(share),
        next_check_at: shown.check.as_ref().and_then(|check| check.next_at),
        check: shown.check,
        last_checks: server.state.health.recent_checks().into_iter().map(check_entry).collect(),
        passive: shown.passive,
        ejections: server.state.outlier.ejections().into_iter().map(ejection_entry).collect(),
        in_flight: shown.in_flight,
        counters: shown.counters,
        counters_since: shown.counters_since,
        hints: hints::of(scene, &factors),
        factors,
    }
}

fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// The first factor that keeps the server out; for one that is in, what its health rests on.
fn cause(scene: &Scene<'_>, factors: &[Factor], reason: Option<Reason>) -> Cause {
    let decisive = factors.iter().find(|factor| factor.multiplier == 0.0);
    let since = decisive.map_or(scene.status.since, |factor| since(scene, factor.name));
    let (factor, text) = match decisive {
        Some(factor) => (factor.name, factor.text.clone()),
        None if scene.eligible.panic => (
            FactorName::Health,
            "Too few servers of the upstream are healthy (panic): verdicts are not trusted, and every server that is \
             wanted gets requests."
                .to_owned(),
        ),
        None => (FactorName::Health, "Nothing keeps it from getting requests.".to_owned()),
    };
    Cause { factor, reason, text, since }
}

/// Since when `factor` is as it is, where that is noted; otherwise since when the server is in its state.
fn since(scene: &Scene<'_>, factor: FactorName) -> Timestamp {
    match factor {
        FactorName::AdminState | FactorName::Weight => scene.server.state.admin_since(),
        FactorName::Health => scene.status.health.since,
        FactorName::Ejection => scene.status.outlier.since,
        FactorName::CircuitBreaker => scene.upstream.state.breaker.state().1,
        FactorName::Route
        | FactorName::Priority
        | FactorName::Subset
        | FactorName::Zone
        | FactorName::SlowStart
        | FactorName::Limits
        | FactorName::AdaptiveLimit
        | FactorName::Pause => scene.status.since,
    }
}

fn check_entry(check: CheckRecord) -> CheckEntry {
    CheckEntry {
        at: check.at,
        result: if check.ok { CheckResult::Passed } else { CheckResult::Failed },
        reason: check.failure,
        status: check.status,
        duration_ms: millis(check.duration),
    }
}

fn ejection_entry(ejection: Ejection) -> EjectionEntry {
    let evidence = ejection.evidence;
    let (errors, rates) = match evidence {
        Evidence::Row { errors, .. } => (Some(errors), None),
        Evidence::SuccessRate { requests, rate, threshold, .. }
        | Evidence::FailurePercentage { requests, rate, threshold } => {
            (None, Some((requests, rate, threshold)))
        }
    };
    EjectionEntry {
        at: ejection.at,
        due: ejection.due,
        ended_early_at: ejection.ended,
        detector: evidence.detector(),
        detail: evidence.to_string(),
        consecutive_errors: errors,
        requests: rates.map(|(requests, _, _)| requests),
        success_rate_percent: rates.map(|(_, rate, _)| tenths(rate * 100.0)),
        threshold_percent: rates.map(|(_, _, threshold)| tenths(threshold * 100.0)),
    }
}
