//! An answer that was lost with the process, or that nobody waited for: the key settles what came of the change.

use serde_json::{Value, json};
use tempfile::TempDir;
use weir_tests::{
    api::{Answer, Api},
    client::Wire,
    weir::{Launch, Weir},
};

use super::problem::assert_problem;

const SERVERS: &str = "/v1/upstreams/web/servers";

fn add(api: Api, key: &str, server: &str) -> Answer {
    api.call("POST", SERVERS).field("Idempotency-Key", key).json(&json!(server)).send()
}

/// Sends the request of [`add`] and does not wait for its answer.
fn add_unheard(weir: &Weir, key: &str, server: &str) -> Wire {
    let body = json!(server).to_string();
    let mut wire = Wire::connect(weir.admin());
    wire.send(format!(
        "POST {SERVERS} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nIdempotency-Key: {key}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        weir.admin(),
        body.len()
    ));
    wire
}

fn started(folder: &TempDir) -> Weir {
    Launch::default().data_dir(folder.path()).start()
}

#[test]
fn a_key_answers_for_a_commit_whose_process_was_killed() {
    let folder = TempDir::new().unwrap();
    let mut weir = started(&folder);
    weir.api().post("/v1/upstreams", &json!({ "id": "web" })).assert(201);
    for round in 2..12 {
        let (key, server) = (format!("\"round-{round}\""), format!("127.0.0.1:{}", 3000 + round));
        let wire = add_unheard(&weir, &key, &server);
        // The change is made; its answer is lost with the process.
        weir.api().get(&format!("/v1/config?min_revision={round}")).assert(200);
        weir.kill();
        drop(wire);
        weir = started(&folder);
        let again = add(weir.api(), &key, &server).expect(201);
        assert_eq!(again.field("idempotency-replayed"), Some("true"), "round {round}");
        assert_eq!(again.json()["address"], json!(server));
        assert_eq!(again.field("weir-revision"), Some(round.to_string().as_str()));
        assert_eq!(weir.api().revision(), round, "made once");
    }
}

#[test]
fn a_key_makes_the_change_once_wherever_the_process_was_killed() {
    let folder = TempDir::new().unwrap();
    let mut weir = started(&folder);
    weir.api().post("/v1/upstreams", &json!({ "id": "web" })).assert(201);
    for round in 0..10_u32 {
        let (key, server) = (format!("round-{round}"), format!("127.0.0.1:{}", 3000 + round));
        let wire = add_unheard(&weir, &key, &server);
        // Another moment of the cycle of write, commit and answer each time.
        std::thread::sleep(std::time::Duration::from_micros(400) * round);
        weir.kill();
        drop(wire);
        weir = started(&folder);
        // Without the key a server that is there already would be answered 200.
        add(weir.api(), &key, &server).assert(201);
        assert_eq!(weir.api().revision(), u64::from(round) + 2, "round {round}: made once");
    }
    let servers = weir.api().get(SERVERS).expect(200).json();
    assert_eq!(servers["items"].as_array().map(Vec::len), Some(10));
}

#[test]
fn many_callers_with_one_key_make_one_change() {
    let weir = Weir::start();
    weir.api().post("/v1/upstreams", &json!({ "id": "web" })).assert(201);
    let body = json!({ "id": "once", "servers": ["127.0.0.1:3001"] });
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let post =
            || weir.api().call("POST", "/v1/upstreams").field("Idempotency-Key", "same").json(&body).send();
        let callers: Vec<_> = (0..8).map(|_| scope.spawn(post)).collect();
        callers.into_iter().map(|caller| caller.join().unwrap()).collect()
    });
    let mut made: Vec<(Option<String>, Value)> = Vec::new();
    for answer in &answers {
        if answer.status() == 409 {
            assert_problem(answer, 409, "idempotency_in_flight");
        } else {
            assert_eq!(answer.status(), 201, "{answer:?}");
            made.push((answer.field("etag").map(str::to_owned), answer.json()));
        }
    }
    assert!(!made.is_empty());
    assert!(made.iter().all(|answer| *answer == made[0]), "{made:?}");
    assert_eq!(weir.api().revision(), 2);
}

#[test]
fn operators_can_demand_that_states_are_named() {
    let weir = Launch::default().arg("--require-if-match").start();
    let api = weir.api();
    let etag = api.post("/v1/upstreams", &json!({ "id": "web" })).expect(201).etag();
    let refused = api.patch("/v1/upstreams/web", &json!({ "algorithm": "random" }));
    assert_eq!(assert_problem(&refused, 428, "if_match_required")["current_etag"], json!(etag));
    let patch = api.call("PATCH", "/v1/upstreams/web").field("If-Match", &etag);
    patch.json(&json!({ "algorithm": "random" })).send().assert(200);
}
