//! `/v1/tokens`: who may call the API with which bearer token.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::{Request, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use weir_shared::{
    error::{FieldError, FieldErrorCode, Pointer},
    id,
    time::Timestamp,
    units::Span,
};

use super::{
    Api, access, body, examples,
    paging::Paging,
    params::Params,
    problem::{Code, Problem, sentence},
    reply,
    trail::Trail,
};
use crate::{
    access::{
        scope::Scope,
        secret::Secret,
        token::{Key, Token},
        tokens::{MAX_TOKENS, TokenError},
    },
    error::CatalogError,
    store::{CommitError, RecordOp},
    strict,
};

/// Most scopes of one token: every word for a hundred upstreams.
const MAX_SCOPES: usize = 256;

/// Longest description, in bytes.
const MAX_DESCRIPTION_BYTES: usize = 1024;

/// How long a replaced secret is accepted when the caller does not say: time to change it wherever it is used.
const OVERLAP: Span = Span::from_secs(24 * 3600);

/// A token to be made.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(default)]
pub(super) struct NewToken {
    /// Its name, which history and audit show.
    #[schema(example = "ci")]
    id: String,
    /// What its bearer may do: `admin`, `config:read`, `config:write`, `servers:write`, `servers:write:<upstream>`,
    /// `drain:write`, `drain:write:<upstream>`, `health:read`, `metrics:read`.
    #[schema(value_type = Vec<String>, min_items = 1, max_items = 256)]
    scopes: Vec<Scope>,
    /// What it is for.
    #[schema(max_length = 1024)]
    description: Option<String>,
    /// When it ends; never without. Not together with `ttl`.
    expires_at: Option<Timestamp>,
    /// How long it is good. Not together with `expires_at`.
    #[schema(value_type = Option<String>, example = "720h")]
    ttl: Option<Span>,
}

/// How to change a token's secret.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(default)]
pub(super) struct Rotation {
    /// How long the present secret is still accepted, and for clocks that differ 60 seconds longer; with `0s` not at all.
    /// Default 24h.
    #[schema(value_type = Option<String>, example = "1h")]
    overlap: Option<Span>,
}

/// A token, without its secret.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Token)]
pub(super) struct View {
    /// Its name.
    #[schema(example = "ci")]
    id: String,
    /// What its bearer may do.
    #[schema(value_type = Vec<String>)]
    scopes: Vec<Scope>,
    /// What it is for.
    description: Option<String>,
    /// When it was made.
    created_at: Timestamp,
    /// Who made it.
    #[schema(example = "uid:1000")]
    created_by: String,
    /// When it ends; null: never.
    expires_at: Option<Timestamp>,
    /// Whether it has ended. For clocks that differ, it is taken for 60 seconds longer.
    expired: bool,
    /// Until when the secret before the present one is accepted; null: there is none.
    rotating_until: Option<Timestamp>,
}

/// A token with its secret, which is shown this once.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = IssuedToken)]
pub(super) struct Issued {
    /// The token.
    #[serde(flatten)]
    view: View,
    /// What to send as `Authorization: Bearer …`. Weir keeps only a digest of it.
    #[schema(example = "weir_ci_…")]
    token: String,
}

/// Tokens, ordered by id.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = TokenPage)]
pub(super) struct Page {
    /// The tokens.
    items: Vec<View>,
    /// Where the next page begins; null on the last.
    next: Option<String>,
}

impl View {
    fn of(token: &Token, now: Timestamp) -> Self {
        Self {
            id: token.id.clone(),
            scopes: token.scopes.clone(),
            description: token.description.clone(),
            created_at: token.created_at,
            created_by: token.created_by.clone(),
            expires_at: token.expires_at,
            expired: token.expires_at.is_some_and(|at| now > at),
            rotating_until: token.keys.iter().find_map(|key: &Key| key.until),
        }
    }
}

impl From<TokenError> for Problem {
    fn from(error: TokenError) -> Self {
        let said = sentence(&error.to_string());
        match error {
            TokenError::Exists(id) => Self::new(Code::Exists, said).with("existing", location(&id)),
            TokenError::NotFound(_) => Self::new(Code::NotFound, said),
            TokenError::TooMany => {
                let detail = format!("there are {MAX_TOKENS} tokens already: delete one first");
                vec![Pointer::root().error(FieldErrorCode::TooMany, detail)].into()
            }
            TokenError::Store(CommitError::Unavailable(detail)) => CatalogError::Unavailable(detail).into(),
            TokenError::Store(error @ (CommitError::Conflict { .. } | CommitError::Unknown(_))) => {
                CatalogError::Unknown(error.to_string()).into()
            }
        }
    }
}

