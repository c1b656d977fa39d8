//! The OpenAPI document: what is served is what is committed, and it speaks of what exists.

use std::path::Path;

use serde_json::Value;
use weir_tests::weir::Weir;

fn served() -> Value {
    Weir::start().api().get("/openapi.json").expect(200).json()
}

#[test]
fn the_committed_document_is_the_served_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../openapi/openapi.json");
    let committed: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert!(
        committed == served(),
        "openapi/openapi.json is out of date: write it anew from GET /openapi.json"
    );
}

#[test]
fn every_operation_is_described() {
    let document = served();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let mut ids = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in ["get", "put", "post", "delete", "patch"] {
            let operation = &item[method];
            if operation.is_null() {
                continue;
            }
            let id = operation["operationId"]
                .as_str()
                .unwrap_or_else(|| panic!("{method} {path} has no operationId"));
            ids.push(id.to_owned());
            let responses = operation["responses"].as_object().unwrap();
            assert!(responses.keys().any(|status| status.starts_with('2')), "{method} {path} never succeeds");
        }
    }
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), count, "an operationId is used twice");
}

#[test]
fn every_documented_path_answers() {
    let weir = Weir::start();
    let document = weir.api().get("/openapi.json").expect(200).json();
    let paths = document["paths"].as_object().unwrap();
    for path in [
        "/v1/upstreams",
        "/v1/upstreams/{upstream}",
        "/v1/upstreams/{upstream}/servers/{server}",
        "/v1/health",
        "/v1/config",
        "/v1/info",
        "/livez",
        "/readyz",
        "/metrics",
    ] {
        assert!(paths.contains_key(path), "{path} is not documented: {:?}", paths.keys());
    }
    for (path, item) in paths {
        // A stream has no end to wait for.
        let is_stream = !item["get"]["responses"]["200"]["content"]["text/event-stream"].is_null();
        if item["get"].is_null() || path.contains('{') || is_stream {
            continue;
        }
        let answer = weir.api().get(path);
        let documented = item["get"]["responses"].as_object().unwrap();
        assert!(
            documented.contains_key(&answer.status().to_string()),
            "GET {path} answers {}",
            answer.status()
        );
    }
}

#[test]
fn the_documentation_page_needs_nothing_from_outside() {
    let weir = Weir::start();
    let mut answer = weir.api().get("/docs");
    if matches!(answer.status(), 301..=308) {
        let location = answer.field("location").unwrap().to_owned();
        let base = if location.starts_with('/') { "" } else { "/" };
        answer = weir.api().get(&format!("{base}{location}"));
    }
    assert_eq!(answer.status(), 200);
    assert!(answer.field("content-type").unwrap().starts_with("text/html"));
    let page = answer.response.text();
    for outside in ["src=\"http", "href=\"http", "src=\"//", "href=\"//"] {
        assert!(!page.contains(outside), "{outside}: {page}");
    }
}
