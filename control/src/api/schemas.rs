//! What is done to the generated schemas, so that a program reading them knows as much as a person: answers say that
//! their fields are always there, and merge patches that theirs may be left out or `null`.

use serde_json::{Map, Value, json};
use utoipa::{
    Modify,
    openapi::{OpenApi, Ref, RefOr, content::Content},
};

const COMPONENTS: &str = "#/components/schemas/";

/// Completes the schemas of a document that is complete otherwise.
pub(super) struct Completed;

impl Modify for Completed {
    fn modify(&self, document: &mut OpenApi) {
        let Some(components) = document.components.as_ref() else { return };
        let schemas: Map<String, Value> =
            components.schemas.iter().map(|(name, schema)| (name.clone(), json!(schema))).collect();
        let mut completed: Map<String, Value> = schemas
            .iter()
            .filter_map(|(name, schema)| Some((name.clone(), flat(schema, &schemas)?)))
            .collect();
        show_servers(&mut completed);
        overlap(&schemas, &mut completed);
        for content in merge_patches(document) {
            let Some(RefOr::Ref(whole)) = &content.schema else { continue };
            let Some(name) = whole.ref_location.strip_prefix(COMPONENTS).map(str::to_owned) else { continue };
            let Some(schema) = schemas.get(&name) else { continue };
            let patch = format!("{name}Patch");
            content.schema = Some(Ref::from_schema_name(&patch).into());
            let mut changes = patch_of(schema, &schemas);
            set(
                &mut changes,
                "description",
                json!("What to change; `null` sets a field back to its default."),
            );
            completed.insert(patch, changes);
        }
        for (name, schema) in &schemas {
            if let Some(demanding) = demanding(schema) {
                completed.insert(name.clone(), demanding);
            }
        }
        let Some(components) = document.components.as_mut() else { return };
        for (name, schema) in completed {
            if let Ok(schema) = serde_json::from_value(schema) {
                components.schemas.insert(name, schema);
            }
        }
        drop_unused(document);
    }
}

/// A turn of a server has all that a turn of an upstream has: the two do not exclude each other.
fn overlap(schemas: &Map<String, Value>, completed: &mut Map<String, Value>) {
    const NAME: &str = "HealthEvent";
    let Some(Value::Object(event)) = schemas.get(NAME) else { return };
    let mut event = event.clone();
    if let Some(either) = event.remove("oneOf") {
        event.insert("anyOf".to_owned(), either);
        completed.insert(NAME.to_owned(), event.into());
    }
}

/// The bodies of `document` that are merge patches.
fn merge_patches(document: &mut OpenApi) -> impl Iterator<Item = &mut Content> {
    let operations = document.paths.paths.values_mut().filter_map(|item| item.patch.as_mut());
    let bodies = operations.filter_map(|operation| match operation.request_body.as_mut() {
        Some(RefOr::T(body)) => body.content.get_mut("application/merge-patch+json"),
        _ => None,
    });
    bodies.filter_map(|content| match content {
        RefOr::T(content) => Some(content),
        RefOr::Ref(_) => None,
    })
}

/// Drops schemas that nothing refers to any more.
fn drop_unused(document: &mut OpenApi) {
    let text = document.to_json().unwrap_or_default();
    if let Some(components) = document.components.as_mut() {
        components.schemas.retain(|name, _| text.contains(&format!("\"{COMPONENTS}{name}\"")));
    }
}

/// `schema` as one object, if it is several put together. All fields of an answer are there, except where they say so.
fn flat(schema: &Value, schemas: &Map<String, Value>) -> Option<Value> {
    let parts = schema.get("allOf")?.as_array()?;
    let mut properties = Map::new();
    let mut required = Vec::new();
    for part in parts {
        let is_named = part.get("$ref").is_some();
        let part = resolved(part, schemas);
        let fields = part.get("properties")?.as_object()?;
        let stated = part.get("required").and_then(Value::as_array);
        let is_there = |name: &str| is_named || stated.is_some_and(|stated| stated.contains(&json!(name)));
        required.extend(fields.keys().filter(|name| is_there(name)).map(|name| json!(name)));
        properties.extend(fields.iter().map(|(name, field)| (name.clone(), without_default(field))));
    }
    let mut flat = json!({"type": "object", "required": required, "properties": properties});
    for name in ["description", "example"] {
        if let Some(value) = schema.get(name) {
            set(&mut flat, name, value.clone());
        }
    }
    Some(flat)
}

