//! Ejecting servers of an upstream: the one place that weighs a server's failures against what the upstream can spare.
//!
//! Failures come in one by one from requests, and counters are compared once per interval by whoever has the time; never the
//! last eligible server goes, nor more than the configured share.

use std::{sync::Arc, time::Duration};

use super::{Server, Upstream};
use crate::{
    model::OutlierDetection,
    state::{
        EjectionPolicy, Evidence, FailurePercentagePolicy, RatePolicy, RowLimits, Sample, ServerFault,
        SuccessRatePolicy,
    },
    time::{Moment, Now},
};

/// A server ejected just now.
#[derive(Clone, Copy, Debug)]
pub struct Ejected<'a> {
    /// Which.
    pub server: &'a Server,
    /// By what.
    pub evidence: Evidence,
    /// For how long.
    pub length: Duration,
}

impl Upstream {
    /// Takes in a failure of `server`, which active checks are to look into if there was no connection; `random` decides the jitter. Answers the ejection, if that was the one failure too
    /// many.
    pub fn failed<'a>(
        &self,
        server: &'a Server,
        fault: ServerFault,
        now: Now,
        random: u64,
    ) -> Option<Ejected<'a>> {
        if fault == ServerFault::Connection {
            server.state.health.doubt();
            self.state.doubt();
        }
        let evidence = server.state.outlier.failed(&self.ejection, fault)?;
        self.eject(server, evidence, now, random)
    }

    /// Compares what the servers have answered since the last comparison, if that is an interval ago. Answers those that
    /// were ejected for it. For one caller; `random` decides the jitter.
    ///
    /// A caller that comes much too late compares nothing and begins anew: an old failure is no reason to eject now.
    pub fn compare(&self, now: Now, random: &mut dyn FnMut() -> u64) -> Vec<Ejected<'_>> {
        if !self.is_compared() {
            return Vec::new();
        }
        let passed = match self.state.compared_at() {
            Some(last) => now.moment.since(last),
            None => Duration::MAX,
        };
        if passed < self.rates.interval {
            return Vec::new();
        }
        self.state.compared(now.moment);
        if passed >= self.rates.interval.saturating_mul(2) {
            for server in &self.servers {
                server.state.outlier.begin_interval(Sample::read(&server.state.counters));
            }
            return Vec::new();
        }
        let mut samples = Vec::new();
        for (index, server) in self.servers.iter().enumerate() {
            let sample = server.state.outlier.read(Sample::read(&server.state.counters));
            if server.is_wanted() && !server.state.outlier.is_ejected(now.moment) {
                samples.push((index, sample));
            }
        }
        let outliers = self.rates.outliers(&samples).into_iter();
        let ejected = outliers
            .filter_map(|(index, evidence)| self.eject(self.servers.get(index)?, evidence, now, random()));
        ejected.collect()
    }

    /// Whether servers are compared with each other: it is asked for, and there are enough of them.
    #[must_use]
    pub fn is_compared(&self) -> bool {
        self.rates.applies_to(self.servers.len())
    }

    fn eject<'a>(
        &self,
        server: &'a Server,
        evidence: Evidence,
        now: Now,
        random: u64,
    ) -> Option<Ejected<'a>> {
        // Two workers that looked at the same moment could each take the other's server for the one that stays.
        let _one_at_a_time = self.state.ejecting();
        if !self.can_spare(server, now.moment) {
            return None;
        }
        let length = server.state.outlier.eject(&self.ejection, evidence, now, random);
        self.state.eligibility_changed();
        Some(Ejected { server, evidence, length })
    }

    fn can_spare(&self, server: &Server, now: Moment) -> bool {
        let is_ejected = |server: &Server| server.state.outlier.is_ejected(now);
        let spare =
            |other: &&Arc<Server>| other.is_wanted() && other.state.health.is_healthy() && !is_ejected(other);
        if is_ejected(server)
            || !self.servers.iter().filter(|other| other.id != server.id).any(|other| spare(&other))
        {
            return false;
        }
        let ejected = self.servers.iter().filter(|server| is_ejected(server)).count();
        let wanted = self.servers.iter().filter(|server| server.is_wanted()).count();
        let percent = usize::from(self.record.spec.outlier_detection.max_ejection_percent);
        // A share that is not even one server would turn all of this off without saying so.
        let most = if percent == 0 { 0 } else { (wanted * percent / 100).max(1) };
        ejected < most
    }
}

