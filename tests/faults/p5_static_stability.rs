//! Promise 5: no failure of the store stops traffic that worked, a restart included.

use std::fs;
use std::time::Duration;

use serde_json::json;
use weir_tests::eventually::{eventually, within};
use weir_tests::load::{Load, Plan};
use weir_tests::weir::{Launch, Weir};

use super::book::{Book, Outcome, stop};
use super::tamper::Tamper;

fn assert_store(weir: &Weir, state: &str) {
    let health = weir.api().get("/v1/health").expect(200);
    let shown = (health.json()["store"]["state"].clone(), health.field("weir-store").map(str::to_owned));
    assert_eq!(shown, (state.into(), Some(state.to_owned())));
    assert_eq!(weir.api().get("/readyz").status(), 200, "traffic is as it was");
}

/// While the disk refuses, changes are refused and said to be; traffic does not notice. When it takes writes again, so
/// does Weir.
fn while_the_log_refuses(calls: &str, error: &str, when: &str) {
    let what = format!("{calls} {when}: {error}");
    let mut book = Book::begun();
    let log = book.file("state.db-wal");
    let weir = book.launch().wrapped(Tamper { file: &log, calls }.fail(error, when)).start();
    eventually("traffic flows", || (weir.client().get("/").text() == "origin").then_some(()));
    let load = Load::start(Plan::gets(weir.data()));
    assert_eq!(book.write(&weir), Outcome::Refused(503, "store_unavailable".to_owned()), "{what}");
    assert_store(&weir, "read_only");
    book.assert_content(&weir, &what);
    let mut refused = 1;
    while book.write(&weir) != Outcome::Made {
        refused += 1;
        assert!(refused < 10, "{what}: the disk takes writes again, Weir does not");
    }
    assert_store(&weir, "ok");
    book.assert_content(&weir, &what);
    let tally = load.stop();
    tally.assert_flawless();
    weir.kill();
    let weir = book.verify(&what);
    stop(weir);
    book.assert_history();
}

#[test]
fn p5_static_stability_on_a_full_disk() {
    while_the_log_refuses("pwrite64", "ENOSPC", "1..3");
    while_the_log_refuses("pwrite64", "ENOSPC", "12");
}

#[test]
fn p5_static_stability_on_a_failing_disk() {
    while_the_log_refuses("pwrite64", "EIO", "2..3");
    while_the_log_refuses("fsync,fdatasync", "EIO", "1");
}

#[test]
fn p5_static_stability_on_a_disk_that_became_read_only() {
    while_the_log_refuses("pwrite64", "EROFS", "1..3");
}

/// The copy is for a restart without the store. That it cannot be written is told, and stops nothing.
#[test]
fn p5_static_stability_when_the_copy_cannot_be_written() {
    let steps = [("write", "ENOSPC"), ("fsync,fdatasync", "EIO"), ("rename,renameat,renameat2", "EROFS")];
    for (calls, error) in steps {
        let mut book = Book::begun();
        let (part, copy) = (book.file("last-good.json.part"), book.file("last-good.json"));
        let before = fs::read(&copy).unwrap();
        let weir = book.launch().wrapped(Tamper { file: &part, calls }.fail(error, "1")).start();
        assert_eq!(book.write(&weir), Outcome::Made, "{calls}");
        eventually("it is told", || weir.logs().event("the last good configuration is not kept"));
        assert_store(&weir, "ok");
        let info = weir.api().get("/v1/info").expect(200).json();
        assert!(info["store"]["last_good_error"].is_string(), "{calls}: {info}");
        let numbers = weir.api().get("/metrics").expect(200).response.text();
        assert!(!numbers.contains("weir_last_good_write_failures_total 0"), "{calls}");
        let health = weir.api().get("/healthz").expect(200).json();
        assert_eq!(
            (&health["status"], &health["checks"]["last_good"]["status"]),
            (&json!("warn"), &json!("warn"))
        );
        assert_eq!(weir.client().get("/").text(), "origin");
        assert!(fs::read(&copy).unwrap() == before, "{calls}: the copy there was is as it was");
        assert_eq!(book.write(&weir), Outcome::Made, "{calls}");
        within(Duration::from_secs(20), "and kept again", || {
            weir.logs().event("the last good configuration is kept again")
        });
        assert!(weir.api().get("/v1/info").json()["store"]["last_good_error"].is_null());
        weir.kill();
        let weir = book.verify(calls);
        stop(weir);
    }
}

/// Whatever a crash left of the copy: without the store, traffic goes on by it.
#[test]
fn p5_static_stability_from_a_copy_left_by_a_crash() {
    for calls in ["write", "fsync,fdatasync", "rename,renameat,renameat2"] {
        let mut book = Book::begun();
        let part = book.file("last-good.json.part");
        let mut weir = book.launch().wrapped(Tamper { file: &part, calls }.kill(1)).start();
        // The copy is written after the answer, or before it on a slow day.
        book.write(&weir);
        weir.wait(Duration::from_secs(30));
        fs::write(book.file("state.db"), "this is no database\n".repeat(1000)).unwrap();
        for side in ["state.db-wal", "state.db-shm"] {
            // Whether they are there depends on the moment.
            let _ = fs::remove_file(book.file(side));
        }
        let weir = Launch::default().data_dir(&book.path()).start();
        within(Duration::from_secs(5), "traffic by the copy", || {
            (weir.client().get("/").text() == "origin").then_some(())
        });
        assert_store(&weir, "read_only");
    }
}
