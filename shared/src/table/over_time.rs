//! What a table makes of where servers are and since when they may be picked, over time and changes.

use std::{sync::Arc, time::Duration};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{BalancerNumber, Compiler, Eligible, Placement, Side, Site, Table, Upstream};
use crate::{
    id::{Epoch, Revision},
    model::{self, Document, Meta},
    state::{CheckOutcome, HealthThresholds, Reason},
    time::{Moment, Now, Timestamp},
};

fn at(seconds: f64) -> Now {
    let elapsed = Duration::from_secs_f64(1000.0 + seconds);
    Now { moment: Moment::from_elapsed(elapsed), wall: Timestamp(0) }
}

fn compile(upstream: Value, site: Site, before: Option<&Table>, now: Now) -> Table {
    let document: Document = serde_json::from_value(json!({"upstreams": [upstream]})).unwrap();
    let config = document.into_config(Revision(1), Epoch("abc123".into()), Meta::default());
    Compiler { workers: 1, site, ..Compiler::default() }.compile(Arc::new(config), before, now).unwrap()
}

/// Servers `s0`, `s1`, … with these settings.
fn servers(settings: impl IntoIterator<Item = Value>) -> Vec<Value> {
    let named = |(n, mut server): (usize, Value)| {
        server["id"] = json!(format!("s{n}"));
        server["address"] = json!(format!("10.0.{}.{}:80", n / 250, n % 250));
        server
    };
    settings.into_iter().enumerate().map(named).collect()
}

/// Without checks, so that every server is healthy from the start, and warming up for 30 s.
fn warming(servers: Vec<Value>) -> Value {
    json!({"id": "web", "servers": servers, "health_check": {"enabled": false}, "slow_start": {"duration": "30s"}})
}

fn web(table: &Table) -> &Upstream {
    table.upstream("web").unwrap()
}

fn percents(table: &Table, now: Now) -> Vec<u8> {
    let upstream = web(table);
    let eligible = upstream.eligible(now.moment);
    (0..).zip(&upstream.servers).map(|(index, _)| eligible.percent(index)).collect()
}

fn set_healthy(table: &Table, server: usize, failure: Option<Reason>, now: Now) {
    let once = HealthThresholds { healthy: 1, unhealthy: 1 };
    let outcome = CheckOutcome { failure, detail: String::new(), status: None, duration: Duration::ZERO };
    web(table).servers[server].state.health.observe(&outcome, once, now);
    web(table).state.eligibility_changed();
    drop(web(table).eligible(now.moment));
}

fn plain(count: usize) -> Vec<Value> {
    servers((0..count).map(|_| json!({})))
}

#[test]
fn servers_that_begin_together_are_not_held_back() {
    let table = compile(warming(plain(3)), Site::default(), None, at(0.0));
    let eligible = web(&table).eligible(at(1.0).moment);
    assert!(!eligible.tiers[0].is_uneven() && eligible.tiers[0].warmest == 10);
    assert!(matches!(eligible.tiers[0].sampler, super::Sampler::Uniform(3)));
    drop(eligible);
    assert_eq!(percents(&table, at(30.0)), [100, 100, 100]);
}

#[test]
fn each_server_warms_up_by_its_own_clock_whoever_joins() {
    let first = compile(warming(plain(2)), Site::default(), None, at(0.0));
    let second = compile(warming(plain(3)), Site::default(), Some(&first), at(100.0));
    assert_eq!(percents(&second, at(100.0)), [100, 100, 10]);
    assert_eq!(percents(&second, at(115.0)), [100, 100, 50]);
    let third = compile(warming(plain(4)), Site::default(), Some(&second), at(115.0));
    assert_eq!(percents(&third, at(115.0)), [100, 100, 50, 10]);
    // A change of something else, and servers that go, change nothing either.
    let mut changed = warming(plain(4).into_iter().skip(1).collect());
    changed["algorithm"] = json!("maglev");
    let fourth = compile(changed, Site::default(), Some(&third), at(121.0));
    assert_eq!(percents(&fourth, at(121.0)), [100, 70, 20]);
    assert_eq!(percents(&fourth, at(145.0)), [100, 100, 100]);
}

#[test]
fn who_comes_back_begins_anew() {
    let table = compile(warming(plain(3)), Site::default(), None, at(0.0));
    set_healthy(&table, 1, Some(Reason::ConnectRefused), at(50.0));
    set_healthy(&table, 1, None, at(60.0));
    assert_eq!(percents(&table, at(75.0)), [100, 50, 100], "recovered");
    let mut drained = plain(3);
    drained[0]["admin_state"] = json!("drain");
    let drained = compile(warming(drained), Site::default(), Some(&table), at(200.0));
    let back = compile(warming(plain(3)), Site::default(), Some(&drained), at(210.0));
    assert_eq!(percents(&back, at(216.0)), [20, 100, 100], "undrained");
}

#[test]
fn in_a_panic_nobody_is_held_back_for_being_new() {
    let table = compile(warming(plain(3)), Site::default(), None, at(0.0));
    for server in 0..3 {
        set_healthy(&table, server, Some(Reason::ConnectRefused), at(50.0));
    }
    set_healthy(&table, 2, None, at(60.0));
    assert!(web(&table).eligible(at(60.0).moment).panic);
    assert_eq!(percents(&table, at(60.0)), [100, 100, 100]);
}

