//! `weir ctl events`: nothing is missed, also across a restart of Weir.

use tempfile::TempDir;
use weir_tests::ctl::Ctl;
use weir_tests::eventually::eventually;
use weir_tests::weir::{Launch, Weir};

#[test]
fn events_go_on_across_a_restart() {
    let folder = TempDir::new().unwrap();
    let weir = Launch::default().data_dir(folder.path()).start();
    let admin = weir.admin();
    let listening = Ctl::on(&weir, "events --topics config --since 0").start();
    Ctl::on(&weir, "add upstream one").run().assert(0);
    listening.line("revision 1");
    weir.kill();
    eventually("the loss is noticed", || {
        listening.err().iter().any(|line| line.contains("going on as soon as it is back")).then_some(())
    });
    let weir = Launch::default().data_dir(folder.path()).admin(admin).start();
    Ctl::on(&weir, "add upstream two").run().assert(0);
    Ctl::on(&weir, "add upstream three").run().assert(0);
    listening.line("revision 3");
    let told = listening.out();
    let revisions: Vec<&str> = told
        .iter()
        .filter(|line| line.contains(" config revision "))
        .map(|line| {
            let (_, rest) = line.split_once(" config revision ").unwrap();
            rest.split([' ', ':']).next().unwrap()
        })
        .collect();
    assert_eq!(revisions, ["1", "2", "3"], "each once: {told:#?}");
    assert!(!told.iter().any(|line| line.contains("reset")), "{told:#?}");
}

#[test]
fn enough_events_end_it() {
    let weir = Weir::start();
    for name in ["one", "two", "three"] {
        Ctl::on(&weir, "add upstream").arg(name).run().assert(0);
    }
    let told = Ctl::on(&weir, "events --topics config --since 0 -n 2 -o json").run().expect(0).out;
    let events: Vec<serde_json::Value> =
        told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.len(), 2, "{told}");
    assert!(events.iter().all(|event| event["event"] == "config" && event["id"].is_string()), "{told}");
    assert_eq!(events[1]["data"]["revision"], 2);
    Ctl::on(&weir, "events --topics nonsense").run().assert(2);
}

/// As with `| head -1`: more is told than a pipe holds, so that the end of the reader is noticed at once.
#[test]
fn a_reader_who_has_enough_ends_it() {
    let weir = Weir::start();
    let path = format!("/v1/upstreams?message={}", "x".repeat(200));
    for number in 0..300 {
        weir.api().post(&path, &serde_json::json!({ "id": format!("u{number}") })).assert(201);
    }
    Ctl::on(&weir, "events --topics config --since 0 -o json").closed_after(16).assert(0);
}
