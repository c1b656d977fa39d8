//! Servers that are full, or want to be left alone.

use std::{cell::Cell, time::Duration};

use crate::subject::*;
use serde_json::json;
use weir_proxy::balance::{self, Request, Tried};
use weir_shared::state::{Reason, WorkerId};

#[test]
fn a_server_that_has_all_it_may_have_is_passed_over() {
    for algorithm in ALGORITHMS {
        // As few as are all compared, and as many as are drawn from.
        for count in [3, 40, 200] {
            let weights: Vec<u16> = (0..count).map(|n| 1 + n % 3).collect();
            let subject = Subject::limited(json!({"algorithm": algorithm}), &weights, 2);
            let last = usize::from(count) - 1;
            (0..last).for_each(|n| subject.work(n, 2));
            subject.work(last, 1);
            for n in 0..50 {
                let key = subject.upstream().hash.as_ref().map(|table| table.key(&[n]));
                let picked = subject.try_pick(key, &Tried::default()).map(|server| server.id.to_string());
                assert_eq!(picked, Some(format!("s{last}")), "{algorithm} of {count}");
            }
            let mut tried = Tried::default();
            tried.add(subject.server(last));
            assert!(
                subject.try_pick(None, &tried).is_some(),
                "{algorithm}: tried again rather than not at all"
            );
            subject.work(last, 1);
            assert!(
                subject.try_pick(None, &Tried::default()).is_none(),
                "{algorithm} of {count}: all are full"
            );
            assert!(subject.try_pick(None, &tried).is_none(), "{algorithm} of {count}: all are full");
            subject.server(0).state.in_flight.end();
            assert_eq!(
                subject.pick_for(None, &tried).id.as_str(),
                "s0",
                "{algorithm} of {count}: room again"
            );
        }
    }
}

#[test]
fn a_key_whose_server_is_full_goes_to_the_next_it_prefers() {
    for algorithm in ["ring_hash", "maglev"] {
        let subject = Subject::limited(json!({"algorithm": algorithm}), &[1; 5], 1);
        let key = subject.key("user");
        let mut preferred = subject.upstream().hash.as_ref().unwrap().preferred(0, key.unwrap());
        for _ in 0..5 {
            let picked = subject.pick_for(key, &Tried::default());
            let wanted = preferred.find(|index| subject.server(*index as usize).state.in_flight.count() == 0);
            if let Some(wanted) = wanted {
                assert_eq!(picked.id, subject.server(wanted as usize).id, "{algorithm}");
            }
            assert!(subject.upstream().reserve(picked).is_some(), "{algorithm}");
        }
        assert!(subject.try_pick(key, &Tried::default()).is_none(), "{algorithm}");
    }
}

#[test]
fn full_servers_leave_the_others_their_shares() {
    for algorithm in ["round_robin", "random"] {
        let subject = Subject::limited(json!({"algorithm": algorithm}), &[1, 3, 4, 1], 1);
        subject.work(3, 1);
        let shares = subject.shares();
        assert_eq!(shares.get("s3"), None, "{algorithm}");
        // Its ninth goes to whoever has the next turn, or to the first one with room from a random one on.
        let ninths = match algorithm {
            "round_robin" => [1.0, 3.0, 4.0].map(|ninths| ninths..=ninths + 1.0),
            _ => [1.5, 3.25, 4.25].map(|ninths| ninths..=ninths),
        };
        for (id, share) in ["s0", "s1", "s2"].into_iter().zip(ninths) {
            let (least, most) = (share.start() / 9.0, share.end() / 9.0);
            let slack = bound(most);
            assert!((least - slack..=most + slack).contains(&shares[id]), "{algorithm} {id}: {shares:?}");
        }
    }
}

#[test]
fn places_are_never_given_twice() {
    const LIMIT: u32 = 7;
    let settings = json!({"limits": {"max_requests": 50}});
    let subject = Subject::limited(settings, &[1; 10], LIMIT);
    let (table, taken) = (&subject.table, std::sync::atomic::AtomicU32::new(0));
    std::thread::scope(|scope| {
        for worker in 0..4_u64 {
            let taken = &taken;
            scope.spawn(move || {
                let upstream = table.upstream("web").unwrap();
                let random = Cell::new(worker);
                let bits = || {
                    random.set(
                        random.get().wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_041),
                    );
                    random.get()
                };
                let request = Request { worker: WorkerId(0), now: NOW.moment, key: None, random: bits };
                for _ in 0..1000 {
                    if let Some(server) = balance::pick(upstream, &Tried::default(), &request)
                        && upstream.reserve(server).is_some()
                    {
                        taken.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                        assert!(server.state.in_flight.count() <= LIMIT);
                    }
                }
            });
        }
    });
    assert_eq!(taken.into_inner(), 50, "as many as the upstream may have");
    assert_eq!(subject.upstream().state.limited.count(), 50);
    assert!(subject.upstream().is_full());
}

#[test]
fn a_server_that_wants_to_be_left_alone_is_taken_only_if_there_is_no_other() {
    for algorithm in ALGORITHMS {
        let settings = json!({"algorithm": algorithm, "server_retry_after": {"enabled": true}});
        let subject = Subject::limited(settings, &[1; 3], 2);
        (0..2).for_each(|n| subject.server(n).state.pause.ask(Duration::from_secs(5), NOW));
        for n in 0..20 {
            let key = subject.upstream().hash.as_ref().map(|table| table.key(&[n]));
            assert_eq!(subject.pick_for(key, &Tried::default()).id.as_str(), "s2", "{algorithm}");
        }
        subject.work(2, 2);
        assert_ne!(subject.pick_for(None, &Tried::default()).id.as_str(), "s2", "{algorithm}: full");
        subject.work(1, 2);
        assert_eq!(subject.pick_for(None, &Tried::default()).id.as_str(), "s0", "{algorithm}");
    }
}

#[test]
fn servers_are_filled_one_after_the_other() {
    let subject = Subject::limited(json!({"algorithm": "first"}), &[1; 200], 2);
    for request in 0..400 {
        let picked = subject.pick_for(None, &Tried::default());
        assert_eq!(number(picked.id.as_str()), request / 2);
        picked.state.in_flight.start();
    }
    assert!(subject.try_pick(None, &Tried::default()).is_none(), "all are full");
    // Whoever is done has the next request, the one nearest to the front in the end.
    for free in [150, 5] {
        subject.server(free).state.in_flight.end();
    }
    let picks: Vec<usize> = (0..2)
        .map(|_| {
            let picked = subject.pick_for(None, &Tried::default());
            picked.state.in_flight.start();
            number(picked.id.as_str())
        })
        .collect();
    assert_eq!(picks, [5, 150]);
    assert!(subject.try_pick(None, &Tried::default()).is_none());
}

#[test]
fn without_limits_the_first_server_has_everything() {
    let subject = Subject::new(json!({"algorithm": "first"}), &[1, 9]);
    assert!(subject.share("s0") > 0.999);
    subject.set_healthy([0], Some(Reason::ConnectRefused));
    assert!(subject.share("s1") > 0.999);
}
