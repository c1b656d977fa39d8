//! The API's own description, OpenAPI 3.1, generated from the handlers; and the pages that show it.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use axum::{
    Router,
    extract::Path,
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use http::{Method, StatusCode, header};
use serde_json::json;
use utoipa::{
    Modify, OpenApi, ToSchema,
    openapi::{
        self, Ref, RefOr, content::ContentBuilder, example::ExampleBuilder, path::Operation,
        response::ResponseBuilder,
    },
};
use utoipa_swagger_ui::{Config, SwaggerUi};

use super::{
    Api, audit, certificates, config,
    describe::{self, Common},
    drains, events, explain, health, info, listeners, permissions, probes,
    problem::{self, Code, Problem},
    revisions, routes,
    schemas::Completed,
    security::Security,
    server_list, servers, shadow,
    shown::Shown,
    timeseries, tokens,
    trial::Trial,
    trial_document::Trials,
    upstreams,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Weir",
        description = "The control plane of the Weir load balancer. A change is validated as a whole, made durable, put \
                       in force, and then answered: the next request obeys it.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
        contact()
    ),
    servers((url = "http://127.0.0.1:9900", description = "The default admin address")),
    // Whoever reaches the admin address may call.
    security(()),
    tags(
        (name = "upstreams", description = "Named groups of servers and how they are used"),
        (name = "servers", description = "The servers of an upstream"),
        (name = "drains", description = "Freeing servers of requests, in order to work on them or to remove them"),
        (name = "listeners", description = "Where clients connect, and with which limits"),
        (name = "routes", description = "Which requests go where"),
        (name = "certificates", description = "What Weir proves itself with, and whom it believes"),
        (name = "health", description = "What is up, what is not, why, and since when"),
        (name = "config", description = "Everything as one document"),
        (name = "access", description = "Who may call the API"),
        (name = "history", description = "What was changed, when, by whom and why"),
        (name = "events", description = "What happens, as it happens"),
        (name = "operations", description = "For the machines that watch the process"),
    ),
    paths(
        upstreams::list, upstreams::create, upstreams::read, upstreams::replace, upstreams::change, upstreams::delete,
        server_list::list, servers::create, servers::read, servers::replace, servers::change, servers::delete,
        drains::list, drains::start, drains::read, drains::cancel,
        listeners::list, listeners::create, listeners::read, listeners::replace, listeners::change, listeners::delete,
        routes::list, routes::create, routes::read, routes::replace, routes::change, routes::delete,
        certificates::list, certificates::create, certificates::read, certificates::replace, certificates::change,
        certificates::delete,
        config::read, config::replace, config::roll_back,
        revisions::list, revisions::read, revisions::read_config, revisions::compare,
        health::read, health::upstream, health::server,
        audit::list, tokens::list, tokens::create, tokens::read, tokens::rotate, tokens::revoke,
        events::stream, events::ticket, explain::server, shadow::read, timeseries::upstream, timeseries::server,
        info::read, probes::livez, probes::readyz, probes::healthz, probes::metrics, document, explain_problem,
    ),
    components(schemas(problem::Document, Trial)),
    modifiers(&Common, &Problems, &Trials, &Completed, &Shown, &Security)
)]
struct ApiDocument;

/// The API's description.
#[must_use]
pub fn openapi() -> openapi::OpenApi {
    ApiDocument::openapi()
}

