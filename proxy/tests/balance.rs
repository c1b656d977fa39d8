//! Which server is picked, with servers in given states and nothing running.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "a failed helper fails its test"
)]

use std::{cell::Cell, collections::HashMap, sync::Arc, time::Duration};

use serde_json::{Value, json};
use weir_proxy::balance::{self, Request, Tried};
use weir_shared::{
    id::{Epoch, Revision},
    model::{Document, Meta},
    state::{CheckOutcome, HealthThresholds, Reason, WorkerId},
    table::{Compiler, Key, Server, Table, Upstream},
    time::{Moment, Now, Timestamp},
};

const NOW: Now = Now { moment: Moment(1_000_000), wall: Timestamp(0) };

/// An upstream whose servers are all healthy, and a stream of random numbers.
struct Subject {
    table: Table,
    random: Cell<u64>,
    now: Cell<Now>,
}

impl Subject {
    /// Servers `s0`, `s1`, … with these weights.
    fn new(settings: Value, weights: &[u16]) -> Self {
        Self::limited(settings, weights, 0)
    }

    /// The same, each with at most `max_requests` under way.
    fn limited(settings: Value, weights: &[u16], max_requests: u32) -> Self {
        Self::of(
            settings,
            weights.iter().map(|weight| json!({"weight": weight, "max_requests": max_requests})),
        )
    }

    /// Servers `s0`, `s1`, … with these settings.
    fn of(settings: Value, servers: impl IntoIterator<Item = Value>) -> Self {
        let named = |(n, mut server): (usize, Value)| {
            server["id"] = json!(format!("s{n}"));
            server["address"] = json!(format!("10.0.{}.{}:80", n / 250, n % 250));
            server
        };
        let servers: Vec<Value> = servers.into_iter().enumerate().map(named).collect();
        let mut upstream = json!({"id": "web", "servers": servers});
        upstream.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        let document: Document = serde_json::from_value(json!({"upstreams": [upstream]})).unwrap();
        let config = document.into_config(Revision(1), Epoch("abc123".into()), Meta::default());
        let table =
            Compiler { workers: 1, ..Compiler::default() }.compile(Arc::new(config), None, NOW).unwrap();
        let subject = Self { table, random: Cell::new(1), now: Cell::new(NOW) };
        for server in &subject.upstream().servers {
            server.state.health.assume_healthy(NOW);
        }
        subject.upstream().state.eligibility_changed();
        drop(subject.upstream().eligible(NOW.moment));
        subject
    }

    fn upstream(&self) -> &Upstream {
        self.table.upstream("web").unwrap()
    }

    fn server(&self, n: usize) -> &Server {
        &self.upstream().servers[n]
    }

    /// Lets a server fail its checks, or pass them again.
    fn set_healthy(&self, servers: impl IntoIterator<Item = usize>, failure: Option<Reason>) {
        let once = HealthThresholds { healthy: 1, unhealthy: 1 };
        let outcome = CheckOutcome { failure, detail: String::new(), status: None, duration: Duration::ZERO };
        for n in servers {
            self.server(n).state.health.observe(&outcome, once, self.now.get());
        }
        self.upstream().state.eligibility_changed();
        drop(self.upstream().eligible(self.now.get().moment));
    }

    fn wait(&self, seconds: u64) {
        let Now { moment, wall } = self.now.get();
        self.now.set(Now { moment: moment.plus(Duration::from_secs(seconds)), wall });
    }

    /// Gives a server answers that took so long, having met none to seven others.
    fn answers(&self, n: usize, ms: u64) {
        for met in 0..8 {
            let latency = &self.server(n).state.latency;
            latency.record(Duration::from_millis(ms), met, NOW.moment, Duration::from_secs(10));
        }
    }

    fn work(&self, n: usize, in_flight: u32) {
        for _ in 0..in_flight {
            self.server(n).state.in_flight.start();
        }
    }

