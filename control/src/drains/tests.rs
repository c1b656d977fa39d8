//! When drains end, and what becomes of them when the configuration or the process changes.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use weir_shared::{
    id::{Epoch, Revision},
    model::{AdminState, Config, Document, Meta},
    time::{Moment, Now, Timestamp},
    units::Span,
};

use super::{
    Drain, DrainEventKind, DrainOutcome, Drains, End, StartDrain, Then,
    runner::{QuietEnds, Watch},
};
use crate::{
    catalog::change::{Change, Effect, Outcome},
    error::CatalogError,
    store::{Record, RecordKind, RecordOp},
};

const SECOND: Duration = Duration::from_secs(1);

fn at(seconds: u32) -> Now {
    let elapsed = SECOND * seconds;
    Now { moment: Moment::from_elapsed(elapsed), wall: Timestamp(1_795_383_600_000).plus(elapsed) }
}

/// An upstream `web` of servers with these ids and admin states, all at addresses like `a:80`.
fn config(servers: &[(&str, &str)]) -> Config {
    let server =
        |(id, state): &(&str, &str)| json!({"id": id, "address": format!("{id}:80"), "admin_state": state});
    let servers: Vec<_> = servers.iter().map(server).collect();
    document(&json!({"upstreams": [{"id": "web", "drain_timeout": "20s", "servers": servers}]}))
}

fn document(document: &serde_json::Value) -> Config {
    let document: Document = serde_json::from_value(document.clone()).unwrap();
    document.into_config(Revision(1), Epoch("abc123".into()), Meta::default())
}

fn outcome(server: &str) -> Outcome {
    Outcome {
        effect: Effect::Changed,
        upstream: "web".into(),
        listener: String::new(),
        servers: vec![server.into()],
        bound_routes: Vec::new(),
        losses: Vec::new(),
    }
}

fn start(key: &str, timeout: Option<u32>, then: Then) -> Change {
    let timeout = timeout.map(|seconds| Span::from_secs(seconds.into()));
    Change::StartDrain(StartDrain { upstream: "web".into(), key: key.into(), timeout, then })
}

/// A book with one drain of `a`, begun at second 10.
fn drained(then: Then) -> (Drains, Arc<Drain>) {
    let drains = Drains::default();
    let (before, after) = (config(&[("a", "ready")]), config(&[("a", "drain")]));
    let step = drains.step(&start("a", None, then), &outcome("a"), (&before, &after), at(10));
    drains.made(step);
    let drain = drains.of("web", "a").unwrap();
    (drains, drain)
}

/// What `drains` holds after the step from a drained `a` to `next`, and how often the store is told of its end.
fn after(drains: &Drains, next: &Config) -> (usize, usize) {
    let change = Change::DeleteServer { upstream: "web".into(), key: "x".into() };
    let step = drains.step(&change, &outcome("x"), (&config(&[("a", "drain")]), next), at(11));
    let is_end = |op: &&RecordOp| matches!(op, RecordOp::Put { id, json, .. } if id == "web/a" && json.contains("past"));
    let ends = step.records().iter().filter(is_end).count();
    drains.made(step);
    (drains.count(), ends)
}

#[test]
fn a_drain_ends_when_nothing_is_under_way_twice_in_a_row_or_at_the_deadline() {
    let moment = |seconds| at(seconds).moment;
    let mut watch = Watch::new(moment(10), QuietEnds::Drain);
    assert_eq!(watch.look(2, moment(1)), None);
    assert_eq!(watch.look(0, moment(2)), None, "a late request may still come");
    assert_eq!(watch.look(1, moment(3)), None);
    assert_eq!(watch.look(0, moment(4)), None);
    assert_eq!(watch.look(0, moment(5)), Some(DrainOutcome::Drained));
    let mut watch = Watch::new(moment(10), QuietEnds::Drain);
    assert_eq!(watch.look(1, moment(9)), None);
    assert_eq!(watch.look(1, moment(10)), Some(DrainOutcome::Deadline));
    assert_eq!(Watch::new(moment(10), QuietEnds::Drain).look(0, moment(10)), Some(DrainOutcome::Drained));
    let mut watch = Watch::new(moment(10), QuietEnds::Nothing);
    assert!((1..10).all(|second| watch.look(0, moment(second)).is_none()), "bound clients may come back");
    assert_eq!(watch.look(0, moment(10)), Some(DrainOutcome::Drained));
}

#[test]
fn a_drain_notes_its_deadline_and_what_the_server_was() {
    let drains = Drains::default();
    let (before, after) = (config(&[("a", "maint")]), config(&[("a", "drain")]));
    let step = drains.step(&start("a", Some(5), Then::Remove), &outcome("a"), (&before, &after), at(10));
    assert!(
        matches!(&step.records()[..], [RecordOp::Put { kind: RecordKind::Drain, id, .. }] if id == "web/a")
    );
    let drain = step.begun().unwrap();
    let (deadline, was) = (at(15).wall, AdminState::Maint);
    assert_eq!((drain.deadline, drain.admin_state_before, drain.then), (deadline, was, Then::Remove));
    assert_eq!(drains.count(), 0, "nothing is entered before it is durable");
    let (_, drain) = drained(Then::Keep);
    assert_eq!(drain.deadline, at(30).wall, "the upstream's timeout is the default");
}

