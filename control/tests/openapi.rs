//! The committed description of the API is the one the program serves, and every operation is described in full.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed helper fails its test"
)]

use serde_json::Value;
use weir_control::api::document;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../openapi/openapi.json");

#[test]
fn the_committed_document_is_current() {
    let text = document::text();
    if std::env::var_os("WEIR_UPDATE_OPENAPI").is_some() {
        std::fs::write(PATH, &text).unwrap();
    }
    let committed = std::fs::read_to_string(PATH).unwrap_or_default();
    let differs = text.lines().zip(committed.lines()).position(|(now, then)| now != then);
    assert!(
        text == committed,
        "openapi/openapi.json is out of date (first at line {}). Write it anew:\n    \
         WEIR_UPDATE_OPENAPI=1 cargo test -p weir-control --test openapi",
        differs.unwrap_or_else(|| committed.lines().count()) + 1
    );
}

fn operations(document: &Value) -> Vec<(String, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    let of_path = |(path, item): (&String, _)| {
        let item: &Value = item;
        let path = path.clone();
        item.as_object()
            .unwrap()
            .iter()
            .map(move |(method, operation)| (format!("{method} {path}"), operation))
    };
    paths.iter().flat_map(of_path).collect()
}

#[test]
fn every_operation_is_described_in_full() {
    let document: Value = serde_json::from_str(&document::text()).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    let operations = operations(&document);
    assert!(operations.len() >= 25, "{}", operations.len());
    let mut ids = std::collections::HashSet::new();
    for (name, operation) in &operations {
        for field in ["operationId", "summary", "description"] {
            assert!(operation[field].as_str().is_some_and(|text| !text.is_empty()), "{name}: {field}");
        }
        assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{name}: id used twice");
        let responses = operation["responses"].as_object().unwrap();
        assert!(responses.keys().any(|status| status.starts_with('2')), "{name}: no success");
        let problem = responses
            .iter()
            .find(|(status, _)| status.starts_with('4'))
            .unwrap_or_else(|| panic!("{name}: no problem"));
        let content = &problem.1["content"]["application/problem+json"];
        assert_eq!(content["schema"]["$ref"], "#/components/schemas/Problem", "{name}");
        let examples =
            content["examples"].as_object().unwrap_or_else(|| panic!("{name}: no example of a problem"));
        for (code, example) in examples {
            assert_eq!(example["value"]["code"], code.as_str(), "{name}");
        }
        let body = operation.get("requestBody").map(|body| ("body", body));
        let successes = responses.iter().filter(|(status, _)| status.starts_with('2'));
        for (place, part) in successes.map(|(status, response)| (status.as_str(), response)).chain(body) {
            for (kind, content) in part.get("content").and_then(Value::as_object).into_iter().flatten() {
                assert!(is_shown(content), "{name}: no example of {place} as {kind}");
            }
        }
    }
}

/// Whether `content` has an example of its own: not every reader looks at its schema for one.
fn is_shown(content: &Value) -> bool {
    ["example", "examples"].iter().any(|name| content.get(name).is_some())
}

#[test]
fn every_reference_leads_somewhere() {
    let document: Value = serde_json::from_str(&document::text()).unwrap();
    let mut waiting = vec![&document];
    let mut found = 0;
    while let Some(value) = waiting.pop() {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(reference)) = fields.get("$ref") {
                    found += 1;
                    let pointer = reference.strip_prefix('#').unwrap();
                    assert!(document.pointer(pointer).is_some(), "{reference}");
                }
                waiting.extend(fields.values());
            }
            Value::Array(items) => waiting.extend(items),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    assert!(found > 50, "{found}");
}