/// Lists tokens
///
/// Ordered by id, without their secrets.
#[utoipa::path(
    get, path = "/v1/tokens", tag = "access", operation_id = "listTokens",
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Most tokens in the answer. Default 100."),
        ("after" = Option<String>, Query, description = "Continues a list: the `next` of the answer before."),
    ),
    responses((status = 200, description = "A page of tokens", body = Page, example = json!(examples::tokens())))
)]
pub(super) async fn list(State(api): State<Arc<Api>>, request: Request<Body>) -> Result<Response, Problem> {
    let mut params = Params::of(request.uri())?;
    let paging = Paging::of(&mut params);
    params.finish()?;
    let now = api.clock.now().wall;
    let all = api.access.tokens.all();
    let (page, next) = paging.page(all.iter().filter(|token| paging.is_ahead(&token.id)), |token| &token.id);
    let items = page.into_iter().map(|token| View::of(token, now)).collect();
    Ok(reply::json(StatusCode::OK, &Page { items, next }))
}

/// Creates a token
///
/// The answer holds its secret, once. As long as there is no token, everybody on this machine may call the API; with the
/// first one, every call over TCP needs one. An `Idempotency-Key` is not honoured, because answers that are given again
/// would have to be kept, and no secret is: after an answer that was lost the token is there, and can be rotated.
#[utoipa::path(
    post, path = "/v1/tokens", tag = "access", operation_id = "createToken",
    request_body(content = NewToken, examples(
        ("For a pipeline" = (value = json!({"id": "ci", "scopes": ["servers:write:web"], "ttl": "720h"}))),
        ("For a dashboard" = (value = json!({"id": "grafana", "scopes": ["health:read", "metrics:read"]}))),
    )),
    responses((status = 201, description = "Created", body = Issued, headers(("Location" = String, description = "Where it is")), example = json!(examples::issued())))
)]
pub(super) async fn create(State(api): State<Arc<Api>>, request: Request<Body>) -> Result<Response, Problem> {
    Params::of(request.uri())?.finish()?;
    let created_by = access::actor(&request);
    let trail = trail(&request);
    let at = api.clock.now().wall;
    let new = body::read(request, move |body| new_token(body, at)).await?;
    let token = Token { created_at: at, created_by, ..new };
    let view = View::of(&token, at);
    let place = location(&token.id);
    let secret =
        api.access.tokens.create(token, noted(&api, trail, StatusCode::CREATED, "add", &place)).await?;
    let mut response = issued(StatusCode::CREATED, view, &secret);
    reply::set(response.headers_mut(), header::LOCATION, &place);
    Ok(response)
}

/// Reads a token
///
/// Without its secret.
#[utoipa::path(
    get, path = "/v1/tokens/{token}", tag = "access", operation_id = "getToken",
    params(("token" = String, Path, description = "Id of the token", example = "ci")),
    responses((status = 200, description = "The token", body = View, example = json!(examples::token())))
)]
pub(super) async fn read(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    Params::of(request.uri())?.finish()?;
    let token = api.access.tokens.get(&id).ok_or(TokenError::NotFound(id))?;
    Ok(reply::json(StatusCode::OK, &View::of(&token, api.clock.now().wall)))
}

/// Changes a token's secret
///
/// The answer holds the new one, once. The one before is accepted for a while yet, so that it can be replaced wherever
/// it is used; two are good at most. An `Idempotency-Key` is not honoured, because no secret is kept to be shown again:
/// after an answer that was lost, rotate once more.
#[utoipa::path(
    post, path = "/v1/tokens/{token}/rotate", tag = "access", operation_id = "rotateToken",
    params(
        ("token" = String, Path, description = "Id of the token", example = "ci"),
    ),
    request_body(content = Rotation, example = json!({"overlap": "1h"})),
    responses((status = 200, description = "Changed", body = Issued, example = json!(examples::rotated())))
)]
pub(super) async fn rotate(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    Params::of(request.uri())?.finish()?;
    let trail = trail(&request);
    let rotation: Rotation = body::read(request, read_strictly).await?;
    let at = api.clock.now().wall;
    let until = at.plus(rotation.overlap.unwrap_or(OVERLAP).duration());
    let tokens = &api.access.tokens;
    let missing = || TokenError::NotFound(id.clone());
    let beside = noted(&api, trail, StatusCode::OK, "replace", &location(&id));
    let secret = tokens.rotate(&id, until, at, beside).await?;
    let token = tokens.get(&id).ok_or_else(missing)?;
    Ok(issued(StatusCode::OK, View::of(&token, at), &secret))
}

