//! A server that hangs (SIGSTOP): its connections stand, its kernel still accepts, and no answer comes.

use std::net::SocketAddr;
use std::time::Duration;

use tempfile::TempDir;
use weir_tests::config;
use weir_tests::load::{Load, Plan};
use weir_tests::process_origin::ProcessOrigin;
use weir_tests::weir::Weir;

#[test]
fn one_of_four_servers_frozen_leaves_no_gap_of_a_second() {
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
    assert!(gap < Duration::from_secs(1), "no success for {gap:?}");
    tally.assert_flawless();
    weir.assert_no_errors();
}
