//! Levels, zones and servers that warm up.

use crate::subject::*;
use serde_json::json;
use weir_proxy::balance::Tried;
use weir_shared::{state::Reason, table::Site};

#[test]
fn a_level_that_is_short_hands_on_to_the_next() {
    let levels = (0..20).map(|n| json!({"priority": n / 10}));
    for algorithm in ALGORITHMS {
        let subject = Subject::of(json!({"algorithm": algorithm}), levels.clone());
        assert!((0..1000).all(|_| number(subject.pick()) < 10), "{algorithm}: nothing for a backup");
        // Half of the first level can take 70 %.
        subject.set_healthy(0..5, Some(Reason::ConnectRefused));
        let shares = subject.shares();
        let first: f64 = (0..10).filter_map(|n| shares.get(&format!("s{n}"))).sum();
        assert!((first - 0.7).abs() <= bound(0.7), "{algorithm}: {first}");
        assert!((0..5).all(|n| !shares.contains_key(&format!("s{n}"))), "{algorithm}: {shares:?}");
        for n in 5..20 {
            let (share, ideal) = (shares[&format!("s{n}")], if n < 10 { 0.14 } else { 0.03 });
            assert!((share - ideal).abs() <= bound(ideal), "{algorithm} s{n}: {share}");
        }
    }
}

#[test]
fn a_key_that_is_handed_on_stays_where_it_went() {
    let levels = (0..20).map(|n| json!({"priority": n / 10}));
    for algorithm in ["ring_hash", "maglev"] {
        let subject = Subject::of(json!({"algorithm": algorithm}), levels.clone());
        let homes = || -> Vec<usize> {
            let home = |n: usize| subject.pick_for(subject.key(&format!("user-{n}")), &Tried::default());
            (0..2000).map(|n| number(home(n).id.as_str())).collect()
        };
        let before = homes();
        subject.set_healthy(0..5, Some(Reason::ConnectRefused));
        let spilled = homes();
        assert_eq!(spilled, homes(), "{algorithm}");
        let first = spilled.iter().filter(|home| **home < 10).count();
        assert!((1300..1500).contains(&first), "{algorithm}: {first} of 2000");
        // Whoever is left in the first level and had a healthy server there still has it.
        let stays = before.iter().zip(&spilled).filter(|(before, after)| **before >= 5 && **after < 10);
        assert!(stays.clone().count() > 500 && stays.clone().all(|(before, after)| before == after));
    }
}

#[test]
fn a_retry_goes_on_to_the_other_level_once_its_own_was_tried() {
    let levels = [json!({}), json!({}), json!({"priority": 1})];
    for algorithm in ALGORITHMS {
        let subject = Subject::of(json!({"algorithm": algorithm}), levels.clone());
        subject.set_healthy([0], Some(Reason::ConnectRefused));
        let mut tried = Tried::default();
        tried.add(subject.server(1));
        for _ in 0..50 {
            assert_eq!(subject.pick_for(None, &tried).id.as_str(), "s2", "{algorithm}");
        }
    }
}

/// All that the first level has are well, so that the backup has no share; yet they are full, or a request has failed there.
#[test]
fn a_backup_without_a_share_takes_what_the_others_cannot() {
    let levels = || [json!({"max_requests": 1}), json!({"max_requests": 1}), json!({"priority": 1})];
    for algorithm in ALGORITHMS {
        let subject = Subject::of(json!({"algorithm": algorithm}), levels());
        let mut tried = Tried::default();
        (0..2).for_each(|n| tried.add(subject.server(n)));
        assert_eq!(subject.pick_for(None, &tried).id.as_str(), "s2", "{algorithm}: the others were tried");
        (0..2).for_each(|n| subject.work(n, 1));
        assert_eq!(subject.pick(), "s2", "{algorithm}: the others are full");
        subject.server(1).state.in_flight.end();
        assert_eq!(subject.pick(), "s1", "{algorithm}: a backup again");
    }
}

