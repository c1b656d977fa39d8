//! Verdicts of checks, one after the other.

use std::time::Duration;

use super::*;

const THRESHOLDS: HealthThresholds = HealthThresholds { healthy: 2, unhealthy: 3 };

fn outcome(failure: Option<Reason>) -> CheckOutcome {
    CheckOutcome { failure, detail: String::new(), status: None, duration: Duration::from_millis(1) }
}

fn feed(health: &Health, outcomes: &str) -> Vec<HealthState> {
    let one = |c| outcome((c == '-').then_some(Reason::ConnectRefused));
    let observe = |c| health.observe(&one(c), THRESHOLDS, Now::default());
    outcomes.chars().filter_map(observe).map(|transition| transition.to).collect()
}

#[test]
fn a_new_server_needs_one_pass_and_one_failure_tells_why_it_has_none() {
    let health = Health::new(Now::default());
    assert!(!health.is_healthy());
    assert_eq!(feed(&health, "+"), [HealthState::Healthy]);
    assert!(health.is_healthy());
    let health = Health::new(Now::default());
    assert_eq!(feed(&health, "-"), [HealthState::Unhealthy]);
    assert_eq!(health.record().reason, Some(Reason::ConnectRefused));
}

#[test]
fn verdicts_turn_only_after_a_row_of_outcomes() {
    let health = Health::new(Now::default());
    assert_eq!(feed(&health, "+--+--+"), [HealthState::Healthy]);
    assert_eq!(feed(&health, "---"), [HealthState::Unhealthy]);
    assert!(!health.is_turning());
    assert_eq!(feed(&health, "+-+"), []);
    assert!(health.is_turning());
    assert_eq!(feed(&health, "+"), [HealthState::Healthy]);
    assert!(!health.is_turning());
    let record = health.record();
    assert_eq!(record.history.to_text(), "+--+--+---+-++");
    assert_eq!((record.total, record.failed, record.reason), (14, 8, None));
}

#[test]
fn history_keeps_the_last_32() {
    let health = Health::new(Now::default());
    feed(&health, &"-".repeat(40));
    feed(&health, "+");
    let text = health.record().history.to_text();
    assert_eq!((text.len(), text.ends_with("-+")), (32, true));
}

#[test]
fn a_late_checker_changes_no_verdict() {
    let health = Health::new(Now::default());
    feed(&health, "+");
    health.freeze();
    assert!(health.is_healthy() && health.record().late);
    feed(&health, "+");
    assert!(!health.record().late);
}

#[test]
fn a_change_of_checks_keeps_the_verdict_until_the_next_outcome() {
    let health = Health::new(Now::default());
    health.recheck();
    assert_eq!(health.record().recheck, Recheck::Done, "nothing is known yet");
    feed(&health, "+");
    health.recheck();
    assert!(health.is_healthy() && health.record().recheck == Recheck::Pending);
    feed(&health, "-");
    assert!(health.is_healthy() && health.record().recheck == Recheck::Done);
}

#[test]
fn a_server_known_to_be_down_before_a_restart_returns_with_one_pass() {
    let health = Health::new(Now::default());
    health.restore_unhealthy(Now::default());
    assert_eq!(health.record().reason, Some(Reason::RecheckPending));
    assert_eq!(feed(&health, "+"), [HealthState::Healthy]);
}
