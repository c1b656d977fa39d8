//! Errors as problem documents: one form, with a stable code, for everything that goes wrong.
//!
//! A handler answers a [`Problem`]; the envelope adds what only it knows (request id, revision, path) and writes it.
//! Source: RFC 9457.

use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use weir_shared::{
    error::{FieldError, FieldErrorCode},
    id::Revision,
};

use crate::{strict, withhold::withhold};

/// Media type of problem documents.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// Kind of problem. The word never changes; programs decide by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The request is not well-formed HTTP, or its path or query cannot be decoded.
    MalformedRequest,
    /// The body is not JSON.
    MalformedJson,
    /// The body is not YAML.
    MalformedYaml,
    /// The call does not say validly who makes it.
    Unauthenticated,
    /// The request comes from another site, names a host that Weir does not serve, or needs a scope its caller lacks.
    Forbidden,
    /// There is no such resource.
    NotFound,
    /// The resource does not know the method.
    MethodNotAllowed,
    /// The body took too long to arrive.
    RequestTimeout,
    /// There is such a resource already, and it is different.
    Exists,
    /// Something refers to the resource.
    InUse,
    /// The server is being drained already.
    DrainUnderWay,
    /// Without the token nobody would need one.
    LastToken,
    /// The change would remove much, and does not say that it is meant to.
    LargeChange,
    /// The revision is not kept any more.
    RevisionGone,
    /// The resource has changed since the caller read it.
    EtagMismatch,
    /// What is there may only be changed by naming its state in `If-Match`.
    IfMatchRequired,
    /// A request with this idempotency key is under way.
    IdempotencyInFlight,
    /// This idempotency key was used for another request.
    IdempotencyMismatch,
    /// The body is too large.
    BodyTooLarge,
    /// The body is of a media type or encoding that is not read.
    UnsupportedMediaType,
    /// Fields or parameters are invalid.
    Validation,
    /// Too many requests at once.
    RateLimited,
    /// A fault of Weir.
    Internal,
    /// The store takes no writes. Nothing was changed.
    StoreUnavailable,
    /// The revision asked for is not in force here yet.
    Behind,
    /// Other changes kept coming first. Nothing was changed.
    CommitContention,
    /// The change may or may not have been made.
    CommitUnknown,
}

impl Code {
    /// All codes.
    pub const ALL: [Self; 27] = [
        Self::MalformedRequest,
        Self::MalformedJson,
        Self::MalformedYaml,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::RequestTimeout,
        Self::Exists,
        Self::InUse,
        Self::DrainUnderWay,
        Self::LastToken,
        Self::LargeChange,
        Self::RevisionGone,
        Self::EtagMismatch,
        Self::IfMatchRequired,
        Self::IdempotencyInFlight,
        Self::IdempotencyMismatch,
        Self::BodyTooLarge,
        Self::UnsupportedMediaType,
        Self::Validation,
        Self::RateLimited,
        Self::Internal,
        Self::StoreUnavailable,
        Self::Behind,
        Self::CommitContention,
        Self::CommitUnknown,
    ];

