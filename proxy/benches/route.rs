//! What it costs to find the route of a request, among 10 and among 10 000: `cargo bench -p weir-proxy --bench route`.
#![allow(clippy::unwrap_used, missing_docs, reason = "a program for developers")]

use std::{net::IpAddr, sync::Arc};

use divan::{Bencher, black_box};
use http::{HeaderMap, Method};
use serde_json::{Value, json};
use weir_shared::{
    id::{Epoch, Revision, RouteId, UpstreamId},
    model::{Config, Document, Meta, Server, ServerRecord, UpstreamRecord},
    sharing::SharedMap,
    table::{Compiler, RouteRequest, Table},
    time::{Moment, Now, Timestamp},
};

const NOW: Now = Now { moment: Moment(1_000_000), wall: Timestamp(0) };

/// What tells the routes apart.
const KINDS: [&str; 6] = ["host", "wildcard", "prefix", "exact", "field", "regex"];

fn main() {
    divan::main();
}

/// The `n`th of routes told apart by `kind`.
fn route(kind: &str, n: usize) -> Value {
    let matched = match kind {
        "host" => json!({"hosts": [format!("h{n}.test")], "path": {"value": "/shop"}}),
        "wildcard" => json!({"hosts": [format!("*.h{n}.test")], "path": {"value": "/shop"}}),
        "prefix" => json!({"path": {"value": format!("/shop/p{n}")}}),
        "exact" => json!({"path": {"type": "exact", "value": format!("/shop/p{n}/cart")}}),
        "field" => {
            json!({"path": {"value": "/shop"}, "headers": [{"name": "tenant", "value": format!("t{n}")}]})
        }
        "bare" => json!({"path": {"type": "regex", "value": format!(".*/p{n}/[a-z]+")}}),
        _ => json!({"path": {"type": "regex", "value": format!("/shop/p{n}/[a-z]+")}}),
    };
    json!({"id": format!("r{n}"), "match": matched, "action": {"upstreams": [{"upstream": "web"}]}})
}

fn config(kind: &str, routes: usize) -> Config {
    let routes: Vec<Value> = (1..routes).map(|n| route(kind, n)).chain([json!({"id": "default"})]).collect();
    let document = json!({"routes": routes, "upstreams": [{"id": "web"}]});
    let document: Document = serde_json::from_value(document).unwrap();
    document.into_config(Revision(1), Epoch("abc123".into()), Meta::default())
}

fn compile(config: Config, before: Option<&Table>) -> Table {
    Compiler { workers: 2, ..Compiler::default() }.compile(Arc::new(config), before, NOW).unwrap()
}

#[divan::bench(args = KINDS, consts = [10, 2_000, 10_000], sample_size = 1000)]
fn find<const ROUTES: usize>(bencher: Bencher<'_, '_>, kind: &str) {
    // Expressions are limited to 2000 in one configuration.
    let routes = if kind == "regex" { ROUTES.min(2000) } else { ROUTES };
    let table = compile(config(kind, routes), None);
    let host = format!("{}h{}.test", if kind == "wildcard" { "www." } else { "" }, routes / 2);
    let path = format!("/shop/p{}/cart", routes / 2);
    let mut headers = HeaderMap::new();
    headers.insert("tenant", format!("t{}", routes / 2).parse().unwrap());
    let client = || IpAddr::from([192, 0, 2, 1]);
    let request = RouteRequest {
        listener: "default",
        host: Some(host.as_bytes()),
        path: &path,
        query: None,
        method: &Method::GET,
        headers: &headers,
        client: &client,
    };
    assert_eq!(table.route(&request).unwrap().id.as_str(), format!("r{}", routes / 2));
    bencher.bench_local(|| std::ptr::from_ref(table.route(black_box(&request)).unwrap()).addr());
}

/// No expression matches, and none has a beginning to be looked for.
#[divan::bench(args = [10, 2000], sample_size = 100)]
fn miss(bencher: Bencher<'_, '_>, routes: usize) {
    let table = compile(config("bare", routes), None);
    let headers = HeaderMap::new();
    let client = || IpAddr::from([192, 0, 2, 1]);
    let request = RouteRequest {
        listener: "default",
        host: Some(b"shop.test"),
        path: "/some/other/path/of/a/site",
        query: None,
        method: &Method::GET,
        headers: &headers,
        client: &client,
    };
    assert_eq!(table.route(&request).unwrap().id.as_str(), "default");
    bencher.bench_local(|| std::ptr::from_ref(table.route(black_box(&request)).unwrap()).addr());
}

/// One route among `ROUTES` for the same host is another one.
#[divan::bench(args = ["host", "prefix"], consts = [10, 10_000], sample_count = 20, sample_size = 1)]
fn change_a_route<const ROUTES: usize>(bencher: Bencher<'_, '_>, kind: &str) {
    let before = compile(config(kind, ROUTES), None);
    let mut next = Config::clone(before.config());
    let mut record = (**next.routes.get("r5").unwrap()).clone();
    record.spec.matches.path.value = "/moved".into();
    next.routes.insert_mut(RouteId::new("r5"), Arc::new(record));
    bencher.with_inputs(|| next.clone()).bench_local_values(|next| compile(next, Some(&before)));
}

/// One server among 100 000 is another one, beside 10 000 routes.
#[divan::bench(sample_count = 20, sample_size = 1)]
fn change_a_server(bencher: Bencher<'_, '_>) {
    let mut config = config("prefix", 10_000);
    let upstream = |n: usize| {
        let server = |m: usize| {
            let address = format!("10.{}.{}.{}:80", n, m / 250, m % 250);
            let server = Server { id: format!("s{m}"), address, ..Server::default() };
            Arc::new(ServerRecord { server, meta: Meta::default() })
        };
        let spec = weir_shared::model::Upstream { id: format!("u{n}"), ..Default::default() };
        let record = UpstreamRecord { spec, meta: Meta::default(), servers: (0..1000).map(server).collect() };
        (UpstreamId::new(&format!("u{n}")), Arc::new(record))
    };
    let more: SharedMap<UpstreamId, UpstreamRecord> = (0..100).map(upstream).collect();
    for (id, record) in &more {
        config.upstreams.insert_mut(id.clone(), Arc::clone(record));
    }
    let before = compile(config, None);
    let mut next = Config::clone(before.config());
    let mut record = (**next.upstreams.get("u7").unwrap()).clone();
    let mut server = (*record.servers.first().unwrap().clone()).clone();
    server.server.weight = 5;
    if let Some(first) = record.servers.first_mut() {
        *first = Arc::new(server);
    }
    next.upstreams.insert_mut(UpstreamId::new("u7"), Arc::new(record));
    bencher.with_inputs(|| next.clone()).bench_local_values(|next| compile(next, Some(&before)));
}
