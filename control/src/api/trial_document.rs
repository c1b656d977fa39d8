//! How `?dry_run=true` and `?message=` are described, the same on every change.

use utoipa::{
    Modify, ToSchema,
    openapi::{
        self,
        content::ContentBuilder,
        path::{Operation, Parameter, ParameterBuilder, ParameterIn},
        response::ResponseBuilder,
    },
};

use super::{describe::operations, trial::Trial};

/// Longest reason a caller may give for a change, in characters.
pub(super) const MAX_MESSAGE: usize = 1000;

const DRY_RUN: &str = "Does everything but make the change: the answer is as if it had been made, with what it would \
                       make different in `diff`, and has the field `Weir-Dry-Run`.";

/// Describes both parameters on every change, and the answer to a trial that would else have no body.
pub(super) struct Trials;

impl Modify for Trials {
    fn modify(&self, document: &mut openapi::OpenApi) {
        operations(document).for_each(|(_, _, operation)| describe(operation));
    }
}

fn describe(operation: &mut Operation) {
    let parameters = operation.parameters.get_or_insert_default();
    let named = |parameter: &openapi::RefOr<Parameter>, name: &str| matches!(parameter, openapi::RefOr::T(it) if it.name == name);
    let Some(place) = parameters.iter().position(|parameter| named(parameter, "dry_run")) else { return };
    if let Some(openapi::RefOr::T(dry_run)) = parameters.get_mut(place) {
        dry_run.description = Some(DRY_RUN.to_owned());
    }
    if !parameters.iter().any(|parameter| named(parameter, "message")) {
        parameters.insert(place + 1, openapi::RefOr::T(message()));
    }
    if operation.responses.responses.contains_key("204") {
        let content =
            ContentBuilder::new().schema(Some(openapi::Ref::from_schema_name(Trial::name()))).build();
        let trial = ResponseBuilder::new()
            .description("Of a trial: what it would make different")
            .content("application/json", content)
            .build();
        operation.responses.responses.entry("200".to_owned()).or_insert(openapi::RefOr::T(trial));
    }
}

fn message() -> Parameter {
    let text = openapi::ObjectBuilder::new()
        .schema_type(openapi::Type::String)
        .max_length(Some(MAX_MESSAGE))
        .build();
    ParameterBuilder::new()
        .name("message")
        .parameter_in(ParameterIn::Query)
        .required(openapi::Required::False)
        .description(Some("Why, for the history. A summary of the change when there is none."))
        .schema(Some(text))
        .build()
}