/// The API's description as it is committed: indented JSON with a line end.
#[must_use]
pub fn text() -> String {
    let mut text = openapi().to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

/// Adds the problems any call may be answered with, so that no handler can forget one.
struct Problems;

impl Modify for Problems {
    fn modify(&self, document: &mut openapi::OpenApi) {
        for (path, method, operation) in describe::operations(document) {
            add_problems(path, &method, operation);
        }
    }
}

fn add_problems(path: &str, method: &Method, operation: &mut Operation) {
    let is_change = describe::is_change(operation);
    let has_body = operation.request_body.is_some();
    let mut codes = vec![Code::MalformedRequest, Code::Forbidden, Code::RateLimited, Code::Internal];
    if !permissions::is_public(path) {
        codes.push(Code::Unauthenticated);
    }
    if path.starts_with("/v1/") || operation.parameters.iter().flatten().any(describe::is_query) {
        codes.push(Code::Validation);
    }
    if path.contains('{') {
        codes.push(Code::NotFound);
    }
    if path.starts_with("/v1/") && *method == Method::GET {
        codes.push(Code::Behind);
    }
    if is_change {
        codes.extend([
            Code::IdempotencyInFlight,
            Code::EtagMismatch,
            Code::IdempotencyMismatch,
            Code::StoreUnavailable,
            Code::CommitContention,
            Code::CommitUnknown,
        ]);
    }
    let makes = ["/upstreams", "/servers", "/listeners", "/routes"];
    let is_creation = *method == Method::POST && makes.iter().any(|end| path.ends_with(end));
    if is_change && !is_creation {
        codes.push(Code::IfMatchRequired);
    }
    if has_body {
        codes.extend([
            Code::MalformedJson,
            Code::RequestTimeout,
            Code::BodyTooLarge,
            Code::UnsupportedMediaType,
        ]);
    }
    codes.extend(of_history(path, method));
    codes.extend(of_conflicts(path, method, operation));
    codes.extend(of_tokens(path, method));
    let mut by_status = BTreeMap::<u16, Vec<Code>>::new();
    codes.into_iter().for_each(|code| by_status.entry(code.status().as_u16()).or_default().push(code));
    for (status, codes) in by_status {
        let response = || RefOr::T(response(path, &codes));
        operation.responses.responses.entry(status.to_string()).or_insert_with(response);
    }
}

/// What changes are answered with when something that is there stands against them.
fn of_conflicts(path: &str, method: &Method, operation: &Operation) -> Vec<Code> {
    let mut codes = Vec::new();
    let begins_drain = (*method == Method::POST && path.ends_with("/drain"))
        || (*method == Method::DELETE && path.ends_with("{server}"));
    if begins_drain {
        codes.push(Code::DrainUnderWay);
    }
    let is_change = describe::is_change(operation);
    if path.starts_with("/v1/config") && is_change {
        codes.push(Code::LargeChange);
    } else if (*method == Method::POST && is_change) || (*method == Method::PUT && path.contains("{server}"))
    {
        codes.push(Code::Exists);
    }
    if *method == Method::DELETE && (path.ends_with("{upstream}") || path.ends_with("{listener}")) {
        codes.push(Code::InUse);
    }
    codes
}

/// What changes of tokens may be answered with, which are no changes of the configuration.
fn of_tokens(path: &str, method: &Method) -> Vec<Code> {
    match *method {
        Method::GET => Vec::new(),
        _ if !path.starts_with("/v1/tokens") => Vec::new(),
        Method::DELETE => vec![Code::StoreUnavailable, Code::CommitUnknown, Code::LastToken],
        _ if path == "/v1/tokens" => vec![Code::StoreUnavailable, Code::CommitUnknown, Code::Exists],
        _ => vec![Code::StoreUnavailable, Code::CommitUnknown],
    }
}

/// What reads of revisions are answered with, of which not every one is there.
fn of_history(path: &str, method: &Method) -> Vec<Code> {
    let is_config = path.starts_with("/v1/config");
    let mut codes = Vec::new();
    if (is_config && *method != Method::PUT) || path.starts_with("/v1/revisions/{") {
        codes.extend([Code::NotFound, Code::RevisionGone]);
    }
    if path.starts_with("/v1/revisions") {
        codes.push(Code::StoreUnavailable);
    }
    codes
}

/// An answer with any of `codes`, which have the same status.
fn response(path: &str, codes: &[Code]) -> openapi::Response {
    let example = |code: &Code| {
        let problem = Problem::new(*code, code.advice()).document(
            path,
            "4f1c0e6a9b3d4c7e8a5f2b1d0c9e8f7a",
            weir_shared::id::Revision(42),
        );
        (code.as_str(), ExampleBuilder::new().value(Some(json!(problem))).build())
    };
    let content = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name(problem::Document::name())))
        .examples_from_iter(codes.iter().map(example))
        .build();
    let titles: Vec<&str> = codes.iter().map(|code| code.title()).collect();
    ResponseBuilder::new().description(titles.join(", or: ")).content(problem::MEDIA_TYPE, content).build()
}

/// Reads this document
///
/// OpenAPI 3.1, as JSON.
#[utoipa::path(
    get, path = "/openapi.json", tag = "operations", operation_id = "getOpenApi",
    responses((status = 200, description = "The document", body = Object, example = json!({"openapi": "3.1.0", "info": {"title": "Weir", "version": "0.1.0"}, "paths": {}})))
)]
async fn document() -> Response {
    static TEXT: LazyLock<String> = LazyLock::new(text);
    ([(header::CONTENT_TYPE, "application/json")], TEXT.as_str()).into_response()
}

/// Explains a problem
///
/// What the `type` of a problem document leads to.
#[utoipa::path(
    get, path = "/docs/problems/{code}", tag = "operations", operation_id = "getProblem",
    params(("code" = String, Path, description = "Code of the problem", example = "validation")),
    responses((status = 200, description = "What it means and what to do", body = String, content_type = "text/plain", example = json!(explanation(Code::Validation))))
)]
async fn explain_problem(Path(code): Path<String>) -> Response {
    let Some(code) = Code::ALL.into_iter().find(|known| known.as_str() == code) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], explanation(code)).into_response()
}

/// What `code` means and what to do.
fn explanation(code: Code) -> String {
    format!("{} ({}, {})\n\n{}\n", code.title(), code.status(), code.as_str(), code.advice())
}

/// Serves the description, as JSON and to be clicked through. All of it is in the binary.
pub(super) fn router() -> Router<Arc<Api>> {
    let pages: Router<Arc<Api>> = SwaggerUi::new("/docs").config(Config::from("/openapi.json")).into();
    Router::new()
        // Whoever looks at the admin address in a browser is shown what is there.
        .route("/", get(|| async { Redirect::to("/docs/") }))
        .route("/openapi.json", get(document))
        .route("/docs/problems/{code}", get(explain_problem))
        .merge(pages)
}