/// Revokes a token
///
/// No call that begins after the answer is made with it. Without the last token everybody on this machine may call the
/// API again, which must be asked for with `open`, where the admin address allows it at all.
#[utoipa::path(
    delete, path = "/v1/tokens/{token}", tag = "access", operation_id = "deleteToken",
    params(
        ("token" = String, Path, description = "Id of the token", example = "ci"),
        ("open" = Option<bool>, Query, description = "Revokes it even when no call needs a token afterwards. Default false."),
    ),
    responses((status = 204, description = "Revoked"))
)]
pub(super) async fn revoke(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let mut params = Params::of(request.uri())?;
    let may_open = params.flag("open").unwrap_or(false);
    params.finish()?;
    let tokens = &api.access.tokens;
    if tokens.get(&id).is_none() {
        return Err(TokenError::NotFound(id).into());
    }
    if tokens.is_last(&id) && api.access.opens_without_tokens() && !may_open {
        let detail = "This is the last token: without it everybody on this machine may call the API. Make another one \
                      first, or repeat the request with ?open=true.";
        return Err(Problem::new(Code::LastToken, detail));
    }
    let beside = noted(&api, trail(&request), StatusCode::NO_CONTENT, "remove", &location(&id));
    tokens.revoke(&id, beside).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn issued(status: StatusCode, view: View, secret: &Secret<String>) -> Response {
    reply::json(status, &Issued { view, token: secret.expose().clone() })
}

fn trail(request: &Request<Body>) -> Option<Arc<Trail>> {
    request.extensions().get().cloned()
}

/// The record of a change, to be written with it.
fn noted(api: &Api, trail: Option<Arc<Trail>>, status: StatusCode, op: &str, path: &str) -> Vec<RecordOp> {
    let changes = json!({"total": 1, "changes": [{"op": op, "path": path.trim_start_matches("/v1")}]});
    let revision = api.catalog.config().revision;
    trail.map(|trail| trail.changing_beside(status, revision, changes)).into_iter().collect()
}

fn location(id: &str) -> String {
    format!("/v1/tokens/{id}")
}

fn read_strictly<T: serde::de::DeserializeOwned + Serialize + Default>(body: Value) -> Result<T, Problem> {
    let mut errors = Vec::new();
    let read = strict::read(body, &Pointer::root(), &mut errors);
    read.filter(|_| errors.is_empty()).ok_or_else(|| Problem::from(errors))
}

/// Reads what a new token is to be; `created_by` and the secret are the caller's to add.
fn new_token(body: Value, now: Timestamp) -> Result<Token, Problem> {
    let NewToken { id, mut scopes, description, expires_at, ttl } = read_strictly(body)?;
    let root = Pointer::root();
    let mut errors: Vec<FieldError> = Vec::new();
    if id.is_empty() {
        errors.push(root.at("id").error(FieldErrorCode::Required, "a token needs a name"));
    } else if !id::is_valid(&id) {
        let error = root.at("id").error(FieldErrorCode::InvalidId, "not a valid id");
        errors.push(FieldError { allowed: Some(id::ID_PATTERN.to_owned()), ..error });
    }
    match scopes.len() {
        0 => errors.push(root.at("scopes").error(FieldErrorCode::Required, "a token needs a scope")),
        1..=MAX_SCOPES => {}
        _ => errors.push(root.at("scopes").error(FieldErrorCode::TooMany, format!("at most {MAX_SCOPES}"))),
    }
    if description.as_ref().is_some_and(|text| text.len() > MAX_DESCRIPTION_BYTES) {
        let detail = format!("at most {MAX_DESCRIPTION_BYTES} bytes");
        errors.push(root.at("description").error(FieldErrorCode::OutOfRange, detail));
    }
    if ttl.is_some() && expires_at.is_some() {
        errors.push(
            root.at("ttl").error(FieldErrorCode::InvalidValue, "give \"ttl\" or \"expires_at\", not both"),
        );
    }
    if ttl.is_some_and(|ttl| ttl.duration() == Duration::ZERO) {
        errors.push(root.at("ttl").error(FieldErrorCode::OutOfRange, "must be longer than 0s"));
    }
    if expires_at.is_some_and(|at| at <= now) {
        errors.push(root.at("expires_at").error(FieldErrorCode::OutOfRange, "must be in the future"));
    }
    if !errors.is_empty() {
        return Err(errors.into());
    }
    scopes.sort();
    scopes.dedup();
    let expires_at = expires_at.or_else(|| ttl.map(|ttl| now.plus(ttl.duration())));
    Ok(Token {
        id,
        scopes,
        description,
        created_at: now,
        created_by: String::new(),
        expires_at,
        keys: Vec::new(),
    })
}
