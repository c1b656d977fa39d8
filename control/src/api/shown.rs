//! Gives each answer the example of its schema where it has none of its own, for readers that look at answers alone.

use std::collections::HashMap;

use serde_json::{Value, json};
use utoipa::{
    Modify,
    openapi::{OpenApi, RefOr, content::Content},
};

use super::describe::operations;

/// Shows an example of every answer.
pub(super) struct Shown;

impl Modify for Shown {
    fn modify(&self, document: &mut OpenApi) {
        let schemas = document.components.iter().flat_map(|components| &components.schemas);
        let examples =
            schemas.filter_map(|(name, schema)| Some((name.clone(), json!(schema).get("example")?.clone())));
        let examples: HashMap<String, Value> = examples.collect();
        for (_, _, operation) in operations(document) {
            for response in operation.responses.responses.values_mut() {
                let RefOr::T(response) = response else { continue };
                for content in response.content.values_mut() {
                    if let RefOr::T(content) = content {
                        show(content, &examples);
                    }
                }
            }
        }
    }
}

fn show(content: &mut Content, examples: &HashMap<String, Value>) {
    if let Some(RefOr::Ref(schema)) = &content.schema
        && content.example.is_none()
        && content.examples.is_empty()
    {
        let name = schema.ref_location.rsplit('/').next().unwrap_or_default();
        content.example = examples.get(name).cloned();
    }
}