    /// The code as a word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.facts().0
    }

    /// The status it is answered with.
    #[must_use]
    pub fn status(self) -> StatusCode {
        self.facts().1
    }

    /// What it is called, for people.
    #[must_use]
    pub fn title(self) -> &'static str {
        self.facts().2
    }

    /// What to do about it.
    #[must_use]
    pub fn advice(self) -> &'static str {
        self.facts().3
    }

    /// The code for a status that came without one.
    fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::NotFound,
            StatusCode::METHOD_NOT_ALLOWED => Self::MethodNotAllowed,
            StatusCode::PAYLOAD_TOO_LARGE => Self::BodyTooLarge,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::UnsupportedMediaType,
            status if status.is_client_error() => Self::MalformedRequest,
            _ => Self::Internal,
        }
    }

    #[rustfmt::skip]
    fn facts(self) -> (&'static str, StatusCode, &'static str, &'static str) {
        match self {
            Self::MalformedRequest => ("malformed_request", StatusCode::BAD_REQUEST, "Malformed request",
                "Mend the request line, the path or the header section."),
            Self::MalformedJson => ("malformed_json", StatusCode::BAD_REQUEST, "Malformed JSON",
                "Mend the body at the line and column named in the detail."),
            Self::MalformedYaml => ("malformed_yaml", StatusCode::BAD_REQUEST, "Malformed YAML",
                "Mend the body at the line and column named in the detail."),
            Self::Unauthenticated => ("unauthenticated", StatusCode::UNAUTHORIZED, "Unauthenticated",
                "Send a valid token as Authorization: Bearer."),
            Self::Forbidden => ("forbidden", StatusCode::FORBIDDEN, "Forbidden",
                "Call the API by a host name it serves, from its own pages or from a program, with a token that has the scope."),
            Self::NotFound => ("not_found", StatusCode::NOT_FOUND, "Not found",
                "Check the path; GET /v1/upstreams lists what is there."),
            Self::MethodNotAllowed => ("method_not_allowed", StatusCode::METHOD_NOT_ALLOWED, "Method not allowed",
                "Use one of the methods in the Allow field."),
            Self::RequestTimeout => ("request_timeout", StatusCode::REQUEST_TIMEOUT, "Request timeout",
                "Send the whole body at once."),
            Self::Exists => ("exists", StatusCode::CONFLICT, "Already exists",
                "PUT or PATCH the resource named in `existing`, or choose another name."),
            Self::InUse => ("in_use", StatusCode::CONFLICT, "In use",
                "Remove what refers to the resource, or repeat the request with ?cascade=true."),
            Self::DrainUnderWay => ("drain_under_way", StatusCode::CONFLICT, "Being drained already",
                "Wait for the drain shown in `drain`, or cancel it with DELETE and begin another."),
            Self::LastToken => ("last_token", StatusCode::CONFLICT, "Last token",
                "Make another token first, or repeat the request with ?open=true."),
            Self::LargeChange => ("large_change", StatusCode::CONFLICT, "Large change",
                "See what `losses` names; if it is meant, repeat the request with ?confirm= and the revision in force."),
            Self::RevisionGone => ("revision_gone", StatusCode::GONE, "Revision not kept",
                "GET /v1/revisions lists the revisions that are kept."),
            Self::EtagMismatch => ("etag_mismatch", StatusCode::PRECONDITION_FAILED, "Changed in the meantime",
                "Merge your change with `current` and repeat the request with `current_etag`."),
            Self::IfMatchRequired => ("if_match_required", StatusCode::PRECONDITION_REQUIRED, "State not named",
                "Read the resource and repeat the request with its ETag in If-Match; * stands for any state."),
            Self::IdempotencyInFlight => ("idempotency_in_flight", StatusCode::CONFLICT, "Under way already",
                "Repeat the request after the time in the Retry-After field: it is answered as the first one was."),
            Self::IdempotencyMismatch => ("idempotency_mismatch", StatusCode::UNPROCESSABLE_ENTITY, "Key used for another request",
                "Take a new Idempotency-Key for each change; keep the key only when the very same request is repeated."),
            Self::BodyTooLarge => ("body_too_large", StatusCode::PAYLOAD_TOO_LARGE, "Body too large",
                "Send less at once."),
            Self::UnsupportedMediaType => ("unsupported_media_type", StatusCode::UNSUPPORTED_MEDIA_TYPE, "Unsupported media type",
                "Send JSON as application/json, uncompressed; with curl use --json."),
            Self::Validation => ("validation", StatusCode::UNPROCESSABLE_ENTITY, "Invalid configuration",
                "Mend every place named in `errors`."),
            Self::RateLimited => ("rate_limited", StatusCode::TOO_MANY_REQUESTS, "Too many requests",
                "Repeat the request after the time in the Retry-After field."),
            Self::Internal => ("internal", StatusCode::INTERNAL_SERVER_ERROR, "Internal error",
                "This is a fault of Weir: report it with the request id."),
            Self::StoreUnavailable => ("store_unavailable", StatusCode::SERVICE_UNAVAILABLE, "Store unavailable",
                "Nothing was changed and traffic goes on. Mend the store as the detail says and repeat the request."),
            Self::Behind => ("behind", StatusCode::SERVICE_UNAVAILABLE, "Not there yet",
                "Repeat the request after the time in the Retry-After field, or ask without min_revision."),
            Self::CommitContention => ("commit_contention", StatusCode::SERVICE_UNAVAILABLE, "Too many changes at once",
                "Nothing was changed. Repeat the request."),
            Self::CommitUnknown => ("commit_unknown", StatusCode::GATEWAY_TIMEOUT, "Outcome unknown",
                "Repeat the request with the same Idempotency-Key, which makes no change twice; without one, read the resource first."),
        }
    }
}

/// One fault of a request: exactly one of `pointer`, `parameter` and `header` says where.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Fault {
    /// Place in the body: a JSON Pointer as a URI fragment.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "#/servers/1/address")]
    pub pointer: Option<String>,
    /// Query parameter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameter: Option<String>,
    /// Header field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// Kind of fault.
    pub code: FieldErrorCode,
    /// What is wrong and how to mend it.
    pub detail: String,
    /// The value found, where that helps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// What is allowed instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed: Option<String>,
}

