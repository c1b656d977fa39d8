//! The examples in the API's document have the fields that answers have.

use serde_json::{Value, json};

use super::harness::Harness;
use crate::api::examples;

/// Asserts that the two have the same fields, as far as both have any.
fn assert_alike(place: &str, shown: &Value, real: &Value) {
    match (shown, real) {
        (Value::Object(shown), Value::Object(real)) => {
            let names = |fields: &serde_json::Map<String, Value>| fields.keys().cloned().collect::<Vec<_>>();
            assert_eq!(names(shown), names(real), "{place}");
            shown
                .iter()
                .for_each(|(name, value)| assert_alike(&format!("{place}/{name}"), value, &real[name]));
        }
        (Value::Array(shown), Value::Array(real)) => {
            for (shown, real) in shown.iter().zip(real) {
                assert_alike(&format!("{place}/-"), shown, real);
            }
        }
        (Value::Null, _) | (_, Value::Null) => {}
        (shown, real) => {
            assert_eq!(
                std::mem::discriminant(shown),
                std::mem::discriminant(real),
                "{place}: {shown}, {real}"
            );
        }
    }
}

#[tokio::test]
async fn examples_have_the_fields_of_answers() {
    let api = Harness::new().await;
    let web = json!({"id": "web", "servers": ["127.0.0.1:3001", "127.0.0.1:3002"]});
    let made = api.post("/v1/upstreams", web).await.json();
    assert_alike("/v1/upstreams", &examples::created_upstream(), &made);
    let server = "/v1/upstreams/web/servers/127.0.0.1-3001";
    for (path, example) in [
        ("/v1/health", examples::health()),
        ("/v1/upstreams/web/health", examples::upstream_health()),
        (&format!("{server}/health"), examples::server_health()),
        (&format!("{server}/explain"), examples::explanation()),
        ("/v1/info", examples::info()),
        ("/v1/routes", examples::routes()),
        ("/v1/upstreams", examples::upstreams()),
        ("/v1/upstreams/web", examples::upstream()),
        (server, examples::server()),
        ("/v1/upstreams/web/servers", examples::servers()),
        ("/v1/audit", examples::audit()),
        ("/v1/config", examples::config()),
        ("/v1/revisions", examples::revisions()),
        ("/v1/revisions/1", examples::revision()),
    ] {
        assert_alike(path, &example, &api.get(path).await.json());
    }
    assert_eq!(api.post(&format!("{server}/drain"), json!({})).await.status, 202);
    for (path, example) in
        [(&format!("{server}/drain"), examples::drain()), (&"/v1/drains".to_owned(), examples::drains())]
    {
        assert_alike(path, &example, &api.get(path).await.json());
    }
    let made = api.post("/v1/tokens", json!({"id": "ci", "scopes": ["admin"]})).await.json();
    assert_alike("/v1/tokens", &examples::issued(), &made);
    let bearer = format!("Bearer {}", made["token"].as_str().unwrap());
    for (path, example) in [("/v1/tokens", examples::tokens()), ("/v1/tokens/ci", examples::token())] {
        let real = api.send("GET", path, &[("authorization", &bearer)], "").await.json();
        assert_alike(path, &example, &real);
    }
}