    fn bits(&self) -> u64 {
        let state = self.random.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.random.set(state);
        let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn pick_for(&self, key: Option<Key>, tried: &Tried) -> &Server {
        self.try_pick(key, tried).unwrap()
    }

    fn try_pick(&self, key: Option<Key>, tried: &Tried) -> Option<&Server> {
        let request =
            Request { worker: WorkerId(0), now: self.now.get().moment, key, random: || self.bits() };
        balance::pick(self.upstream(), tried, &request)
    }

    fn key(&self, text: &str) -> Option<Key> {
        Some(self.upstream().hash.as_ref().unwrap().key(text.as_bytes()))
    }

    fn pick(&self) -> &str {
        self.pick_for(None, &Tried::default()).id.as_str()
    }

    fn share(&self, id: &str) -> f64 {
        self.shares().get(id).copied().unwrap_or(0.0)
    }

    /// The share of many different keys that a server has.
    fn keyed_share(&self, id: &str) -> f64 {
        let home = |n: u32| self.pick_for(self.key(&format!("user-{n}")), &Tried::default());
        (0..20_000).filter(|n| home(*n).id.as_str() == id).count() as f64 / 20_000.0
    }

    /// Shares of many picks, none of which stays in flight.
    fn shares(&self) -> HashMap<String, f64> {
        const PICKS: u32 = 20_000;
        let mut shares = HashMap::new();
        for _ in 0..PICKS {
            *shares.entry(self.pick().to_owned()).or_insert(0.0) += 1.0 / f64::from(PICKS);
        }
        shares
    }
}

/// Five standard deviations of a share over as many picks as [`Subject::shares`] makes.
fn bound(share: f64) -> f64 {
    5.0 * (share * (1.0 - share) / 20_000.0).sqrt()
}

/// Every algorithm that shares out requests.
const ALGORITHMS: [&str; 8] =
    ["round_robin", "random", "least_request", "least_time", "peak_ewma", "prequal", "ring_hash", "maglev"];

/// The `n` of server `sn`.
fn number(id: &str) -> usize {
    id[1..].parse().unwrap()
}

#[test]
fn an_idle_group_is_used_by_weight_whatever_the_algorithm() {
    for algorithm in
        ["least_time", "peak_ewma", "least_request", "random", "round_robin", "ring_hash", "maglev"]
    {
        let subject = Subject::new(json!({"algorithm": algorithm}), &[1, 3, 4]);
        let shares = subject.shares();
        for (id, share) in [("s0", 0.125), ("s1", 0.375), ("s2", 0.5)] {
            assert!((shares[id] - share).abs() <= bound(share), "{algorithm} {id}: {shares:?}");
        }
    }
}

#[test]
fn servers_nobody_has_heard_from_are_used_evenly() {
    for algorithm in ["least_time", "peak_ewma", "prequal"] {
        let subject = Subject::new(json!({"algorithm": algorithm}), &[1, 1]);
        let shares = subject.shares();
        assert!((shares["s0"] - 0.5).abs() <= bound(0.5), "{algorithm}: {shares:?}");
    }
}

#[test]
fn the_fewest_requests_for_the_weight_win() {
    let subject = Subject::new(json!({"algorithm": "least_request"}), &[1, 4]);
    subject.work(0, 1);
    subject.work(1, 3);
    assert_eq!(subject.pick(), "s1");
    subject.work(1, 2);
    assert_eq!(subject.pick(), "s0");
}

#[test]
fn a_bias_of_nothing_leaves_the_weight_alone() {
    let settings = json!({"algorithm": "least_request", "comparison": {"active_request_bias": 0.0}});
    let subject = Subject::new(settings, &[1, 4]);
    subject.work(1, 100);
    assert_eq!(subject.pick(), "s1");
}

#[test]
fn time_counts_with_what_is_before_in_the_queue() {
    for algorithm in ["least_time", "peak_ewma"] {
        let subject = Subject::new(json!({"algorithm": algorithm}), &[1, 1]);
        subject.answers(0, 10);
        subject.answers(1, 50);
        assert_eq!(subject.pick(), "s0", "{algorithm}");
        subject.work(0, 5);
        assert_eq!(subject.pick(), "s1", "{algorithm}");
    }
}

/// One request after another, to servers whose times differ by nothing but chance: on average 10 ms, now once a millisecond
/// and now every tenth of a second.
#[test]
fn servers_alike_but_for_chance_share_evenly() {
    for gap in [Duration::from_millis(1), Duration::from_millis(100)] {
        let subject = Subject::new(json!({"algorithm": "least_time"}), &[1; 4]);
        let mut shares = HashMap::new();
        let mut now = NOW.moment;
        for _ in 0..20_000 {
            now = now.plus(gap);
            let request = Request { worker: WorkerId(0), now, key: None, random: || subject.bits() };
            let picked = balance::pick(subject.upstream(), &Tried::default(), &request).unwrap();
            *shares.entry(picked.id.as_str()).or_insert(0.0) += 1.0 / 20_000.0;
            let unit = ((subject.bits() >> 11) + 1) as f64 / (1_u64 << 53) as f64;
            let took = Duration::from_secs_f64(-0.01 * unit.ln());
            picked.state.latency.record(took, 0, now, Duration::from_secs(10));
        }
        assert!(shares.values().all(|share: &f64| (share - 0.25).abs() < 0.03), "{gap:?}: {shares:?}");
    }
}

#[test]
fn a_server_that_owes_answers_and_is_silent_is_left_alone() {
    for algorithm in ["least_time", "peak_ewma"] {
        let subject = Subject::new(json!({"algorithm": algorithm}), &[1, 1]);
        subject.answers(0, 10);
        subject.answers(1, 10);
        let asked = Moment(NOW.moment.0 - 500_000);
        subject.server(0).state.latency.asked(asked);
        subject.work(0, 1);
        // Fifty times what it usually takes have passed: the other is better with 40 requests before.
        subject.work(1, 40);
        assert_eq!(subject.pick(), "s1", "{algorithm}");
        subject.server(0).state.latency.settled();
        assert_eq!(subject.pick(), "s0", "{algorithm}: what is only streaming is not silent");
    }
}

#[test]
fn a_new_server_gets_its_share_and_no_flood() {
    let subject = Subject::new(json!({"algorithm": "least_time"}), &[1, 1, 1]);
    subject.answers(0, 10);
    subject.answers(1, 10);
    subject.work(0, 2);
    subject.work(1, 2);
    subject.work(2, 1);
    assert_eq!(subject.pick(), "s2");
    subject.work(2, 2);
    assert_ne!(subject.pick(), "s2");
}

#[test]
fn prequal_avoids_the_hot_and_takes_the_fastest_of_the_rest() {
    let subject = Subject::new(json!({"algorithm": "prequal"}), &[1, 1, 1]);
    subject.answers(0, 1);
    subject.answers(1, 30);
    subject.answers(2, 20);
    assert_eq!(subject.pick(), "s0");
    subject.work(0, 6);
    assert_eq!(subject.pick(), "s2");
}

#[test]
fn large_groups_are_sampled_and_still_fair() {
    let weights = vec![1; 100];
    for algorithm in ["least_request", "least_time", "peak_ewma", "prequal"] {
        let subject = Subject::new(json!({"algorithm": algorithm}), &weights);
        let shares = subject.shares();
        assert_eq!(shares.len(), 100, "{algorithm}");
        let most = shares.values().copied().fold(0.0, f64::max);
        assert!(most <= 0.01 + bound(0.01), "{algorithm}: {most}");
        // With more choices a loaded server is met less often as the only one.
        subject.work(7, 1000);
        let shares = subject.shares();
        assert!(shares.get("s7").copied().unwrap_or(0.0) < 0.001, "{algorithm}: {shares:?}");
    }
}

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
        // Its ninth goes to one of the others, weights aside.
        for (id, share) in [("s0", 1.0 / 9.0), ("s1", 3.0 / 9.0), ("s2", 4.0 / 9.0)] {
            assert!((shares[id] - share).abs() <= 1.0 / 9.0, "{algorithm} {id}: {shares:?}");
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