#[test]
fn slow_start_turned_on_later_knows_who_is_new() {
    let mut cold = warming(plain(2));
    cold["slow_start"] = json!({"duration": "0s"});
    let first = compile(cold.clone(), Site::default(), None, at(0.0));
    cold["servers"] = json!(plain(3));
    let second = compile(cold, Site::default(), Some(&first), at(95.0));
    assert_eq!(percents(&second, at(95.0)), [100, 100, 100]);
    let third = compile(warming(plain(3)), Site::default(), Some(&second), at(101.0));
    assert_eq!(percents(&third, at(101.0)), [100, 100, 20]);
}

#[test]
fn sets_are_built_at_a_bounded_rate_however_many_servers_warm_up() {
    let table = compile(warming(plain(500)), Site::default(), None, at(0.0));
    for server in 0..500 {
        set_healthy(&table, server, Some(Reason::ConnectRefused), at(1.0));
    }
    for server in 0..500 {
        set_healthy(&table, server, None, at(50.0 + f64::from(u16::try_from(server).unwrap()) / 50.0));
    }
    let (mut built, mut last): (usize, *const Eligible) = (0, std::ptr::null());
    for step in 0_u16..5000 {
        let eligible = web(&table).eligible(at(60.0 + f64::from(step) / 100.0).moment);
        built += usize::from(!std::ptr::eq(&raw const **eligible, last));
        last = &raw const **eligible;
    }
    // Twenty steps in 30 s, for 40 s at most.
    assert!((20..=29).contains(&built), "{built}");
    assert_eq!(percents(&table, at(110.0)), vec![100; 500]);
}

fn zones(counts: &[(&str, usize)]) -> Vec<Value> {
    let zone = |(name, count): &(&str, usize)| vec![json!({"zone": name}); *count];
    servers(counts.iter().flat_map(zone))
}

fn in_zone(zone: &str) -> Site {
    Site { zone: Some(zone.into()), number: None }
}

/// The share of the requests that stays in the zone `a`, in percent.
fn kept(counts: &[(&str, usize)], ill: usize) -> f64 {
    let upstream = json!({"id": "web", "servers": zones(counts), "health_check": {"enabled": false}});
    let table = compile(upstream, in_zone("a"), None, at(0.0));
    (0..ill).for_each(|server| set_healthy(&table, server, Some(Reason::Reset), at(1.0)));
    let eligible = web(&table).eligible(at(1.0).moment);
    let local = eligible.tiers.iter().filter(|tier| tier.side == Side::Local);
    (local.map(|tier| tier.share).sum::<f64>() * 1000.0).round() / 10.0
}

#[test]
fn a_zone_keeps_what_its_servers_can_bear() {
    for (counts, ill, expected) in [
        (&[("a", 4), ("b", 4), ("c", 4)][..], 0, 100.0),
        (&[("a", 4), ("b", 4), ("c", 4)], 1, 100.0),
        // Two of ten are left for a third of the traffic: 0.2 × 1.4 × 3.
        (&[("a", 4), ("b", 4), ("c", 4)], 2, 84.0),
        (&[("a", 4), ("b", 4), ("c", 4)], 3, 46.7),
        (&[("a", 4), ("b", 4), ("c", 4)], 4, 0.0),
        (&[("a", 2), ("b", 8)], 0, 56.0),
        (&[("a", 3)], 0, 100.0),
        (&[("b", 3), ("c", 1)], 0, 0.0),
        (&[("a", 1), ("", 9)], 0, 14.0),
    ] {
        assert_eq!(kept(counts, ill), expected, "{counts:?}, {ill} ill");
    }
}

#[test]
fn zones_do_not_count_without_a_zone_of_its_own_or_when_told_so() {
    let mut upstream = json!({
        "id": "web", "servers": zones(&[("a", 2), ("b", 2)]), "health_check": {"enabled": false},
    });
    let sides = |upstream: &Value, site: Site| -> Vec<(Side, f64)> {
        let table = compile(upstream.clone(), site, None, at(0.0));
        let eligible = web(&table).eligible(at(0.0).moment);
        eligible.tiers.iter().map(|tier| (tier.side, tier.share)).collect()
    };
    assert_eq!(sides(&upstream, Site::default()), [(Side::Anywhere, 1.0)]);
    assert_eq!(sides(&upstream, in_zone("a")), [(Side::Local, 1.0)]);
    assert_eq!(sides(&upstream, in_zone("z")), [(Side::Remote, 1.0)]);
    upstream["zone_awareness"] = json!({"min_servers": 5});
    assert_eq!(sides(&upstream, in_zone("a")), [(Side::Local, 0.5), (Side::Remote, 0.5)]);
    upstream["zone_awareness"] = json!({"mode": "off"});
    assert_eq!(sides(&upstream, in_zone("a")), [(Side::Anywhere, 1.0)]);
}

