//! Turns of a breaker, one request after another.

use super::*;

const POLICY: BreakerPolicy = BreakerPolicy {
    error_percent: 50,
    min_requests: 10,
    window: Duration::from_secs(10),
    open_time: Duration::from_secs(5),
    trial_requests: 2,
};

struct Subject {
    breaker: Breaker,
    now: Now,
}

impl Subject {
    fn new() -> Self {
        let now = Now { moment: Moment(1_000_000_000), wall: Timestamp(1000) };
        Self { breaker: Breaker::default(), now }
    }

    fn wait(&mut self, time: Duration) {
        self.now.moment = self.now.moment.plus(time);
        self.now.wall = self.now.wall.plus(time);
    }

    fn admit(&self) -> Result<Pass, Duration> {
        self.breaker.admit(POLICY, self.now)
    }

    fn report(&self, pass: Pass, outcome: Outcome) -> Option<BreakerState> {
        self.breaker.report(pass, outcome, POLICY, self.now)
    }

    /// Requests with these outcomes; the turn that the last of them made.
    fn run(&self, count: usize, outcome: Outcome) -> Option<BreakerState> {
        (0..count).map(|_| self.report(self.admit().unwrap(), outcome)).last().unwrap()
    }

    fn state(&self) -> BreakerState {
        self.breaker.state().0
    }
}

#[test]
fn it_opens_at_the_share_of_failures_and_not_before_there_are_enough_requests() {
    let subject = Subject::new();
    assert_eq!(subject.run(9, Outcome::Failure), None, "too few");
    assert_eq!(subject.run(1, Outcome::Failure), Some(BreakerState::Open));
    assert_eq!(subject.admit(), Err(Duration::from_secs(5)));
    assert_eq!((subject.breaker.opened(), subject.breaker.refused()), (1, 1));
    let subject = Subject::new();
    assert_eq!(subject.run(11, Outcome::Success), None);
    assert_eq!(subject.run(10, Outcome::Failure), None, "10 of 21");
    assert_eq!(subject.run(1, Outcome::Failure), Some(BreakerState::Open), "11 of 22");
}

#[test]
fn what_is_long_ago_does_not_count() {
    let mut subject = Subject::new();
    subject.run(9, Outcome::Failure);
    subject.wait(Duration::from_secs(10));
    assert_eq!(subject.run(9, Outcome::Failure), None);
    subject.wait(Duration::from_secs(8));
    assert_eq!(subject.run(1, Outcome::Failure), Some(BreakerState::Open));
}

#[test]
fn trials_decide_and_one_failure_is_enough() {
    let mut subject = Subject::new();
    subject.run(10, Outcome::Failure);
    subject.wait(Duration::from_secs(5));
    let (first, second) = (subject.admit().unwrap(), subject.admit().unwrap());
    assert_eq!(subject.state(), BreakerState::HalfOpen);
    assert!(subject.admit().is_err(), "no more than the trials");
    assert_eq!(subject.report(first, Outcome::Success), None);
    assert!(subject.admit().is_err(), "the other is under way");
    assert_eq!(subject.report(second, Outcome::Failure), Some(BreakerState::Open));
    assert_eq!(subject.admit(), Err(Duration::from_secs(5)));
    subject.wait(Duration::from_secs(5));
    assert_eq!(subject.run(2, Outcome::Success), Some(BreakerState::Closed));
    assert_eq!(subject.run(9, Outcome::Failure), None, "counts anew");
    assert_eq!((subject.breaker.opened(), subject.state()), (2, BreakerState::Closed));
}

#[test]
fn a_trial_that_says_nothing_makes_room_for_another() {
    let mut subject = Subject::new();
    subject.run(10, Outcome::Failure);
    subject.wait(Duration::from_secs(5));
    let trials = [subject.admit().unwrap(), subject.admit().unwrap()];
    assert_eq!(subject.report(trials[0], Outcome::Unknown), None);
    assert!(subject.admit().is_ok() && subject.admit().is_err());
}

#[test]
fn trials_that_hang_are_not_waited_for_but_heard() {
    let mut subject = Subject::new();
    subject.run(10, Outcome::Failure);
    subject.wait(Duration::from_secs(5));
    let hung = [subject.admit().unwrap(), subject.admit().unwrap()];
    subject.wait(Duration::from_millis(4999));
    assert!(subject.admit().is_err());
    subject.wait(Duration::from_millis(1));
    let (third, fourth) = (subject.admit().unwrap(), subject.admit().unwrap());
    assert!(subject.admit().is_err(), "as many as before");
    assert_eq!(subject.report(hung[0], Outcome::Unknown), None);
    assert!(subject.admit().is_err(), "its place was given away already");
    assert_eq!(subject.report(third, Outcome::Success), None);
    assert_eq!(
        subject.report(hung[1], Outcome::Success),
        Some(BreakerState::Closed),
        "a success all the same"
    );
    assert_eq!(subject.report(fourth, Outcome::Failure), None, "too late");
    let mut subject = Subject::new();
    subject.run(10, Outcome::Failure);
    subject.wait(Duration::from_secs(5));
    let hung = [subject.admit().unwrap(), subject.admit().unwrap()];
    subject.wait(Duration::from_secs(5));
    subject.run(1, Outcome::Success);
    assert_eq!(subject.report(hung[0], Outcome::Failure), Some(BreakerState::Open));
}

#[test]
fn fewer_trials_may_be_asked_for_meanwhile() {
    let mut subject = Subject::new();
    subject.run(10, Outcome::Failure);
    subject.wait(Duration::from_secs(5));
    assert_eq!(subject.run(1, Outcome::Success), None);
    let fewer = BreakerPolicy { trial_requests: 1, ..POLICY };
    assert!(subject.breaker.admit(fewer, subject.now).is_ok());
    assert_eq!(subject.state(), BreakerState::Closed);
}

#[test]
fn late_news_from_before_a_turn_changes_nothing() {
    let mut subject = Subject::new();
    let early: Vec<Pass> = (0..20).map(|_| subject.admit().unwrap()).collect();
    subject.run(10, Outcome::Failure);
    assert!(early.iter().all(|pass| subject.report(*pass, Outcome::Success).is_none()));
    subject.wait(Duration::from_secs(5));
    let late_trial = subject.admit().unwrap();
    assert!(early.iter().all(|pass| subject.report(*pass, Outcome::Failure).is_none()));
    assert_eq!(subject.report(subject.admit().unwrap(), Outcome::Failure), Some(BreakerState::Open));
    assert_eq!(subject.report(late_trial, Outcome::Success), None);
    assert_eq!(subject.state(), BreakerState::Open);
}

#[test]
fn it_reads_as_a_word() {
    for state in [BreakerState::Closed, BreakerState::Open, BreakerState::HalfOpen] {
        assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
    }
}
