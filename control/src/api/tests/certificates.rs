//! Certificates over the API: what is taken, what is refused, and that a private key comes out nowhere.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use serde_json::{Value, json};
use weir_shared::{id::Revision, model::PrivateKey};

use super::harness::Harness;
use crate::api::examples;

/// A certificate for `name` and its key.
fn made(name: &str) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

fn authority() -> String {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap().pem()
}

fn body(id: &str, (certificate, key): &(String, String)) -> Value {
    json!({"id": id, "certificate": certificate, "private_key": key})
}

/// A line of the key that is in no other text.
fn secret((_, key): &(String, String)) -> String {
    key.lines().nth(1).unwrap().to_owned()
}

#[tokio::test]
async fn a_certificate_is_shown_with_what_it_says_and_without_its_key() {
    let api = Harness::new().await;
    let site = made("www.a.test");
    let created = api.post("/v1/certificates", body("site", &site)).await;
    assert_eq!(created.status, 201, "{created:?}");
    assert_eq!(created.header("location"), "/v1/certificates/site");
    let shown = created.json();
    assert_eq!(shown["names"], json!(["www.a.test"]));
    assert_eq!((&shown["status"], &shown["key_type"]), (&json!("ok"), &json!("ecdsa-p256")));
    assert_eq!(shown["fingerprint"].as_str().unwrap().len(), 64);
    let mut answers = vec![created];
    for path in [
        "/v1/certificates",
        "/v1/certificates?status=ok",
        "/v1/certificates/site",
        "/v1/config",
        "/v1/config?revision=1",
        "/v1/revisions",
        "/v1/revisions/1",
        "/v1/revisions/1/config",
        "/v1/revisions/1/diff",
        "/v1/audit",
        "/v1/health",
        "/metrics",
    ] {
        answers.push(api.get(path).await);
    }
    for answer in &answers {
        assert!(answer.status.is_success(), "{answer:?}");
        assert!(!answer.text.contains(&secret(&site)) && !answer.text.contains("PRIVATE KEY"), "{answer:?}");
    }
    let kept = api.reader.snapshot().config().certificates.get("site").unwrap().spec.private_key.clone();
    assert_eq!(kept.as_ref().map(PrivateKey::expose), Some(site.1.as_str()));
}

#[tokio::test]
async fn what_was_read_can_be_put_back_and_keeps_its_key() {
    let api = Harness::new().await;
    let site = made("a.test");
    api.post("/v1/certificates", body("site", &site)).await;
    let mut read = api.get("/v1/certificates/site").await.json();
    let put = api.json("PUT", "/v1/certificates/site", &read.clone()).await;
    assert_eq!((put.status.as_u16(), put.revision()), (200, 1), "nothing is different: {put:?}");
    read["description"] = json!("the shop's");
    for name in ["revision", "created_at", "updated_at"] {
        read.as_object_mut().unwrap().remove(name);
    }
    let put = api.json("PUT", "/v1/certificates/site", &read).await;
    assert_eq!((put.status.as_u16(), put.revision()), (200, 2), "{put:?}");
    let whole = api.get("/v1/config").await.json();
    let put = api.json("PUT", "/v1/config", &whole.clone()).await;
    assert_eq!(put.json()["unchanged"], true, "{put:?}");
    let other = made("a.test");
    let without = json!({"certificate": other.0});
    let refused = api.json("PUT", "/v1/certificates/site", &without.clone()).await;
    assert_eq!(refused.problem(422, "validation"), ["#/private_key required"]);
    let refused = api.json("PATCH", "/v1/certificates/site", &without).await;
    assert_eq!(refused.problem(422, "validation"), ["#/private_key required"]);
    let renewed = json!({"certificate": other.0, "private_key": other.1});
    let patched = api.json("PATCH", "/v1/certificates/site", &renewed).await;
    assert_eq!((patched.status.as_u16(), patched.revision()), (200, 3), "{patched:?}");
    let back = api.post("/v1/config/rollback", json!({"to": 2})).await;
    assert_eq!(back.status, 200, "{back:?}");
    assert!(!back.text.contains("PRIVATE"), "{back:?}");
    let config = api.reader.snapshot();
    let present = &config.config().certificates.get("site").unwrap().spec;
    assert_eq!(present.private_key.as_ref().map(PrivateKey::expose), Some(site.1.as_str()));
    assert_eq!(config.revision(), Revision(4));
}

#[tokio::test]
async fn a_configuration_without_certificates_leaves_them_and_one_without_a_key_needs_it() {
    let api = Harness::new().await;
    let site = made("a.test");
    let whole = json!({"certificates": [body("site", &site)]});
    assert_eq!(api.json("PUT", "/v1/config", &whole).await.status, 200);
    let put = api.json("PUT", "/v1/config", &json!({"upstreams": []})).await;
    assert_eq!(put.json()["unchanged"], true, "{put:?}");
    let put = api.json("PUT", "/v1/config", &json!({"certificates": []})).await;
    assert_eq!(put.json()["diff"][0]["path"], "/certificates/site", "{put:?}");
    let without = json!({"certificates": [{"id": "site", "certificate": site.0}]});
    let refused = api.json("PUT", "/v1/config", &without).await;
    assert_eq!(refused.problem(422, "validation"), ["#/certificates/0/private_key required"]);
    let refused =
        api.json("PUT", "/v1/config", &json!({"upstreams": [{"id": "web", "tls": {"ca": "gone"}}]})).await;
    assert_eq!(refused.problem(422, "validation"), ["#/upstreams/0/tls/ca unknown_reference"]);
}

