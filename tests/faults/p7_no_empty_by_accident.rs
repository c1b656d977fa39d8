//! A damaged store: traffic goes on from the last good table, the state is visible, and nothing is written over it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;
use weir_tests::client::Wire;
use weir_tests::config;
use weir_tests::eventually::{eventually, within};
use weir_tests::origin::Origin;
use weir_tests::weir::{Launch, Weir};

use super::problem::assert_problem;

/// A data directory in which `origin` serves the default route, left behind by a killed Weir.
fn left_behind(origin: &Origin) -> TempDir {
    let folder = TempDir::new().unwrap();
    let weir = Launch::default().data_dir(folder.path()).start();
    weir.api().set_default(&config::plain(&[origin.address()]));
    let address = origin.address().to_string();
    eventually("last-good.json has the table", || {
        fs::read_to_string(folder.path().join("last-good.json")).ok()?.contains(&address).then_some(())
    });
    weir.kill();
    folder
}

fn overwrite(path: &Path, with: &[u8]) {
    fs::write(path, with).unwrap();
    for suffix in ["-wal", "-shm"] {
        let mut side = path.as_os_str().to_owned();
        side.push(suffix);
        // The side files exist only when the killed process had not checkpointed.
        let _ = fs::remove_file(side);
    }
}

/// Requires traffic from the last good table within a second of the port's opening, and a store that refuses writes.
fn assert_read_only(weir: &Weir) {
    within(Duration::from_secs(1), "traffic from the last good table", || {
        let mut wire = Wire::try_connect(weir.data()).ok()?;
        (wire.get("/").text() == "origin").then_some(())
    });
    let health = weir.api().get("/v1/health").expect(200);
    assert_eq!(health.json()["store"]["state"], "read_only", "{health:?}");
    assert_eq!(health.field("weir-store"), Some("read_only"), "{health:?}");
    let upstream = weir.api().get("/v1/upstreams/default").expect(200).json();
    assert_eq!(upstream["servers"].as_array().unwrap().len(), 1);
    let write = weir.api().post("/v1/upstreams", &json!({ "id": "another" }));
    assert_problem(&write, 503, "store_unavailable");
    assert!(write.response.fields.has("retry-after"), "{write:?}");
    assert_problem(&weir.api().delete("/v1/upstreams/default?cascade=true"), 503, "store_unavailable");
    assert_eq!(weir.client().get("/").text(), "origin", "nothing changed");
    assert_eq!(weir.api().get("/readyz").status(), 200, "a proxy that serves is ready");
}

#[test]
fn a_database_of_garbage() {
    let origin = Origin::named("origin");
    let folder = left_behind(&origin);
    overwrite(&folder.path().join("state.db"), "this is no database\n".repeat(1000).as_bytes());
    let weir = Launch::default().data_dir(folder.path()).start();
    assert_read_only(&weir);
}

#[test]
fn a_truncated_database() {
    let origin = Origin::named("origin");
    let folder = left_behind(&origin);
    let database = folder.path().join("state.db");
    let mut whole = fs::read(&database).unwrap();
    // Most of the content may still be in the write-ahead log: a page of it cut in two is damage in any case.
    whole.truncate(whole.len().max(8192) / 2 - 100);
    overwrite(&database, &whole);
    let weir = Launch::default().data_dir(folder.path()).start();
    assert_read_only(&weir);
}

/// The file is gone, the last good table is there: that is a loss, not a fresh start.
#[test]
fn a_missing_database_beside_a_last_good_table() {
    let origin = Origin::named("origin");
    let folder = left_behind(&origin);
    for name in ["state.db", "state.db-wal", "state.db-shm"] {
        // The side files exist only when the killed process had not checkpointed.
        let _ = fs::remove_file(folder.path().join(name));
    }
    let weir = Launch::default().data_dir(folder.path()).start();
    assert_read_only(&weir);
}

/// The damaged file is the operator's only chance: it must survive every start.
#[test]
fn the_damaged_file_is_kept() {
    let origin = Origin::named("origin");
    let folder = left_behind(&origin);
    let garbage = "this is no database\n".repeat(1000);
    overwrite(&folder.path().join("state.db"), garbage.as_bytes());
    for _ in 0..2 {
        let weir = Launch::default().data_dir(folder.path()).start();
        assert_read_only(&weir);
        weir.kill();
    }
    let is_kept = fs::read_dir(folder.path()).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        path.is_file() && fs::read(&path).is_ok_and(|bytes| bytes == garbage.as_bytes())
    });
    assert!(is_kept, "the damaged database is gone");
}

/// A broken cache of a good store is no reason for anything.
#[test]
fn a_damaged_last_good_file_beside_a_good_database() {
    let origin = Origin::named("origin");
    let folder = left_behind(&origin);
    let file = folder.path().join("last-good.json");
    for damage in ["", "{", "null", "{\"format\":1}"] {
        fs::write(&file, damage).unwrap();
        let weir = Launch::default().data_dir(folder.path()).start();
        eventually("traffic flows", || (weir.client().get("/").text() == "origin").then_some(()));
        weir.api().patch("/v1/upstreams/default", &serde_json::json!({ "description": damage })).assert(200);
        weir.kill();
    }
}

/// A changed byte in the cache is found by its checksum.
#[test]
fn with_both_damaged_it_starts_and_says_so() {
    let origin = Origin::named("origin");
    let folder = left_behind(&origin);
    overwrite(&folder.path().join("state.db"), b"garbage");
    let file = folder.path().join("last-good.json");
    let text = fs::read_to_string(&file).unwrap();
    let port = origin.address().port().to_string();
    fs::write(&file, text.replace(&port, "1")).unwrap();
    let weir = Launch::default().data_dir(folder.path()).start();
    assert_eq!(weir.client().get("/").status, 503, "a table that fails its checksum is not served");
    assert_eq!(weir.api().get("/v1/health").expect(200).json()["store"]["state"], "read_only");
    assert_problem(&weir.api().post("/v1/upstreams", &json!({ "id": "another" })), 503, "store_unavailable");
    assert_eq!(weir.api().get("/readyz").status(), 503);
}
