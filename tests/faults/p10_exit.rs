//! Promise 10: what was put in can be taken out, as of any revision, and another Weir makes the same of it. Private keys come
//! out nowhere: where certificates have them, the document is put back where it is from.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::{Value, json};
use tempfile::TempDir;
use weir_tests::api::Api;
use weir_tests::origin::Origin;
use weir_tests::weir::{Launch, Weir};

/// What an operator decides: everything but the address this process listens at, and what is observed.
fn decided(mut document: Value) -> Value {
    for listener in document["listeners"].as_array_mut().unwrap() {
        let listener = listener.as_object_mut().unwrap();
        assert!(listener.remove("status").is_some());
        if listener["id"] == "default" {
            listener.remove("address");
        }
    }
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
    let route = json!({
        "id": "api", "priority": 7,
        "match": { "hosts": ["*.a.test"], "path": { "type": "exact", "value": "/~" }, "methods": ["GET"] },
        "action": { "upstreams": [{ "upstream": "default", "weight": 3 }], "timeout": "10s" }
    });
    api.post("/v1/routes", &route).assert(201);
    api.post("/v1/certificates", &json!({ "id": "roots", "kind": "ca", "certificate": authority() }))
        .assert(201);
    let address = json!({ "id": "inner", "address": "127.0.0.1:0", "max_connections": 9 });
    api.post("/v1/listeners", &address).assert(201);
    api.patch("/v1/listeners/default", &json!({ "idle_timeout": "33s" })).assert(200);
    api.patch("/v1/routes/api", &json!({ "enabled": false })).assert(200);
    api.delete("/v1/listeners/inner").assert(204);
}

fn authority() -> String {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap().pem()
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
    assert!(exports.len() > 14);
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

#[test]
fn every_revision_can_be_put_back_where_its_keys_are() {
    let weir = Weir::start();
    let api = weir.api();
    let identity = |name: &str| {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&key).unwrap();
        json!({ "id": "site", "certificate": certificate.pem(), "private_key": key.serialize_pem() })
    };
    let secure = json!({ "id": "edge", "address": "127.0.0.1:0", "protocol": "https", "tls": { "certificates": ["site"] } });
    api.post("/v1/certificates", &identity("a.test")).assert(201);
    api.post("/v1/listeners", &secure).assert(201);
    api.post(
        "/v1/upstreams",
        &json!({ "id": "web", "servers": ["127.0.0.1:1"], "health_check": { "enabled": false } }),
    )
    .assert(201);
    api.patch("/v1/certificates/site", &json!({ "labels": { "a/b~": "ü" } })).assert(200);
    api.patch("/v1/upstreams/web", &json!({ "tls": { "certificate": "site" } })).assert(200);
    api.delete("/v1/listeners/edge").assert(204);
    let last = api.revision();
    for revision in (1..=last).rev().chain(1..=last) {
        for form in ["application/json", "application/yaml"] {
            let text = export(api, revision, form);
            assert!(!text.contains("PRIVATE KEY"), "revision {revision}");
            let path = format!("/v1/config?confirm={}", api.revision());
            let put =
                |path: &str| api.call("PUT", path).field("Content-Type", form).body(text.as_str()).send();
            put(&path).assert(200);
            let present = export(api, api.revision(), "application/json");
            let wanted = export(api, revision, "application/json");
            let [present, wanted] =
                [present, wanted].map(|text| decided(serde_json::from_str(&text).unwrap()));
            assert_eq!(present, wanted, "revision {revision} as {form}");
            let again = put(&format!("/v1/config?confirm={}", api.revision()));
            assert_eq!(again.expect(200).json()["unchanged"], true, "revision {revision} as {form}");
        }
    }
    weir.assert_no_errors();
}
