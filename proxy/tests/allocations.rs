//! A pick, and that of a shadow, allocates nothing, whatever the algorithm and however the servers are placed; nor does
//! finding a route.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

use std::{cell::Cell, sync::Arc};

use http::{HeaderMap, Method};
use serde_json::{Value, json};
use weir_proxy::balance::{self, By, Picked, Request, Tried};
use weir_shared::{
    id::{Epoch, Revision},
    model::{Document, Meta},
    state::WorkerId,
    table::{Compiler, RouteRequest, Site, Table},
    time::{Moment, Now, Timestamp},
};

const NOW: Now = Now { moment: Moment(1_000_000), wall: Timestamp(0) };

const ALGORITHMS: [&str; 9] = [
    "first",
    "round_robin",
    "random",
    "least_request",
    "least_time",
    "peak_ewma",
    "prequal",
    "ring_hash",
    "maglev",
];

/// Servers of two levels and two zones, so that requests are divided over several tiers, which warm up.
fn table(algorithm: &str, count: usize) -> Table {
    let server = |n: usize| {
        let zone = if n.is_multiple_of(5) { "here" } else { "there" };
        json!({
            "id": format!("s{n}"), "address": format!("10.{}.{}.1:80", n / 250, n % 250),
            "weight": 1 + n % 3, "zone": zone, "priority": usize::from(n >= count / 2),
        })
    };
    let servers: Vec<Value> = (0..count).map(server).collect();
    let upstream = json!({
        "id": "web", "algorithm": algorithm, "servers": servers, "slow_start": {"duration": "30s"},
        "hash": {"balance_percent": 125}, "shadow": {"algorithm": algorithm},
    });
    let document: Document = serde_json::from_value(json!({"upstreams": [upstream]})).unwrap();
    let config = document.into_config(Revision(1), Epoch("abc123".into()), Meta::default());
    let site = Site { zone: Some("here".into()), number: None };
    let table =
        Compiler { workers: 1, site, ..Compiler::default() }.compile(Arc::new(config), None, NOW).unwrap();
    let upstream = table.upstream("web").unwrap();
    // Of the first level only half, so that it hands on.
    for (n, server) in upstream.servers.iter().enumerate() {
        if n >= count / 4 {
            server.state.health.assume_healthy(NOW);
        }
    }
    upstream.state.eligibility_changed();
    assert!(upstream.eligible(NOW.moment).tiers.len() >= 3);
    table
}

#[test]
fn a_pick_allocates_nothing() {
    for algorithm in ALGORITHMS {
        for count in [20, 400] {
            let table = table(algorithm, count);
            let upstream = table.upstream("web").unwrap();
            let random = Cell::new(1_u64);
            let bits = || {
                random.set(random.get().wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
                random.get() ^ random.get() >> 32
            };
            let pick = || {
                let key = upstream.hash.as_ref().map(|table| table.key(&bits().to_le_bytes()));
                let request = Request { worker: WorkerId(0), now: NOW.moment, key, random: bits };
                let mut tried = Tried::default();
                let server = balance::pick(upstream, &tried, &request).unwrap();
                tried.add(server);
                let picked = Picked { server, met: 0, by: By::Algorithm };
                let shadow = upstream.shadow.as_ref().unwrap();
                assert!(balance::compare(upstream, shadow, picked, &request).is_some());
                balance::pick(upstream, &tried, &request).unwrap().id.as_str().len()
            };
            // The first ones make what each worker has of its own, such as its place in the turns, and what the shadow
            // knows of a server.
            upstream.servers.iter().for_each(|server| server.state.shadow().start());
            pick();
            let counted = allocation_counter::measure(|| {
                for _ in 0..1000 {
                    std::hint::black_box(pick());
                }
            });
            assert_eq!(counted.count_total, 0, "{algorithm}, {count} servers");
        }
    }
}

#[test]
fn finding_a_route_allocates_nothing() {
    let everything = json!({
        "hosts": ["*.shop.test"], "path": {"value": "/a/b"}, "methods": ["GET"],
        "headers": [{"name": "x-tier", "value": "gold"}, {"name": "accept", "type": "prefix", "value": "text/"}],
        "query": [{"name": "q", "value": "a b"}], "client_cidrs": ["192.0.2.0/24"]
    });
    let routes = json!([
        {"id": "default"}, {"id": "all", "listeners": ["default"], "match": everything},
        {"id": "exact", "match": {"hosts": ["shop.test"], "path": {"type": "exact", "value": "/a/b/c"}}}
    ]);
    let document: Document = serde_json::from_value(json!({ "routes": routes })).unwrap();
    let config = document.into_config(Revision(1), Epoch("abc123".into()), Meta::default());
    let table = Compiler { workers: 1, ..Compiler::default() }.compile(Arc::new(config), None, NOW).unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("x-tier", "gold".parse().unwrap());
    headers.insert("accept", "text/html".parse().unwrap());
    let client = || "192.0.2.7".parse().unwrap();
    for (host, expected) in [("Www.Shop.test:8080", "all"), ("shop.test", "exact"), ("other.test", "default")]
    {
        let request = RouteRequest {
            listener: "default",
            host: Some(host.as_bytes()),
            path: "/a/b/c",
            query: Some("x=1&q=a%20b"),
            method: &Method::GET,
            headers: &headers,
            client: &client,
        };
        assert_eq!(table.route(&request).unwrap().id.as_str(), expected);
        let counted = allocation_counter::measure(|| {
            for _ in 0..1000 {
                std::hint::black_box(table.route(std::hint::black_box(&request)).is_ok());
            }
        });
        assert_eq!(counted.count_total, 0, "{host}");
    }
}
