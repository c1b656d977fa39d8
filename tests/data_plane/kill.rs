//! Servers that die by `kill -9` under load: nothing is lost that can be saved, and nothing runs twice.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use tempfile::TempDir;
use weir_tests::config;
use weir_tests::load::{AfterClose, Load, Mix, Plan};
use weir_tests::process_origin::ProcessOrigin;
use weir_tests::tally::Kind;
use weir_tests::weir::Weir;

/// Kills in one run.
const KILLS: usize = 10;

#[test]
fn one_of_four_servers_killed_every_half_second() {
    let folder = TempDir::new().unwrap();
    let mut origins: Vec<ProcessOrigin> = (0..4).map(|_| ProcessOrigin::start(folder.path(), 3)).collect();
    let addresses: Vec<SocketAddr> = origins.iter().map(ProcessOrigin::address).collect();
    let weir = Weir::start();
    weir.api().set_default(&config::plain(&addresses));

    let load = Load::start(Plan {
        target: weir.data(),
        connections: 8,
        pace: Duration::from_millis(20),
        mix: Mix::GetsAndPosts,
        after_close: AfterClose::Reconnect,
    });
    for round in 0..KILLS {
        let origin = &mut origins[round % 4];
        load.run_for(Duration::from_millis(350));
        origin.kill();
        load.run_for(Duration::from_millis(150));
        origin.restart();
    }
    load.run_for(Duration::from_millis(300));
    let tally = load.stop();

    assert!(tally.ok() > 1000, "a steady load: {}", tally.ok());
    assert!(tally.failed(Kind::Get).is_empty(), "lost GETs: {:#?}", tally.failed(Kind::Get));
    let mut runs: HashMap<String, usize> = HashMap::new();
    for id in origins.iter().flat_map(ProcessOrigin::ran) {
        *runs.entry(id).or_default() += 1;
    }
    let twice: Vec<_> = runs.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "POSTs that ran more than once: {twice:?}");
    // A POST that was sent to a server which then died may have run, whatever that server's log says: the balancer cannot
    // see the log. Anything else it could have sent to another server.
    let (unsure, lost): (Vec<_>, Vec<_>) = tally
        .failed(Kind::Post)
        .into_iter()
        .partition(|failure| failure.what.contains("connection-terminated"));
    assert!(lost.is_empty(), "POSTs that failed although nothing of them was sent: {lost:#?}");
    assert!(unsure.len() <= KILLS, "more POSTs were cut than servers killed: {unsure:#?}");
    let unrun: Vec<_> = tally.posted.iter().filter(|id| !runs.contains_key(*id)).collect();
    assert!(unrun.is_empty(), "POSTs answered with 200 that never ran: {unrun:?}");
    assert_eq!(tally.closed_unannounced, 0, "client connections were closed");
    weir.assert_no_errors();
}

/// A server that goes for good is noticed by the requests, long before any check would be due.
#[test]
fn a_server_that_stays_dead_costs_no_request() {
    let folder = TempDir::new().unwrap();
    let mut origins: Vec<ProcessOrigin> = (0..2).map(|_| ProcessOrigin::start(folder.path(), 1)).collect();
    let addresses: Vec<SocketAddr> = origins.iter().map(ProcessOrigin::address).collect();
    let weir = Weir::start();
    weir.api().set_default(&config::plain(&addresses));
    let load = Load::start(Plan::gets(weir.data()));
    load.run_for(Duration::from_millis(300));
    origins[0].kill();
    load.run_for(Duration::from_millis(1500));
    load.stop().assert_flawless();
}