fn subsets(table: &Table, size: u16, balancers: u32) -> Vec<Vec<String>> {
    let upstream = model::Upstream {
        subset: model::Subset { size },
        ..table.upstream("web").unwrap().record.spec.clone()
    };
    let servers = &web(table).servers;
    let of = |index| {
        let site = Site { zone: None, number: BalancerNumber::new(index, balancers) };
        let placement = Placement::new(servers, &upstream, &site);
        let name = |index: &u32| servers[*index as usize].id.as_str().to_owned();
        let mut names: Vec<String> = placement.parts[0].first().iter().map(name).collect();
        names.sort_unstable();
        names
    };
    (0..balancers).map(of).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_server_is_in_as_many_subsets_as_another_give_or_take_one(
        count in 1_usize..150, size in 1_u16..40, balancers in 1_u32..120,
    ) {
        let upstream = json!({"id": "web", "servers": plain(count)});
        let table = compile(upstream, Site::default(), None, at(0.0));
        let mut uses = std::collections::HashMap::new();
        for subset in subsets(&table, size, balancers) {
            prop_assert_eq!(subset.len(), count.min(size.into()));
            subset.into_iter().for_each(|name| *uses.entry(name).or_insert(0_usize) += 1);
        }
        let total = balancers as usize * count.min(size.into());
        for server in &web(&table).servers {
            let used = uses.get(server.id.as_str()).copied().unwrap_or(0);
            prop_assert!((total / count..=total.div_ceil(count)).contains(&used), "{used} of {total} / {count}");
        }
    }

    #[test]
    fn a_server_that_goes_changes_little_of_any_subset(
        count in 2_usize..150, size in 1_u16..40, balancers in 1_u32..60, gone in any::<prop::sample::Index>(),
    ) {
        let mut left = plain(count);
        let before = compile(json!({"id": "web", "servers": &left}), Site::default(), None, at(0.0));
        left.remove(gone.index(count));
        let after = compile(json!({"id": "web", "servers": left}), Site::default(), None, at(0.0));
        let pairs = subsets(&before, size, balancers).into_iter().zip(subsets(&after, size, balancers));
        for (was, is) in pairs {
            let fresh = is.iter().filter(|name| !was.contains(name)).count();
            prop_assert!(fresh <= 2, "{was:?} {is:?}");
        }
    }
}

#[test]
fn a_server_that_fails_is_stood_in_for() {
    let mut upstream = json!({
        "id": "web", "servers": plain(50), "health_check": {"enabled": false}, "subset": {"size": 5},
    });
    let site = Site { zone: None, number: BalancerNumber::new(3, 10) };
    let table = compile(upstream.clone(), site.clone(), None, at(0.0));
    let members = |table: &Table| web(table).eligible(at(1.0).moment).tiers[0].members.to_vec();
    let before = members(&table);
    assert_eq!(before.len(), 5);
    set_healthy(&table, before[2] as usize, Some(Reason::Reset), at(1.0));
    let after = members(&table);
    let kept = after.iter().filter(|index| before.contains(index)).count();
    assert_eq!((after.len(), kept), (5, 4));
    assert_eq!(web(&table).eligible(at(1.0).moment).healthy, 49, "all are counted, whoever uses them");
    upstream["subset"] = json!({"size": 0});
    assert_eq!(members(&compile(upstream, site, None, at(1.0))).len(), 50);
}

/// A balancer's own two servers and one more fail: of twelve, nine are left, which is neither reason to distrust verdicts nor
/// to leave the rest to backups. With too few left of all, those that are healthy are used as well.
#[test]
fn a_subset_that_fails_is_no_sign_of_a_panic() {
    let mut servers = plain(12);
    servers.extend(self::servers((0..4).map(|_| json!({"priority": 1}))).into_iter().map(|mut server| {
        server["id"] = json!(format!("b{}", server["id"].as_str().unwrap()));
        server["address"] = json!(server["address"].as_str().unwrap().replace("10.0", "10.9"));
        server
    }));
    let upstream = json!({
        "id": "web", "servers": servers, "health_check": {"enabled": false}, "subset": {"size": 2},
    });
    let site = Site { zone: None, number: BalancerNumber::new(0, 1) };
    let table = compile(upstream, site, None, at(0.0));
    let order: Vec<usize> = web(&table).placement.parts[0].servers.iter().map(|n| *n as usize).collect();
    let fail = |which: &[usize]| {
        which.iter().for_each(|server| set_healthy(&table, *server, Some(Reason::Reset), at(1.0)));
        let eligible = web(&table).eligible(at(1.0).moment);
        let members = |tier: &super::Tier| tier.members.iter().map(|n| *n as usize).collect::<Vec<_>>();
        (eligible.panic, eligible.tiers.iter().map(members).collect::<Vec<_>>())
    };
    let mut stand_ins = order[3..5].to_vec();
    stand_ins.sort_unstable();
    assert_eq!(fail(&order[..3]), (false, vec![stand_ins]));
    fail(&[12, 13, 14, 15]);
    let mut used = [&order[..2], &order[10..]].concat();
    used.sort_unstable();
    assert_eq!(fail(&order[3..10]), (true, vec![used]));
}
