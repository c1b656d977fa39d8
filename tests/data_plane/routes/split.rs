//! Requests divided between upstreams: by share, by client, by key.

use serde_json::{Value, json};
use weir_tests::{client::Response, config};

use super::Scene;

fn split(stable: u32, canary: u32) -> Value {
    json!({"upstreams": [{"upstream": "stable", "weight": stable}, {"upstream": "canary", "weight": canary}]})
}

fn with(scene: &Scene, more: &Value) {
    for (name, origin) in ["stable", "canary"].iter().zip(&scene.origins) {
        let path = format!("/v1/upstreams/{name}");
        scene.weir.api().put(&path, &config::with(&[origin.address()], more)).assert(200);
    }
}

#[test]
fn each_upstream_gets_its_share() {
    let scene = Scene::new(&["stable", "canary"]);
    let mut client = scene.weir.client();
    let mut canaries = |requests: usize| (0..requests).filter(|_| client.get("/").text() == "canary").count();
    scene.route("default", &json!({}), &split(90, 10));
    let found = canaries(2000);
    // Ten deviations of a fair draw (13.4) off would be no chance.
    assert!((66..334).contains(&found), "{found} of 2000");
    scene.route("default", &json!({}), &split(1, 0));
    assert_eq!(canaries(100), 0);
    scene.route("default", &json!({}), &split(0, 1_000_000));
    assert_eq!(canaries(100), 100);
    scene.route("default", &json!({}), &split(0, 0));
    assert_eq!(scene.ask("/", "").status, 503);
}

fn cookie(answer: &Response) -> String {
    answer.fields.one("set-cookie").unwrap().split(';').next().unwrap().to_owned()
}

#[test]
fn a_bound_client_stays_with_its_upstream_while_that_has_a_share() {
    let scene = Scene::new(&["stable", "canary"]);
    with(&scene, &json!({"affinity": {"enabled": true}}));
    scene.route("default", &json!({}), &split(50, 50));
    let clients: Vec<(String, String)> = (0..20)
        .map(|_| {
            let first = scene.ask("/", "");
            (first.text(), cookie(&first))
        })
        .collect();
    assert!(
        clients.iter().any(|(name, _)| name == "stable") && clients.iter().any(|(name, _)| name == "canary")
    );
    scene.route("default", &json!({}), &split(99, 1));
    for (name, cookie) in &clients {
        for _ in 0..3 {
            assert_eq!(scene.ask("/", &format!("Cookie: {cookie}\r\n")).text(), *name);
        }
    }
    scene.route("default", &json!({}), &split(100, 0));
    for (_, cookie) in &clients {
        assert_eq!(
            scene.ask("/", &format!("Cookie: {cookie}\r\n")).text(),
            "stable",
            "a share of 0 ends the bond"
        );
    }
}

#[test]
fn a_key_stays_with_its_upstream_and_a_change_moves_no_more_than_it_has_to() {
    let scene = Scene::new(&["stable", "canary"]);
    with(&scene, &json!({"algorithm": "ring_hash", "hash": {"on": "header", "name": "x-user"}}));
    let places = |stable: u32, canary: u32| -> Vec<String> {
        scene.route("default", &json!({}), &split(stable, canary));
        let mut client = scene.weir.client();
        let mut ask = |user: usize| {
            client.exchange(format!("GET / HTTP/1.1\r\nHost: x.test\r\nX-User: u{user}\r\n\r\n")).text()
        };
        (0..200)
            .map(|user| {
                let first = ask(user);
                assert_eq!(ask(user), first, "user {user}");
                first
            })
            .collect()
    };
    let (before, after) = (places(90, 10), places(70, 30));
    let count = |places: &[String]| places.iter().filter(|place| *place == "canary").count();
    assert!(
        (4..50).contains(&count(&before)) && (30..95).contains(&count(&after)),
        "{} {}",
        count(&before),
        count(&after)
    );
    let back = before.iter().zip(&after).filter(|(was, is)| *was == "canary" && *is == "stable").count();
    assert_eq!(back, 0, "who has the canary keeps it");
}