/// `schema` with the fields required whose defaults are not allowed, if there are such: they must be given.
fn demanding(schema: &Value) -> Option<Value> {
    let is_refused = |field: &Value| {
        let Some(default) = field.get("default") else { return false };
        let takes_null = field.get("oneOf").is_some() || field.get("type").is_some_and(Value::is_array);
        let least = ["minItems", "minLength"].iter().find_map(|name| field.get(*name)?.as_u64());
        let is_empty = *default == json!([]) || *default == json!("");
        (is_empty && least.is_some_and(|least| least > 0)) || (default.is_null() && !takes_null)
    };
    let mut demanding = schema.clone();
    let fields = demanding.get_mut("properties")?.as_object_mut()?;
    let mut found = Vec::new();
    for (name, field) in fields.iter_mut().filter(|(_, field)| is_refused(field)) {
        *field = without_default(field);
        found.push(json!(name));
    }
    if found.is_empty() {
        return None;
    }
    let stated = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    let others: Vec<Value> = stated.filter(|name| !found.contains(name)).cloned().collect();
    found.extend(others);
    set(&mut demanding, "required", json!(found));
    Some(demanding)
}

/// The servers of an upstream in an answer are resources too, and may be left out of lists.
fn show_servers(schemas: &mut Map<String, Value>) {
    let Some(upstream) = schemas.get_mut("UpstreamResource") else { return };
    let items = json!({"$ref": format!("{COMPONENTS}ServerResource")});
    if let Some(servers) = upstream.pointer_mut("/properties/servers") {
        *servers = json!({"type": "array", "items": items, "description": "The servers; left out of lists unless asked for."});
    }
    if let Some(required) = upstream.get_mut("required").and_then(Value::as_array_mut) {
        required.retain(|name| name != "servers");
    }
}

/// The schema of a merge patch (RFC 7396) of what `schema` describes.
fn patch_of(schema: &Value, schemas: &Map<String, Value>) -> Value {
    let whole = resolved(schema, schemas);
    let Some(fields) = whole.get("properties").and_then(Value::as_object) else {
        return without_default(schema);
    };
    let of_field =
        |(name, field): (&String, &Value)| (name.clone(), nullable(field, patch_of(field, schemas)));
    let properties: Map<String, Value> = fields.iter().map(of_field).collect();
    json!({"type": "object", "properties": properties})
}

/// `patch`, or null, for what `field` describes.
fn nullable(field: &Value, mut patch: Value) -> Value {
    let description = field.get("description").cloned();
    let takes_null = |schema: &Value| schema.get("type").is_some_and(|kind| kind == "null");
    let alternatives = patch.get("oneOf").and_then(Value::as_array);
    let kind = patch.get("type").cloned();
    if alternatives.is_some_and(|all| all.iter().any(takes_null))
        || kind.as_ref().is_some_and(Value::is_array)
    {
        return patch;
    }
    match kind.filter(|_| patch.get("enum").is_none()) {
        Some(kind) => set(&mut patch, "type", json!([kind, "null"])),
        None => patch = json!({"oneOf": [patch, {"type": "null"}]}),
    }
    if let Some(description) = description {
        set(&mut patch, "description", description);
    }
    patch
}

fn resolved<'a>(schema: &'a Value, schemas: &'a Map<String, Value>) -> &'a Value {
    let name = schema.get("$ref").and_then(named);
    name.and_then(|name| schemas.get(&name)).unwrap_or(schema)
}

fn named(reference: &Value) -> Option<String> {
    reference.as_str()?.strip_prefix(COMPONENTS).map(str::to_owned)
}

fn without_default(schema: &Value) -> Value {
    let mut schema = schema.clone();
    if let Some(fields) = schema.as_object_mut() {
        fields.remove("default");
    }
    schema
}

fn set(object: &mut Value, name: &str, value: Value) {
    if let Some(fields) = object.as_object_mut() {
        fields.insert(name.to_owned(), value);
    }
}