#[test]
fn a_second_drain_is_refused_while_the_first_is_under_way() {
    let (drains, drain) = drained(Then::Keep);
    let present = config(&[("a", "drain")]);
    for key in ["a", "a:80"] {
        let again = start(key, None, Then::Remove);
        let refused = drains.concrete(&again, &present);
        assert!(matches!(refused, Err(CatalogError::DrainUnderWay(known)) if known == drain));
    }
    let end = Change::EndDrain { drain: Arc::clone(&drain), outcome: DrainOutcome::Deadline };
    drains.made(drains.step(&end, &outcome("a"), (&present, &present), at(30)));
    assert_eq!(drains.count(), 0);
    let ended = drains.of("web", "a").unwrap();
    assert_eq!(ended.end, Some(End { outcome: DrainOutcome::Deadline, at: at(30).wall, is_past: false }));
    assert!(drains.concrete(&start("a", None, Then::Remove), &present).is_ok());
    assert!(drains.concrete(&end, &present).is_err(), "the drain that was meant is over");
}

#[test]
fn a_drain_after_one_that_ended_goes_back_to_what_was_before_both() {
    let (drains, drain) = drained(Then::Keep);
    let present = config(&[("a", "drain")]);
    let end = Change::EndDrain { drain, outcome: DrainOutcome::Drained };
    drains.made(drains.step(&end, &outcome("a"), (&present, &present), at(20)));
    drains.made(drains.step(&start("a", None, Then::Maint), &outcome("a"), (&present, &present), at(21)));
    assert_eq!(drains.of("web", "a").unwrap().admin_state_before, AdminState::Ready);
    let cancel = Change::CancelDrain { upstream: "web".into(), key: "a".into() };
    let back = drains.concrete(&cancel, &present).unwrap().into_owned();
    assert!(matches!(back, Change::PatchServer { patch, .. } if patch == json!({"admin_state": "ready"})));
    let by_hand = Drains::default();
    let step = by_hand.step(&start("a", None, Then::Keep), &outcome("a"), (&present, &present), at(10));
    assert_eq!(step.begun().unwrap().admin_state_before, AdminState::Drain, "as the operator had it");
}

#[test]
fn of_the_drains_at_an_address_the_last_is_told() {
    let drains = Drains::default();
    // Both were at one address, the one after the other, and the names are not in that order.
    for (name, since) in [("b", 10), ("a", 5), ("c", 7)] {
        let servers = |state: &str| {
            let server = json!({"id": name, "address": "10.0.0.1:80", "admin_state": state});
            document(&json!({"upstreams": [{"id": "web", "servers": [server]}]}))
        };
        let (ready, draining) = (servers("ready"), servers("drain"));
        let begin = start(name, None, Then::Remove);
        drains.made(drains.step(&begin, &outcome(name), (&ready, &draining), at(since)));
        let drain = drains.of("web", name).unwrap();
        let end = Change::EndDrain { drain, outcome: DrainOutcome::Drained };
        drains.made(drains.step(&end, &outcome(name), (&draining, &config(&[])), at(since + 1)));
    }
    assert_eq!(drains.last("web", "10.0.0.1:80").unwrap().server, "b");
}

#[test]
fn whatever_makes_the_server_something_else_ends_its_drain() {
    for next in [
        config(&[("a", "ready")]),
        config(&[("a", "maint")]),
        config(&[("b", "drain")]),
        document(&json!({})),
        document(&json!({"upstreams": [{"id": "web", "servers": [
            {"id": "a", "address": "elsewhere:80", "admin_state": "drain"}
        ]}]})),
    ] {
        let (drains, drain) = drained(Then::Remove);
        assert_eq!(after(&drains, &next), (0, 1), "{next:?}");
        let end = Change::EndDrain { drain, outcome: DrainOutcome::Drained };
        assert!(drains.concrete(&end, &next).is_err(), "it removes nothing any more");
    }
    let (drains, _) = drained(Then::Remove);
    assert_eq!(
        after(&drains, &config(&[("a", "drain"), ("b", "ready")])),
        (1, 0),
        "another server does not matter"
    );
}

#[test]
fn what_happens_to_a_drain_is_told() {
    let kinds = |step: &super::Step| step.events().iter().map(|event| event.kind).collect::<Vec<_>>();
    let drains = Drains::default();
    let (ready, draining) = (config(&[("a", "ready")]), config(&[("a", "drain")]));
    let step = drains.step(&start("a", None, Then::Remove), &outcome("a"), (&ready, &draining), at(10));
    assert_eq!(kinds(&step), [DrainEventKind::Started]);
    for (change, next, kind) in [
        (Some(DrainOutcome::Drained), config(&[]), DrainEventKind::Finished),
        (Some(DrainOutcome::Deadline), config(&[]), DrainEventKind::Deadline),
        (None, ready, DrainEventKind::Cancelled),
    ] {
        let (drains, drain) = drained(Then::Remove);
        let change = match change {
            Some(outcome) => Change::EndDrain { drain, outcome },
            None => Change::CancelDrain { upstream: "web".into(), key: "a".into() },
        };
        assert_eq!(kinds(&drains.step(&change, &outcome("a"), (&draining, &next), at(20))), [kind]);
    }
    let (drains, drain) = drained(Then::Keep);
    let change = Change::EndDrain { drain, outcome: DrainOutcome::Drained };
    assert_eq!(
        kinds(&drains.step(&change, &outcome("a"), (&draining, &draining), at(20))),
        [DrainEventKind::Finished]
    );
}

