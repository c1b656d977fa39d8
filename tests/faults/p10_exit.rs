//! Promise 10: what was put in can be taken out, as of any revision, and another Weir makes the same of it.

use serde_json::{Value, json};
use tempfile::TempDir;
use weir_tests::api::Api;
use weir_tests::origin::Origin;
use weir_tests::weir::{Launch, Weir};

/// What an operator decides: everything but the addresses this process listens at.
fn decided(mut document: Value) -> Value {
    assert!(document.as_object_mut().unwrap().remove("listeners").is_some());
    document
}

/// The configuration as of `revision` in the form that `accept` asks for, as it would be written to a file.
fn export(api: Api, revision: u64, accept: &str) -> String {
    let answer = api
        .call("GET", &format!("/v1/config?revision={revision}"))
        .field("Accept", accept)
        .send()
        .expect(200);
    assert_eq!(answer.field("content-type"), Some(accept));
    answer.response.text()
}

/// Changes of every kind, and all that can be said of a server and a group.
fn with_history(weir: &Weir, server: &str) {
    let api = weir.api();
    let servers = json!([
        server,
        { "id": "b", "address": "b.example:80", "weight": 3, "admin_state": "maint", "zone": "eu-1a", "labels": { "no": "off", "1": "0x1" } },
    ]);
    api.set_default(&json!({ "servers": servers, "health_check": { "enabled": false } }));
    api.post("/v1/upstreams", &json!({ "id": "web", "description": "\"#: é\n- x", "servers": [] }))
        .assert(201);
    api.patch("/v1/upstreams/web", &json!({ "algorithm": "round_robin", "response_timeout": "1m30s" }))
        .assert(200);
    api.post("/v1/upstreams/web/servers", &json!(["[::1]:8080", "127.0.0.1:1"])).assert(201);
    api.patch("/v1/upstreams/web/servers/127.0.0.1-1", &json!({ "admin_state": "maint" })).assert(200);
    api.delete("/v1/upstreams/default/servers/b").assert(204);
    api.post("/v1/config/rollback", &json!({ "to": 3 })).assert(200);
    api.delete("/v1/upstreams/web").assert(204);
}

#[test]
fn every_revision_can_be_taken_elsewhere() {
    let origin = Origin::named("origin");
    let weir = Weir::start();
    with_history(&weir, &origin.address().to_string());
    let folder = TempDir::new().unwrap();
    let last = weir.api().revision();
    let exports: Vec<[String; 2]> = (0..=last)
        .map(|revision| {
            ["application/json", "application/yaml"].map(|form| export(weir.api(), revision, form))
        })
        .collect();
    assert!(exports.len() > 8);
    weir.kill();
    for (revision, forms) in exports.iter().enumerate() {
        let original: Value = serde_json::from_str(&forms[0]).unwrap();
        for (text, form) in forms.iter().zip(["application/json", "application/yaml"]) {
            let what = format!("revision {revision} as {form}");
            let other = Launch::default().arg("--store").arg("memory").start();
            let put = other.api().call("PUT", "/v1/config").field("Content-Type", form).body(text.as_str());
            put.send().assert(200);
            let again = export(other.api(), other.api().revision(), "application/json");
            assert_eq!(decided(serde_json::from_str(&again).unwrap()), decided(original.clone()), "{what}");
            let twice = other.api().call("PUT", "/v1/config").field("Content-Type", form).body(text.as_str());
            assert_eq!(twice.send().expect(200).json()["unchanged"], true, "{what}");
        }
        let file = folder.path().join("weir.yaml");
        std::fs::write(&file, &forms[1]).unwrap();
        let seeded = Launch::default().arg("--store").arg("memory").arg("--config").arg(&file).start();
        let again = export(seeded.api(), seeded.api().revision(), "application/json");
        assert_eq!(
            decided(serde_json::from_str(&again).unwrap()),
            decided(original),
            "seeded with {revision}"
        );
        let status = if revision == 0 { 503 } else { 200 };
        assert_eq!(seeded.client().get("/").status, status, "seeded with {revision}");
        seeded.assert_no_errors();
    }
}
