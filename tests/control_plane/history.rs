//! History on a real Weir: what was, after a restart and after a crash, and back again.

use serde_json::{Value, json};
use tempfile::TempDir;
use weir_tests::{
    api::Api,
    origin::Origin,
    signal::Signal,
    weir::{Launch, Weir},
};

/// Everything that can be asked about the past, without what changes with every answer.
fn told(api: Api) -> Vec<Value> {
    let last = api.revision();
    let list = api.get("/v1/revisions").expect(200).json();
    assert_eq!(list["items"].as_array().map(Vec::len), usize::try_from(last).ok());
    let mut told = vec![list["items"].clone()];
    for revision in 1..=last {
        for path in [
            format!("/v1/revisions/{revision}"),
            format!("/v1/revisions/{revision}/config"),
            format!("/v1/revisions/{revision}/diff"),
        ] {
            told.push(api.get(&path).expect(200).json());
        }
    }
    told.iter_mut().for_each(without_listeners);
    told
}

/// The listener is what it is now, not what it was: another process may listen elsewhere.
fn without_listeners(document: &mut Value) {
    if let Some(fields) = document.as_object_mut() {
        fields.remove("listeners");
    }
}

fn with_history(weir: &Weir, origin: &Origin) {
    let api = weir.api();
    api.set_default(&json!({ "servers": [origin.address().to_string()] }));
    api.post("/v1/upstreams?message=second", &json!({ "id": "web", "servers": ["127.0.0.1:1"] })).assert(201);
    api.patch("/v1/upstreams/web/servers/127.0.0.1-1", &json!({ "weight": 5 })).assert(200);
    api.delete("/v1/upstreams/web").assert(204);
}

#[test]
fn a_restart_and_a_crash_keep_the_history() {
    let folder = TempDir::new().unwrap();
    let launch = || Launch::default().data_dir(folder.path());
    let origin = Origin::named("a");
    let mut weir = launch().start();
    with_history(&weir, &origin);
    let before = told(weir.api());
    weir.signal(Signal::TERM);
    assert!(weir.wait(std::time::Duration::from_secs(30)).success());
    let weir = launch().start();
    assert_eq!(told(weir.api()), before, "after a restart");
    weir.kill();
    let weir = launch().start();
    assert_eq!(told(weir.api()), before, "after a crash");
    let back =
        weir.api().post("/v1/config/rollback", &json!({ "to": 3, "message": "web again" })).expect(200);
    assert_eq!(back.json()["revision"], 5);
    weir.kill();
    let weir = launch().start();
    let api = weir.api();
    assert_eq!(api.get("/v1/revisions/5").expect(200).json()["message"], "web again");
    let at = |revision: u64| api.get(&format!("/v1/revisions/{revision}/config")).expect(200).json();
    assert_eq!(at(5), at(3));
    weir.assert_no_errors();
}

/// A rollback is in force for the next request, as any change is.
#[test]
fn going_back_is_seen_by_the_next_request() {
    let (old, new) = (Origin::named("old"), Origin::named("new"));
    let weir = Weir::start();
    let api = weir.api();
    api.set_default(&json!({ "servers": [old.address().to_string()] }));
    api.set_default(&json!({ "servers": [new.address().to_string()] }));
    for round in 0..5 {
        for (to, text) in [(1, "old"), (2, "new")] {
            api.post("/v1/config/rollback", &json!({ "to": to })).assert(200);
            assert_eq!(weir.client().get("/").text(), text, "round {round}");
        }
    }
    assert_eq!(api.revision(), 12);
    let list = api.get("/v1/revisions?limit=1").expect(200).json();
    assert_eq!(list["items"][0]["message"], "roll back to revision 2");
}

/// Eight rollbacks side by side: each is made on what was before it, and the history has no gaps.
#[test]
fn rollbacks_side_by_side_make_one_history() {
    let weir = Weir::start();
    let api = weir.api();
    for port in 1..=4 {
        api.set_default(
            &json!({ "servers": [format!("127.0.0.1:{port}")], "health_check": { "enabled": false } }),
        );
    }
    std::thread::scope(|scope| {
        for writer in 0..8 {
            scope.spawn(move || {
                for step in 0..5 {
                    let to = (writer + step) % 4 + 1;
                    api.post("/v1/config/rollback", &json!({ "to": to })).assert(200);
                }
            });
        }
    });
    let last = api.revision();
    let list = api.get("/v1/revisions").expect(200).json();
    let numbers: Vec<u64> =
        list["items"].as_array().unwrap().iter().map(|item| item["revision"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=last).rev().collect::<Vec<_>>());
    let at = |revision: u64| api.get(&format!("/v1/revisions/{revision}/config")).expect(200).json();
    for item in list["items"].as_array().unwrap() {
        let revision = item["revision"].as_u64().unwrap();
        let to = item["message"].as_str().unwrap().strip_prefix("roll back to revision ");
        if let Some(to) = to {
            assert_eq!(at(revision)["upstreams"], at(to.parse().unwrap())["upstreams"], "{item}");
        }
    }
    weir.assert_no_errors();
}