#[tokio::test]
async fn every_fault_is_pointed_at_and_no_answer_repeats_a_key() {
    let api = Harness::new().await;
    let (site, other) = (made("a.test"), made("a.test"));
    let key = &site.1;
    for (body, pointer) in [
        (json!({"id": "a", "certificate": "x", "private_key": key}), "#/certificate invalid_value"),
        (json!({"id": "a", "certificate": site.0, "private_key": other.1}), "#/private_key invalid_value"),
        (json!({"id": "a", "certificate": site.0}), "#/private_key required"),
        (json!({"id": "a", "certificate": site.0, "private_key": [key]}), "#/private_key invalid_type"),
        (json!({"id": "a", "certificate": format!("{}{key}", site.0)}), "#/certificate invalid_value"),
        (json!({"id": key, "certificate": site.0, "private_key": key}), "#/id invalid_id"),
        (json!({"id": "a", "kind": key, "certificate": site.0, "private_key": key}), "#/kind invalid_type"),
        (
            json!({"id": "a", "labels": key, "certificate": site.0, "private_key": key}),
            "#/labels invalid_type",
        ),
        (
            json!({"id": "a", "kind": "ca", "certificate": site.0, "private_key": key}),
            "#/private_key invalid_value",
        ),
        (json!({"id": "a", "certificate": ""}), "#/certificate required"),
        (json!({"certificate": site.0, "private_key": key}), "#/id required"),
        (json!({"id": "a", "certificat": site.0, "private_key": key}), "#/certificat unknown_field"),
        (json!(key), "# invalid_type"),
    ] {
        let refused = api.post("/v1/certificates", body.clone()).await;
        let found = refused.problem(422, "validation");
        assert!(found.contains(&pointer.to_owned()), "{body}: {found:?}");
        assert!(
            !refused.text.contains(&secret(&site)) && !refused.text.contains(&secret(&other)),
            "{refused:?}"
        );
    }
    let refused = api.post("/v1/upstreams", json!({"id": key, "description": key})).await;
    assert!(!refused.text.contains(&secret(&site)), "{refused:?}");
    assert_eq!(api.reader.snapshot().revision(), Revision(0));
}

#[tokio::test]
async fn what_is_in_use_stays_and_has_to_be_of_the_right_kind() {
    let api = Harness::new().await;
    let site = made("a.test");
    api.post("/v1/certificates", body("own", &site)).await;
    api.post("/v1/certificates", json!({"id": "roots", "kind": "ca", "certificate": authority()})).await;
    let tls = json!({"enabled": true, "ca": "roots", "certificate": "own", "server_name": "a.test"});
    let made = api.post("/v1/upstreams", json!({"id": "web", "tls": tls, "servers": ["127.0.0.1:1"]})).await;
    assert_eq!(made.status, 201, "{made:?}");
    assert!(api.reader.snapshot().upstream("web").unwrap().tls.is_some());
    assert_eq!(api.get("/v1/certificates/roots").await.json()["used_by"], json!(["/upstreams/web"]));
    let refused = api.send("DELETE", "/v1/certificates/roots", &[], "").await;
    refused.problem(409, "in_use");
    assert_eq!(refused.json()["used_by"], json!(["/upstreams/web"]));
    for (tls, pointer) in [
        (json!({"ca": "own"}), "#/tls/ca invalid_value"),
        (json!({"certificate": "roots"}), "#/tls/certificate invalid_value"),
        (json!({"ca": "gone"}), "#/tls/ca unknown_reference"),
        (json!({"server_name": "not a name"}), "#/tls/server_name invalid_value"),
    ] {
        let refused = api.json("PATCH", "/v1/upstreams/web", &json!({"tls": tls})).await;
        assert_eq!(refused.problem(422, "validation"), [pointer]);
    }
    let before = api.reader.snapshot();
    let renewed = json!({"kind": "ca", "certificate": authority()});
    assert_eq!(api.json("PUT", "/v1/certificates/roots", &renewed).await.status, 200);
    let after = api.reader.snapshot();
    let tls = |table: &weir_shared::table::Table| table.upstream("web").unwrap().tls.clone().unwrap();
    assert!(!std::sync::Arc::ptr_eq(&tls(&before), &tls(&after)), "whom to believe is another");
    let state = |table: &weir_shared::table::Table| {
        std::sync::Arc::as_ptr(&table.upstream("web").unwrap().servers[0].state)
    };
    assert_eq!(state(&before), state(&after), "what is observed of servers stays");
    assert_eq!(api.json("PATCH", "/v1/upstreams/web", &json!({"tls": null})).await.status, 200);
    for id in ["roots", "own"] {
        assert_eq!(api.send("DELETE", &format!("/v1/certificates/{id}"), &[], "").await.status, 204);
    }
}

#[tokio::test]
async fn an_expired_certificate_is_taken_and_shown_as_such() {
    let api = Harness::new().await;
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2021, 1, 1);
    let old = (params.self_signed(&key).unwrap().pem(), key.serialize_pem());
    assert_eq!(api.post("/v1/certificates", body("old", &old)).await.json()["status"], "expired");
    api.post("/v1/certificates", body("new", &made("a.test"))).await;
    let listed = api.get("/v1/certificates?status=expired").await.json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    assert_eq!(listed["items"][0]["id"], "old");
}

#[tokio::test]
async fn the_example_has_the_fields_of_an_answer() {
    let api = Harness::new().await;
    let real = api.post("/v1/certificates", body("site", &made("a.test"))).await.json();
    let example = examples::certificate();
    let names =
        |value: &Value| value.as_object().unwrap().keys().cloned().collect::<std::collections::BTreeSet<_>>();
    assert_eq!(names(&real), names(&example));
}
