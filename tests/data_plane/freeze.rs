//! A server that hangs (SIGSTOP): its connections stand, its kernel still accepts, and no answer comes.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;
use weir_tests::config;
use weir_tests::load::{Load, Plan};
use weir_tests::process_origin::ProcessOrigin;
use weir_tests::weir::Weir;

#[test]
fn one_of_four_servers_frozen_leaves_no_gap_of_half_a_second() {
    let folder = TempDir::new().unwrap();
    let origins: Vec<ProcessOrigin> = (0..4).map(|_| ProcessOrigin::start(folder.path(), 1)).collect();
    let addresses: Vec<SocketAddr> = origins.iter().map(ProcessOrigin::address).collect();
    let weir = Weir::start();
    weir.api().set_default(&config::plain(&addresses));

    let load = Load::start(Plan { connections: 12, ..Plan::gets(weir.data()) });
    load.run_for(Duration::from_millis(300));
    origins[1].freeze();
    load.run_for(Duration::from_secs(3));
    origins[1].thaw();
    load.run_for(Duration::from_millis(300));
    let tally = load.stop();
    let gap = tally.worst_gap();
    assert!(gap < Duration::from_millis(500), "no success for {gap:?}");
    // A server that owes answers gets no new requests while others answer: few of the twelve clients were held.
    assert!(tally.ok() > 12 * 50 * 3 / 2, "only {} requests", tally.ok());
    tally.assert_flawless();
    weir.assert_no_errors();
}

/// With hedging no client is held at all: all of them come to an end while the server is still frozen.
#[test]
fn a_frozen_server_holds_no_client_of_a_hedged_upstream() {
    let folder = TempDir::new().unwrap();
    let origins: Vec<ProcessOrigin> = (0..4).map(|_| ProcessOrigin::start(folder.path(), 1)).collect();
    let addresses: Vec<SocketAddr> = origins.iter().map(ProcessOrigin::address).collect();
    let weir = Weir::start();
    let mut document = config::plain(&addresses);
    document["hedging"] = json!({ "enabled": true, "delay": "100ms", "max_percent": 20 });
    weir.api().set_default(&document);

    let load = Load::start(Plan { connections: 12, ..Plan::gets(weir.data()) });
    load.run_for(Duration::from_millis(300));
    origins[1].freeze();
    load.run_for(Duration::from_secs(2));
    let stopping = Instant::now();
    let tally = load.stop();
    let took = stopping.elapsed();
    origins[1].thaw();
    assert!(took < Duration::from_secs(2), "a client was held for {took:?}");
    assert!(tally.worst_gap() < Duration::from_millis(500), "no success for {:?}", tally.worst_gap());
    tally.assert_flawless();
    weir.assert_no_errors();
}
