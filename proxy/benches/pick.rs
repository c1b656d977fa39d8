//! What a pick costs: `cargo bench -p weir-proxy`.
#![allow(clippy::unwrap_used, missing_docs, reason = "a program for developers")]

use std::{cell::Cell, sync::Arc, time::Duration};

use divan::Bencher;
use serde_json::json;
use weir_proxy::balance::{self, Request, Tried};
use weir_shared::{
    id::{Epoch, Revision},
    model::{Document, Meta},
    state::{Decay, WorkerId},
    table::{Compiler, Table},
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

fn main() {
    divan::main();
}

fn table(algorithm: &str, servers: usize) -> Table {
    let servers: Vec<_> = (0..servers)
        .map(|n| json!({"id": format!("s{n}"), "address": format!("10.{}.{}.1:80", n / 250, n % 250)}))
        .collect();
    let upstream = json!({"id": "web", "algorithm": algorithm, "servers": servers});
    let document: Document = serde_json::from_value(json!({"upstreams": [upstream]})).unwrap();
    let config = document.into_config(Revision(1), Epoch("abc123".into()), Meta::default());
    let table = Compiler { workers: 1, ..Compiler::default() }.compile(Arc::new(config), None, NOW).unwrap();
    let upstream = table.upstream("web").unwrap();
    for (n, server) in (0_u64..).zip(&upstream.servers) {
        server.state.health.assume_healthy(NOW);
        let latency = Duration::from_micros(1000 + n);
        // As many answers as it takes to know a server.
        for _ in 0..8 {
            server.state.latency.record(latency, 0, NOW.moment, Decay::after(Duration::from_secs(10)));
        }
    }
    upstream.state.eligibility_changed();
    drop(upstream.eligible(NOW.moment));
    table
}

#[divan::bench(args = ALGORITHMS, consts = [10, 10_000], sample_size = 1000)]
fn pick<const SERVERS: usize>(bencher: Bencher<'_, '_>, algorithm: &str) {
    let table = table(algorithm, SERVERS);
    let upstream = table.upstream("web").unwrap();
    let random = Cell::new(1_u64);
    let bits = || {
        let mut x = random.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        random.set(x);
        x
    };
    bencher.bench_local(|| {
        let key = upstream.hash.as_ref().map(|table| table.key(&bits().to_le_bytes()));
        let request = Request { worker: WorkerId(0), now: NOW.moment, key, random: bits };
        let server = balance::pick(upstream, &Tried::default(), &request).unwrap();
        std::ptr::from_ref(server).addr()
    });
}
