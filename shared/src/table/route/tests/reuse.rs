//! What a change leaves as it is.

use std::sync::Arc;

use serde_json::json;

use super::{Asked, compiled, config};
use crate::{
    id::RouteId,
    model::{Config, Server, ServerRecord, UpstreamRecord},
    table::{Action, Table},
};

fn many() -> Config {
    let routes: Vec<_> = (0..50)
        .map(|n| {
            let host = format!("h{}.test", n % 5);
            json!({"id": format!("r{n}"), "match": {"hosts": [host], "path": {"value": format!("/p{n}")}},
                   "action": {"upstreams": [{"upstream": "a"}]}})
        })
        .chain([json!({"id": "default"})])
        .collect();
    config(&json!(routes))
}

fn with_server(config: &Config) -> Config {
    let mut next = config.clone();
    let record = config.upstreams.get("a").unwrap();
    let server = Server { id: "s".into(), address: "10.0.0.1:80".into(), ..Server::default() };
    let server = Arc::new(ServerRecord { server, meta: record.meta });
    let record = UpstreamRecord { servers: vec![server], ..UpstreamRecord::clone(record) };
    next.upstreams.insert_mut(crate::id::UpstreamId::new("a"), Arc::new(record));
    next
}

fn servers_of(table: &Table, request: &str) -> usize {
    Asked::parse(request).with(|request| {
        let Action::Forward(split) = &table.route(request).unwrap().action else { panic!("forwards") };
        table.target(split.choose(0).unwrap()).unwrap().servers.len()
    })
}

#[test]
fn a_change_of_a_server_leaves_all_routes_as_they_are() {
    let before = compiled(many(), None);
    let after = compiled(with_server(before.config()), Some(&before));
    assert!(std::ptr::eq(before.routes(), after.routes()));
    assert_eq!(servers_of(&before, "GET h1.test/p1"), 0, "who has the table before sees the server gone");
    assert_eq!(servers_of(&after, "GET h1.test/p1"), 1);
}

#[test]
fn a_change_of_a_route_leaves_other_hosts_and_all_other_routes_as_they_are() {
    let before = compiled(many(), None);
    let mut config = Config::clone(before.config());
    let mut record = (**config.routes.get("r7").unwrap()).clone();
    record.spec.matches.path.value = "/moved".into();
    config.routes.insert_mut(RouteId::new("r7"), Arc::new(record));
    let after = compiled(config, Some(&before));
    assert_eq!(Asked::parse("GET h2.test/moved").routed(&after), "r7");
    assert_eq!(Asked::parse("GET h2.test/p7").routed(&after), "default");
    for route in before.routes().iter().filter(|route| route.id.as_str() != "r7") {
        assert!(Arc::ptr_eq(route, after.routes().get(route.id.as_str()).unwrap()), "{}", route.id);
    }
    let moved = |table: &Table| Arc::clone(&table.routes().get("r7").unwrap().state);
    assert!(Arc::ptr_eq(&moved(&before), &moved(&after)), "its numbers go on");
    let shared = |host: &str| {
        let of = |table: &Table| Arc::as_ptr(table.routes().exact.get(host).unwrap());
        of(&before) == of(&after)
    };
    assert!(shared("h1.test") && !shared("h2.test"));
}

#[test]
fn upstreams_that_come_and_go_are_not_mixed_up() {
    let mut table = compiled(many(), None);
    for round in 0..200 {
        let mut config = Config::clone(table.config());
        let id = format!("x{}", round % 7);
        if config.upstreams.contains_key(id.as_str()) {
            config.upstreams.remove_mut(id.as_str());
        } else {
            let mut record = (**config.upstreams.get("b").unwrap()).clone();
            record.spec.id.clone_from(&id);
            config.upstreams.insert_mut(crate::id::UpstreamId::new(&id), Arc::new(record));
        }
        table = compiled(config, Some(&table));
        for upstream in table.upstreams() {
            assert!(Arc::ptr_eq(table.target(upstream.slot).unwrap(), upstream), "{}", upstream.id);
        }
    }
}
