//! Picks by a key of the request.

use crate::subject::*;
use serde_json::{Value, json};
use weir_proxy::balance::Tried;
use weir_shared::state::{Reason, ServerFault, WorkerId};

#[test]
fn a_key_stays_with_its_server_and_comes_back_to_it() {
    for algorithm in ["ring_hash", "maglev"] {
        let subject = Subject::new(json!({"algorithm": algorithm}), &[1; 5]);
        let home = |name: &str| subject.pick_for(subject.key(name), &Tried::default()).id.clone();
        let before: Vec<_> = (0..200).map(|n| home(&format!("user-{n}"))).collect();
        assert_eq!(before, (0..200).map(|n| home(&format!("user-{n}"))).collect::<Vec<_>>(), "{algorithm}");
        let ill = subject.server(2);
        subject.set_healthy([2], Some(Reason::ConnectRefused));
        for (n, before) in before.iter().enumerate() {
            let now = home(&format!("user-{n}"));
            assert_eq!(now == *before, *before != ill.id, "{algorithm} user-{n}: {before} {now}");
        }
        subject.set_healthy([2], None);
        assert_eq!(before, (0..200).map(|n| home(&format!("user-{n}"))).collect::<Vec<_>>(), "{algorithm}");
    }
}

/// Where the keys of so many servers are at home, the last of which is in `state`; without one it is not there at all.
fn homes(algorithm: &str, servers: usize, last: Option<Value>) -> Vec<usize> {
    let others = vec![json!({}); servers - 1];
    let subject = Subject::of(json!({"algorithm": algorithm}), others.into_iter().chain(last));
    homes_of(&subject)
}

fn homes_of(subject: &Subject) -> Vec<usize> {
    let home = |n: usize| subject.pick_for(subject.key(&format!("user-{n}")), &Tried::default());
    (0..10_000).map(|n| number(home(n).id.as_str())).collect()
}

/// Ideal is that the keys of a server that is out of use go elsewhere, and no other. What is there for a time meets that.
#[test]
fn a_server_out_of_use_costs_the_others_no_key() {
    for (algorithm, servers) in
        ["ring_hash", "maglev"].into_iter().flat_map(|name| [(name, 10), (name, 100), (name, 1000)])
    {
        let last = servers - 1;
        let subject = Subject::new(json!({"algorithm": algorithm}), &vec![1; servers]);
        let before = homes_of(&subject);
        assert!(before.contains(&last));
        subject.set_healthy([last], Some(Reason::ConnectRefused));
        let unhealthy = homes_of(&subject);
        subject.set_healthy([last], None);
        assert_eq!(homes_of(&subject), before, "{algorithm} of {servers}: it is back");
        let fault = ServerFault::Status(500);
        let eject = |_| subject.upstream().failed(subject.server(last), fault, NOW, 0).is_some();
        assert!((0..5).any(eject));
        let ejected = homes_of(&subject);
        let out = |state: &str| homes(algorithm, servers, Some(json!({"admin_state": state})));
        let removed = homes(algorithm, servers, None);
        let (drain, maint) = (out("drain"), out("maint"));
        for (state, after) in
            [("unhealthy", unhealthy), ("ejected", ejected), ("drain", drain), ("maint", maint)]
        {
            for (key, (was, is)) in before.iter().zip(&after).enumerate() {
                assert_eq!(was == is, *was != last, "{algorithm} of {servers}, {state}: user-{key}");
                // Who is taken out of use may be about to be removed.
                let may_go = ["drain", "maint"].contains(&state);
                assert!(*was != last || !may_go || *is == removed[key], "user-{key} moves twice");
            }
        }
    }
}

#[test]
fn a_retry_of_a_key_goes_to_the_same_second_server() {
    let subject = Subject::new(json!({"algorithm": "ring_hash"}), &[1; 5]);
    let mut tried = Tried::default();
    let key = subject.key("user");
    let first = subject.pick_for(key, &tried);
    tried.add(first);
    let second = subject.pick_for(key, &tried);
    assert_ne!(first.id, second.id);
    for _ in 0..20 {
        assert_eq!(subject.pick_for(key, &tried).id, second.id);
    }
}

#[test]
fn bounded_loads_send_the_surplus_of_a_hot_key_elsewhere() {
    for algorithm in ["ring_hash", "maglev"] {
        let settings = json!({"algorithm": algorithm, "hash": {"balance_percent": 125}});
        let subject = Subject::new(settings, &[1; 10]);
        for request in 0..1000_u32 {
            let picked = subject.pick_for(subject.key("the only key"), &Tried::default());
            picked.state.in_flight.start();
            subject.upstream().state.in_flight.of(WorkerId(0)).add(1);
            let most = (f64::from(request + 1) / 10.0 * 1.25).ceil();
            let count = picked.state.in_flight.count();
            assert!(f64::from(count) <= most, "{algorithm}: {count} of {request}");
        }
    }
}

/// A subset has two of forty servers, so that a table's order of preference seldom comes to either.
#[test]
fn a_key_of_a_subset_moves_only_with_its_server() {
    for algorithm in ["ring_hash", "maglev"] {
        for (size, weights) in [(2, vec![1; 40]), (3, (0..40).map(|n| 1 + n % 4 * 3).collect())] {
            let subject = Subject::in_subset(json!({"algorithm": algorithm}), &weights, size);
            let homes = || -> Vec<usize> {
                let home = |n: usize| subject.pick_for(subject.key(&format!("user-{n}")), &Tried::default());
                (0..2000).map(|n| number(home(n).id.as_str())).collect()
            };
            let before = homes();
            subject.set_healthy([before[0]], Some(Reason::ConnectRefused));
            let after = homes();
            let moved = before.iter().zip(&after).filter(|(was, is)| was != is);
            let new = *after.iter().find(|server| !before.contains(server)).unwrap();
            assert!(
                moved.clone().all(|(was, is)| *was == before[0] || *is == new),
                "{algorithm}: from the one that failed, or to the one that stands in"
            );
            subject.set_healthy([before[0]], None);
            assert_eq!(homes(), before, "{algorithm}");
        }
    }
}