#[test]
fn a_zone_that_is_full_spills_into_the_others() {
    let servers = (0..8).map(|n| json!({"zone": if n < 4 { "a" } else { "b" }, "max_requests": 1}));
    let site = || Site { zone: Some("a".into()), number: None };
    for algorithm in ALGORITHMS {
        let subject = Subject::at(site(), json!({"algorithm": algorithm}), servers.clone());
        assert!((0..100).all(|_| number(subject.pick()) < 4), "{algorithm}: nothing leaves the zone");
        (0..4).for_each(|n| subject.work(n, 1));
        assert!(number(subject.pick()) >= 4, "{algorithm}");
    }
}

#[test]
fn a_server_that_is_back_gets_its_part_and_then_all_of_its_share() {
    for algorithm in ALGORITHMS {
        for servers in [10, 40] {
            let settings = json!({"algorithm": algorithm, "slow_start": {"duration": "60s"}});
            let subject = Subject::new(settings, &vec![1; servers]);
            subject.wait(100);
            subject.set_healthy([3], Some(Reason::ConnectRefused));
            subject.wait(10);
            subject.set_healthy([3], None);
            for percent in [0.1, 0.5, 1.0] {
                // Those that warmed up before share the rest evenly.
                let ideal = percent / (servers as f64 - 1.0 + percent);
                let is_keyed = subject.upstream().hash.is_some();
                let found = if is_keyed { subject.keyed_share("s3") } else { subject.share("s3") };
                // A sample of a large group is two of them, and the one drawn wins more often than not when nobody is busy.
                let most = if servers > 16 && !is_keyed { 2.0 * ideal } else { ideal };
                // A ring gives a server more or less than its share: of 10, up to a fifth.
                let slack = if is_keyed { ideal * 0.35 } else { bound(most) };
                assert!(
                    (ideal - slack..=most + slack).contains(&found),
                    "{algorithm}, {servers} servers, {percent}: {found} for {ideal}"
                );
                subject.wait(if percent < 0.5 { 30 } else { 31 });
            }
        }
    }
}

#[test]
fn keys_of_a_server_that_warms_up_come_back_one_by_one_and_stay() {
    for algorithm in ["ring_hash", "maglev"] {
        let settings = json!({"algorithm": algorithm, "slow_start": {"duration": "60s"}});
        let subject = Subject::new(settings, &[1; 5]);
        let homes = || -> Vec<usize> {
            let home = |n: usize| subject.pick_for(subject.key(&format!("user-{n}")), &Tried::default());
            (0..1000).map(|n| number(home(n).id.as_str())).collect()
        };
        let before = homes();
        subject.wait(100);
        subject.set_healthy([2], Some(Reason::ConnectRefused));
        let without = homes();
        subject.set_healthy([2], None);
        let mut present = homes();
        for _ in 0..22 {
            for (n, home) in present.iter().enumerate() {
                assert!(*home == before[n] || *home == without[n], "{algorithm} user-{n}: {home}");
            }
            subject.wait(3);
            let next = homes();
            assert!(
                present.iter().zip(&next).all(|(was, is)| was == is || *is == 2),
                "{algorithm}: nobody leaves"
            );
            present = next;
        }
        assert_eq!(present, before, "{algorithm}");
    }
}

/// Pearson's statistic of many picks of an idle group against its weights. Fixed seeds: the bound is the 99.99th percentile
/// of the distribution with 9 degrees of freedom.
#[test]
fn picks_of_an_idle_group_are_distributed_by_weight() {
    const BOUND: f64 = 33.72;
    let weights = [1, 1, 2, 3, 5, 8, 13, 21, 34, 55];
    let total: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
    for algorithm in ["random", "round_robin", "least_request"] {
        let subject = Subject::new(json!({"algorithm": algorithm}), &weights);
        let shares = subject.shares();
        let term = |(n, weight): (usize, &u16)| {
            let expected = f64::from(*weight) / total * 20_000.0;
            (shares.get(&format!("s{n}")).copied().unwrap_or(0.0) * 20_000.0 - expected).powi(2) / expected
        };
        let statistic: f64 = weights.iter().enumerate().map(term).sum();
        assert!(statistic <= BOUND, "{algorithm}: {statistic}");
    }
}
