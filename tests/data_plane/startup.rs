//! What keeps Weir from starting: one readable line, a non-zero exit, and nothing half-started.

use std::net::TcpListener;
use std::path::Path;

use tempfile::TempDir;
use weir_tests::weir::{Launch, Weir};

fn refused(launch: Launch, mentions: &str) {
    let (status, mut lines) = launch.refused();
    assert!(!status.success(), "{status}");
    // What it logged on the way is not what it has to say to whoever started it.
    lines.retain(|line| !line.contains("\"level\":\"INFO\""));
    assert_eq!(lines.len(), 1, "one line: {lines:#?}");
    assert!(lines[0].contains(mentions), "{mentions:?} should be named: {lines:#?}");
    assert!(!lines[0].contains("panicked") && !lines[0].contains("Os {"), "readable: {lines:#?}");
}

#[test]
fn a_data_port_in_use() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    refused(Launch::default().listen(&address), &address);
}

#[test]
fn an_admin_port_in_use() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    refused(Launch::default().admin(&address), &address);
}

/// Workers share a port among themselves; two processes must not, or each would answer some of the other's clients.
#[test]
fn the_data_port_of_another_weir() {
    let first = Weir::start();
    let address = first.data().to_string();
    refused(Launch::default().listen(&address), &address);
}

#[test]
fn a_data_directory_of_another_weir() {
    let first = Weir::start();
    let folder = first.data_dir().unwrap();
    refused(Launch::default().data_dir(&folder), &folder.display().to_string());
}

/// A path below a file cannot be made a directory, not even by root.
#[test]
fn a_data_directory_that_cannot_be_written() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let below = file.join("weir-data");
    refused(Launch::default().data_dir(&below), &below.display().to_string());
    refused(Launch::default().data_dir(Path::new("/proc/weir-data")), "/proc/weir-data");
}

#[test]
fn an_unknown_flag() {
    refused(Launch::default().arg("--wrokers").arg("2"), "--wrokers");
}

#[test]
fn bad_values() {
    refused(Launch::default().listen("nonsense"), "nonsense");
    refused(Launch::default().admin("127.0.0.1:99999"), "127.0.0.1:99999");
    refused(Launch::default().arg("--drain-timeout").arg("soon"), "soon");
    refused(Launch::default().arg("--header-timeout").arg("0s"), "--header-timeout");
    refused(Launch::default().arg("--trusted-proxies").arg("10.0.0.0/33"), "10.0.0.0/33");
}

/// The table of servers must not be writable by whoever is on the network.
#[test]
fn an_admin_address_for_everybody() {
    refused(Launch::default().admin("0.0.0.0:0"), "0.0.0.0:0");
    refused(Launch::default().admin("[::]:0"), "[::]:0");
}