#[test]
fn a_drain_goes_on_after_a_restart_with_what_is_left_of_its_time() {
    let (_, drain) = drained(Then::Remove);
    let record = |id: &str, json: String| Record { number: 1, id: id.into(), json, at: drain.started_at };
    let records = || {
        vec![
            record("web/a", serde_json::to_string(&drain).unwrap()),
            record(
                "web/b",
                serde_json::to_string(&Drain { server: "b".into(), ..Drain::clone(&drain) }).unwrap(),
            ),
            record("web/c", "{".into()),
        ]
    };
    let present = config(&[("a", "drain"), ("b", "ready")]);
    // The new process's own clock starts anew; the wall clock may have jumped either way.
    for (wall, left) in [(25, 5), (31, 0), (5, 20)] {
        let drains = Drains::default();
        let now = Now { moment: Moment(7), wall: at(wall).wall };
        let stale = drains.load(records(), &present, now);
        let stale: Vec<_> =
            stale.iter().map(|op| matches!(op, RecordOp::Delete { id, .. } if id != "web/a")).collect();
        assert_eq!(stale, [true, true]);
        let under_way = drains.under_way();
        assert_eq!(under_way.len(), 1);
        assert_eq!((&under_way[0].drain, under_way[0].until), (&drain, Moment(7).plus(SECOND * left)));
        // Read again while the process runs, it keeps its deadline.
        drains.load(records(), &present, Now { moment: Moment(900), wall: at(wall).wall });
        assert_eq!(drains.under_way()[0].until, under_way[0].until);
    }
}

#[test]
fn how_a_drain_ended_is_remembered_when_its_server_is_gone() {
    let draining = config(&[("a", "drain")]);
    for (change, next, outcome_of) in [
        (Some(DrainOutcome::Drained), config(&[]), DrainOutcome::Drained),
        (Some(DrainOutcome::Deadline), config(&[("a", "maint")]), DrainOutcome::Deadline),
        (None, config(&[("a", "ready")]), DrainOutcome::Cancelled),
    ] {
        let (drains, drain) = drained(Then::Remove);
        let change = match change {
            Some(outcome) => Change::EndDrain { drain, outcome },
            None => Change::CancelDrain { upstream: "web".into(), key: "a".into() },
        };
        let step = drains.step(&change, &outcome("a"), (&draining, &next), at(20));
        let stored = step.records();
        drains.made(step);
        assert!(drains.of("web", "a").is_none(), "it is over for the server");
        for key in ["a", "a:80", "A:080"] {
            let end = drains.last("web", key).unwrap().end.unwrap();
            assert_eq!((end.outcome, end.at), (outcome_of, at(20).wall), "{key}");
        }
        assert!(drains.last("web", "b").is_none() && drains.last("api", "a").is_none());

        let RecordOp::Put { id, json, at: since, .. } = stored.into_iter().next().unwrap() else { panic!() };
        let again = Drains::default();
        let record = Record { number: 1, id, json, at: since };
        // Whatever the server is now.
        assert!(again.load(vec![record], &draining, at(90)).is_empty());
        assert_eq!(again.last("web", "a"), drains.last("web", "a"), "across a restart");
        assert!(again.under_way().is_empty() && again.of("web", "a").is_none());
    }
}

#[test]
fn of_the_past_the_newest_thousand_are_remembered() {
    let drains = Drains::default();
    let mut kept = std::collections::BTreeSet::new();
    for number in 0..1002 {
        let name = format!("s{number:04}");
        let (ready, draining) = (config(&[(&name, "ready")]), config(&[(&name, "drain")]));
        let now = at(number);
        drains.made(drains.step(
            &start(&name, None, Then::Remove),
            &outcome(&name),
            (&ready, &draining),
            now,
        ));
        let end =
            Change::EndDrain { drain: drains.of("web", &name).unwrap(), outcome: DrainOutcome::Drained };
        let step = drains.step(&end, &outcome(&name), (&draining, &config(&[])), now);
        for op in step.records() {
            match op {
                RecordOp::Put { id, .. } => assert!(kept.insert(id)),
                RecordOp::Delete { id, .. } => assert!(kept.remove(&id)),
            }
        }
        drains.made(step);
    }
    assert_eq!((drains.all().len(), kept.len()), (1000, 1000), "in the store as well");
    assert!(drains.last("web", "s0001").is_none() && drains.last("web", "s0002").is_some());
}
