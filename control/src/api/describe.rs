//! What operations of a kind have in common, written into their descriptions: the header fields and parameters that no
//! handler reads by itself.

use http::Method;
use serde_json::json;
use utoipa::{
    Modify,
    openapi::{
        self, ObjectBuilder, RefOr, Required, Type,
        header::HeaderBuilder,
        path::{Operation, Parameter, ParameterBuilder, ParameterIn},
        response::ResponseBuilder,
    },
};

use super::retry::MAX_KEY_BYTES;

/// Describes what changes have in common, and what reads have.
pub(super) struct Common;

impl Modify for Common {
    fn modify(&self, document: &mut openapi::OpenApi) {
        for (path, method, operation) in operations(document) {
            if method == Method::GET && path.starts_with("/v1/") {
                add(operation, min_revision());
            }
            if is_change(operation) {
                describe_change(operation);
            }
        }
    }
}

/// Every operation of `document`, with its path and method.
pub(super) fn operations(
    document: &mut openapi::OpenApi,
) -> impl Iterator<Item = (&str, Method, &mut Operation)> {
    document.paths.paths.iter_mut().flat_map(|(path, item)| {
        let operations = [
            (Method::GET, &mut item.get),
            (Method::POST, &mut item.post),
            (Method::PUT, &mut item.put),
            (Method::PATCH, &mut item.patch),
            (Method::DELETE, &mut item.delete),
        ];
        operations
            .into_iter()
            .filter_map(move |(method, operation)| Some((path.as_str(), method, operation.as_mut()?)))
    })
}

/// Whether `operation` changes the configuration; everything that does can be tried.
pub(super) fn is_change(operation: &Operation) -> bool {
    let parameters = operation.parameters.iter().flatten();
    parameters.into_iter().any(|parameter| matches!(parameter, RefOr::T(it) if it.name == "dry_run"))
}

/// Whether `parameter` is part of the query, which is read strictly.
pub(super) fn is_query(parameter: &RefOr<Parameter>) -> bool {
    matches!(parameter, RefOr::T(it) if it.parameter_in == ParameterIn::Query)
}

fn describe_change(operation: &mut Operation) {
    add(operation, idempotency_key());
    add(operation, prefer());
    let responses = &mut operation.responses.responses;
    if responses.contains_key("200") {
        let minimal = ResponseBuilder::new().description("Done, and nothing shown, as preferred").build();
        responses.entry("204".to_owned()).or_insert(RefOr::T(minimal));
    }
    let successes = responses.iter_mut().filter(|(status, _)| status.starts_with('2'));
    for (_, response) in successes {
        let RefOr::T(response) = response else { continue };
        for (name, description, example) in [
            ("Weir-Revision", "The revision with the change", "42"),
            ("Preference-Applied", "What of `Prefer` was honoured", "return=minimal"),
            ("Idempotency-Replayed", "`true`: the change was made before, and this is its answer", "true"),
            ("Weir-Dry-Run", "`true`: nothing was changed", "true"),
        ] {
            let header = HeaderBuilder::new().schema(Some(text().build())).description(Some(description));
            let header = header.example(Some(json!(example))).build();
            response.headers.entry(name.to_owned()).or_insert(RefOr::T(header));
        }
    }
}

fn add(operation: &mut Operation, parameter: Parameter) {
    operation.parameters.get_or_insert_default().push(RefOr::T(parameter));
}

fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

fn min_revision() -> Parameter {
    let number = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0.0));
    ParameterBuilder::new()
        .name("min_revision")
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some(
            "Waits up to 5 s until this revision is in force here; 503 `behind` when it is not by then.",
        ))
        .schema(Some(number.build()))
        .build()
}

fn idempotency_key() -> Parameter {
    let description = "Names the change, so that it is made once however often it is asked for: the same request \
                       with the same key is answered as it was the first time, for 24 hours or the 10 000 newest \
                       keys. Only what changed something is remembered. A body of more than 64 KiB is not given \
                       again. Quotes may be left out.";
    let bare = format!(r"[!#-+\--:<-\[\]-~]{{1,{MAX_KEY_BYTES}}}");
    let quoted = format!(r#""([ !#-\[\]-~]|\\["\\]){{1,{MAX_KEY_BYTES}}}""#);
    let key = text().pattern(Some(format!("^({bare}|{quoted})$")));
    ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(key.build()))
        .example(Some(json!("8e03978e-40d5-43dd-bc93-6894a57f9324")))
        .build()
}

fn prefer() -> Parameter {
    let description = "`return=minimal`: no body; `return=representation`: the whole resource, as without it. \
                       `wait` is met at once: a change is in force here before it is answered. Others are ignored.";
    ParameterBuilder::new()
        .name("Prefer")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(text().build()))
        .example(Some(json!("return=minimal")))
        .build()
}
