//! Ejections, their ends and what is kept of them.

use super::*;
use crate::state::RowLimits;

const POLICY: EjectionPolicy = EjectionPolicy {
    rows: RowLimits { any: 4, gateway: 3, local_origin: 2 },
    base: Duration::from_secs(30),
    max: Duration::from_secs(100),
    jitter: Duration::ZERO,
};
const OOPS: ServerFault = ServerFault::Status(500);
const BUSY: ServerFault = ServerFault::Status(503);
const ROW: Evidence = Evidence::Row { detector: Detector::Consecutive5xx, errors: 4, fault: OOPS };

/// The detectors that ask for an ejection, in turn.
fn feed(outlier: &Outlier, faults: &[Option<ServerFault>]) -> Vec<Detector> {
    let asks = faults.iter().filter_map(|fault| match fault {
        Some(fault) => outlier.failed(&POLICY, *fault),
        None => {
            outlier.succeeded();
            None
        }
    });
    asks.map(Evidence::detector).collect()
}

#[test]
fn only_errors_in_a_row_eject_and_each_kind_has_its_row() {
    use Detector::{Consecutive5xx, ConsecutiveGatewayFailure, ConsecutiveLocalOriginFailure};
    use ServerFault::{Connection, Incomplete, Timeout};
    let cases: [(&[Option<ServerFault>], &[Detector]); 8] = [
        (&[Some(OOPS); 3], &[]),
        (&[Some(OOPS); 4], &[Consecutive5xx]),
        (&[Some(OOPS), Some(OOPS), Some(OOPS), None, Some(OOPS)], &[]),
        (&[Some(BUSY); 3], &[ConsecutiveGatewayFailure]),
        (&[Some(BUSY), Some(BUSY), Some(OOPS), Some(BUSY)], &[Consecutive5xx]),
        (&[Some(Connection), Some(Timeout)], &[ConsecutiveLocalOriginFailure]),
        (&[Some(Connection), Some(BUSY), Some(Incomplete)], &[ConsecutiveGatewayFailure]),
        (&[Some(Connection), None, Some(Timeout), Some(OOPS), Some(Connection)], &[]),
    ];
    for (faults, expected) in cases {
        assert_eq!(feed(&Outlier::default(), faults), expected, "{faults:?}");
    }
}

#[test]
fn a_limit_of_zero_turns_a_row_off() {
    let outlier = Outlier::default();
    let policy = EjectionPolicy { rows: RowLimits { gateway: 3, ..RowLimits::default() }, ..POLICY };
    assert!((0..100).all(|_| outlier.failed(&policy, OOPS).is_none()));
    assert_eq!(outlier.consecutive_errors(), 100, "counted all the same");
    let asks: Vec<bool> = (0..3).map(|_| outlier.failed(&policy, BUSY).is_some()).collect();
    assert_eq!(asks, [false, false, true]);
}

#[test]
fn the_nth_ejection_lasts_n_times_as_long_up_to_the_longest() {
    let outlier = Outlier::default();
    let mut now = Now::default();
    for seconds in [30, 60, 90, 100, 100] {
        assert_eq!(outlier.eject(&POLICY, ROW, now, 0), Duration::from_secs(seconds));
        assert!(outlier.is_ejected(now.moment));
        assert_eq!(feed(&outlier, &[Some(OOPS); 4]), [], "already ejected");
        now.moment = now.moment.plus(Duration::from_secs(seconds));
        assert!(!outlier.is_ejected(now.moment));
        assert!(outlier.uneject(EjectionEnd::Due) && !outlier.uneject(EjectionEnd::Due));
    }
    assert_eq!((outlier.record().total_ejections(), outlier.record().ejections[0]), (5, 5));
    now.moment = now.moment.plus(Duration::from_secs(3 * 30));
    assert_eq!(outlier.eject(&POLICY, ROW, now, 0), Duration::from_secs(90), "three of five forgiven");
    now.moment = now.moment.plus(Duration::from_secs(90 + 10 * 30));
    assert_eq!(outlier.eject(&POLICY, ROW, now, 0), Duration::from_secs(30));
}

#[test]
fn jitter_comes_on_top() {
    let policy = EjectionPolicy { jitter: Duration::from_secs(10), ..POLICY };
    let length = |random| Outlier::default().eject(&policy, ROW, Now::default(), random);
    assert_eq!(length(0), Duration::from_secs(30));
    assert_eq!(length(u64::MAX / 2).as_secs(), 34);
    assert!(length(u64::MAX) <= Duration::from_secs(40) && length(u64::MAX) > Duration::from_millis(39_999));
}

#[test]
fn an_early_end_is_unproven_until_a_request_succeeds() {
    let outlier = Outlier::default();
    let eject = || outlier.eject(&POLICY, ROW, Now::default(), 0);
    eject();
    outlier.uneject(EjectionEnd::Due);
    assert!(!outlier.is_unproven(), "nobody has said anything");
    eject();
    outlier.uneject(EjectionEnd::Early(Timestamp(5_000)));
    feed(&outlier, &[Some(OOPS)]);
    assert!(outlier.is_unproven());
    eject();
    outlier.uneject(EjectionEnd::Due);
    assert!(outlier.is_unproven(), "nor did time prove anything");
    feed(&outlier, &[None]);
    assert!(!outlier.is_unproven());
}

#[test]
fn the_last_ejections_are_kept_with_their_evidence_and_end() {
    let outlier = Outlier::default();
    let mut now = Now { moment: Moment(0), wall: Timestamp(1_000) };
    outlier.eject(&POLICY, ROW, now, 0);
    outlier.uneject(EjectionEnd::Early(Timestamp(5_000)));
    now.wall = Timestamp(60_000);
    let rate = Evidence::FailurePercentage { requests: 100, rate: 0.1, threshold: 0.15 };
    outlier.eject(&POLICY, rate, now, 0);
    let kept = outlier.ejections();
    let first = Ejection {
        at: Timestamp(1_000),
        due: Timestamp(31_000),
        ended: Some(Timestamp(5_000)),
        evidence: ROW,
    };
    assert_eq!((kept.len(), kept[1]), (2, first));
    assert_eq!((kept[0].at, kept[0].ended, kept[0].evidence), (Timestamp(60_000), None, rate));
    assert_eq!(outlier.record().ejections, [1, 0, 0, 0, 1]);
    for _ in 0..2 * KEPT {
        outlier.eject(&POLICY, ROW, now, 0);
    }
    assert_eq!(outlier.ejections().len(), KEPT, "and no more than a few");
}
