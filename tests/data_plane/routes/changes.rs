//! Routes that change under load: no request fails, and every change is in force with its answer.

use std::time::{Duration, Instant};

use serde_json::json;
use weir_tests::load::{Load, Plan};

use super::{Scene, split_between, to};

#[test]
fn a_hundred_changes_a_second_cost_no_request() {
    let scene = Scene::new(&["a", "b"]);
    scene.route("default", &json!({}), &to("a"));
    let api = scene.weir.api();
    let load = Load::start(Plan::gets(scene.weir.data()));
    let mut checker = scene.weir.client();
    let started = Instant::now();
    let mut changes: u32 = 0;
    while changes < 400 {
        let round = changes / 4;
        let path = format!("/r{}", round % 7);
        let route = json!({"id": "moving", "match": {"path": {"value": path}}, "action": to("b")});
        api.post("/v1/routes", &route).assert(201);
        assert_eq!(checker.get(&path).text(), "b", "in force with the answer, round {round}");
        api.patch("/v1/routes/moving", &json!({"action": to("a")})).assert(200);
        assert_eq!(checker.get(&path).text(), "a", "round {round}");
        api.put("/v1/routes/default", &json!({"action": split_between("a", "b")})).assert(200);
        api.delete("/v1/routes/moving").assert(204);
        api.put("/v1/routes/default", &json!({"action": to("a")})).assert(200);
        assert_eq!(checker.get(&path).text(), "a", "round {round}");
        changes += 5;
        std::thread::sleep((Duration::from_millis(10) * changes).saturating_sub(started.elapsed()));
    }
    let tally = load.stop();
    tally.assert_flawless();
    assert!(tally.ok() > 400, "a steady load: {}", tally.ok());
    assert!(checker.is_idle(), "the checker's connection stands");
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    scene.weir.assert_no_errors();
}

/// Routes that overlap and requests that are refused leave what worked as it was.
#[test]
fn what_is_refused_or_overlaps_breaks_nothing() {
    let scene = Scene::new(&["a", "b"]);
    scene.route("default", &json!({}), &to("a"));
    scene.route("m", &json!({"path": {"value": "/x"}}), &to("b"));
    let api = scene.weir.api();
    let same = json!({"match": {"path": {"value": "/x/"}}, "action": to("a")});
    let later = api.put("/v1/routes/z", &same).expect(201).json();
    assert_eq!(later["status"]["state"], "conflicted");
    assert_eq!(scene.ask("/x", "").text(), "b");
    for (id, body) in [
        ("bad", json!({"match": {"path": {"type": "regex", "value": "(((a{1,200}){1,200}){1,200})"}}})),
        ("bad", json!({"match": {"path": {"type": "regex", "value": "(?<x"}}})),
        ("bad", json!({"action": to("nope")})),
        ("m", json!({"match": {"path": {"value": "/x"}}, "action": to("nope")})),
    ] {
        api.put(&format!("/v1/routes/{id}"), &body).assert(422);
    }
    assert_eq!((scene.ask("/x", "").text(), scene.ask("/", "").text()), ("b".to_owned(), "a".to_owned()));
    api.delete("/v1/routes/m").assert(204);
    assert_eq!(scene.ask("/x", "").text(), "a", "the other takes over");
    assert_eq!(api.get("/v1/routes/z").json()["status"]["state"], "ok");
}

/// Some expressions take exponential time elsewhere.
#[test]
fn no_expression_makes_a_request_slow() {
    let scene = Scene::new(&["a"]);
    scene.route("default", &json!({}), &to("a"));
    scene.route("evil", &json!({"path": {"type": "regex", "value": "/(a*)*(a|aa)+(x+x+)+y"}}), &to("a"));
    let target = format!("/{}", "a".repeat(7000));
    let began = Instant::now();
    for _ in 0..20 {
        assert_eq!(scene.ask(&target, "").status, 200);
    }
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}
