//! The examples in the API's document have the fields that answers have.

use serde_json::{Value, json};

use super::harness::Harness;
use crate::api::examples;

/// Notes where the two have other fields, as far as both have any.
fn compare(place: &str, shown: &Value, real: &Value, differences: &mut Vec<String>) {
    match (shown, real) {
        (Value::Object(shown), Value::Object(real)) => {
            let gone = shown.keys().filter(|name| !real.contains_key(*name));
            differences.extend(gone.map(|name| format!("{place}/{name} is in no answer")));
            for (name, real) in real {
                match shown.get(name) {
                    Some(shown) => compare(&format!("{place}/{name}"), shown, real, differences),
                    None => differences.push(format!("{place}/{name} is not shown: {real}")),
                }
            }
        }
        (Value::Array(shown), Value::Array(real)) => {
            for (shown, real) in shown.iter().zip(real) {
                compare(&format!("{place}/-"), shown, real, differences);
            }
        }
        (Value::Null, _) | (_, Value::Null) => {}
        (shown, real) if std::mem::discriminant(shown) == std::mem::discriminant(real) => {}
        (shown, real) => differences.push(format!("{place} is {real}, shown as {shown}")),
    }
}

#[tokio::test]
async fn examples_have_the_fields_of_answers() {
    let api = Harness::new().await;
    let mut found = Vec::new();
    let web = json!({"id": "web", "servers": ["127.0.0.1:3001", "127.0.0.1:3002"]});
    let made = api.post("/v1/upstreams", web).await.json();
    compare("/v1/upstreams", &examples::created_upstream(), &made, &mut found);
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
        compare(path, &example, &api.get(path).await.json(), &mut found);
    }
    let shadow = json!({"shadow": {"algorithm": "prequal"}});
    assert_eq!(api.json("PATCH", "/v1/upstreams/web", &shadow).await.status, 200);
    let report = api.get("/v1/upstreams/web/shadow").await.json();
    compare("/v1/upstreams/web/shadow", &examples::shadow(), &report, &mut found);
    assert_eq!(api.post(&format!("{server}/drain"), json!({})).await.status, 202);
    for (path, example) in
        [(&format!("{server}/drain"), examples::drain()), (&"/v1/drains".to_owned(), examples::drains())]
    {
        compare(path, &example, &api.get(path).await.json(), &mut found);
    }
    let made = api.post("/v1/tokens", json!({"id": "ci", "scopes": ["admin"]})).await.json();
    compare("/v1/tokens", &examples::issued(), &made, &mut found);
    let bearer = format!("Bearer {}", made["token"].as_str().unwrap());
    for (path, example) in [("/v1/tokens", examples::tokens()), ("/v1/tokens/ci", examples::token())] {
        let real = api.send("GET", path, &[("authorization", &bearer)], "").await.json();
        compare(path, &example, &real, &mut found);
    }
    assert!(found.is_empty(), "{found:#?}");
}
