//! Changes of everything beside small ones: whoever is overtaken begins again, and nothing that was answered is lost.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use serde_json::{Value, json};
use weir_tests::{
    api::{Answer, Api},
    weir::Weir,
};

const SMALL: &str = "/v1/upstreams/small/servers/127.0.0.1-1";
const WEIGHT: &str = "/upstreams/small/servers/127.0.0.1-1/weight";
const LARGE: &str = "/upstreams/large/description";
/// So many that small changes overtake whoever works them out.
const SERVERS: usize = 2000;
const PUTS: usize = 10;
const WRITERS: usize = 2;
/// Most small changes of each writer, so that all revisions are kept.
const PATCHES: usize = 300;

/// What a writer was told it did.
struct Made {
    revision: u64,
    /// The one place that it made different, and what is there now.
    place: &'static str,
    value: Value,
}

fn large(mark: usize) -> Value {
    let servers: Vec<String> = (0..SERVERS).map(|n| format!("10.0.{}.{}:80", n / 200, n % 200)).collect();
    let checks = json!({ "enabled": false });
    let upstream =
        json!({ "id": "large", "description": mark.to_string(), "servers": servers, "health_check": checks });
    json!({ "upstreams": [upstream] })
}

fn put_large(api: Api, mark: usize) -> Made {
    let answer = api.put("/v1/config?prune=false", &large(mark)).expect(200).json();
    let value = json!(mark.to_string());
    let diff = answer["diff"].as_array().unwrap();
    assert_eq!(diff.len(), 1, "it is told what it did, and nothing that others did: {answer}");
    assert_eq!(diff[0]["new"], value, "{answer}");
    Made { revision: answer["revision"].as_u64().unwrap(), place: LARGE, value }
}

fn patch_small(api: Api, weight: usize) -> Made {
    let answer = api.patch(SMALL, &json!({ "weight": weight })).expect(200).json();
    assert_eq!(answer["weight"], json!(weight), "it is told what it wrote");
    Made { revision: answer["revision"].as_u64().unwrap(), place: WEIGHT, value: json!(weight) }
}

fn set_up(api: Api) {
    let idle = json!({ "id": "small", "health_check": { "enabled": false },
        "servers": [{ "address": "127.0.0.1:1", "weight": 0 }] });
    api.post("/v1/upstreams", &idle).assert(201);
    api.call("PUT", "/v1/config?prune=false").json(&large(0)).send().assert(200);
}

/// Each change is made once, in a revision of its own that differs from the one before in that change and nothing else.
#[test]
fn small_changes_and_changes_of_everything_are_all_made() {
    let weir = Weir::start();
    let api = weir.api();
    set_up(api);
    let first = api.revision();
    let (made, is_over) = (Mutex::new(Vec::new()), AtomicBool::new(false));
    let (overtaken, weight) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let note = |one: Made| made.lock().unwrap().push(one);
    thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| {
                for _ in 0..PATCHES {
                    if is_over.load(Ordering::SeqCst) {
                        return;
                    }
                    // Always another one: what changes nothing makes no revision.
                    note(patch_small(api, weight.fetch_add(1, Ordering::SeqCst) + 1));
                }
            });
        }
        for mark in 1..=PUTS {
            let before = api.revision();
            let put = put_large(api, mark);
            overtaken.fetch_add(usize::from(put.revision > before + 1), Ordering::SeqCst);
            note(put);
        }
        is_over.store(true, Ordering::SeqCst);
    });
    let mut made = made.into_inner().unwrap();
    made.sort_by_key(|one| one.revision);
    let revisions: Vec<u64> = made.iter().map(|one| one.revision).collect();
    assert_eq!(
        revisions,
        (first + 1..=api.revision()).collect::<Vec<_>>(),
        "one revision for each, and no other"
    );
    assert!(overtaken.into_inner() > 0, "small changes are made while a large one is worked out");
    let history = api.get("/v1/revisions?limit=1000").expect(200).json();
    let history = history["items"].as_array().unwrap().iter().take(made.len()).rev();
    for (one, entry) in made.iter().zip(history) {
        let changes = json!({ "total": 1, "changes": [{ "op": "replace", "path": one.place }] });
        assert_eq!((&entry["revision"], &entry["changes"]), (&json!(one.revision), &changes), "{entry}");
    }
    for one in made.iter().filter(|one| one.place == LARGE) {
        let path = format!("/v1/revisions/{}/diff?against={}", one.revision, one.revision - 1);
        let found = api.get(&path).expect(200).json();
        let diff = found["diff"].as_array().unwrap();
        assert_eq!((diff.len(), &diff[0]["new"]), (1, &one.value), "{path}: {found}");
    }
    let last = |place| made.iter().rfind(|one| one.place == place).map(|one| one.value.clone()).unwrap();
    let found = api.get("/v1/config").expect(200).json();
    assert_eq!(found["upstreams"][0]["description"], last(LARGE));
    let weight = &found["upstreams"][1]["servers"][0]["weight"];
    assert_eq!(*weight, last(WEIGHT));
    weir.assert_no_errors();
}

/// Some add one to a weight in the whole configuration, others in the server, all with `If-Match`: what was accepted adds up.
#[test]
fn with_if_match_neither_undoes_the_other() {
    let weir = Weir::start();
    let api = weir.api();
    set_up(api);
    let accepted = AtomicUsize::new(0);
    let count = |answer: Answer| {
        assert!(matches!(answer.status(), 200 | 412), "{answer:?}");
        accepted.fetch_add(usize::from(answer.status() == 200), Ordering::SeqCst);
    };
    let add_in_everything = || {
        let before = api.get("/v1/config").expect(200);
        let mut document = before.json();
        let weight = &mut document["upstreams"][1]["servers"][0]["weight"];
        *weight = json!(weight.as_u64().unwrap() + 1);
        count(api.call("PUT", "/v1/config").field("If-Match", &before.etag()).json(&document).send());
    };
    let add_in_the_server = || {
        let before = api.get(SMALL).expect(200);
        let patch = json!({ "weight": before.json()["weight"].as_u64().unwrap() + 1 });
        let call = api.call("PATCH", SMALL).field("Content-Type", "application/merge-patch+json");
        count(call.field("If-Match", &before.etag()).body(patch.to_string()).send());
    };
    thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| (0..PUTS).for_each(|_| add_in_everything()));
            scope.spawn(|| (0..10 * PUTS).for_each(|_| add_in_the_server()));
        }
    });
    let accepted = accepted.into_inner();
    assert!(accepted >= PUTS, "{accepted}");
    assert_eq!(api.get(SMALL).expect(200).json()["weight"], json!(accepted));
    weir.assert_no_errors();
}