/// What errors in a row do, and how long ejections last.
pub(super) fn policy(spec: &OutlierDetection) -> EjectionPolicy {
    let rows = RowLimits {
        any: spec.consecutive_5xx.into(),
        gateway: spec.consecutive_gateway_failure.into(),
        local_origin: spec.consecutive_local_origin_failure.into(),
    };
    EjectionPolicy {
        rows: if spec.enabled { rows } else { RowLimits::default() },
        base: spec.base_ejection_time.duration(),
        max: spec.max_ejection_time.duration(),
        jitter: spec.max_ejection_time_jitter.duration(),
    }
}

/// How servers are compared with each other.
pub(super) fn rates(spec: &OutlierDetection) -> RatePolicy {
    let by_rate = spec.enabled && spec.success_rate_stdev_factor > 0.0;
    let by_share = spec.enabled && spec.failure_percentage_threshold > 0;
    RatePolicy {
        interval: spec.interval.duration(),
        success_rate: by_rate.then(|| SuccessRatePolicy {
            stdev_factor: spec.success_rate_stdev_factor,
            minimum_drop: f64::from(spec.success_rate_minimum_drop_percent) / 100.0,
            minimum_servers: spec.success_rate_minimum_servers.into(),
            request_volume: spec.success_rate_request_volume.into(),
        }),
        failure_percentage: by_share.then(|| FailurePercentagePolicy {
            threshold: f64::from(spec.failure_percentage_threshold) / 100.0,
            minimum_servers: spec.failure_percentage_minimum_servers.into(),
            request_volume: spec.failure_percentage_request_volume.into(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        id::{Epoch, Revision},
        model::{Document, Meta},
        state::{Detector, WorkerId},
        table::Compiler,
        time::Timestamp,
    };

    const OOPS: ServerFault = ServerFault::Status(500);

    fn upstream(servers: usize, outlier_detection: Value) -> Arc<Upstream> {
        let servers: Vec<Value> = (0..servers)
            .map(|n| json!({"id": format!("s{n}"), "address": format!("10.0.0.{n}:80")}))
            .collect();
        let document: Document = serde_json::from_value(json!({"upstreams": [{
            "id": "web", "servers": servers, "outlier_detection": outlier_detection, "health_check": {"enabled": false},
        }]}))
        .unwrap();
        let config = document.into_config(Revision(1), Epoch("000000".into()), Meta::default());
        let table =
            Compiler { workers: 2, ..Compiler::default() }.compile(Arc::new(config), None, at(0)).unwrap();
        Arc::clone(table.upstream("web").unwrap())
    }

    fn at(seconds: u64) -> Now {
        let moment = Moment(seconds * 1_000_000);
        Now { moment, wall: Timestamp(i64::try_from(seconds * 1000).unwrap()) }
    }

    /// Has a server answer, some of the answers failures.
    fn answer(upstream: &Upstream, server: usize, answers: u64, failures: u64) {
        let counters = upstream.servers[server].state.counters.of(WorkerId(server % 2));
        (0..answers - failures).for_each(|_| counters.count_response(200));
        (0..failures).for_each(|_| counters.count_response(500));
        counters.failures.add(failures);
    }

    fn compare(upstream: &Upstream, seconds: u64) -> Vec<(String, Detector)> {
        let ejected = upstream.compare(at(seconds), &mut || 0);
        ejected.iter().map(|one| (one.server.id.as_str().to_owned(), one.evidence.detector())).collect()
    }

    /// How many servers end up ejected when all fail at once.
    fn ejected_of(servers: usize, percent: u8) -> usize {
        let upstream = upstream(servers, json!({"max_ejection_percent": percent}));
        for _ in 0..10 {
            for server in &upstream.servers {
                upstream.failed(server, OOPS, at(1), 0);
            }
        }
        upstream.servers.iter().filter(|server| server.state.outlier.is_ejected(at(1).moment)).count()
    }

    #[test]
    fn the_share_holds_it_is_one_server_at_least_and_the_last_one_stays() {
        for (servers, percent, ejected) in [
            (10, 50, 5),
            (3, 50, 1),
            (10, 100, 9),
            (10, 10, 1),
            (3, 10, 1),
            (2, 10, 1),
            (1, 100, 0),
            (10, 0, 0),
        ] {
            assert_eq!(ejected_of(servers, percent), ejected, "{servers} servers, {percent} %");
        }
    }

    #[test]
    fn servers_are_compared_once_per_interval_by_what_they_did_within_it() {
        let upstream = upstream(5, json!({}));
        answer(&upstream, 0, 1000, 1000);
        assert_eq!(compare(&upstream, 100), [], "what was before the first look does not count");
        (1..5).for_each(|server| answer(&upstream, server, 200, 0));
        answer(&upstream, 0, 200, 100);
        assert_eq!(compare(&upstream, 109), [], "not yet");
        assert_eq!(compare(&upstream, 110), [("s0".to_owned(), Detector::SuccessRate)]);
        let record = upstream.servers[0].state.outlier.record();
        assert_eq!(record.interval, Some(Sample { requests: 200, failures: 100 }));
        assert_eq!(compare(&upstream, 120), [], "nothing new");
        // Ejected until 140. After that it is one of five again.
        for seconds in [130, 140] {
            assert_eq!(compare(&upstream, seconds), []);
        }
        (1..5).for_each(|server| answer(&upstream, server, 200, 0));
        answer(&upstream, 0, 200, 100);
        assert_eq!(compare(&upstream, 150).len(), 1);
        assert_eq!(upstream.servers[0].state.outlier.record().ejections, [0, 0, 0, 2, 0]);
    }

    #[test]
    fn a_look_that_comes_much_too_late_ejects_nobody() {
        let upstream = upstream(5, json!({}));
        compare(&upstream, 10);
        (1..5).for_each(|server| answer(&upstream, server, 200, 0));
        answer(&upstream, 0, 200, 200);
        assert_eq!(compare(&upstream, 30), []);
        assert_eq!(compare(&upstream, 40), []);
    }

    #[test]
    fn comparisons_can_be_turned_off_and_are_bound_by_the_share() {
        let fill = |upstream: &Upstream| {
            compare(upstream, 10);
            (0..8).for_each(|server| answer(upstream, server, 100, 0));
            (8..10).for_each(|server| answer(upstream, server, 100, 90));
            compare(upstream, 20)
        };
        assert_eq!(fill(&upstream(10, json!({}))).len(), 2);
        assert_eq!(fill(&upstream(10, json!({"max_ejection_percent": 10}))).len(), 1);
        assert_eq!(fill(&upstream(10, json!({"success_rate_stdev_factor": 0}))), []);
        assert_eq!(fill(&upstream(10, json!({"enabled": false, "failure_percentage_threshold": 85}))), []);
        let found =
            fill(&upstream(10, json!({"success_rate_stdev_factor": 0, "failure_percentage_threshold": 85})));
        assert!(
            found.len() == 2 && found.iter().all(|(_, detector)| *detector == Detector::FailurePercentage)
        );
    }

    #[test]
    fn servers_out_of_use_are_not_compared() {
        let upstream = upstream(6, json!({}));
        compare(&upstream, 10);
        let server = &upstream.servers[0];
        let row = Evidence::Row { detector: Detector::Consecutive5xx, errors: 5, fault: OOPS };
        server.state.outlier.eject(&upstream.ejection, row, at(10), 0);
        // What the ejected server did would hide what the other does.
        answer(&upstream, 0, 200, 200);
        answer(&upstream, 1, 200, 60);
        (2..6).for_each(|server| answer(&upstream, server, 200, 0));
        assert_eq!(compare(&upstream, 20), [("s1".to_owned(), Detector::SuccessRate)]);
    }
}