impl From<FieldError> for Fault {
    fn from(error: FieldError) -> Self {
        let FieldError { pointer, code, detail, value, allowed } = withhold(error);
        // What was submitted may be one long text, which nobody wants back several times over.
        let detail = strict::shorten(detail);
        let value = value.map(|value| match value {
            Value::String(text) => Value::String(strict::shorten(text)),
            other => other,
        });
        Self {
            pointer: Some(strict::shorten(pointer)),
            parameter: None,
            header: None,
            code,
            detail,
            value,
            allowed,
        }
    }
}

/// What went wrong (RFC 9457).
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Problem, example = json!({
    "type": "/docs/problems/validation", "title": "Invalid configuration", "status": 422, "code": "validation",
    "detail": "1 field is invalid; nothing was changed.", "instance": "/v1/upstreams",
    "request_id": "4f1c0e6a9b3d4c7e8a5f2b1d0c9e8f7a", "revision": 42,
    "errors": [{"pointer": "#/servers/1/address", "code": "invalid_address",
                "detail": "missing port; did you mean \"10.0.0.8:80\"?", "value": "10.0.0.8"}]
}))]
pub struct Document {
    /// Where the kind of problem is explained.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it is called, for people.
    pub title: String,
    /// The status it was answered with.
    pub status: u16,
    /// The kind of problem, for programs.
    pub code: Code,
    /// What went wrong this time.
    pub detail: String,
    /// The path that was asked for.
    pub instance: String,
    /// Names the request, as in the `X-Request-Id` field.
    pub request_id: String,
    /// The revision in force.
    pub revision: Revision,
    /// Every fault, where there are places to name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Fault>,
    /// More, by kind: `existing` and `existing_etag`, `current` and `current_etag`, `routes`, `drain`, `losses` and
    /// `confirm`.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A problem, before the envelope completes it.
#[derive(Clone, Debug)]
pub struct Problem {
    code: Code,
    detail: String,
    errors: Vec<Fault>,
    extra: Map<String, Value>,
    fields: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    /// A problem of kind `code`.
    #[must_use]
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self { code, detail, errors: Vec::new(), extra: Map::new(), fields: Vec::new() }
    }

    /// Faults found in the request.
    #[must_use]
    pub fn invalid(errors: Vec<Fault>) -> Self {
        let what = match errors.len() {
            1 => "1 field is invalid".to_owned(),
            count => format!("{count} fields are invalid"),
        };
        // Only what has a body was to change something for certain.
        let is_change = errors.iter().any(|fault| fault.pointer.is_some());
        let rest = if is_change { "; nothing was changed" } else { "" };
        Self { errors, ..Self::new(Code::Validation, format!("{what}{rest}.")) }
    }

    /// The problem of an answer that came as a bare status.
    #[must_use]
    pub fn of_status(status: StatusCode) -> Self {
        let code = Code::of_status(status);
        Self::new(code, code.advice())
    }

    /// The same with faults.
    #[must_use]
    pub fn faults(mut self, errors: Vec<FieldError>) -> Self {
        self.errors = errors.into_iter().map(Fault::from).collect();
        self
    }

    /// Its kind.
    #[must_use]
    pub fn code(&self) -> Code {
        self.code
    }

    /// The same with another member.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.extra.insert(name.to_owned(), value.into());
        self
    }

    /// The same with another header field.
    #[must_use]
    pub fn field(mut self, name: HeaderName, value: &'static str) -> Self {
        self.fields.push((name, HeaderValue::from_static(value)));
        self
    }

    /// The header fields to be answered with it.
    #[must_use]
    pub fn fields(&self) -> &[(HeaderName, HeaderValue)] {
        &self.fields
    }

    /// The whole document.
    #[must_use]
    pub fn document(self, instance: &str, request_id: &str, revision: Revision) -> Document {
        Document {
            kind: format!("/docs/problems/{}", self.code.as_str()),
            title: self.code.title().to_owned(),
            status: self.code.status().as_u16(),
            code: self.code,
            detail: self.detail,
            instance: instance.to_owned(),
            request_id: request_id.to_owned(),
            revision,
            errors: self.errors,
            extra: self.extra,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.code.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<Vec<FieldError>> for Problem {
    fn from(errors: Vec<FieldError>) -> Self {
        Self::invalid(errors.into_iter().map(Fault::from).collect())
    }
}

/// An error's text, which begins small and ends without a stop, as a sentence.
pub(super) fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(letters).chain(['.']).collect()
}
