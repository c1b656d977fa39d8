//! `/v1/config`: everything as one document.

use std::sync::Arc;

use axum::{body::Body, extract::State, response::Response};
use http::{Request, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use weir_shared::{
    error::{FieldErrorCode, Pointer},
    id::Revision,
    model::{Certificate, Config, Document, Listener, ListenerFlags, ListenerStatus, Meta, Route, Upstream},
    sharing::SharedMap,
    table::Table,
};

use super::{
    Api,
    accept::Format,
    answer::Answer,
    body, examples, export, listeners,
    params::Params,
    place::Place,
    problem::Problem,
    refusal::MAX_NAMED,
    reply::{self, Call},
    trial_document::MAX_MESSAGE,
};
use crate::{
    catalog::{
        Applied,
        change::{Change, Effect, Unnamed},
        diff::{Difference, diff},
        document,
        warning::{Warning, warnings},
    },
    error::CatalogError,
    strict,
};

/// A listener and whether it is in service.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ListenerInConfig)]
pub(super) struct ListenerView {
    /// The listener.
    #[serde(flatten)]
    listener: Listener,
    /// Whether it is in service.
    status: ListenerStatus,
}

/// The whole configuration.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ConfigDocument)]
pub(super) struct View {
    /// `v1`.
    #[schema(example = "v1")]
    api_version: String,
    /// Where clients connect. What the command line says of `default` is shown, and ignored in what is put.
    listeners: Vec<ListenerView>,
    /// What Weir proves itself with, and whom it believes; without private keys.
    certificates: Vec<Certificate>,
    /// Which requests go where.
    routes: Vec<Route>,
    /// The groups of servers.
    upstreams: Vec<Upstream>,
}

impl View {
    /// `config`, which is or was in force, without its upstreams, and `table`, which says what is observed now.
    fn of(config: &Config, flags: &ListenerFlags, table: &Table) -> Self {
        let few = Config { upstreams: SharedMap::default(), ..config.clone() };
        let Document { api_version, listeners, certificates, routes, upstreams } = few.to_document();
        let view = |listener: Listener| {
            let status = listeners::status(&listener.id, table, &Meta::default());
            ListenerView { listener: flags.over(&listener), status }
        };
        let listeners = listeners.into_iter().map(view).collect();
        Self { api_version, listeners, certificates, routes, upstreams }
    }
}

/// What came of a change of everything.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ConfigChange)]
pub(super) struct Changed {
    /// The revision that is in force now, or would be.
    revision: Revision,
    /// Whether everything was so already; then there is no new revision.
    unchanged: bool,
    /// Everything that differs from before.
    diff: Vec<Difference>,
    /// What is allowed and probably not meant, or ignored.
    warnings: Vec<Warning>,
}

/// Where to go back to.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
#[schema(as = Rollback)]
pub(super) struct Rollback {
    /// The revision whose content is to be in force again.
    #[schema(required = true, value_type = u64, example = 41)]
    to: Option<Revision>,
    /// Why, for the history; at most 1000 characters.
    #[schema(max_length = 1000)]
    message: Option<String>,
}

/// Reads the whole configuration
///
/// As one document, at one revision: the last one, or any that is kept. What was read can be put back. `Accept` chooses
/// between JSON and YAML.
#[utoipa::path(
    get, path = "/v1/config", tag = "config", operation_id = "getConfig",
    params(
        ("revision" = Option<u64>, Query, description = "The revision to read. Default: the last one.", example = 41),
    ),
    responses(
        (status = 200, description = "The configuration", headers(("ETag" = String, description = "The revision")), content(
            (View = "application/json", example = json!(examples::config())),
            (String = "application/yaml", example = json!(examples::config_in_yaml())),
        )),
    )
)]
pub(super) async fn read(State(api): State<Arc<Api>>, request: Request<Body>) -> Result<Response, Problem> {
    let mut params = Params::of(request.uri())?;
    let revision = params.revision("revision");
    params.finish()?;
    let config = match revision {
        Some(revision) => api.catalog.config_at(revision).await?,
        None => api.catalog.config(),
    };
    show(&api, config, Format::wanted(request.headers()))
}

/// Answers `config` as a whole.
pub(super) fn show(api: &Api, config: Arc<Config>, format: Format) -> Result<Response, Problem> {
    let head = View::of(&config, &api.flags, &api.catalog.reader().snapshot());
    let response = export::response(head, Arc::clone(&config), format)?;
    // Never 304: whether a listener is bound, and what the command line says of it, change while the revision stays.
    let mut response = reply::tagged(response, config.revision, &config.epoch);
    reply::set(response.headers_mut(), reply::REVISION, &config.revision.to_string());
    Ok(response)
}

/// Replaces the whole configuration
///
/// Atomically: all of it or nothing. What is there and not named is deleted, unless `prune=false`. Servers that stay keep
/// their state. When the document has no `routes`, they stay as they are, and the catch-all route, if it is bound to
/// nothing, is bound to the first upstream that is new. Equal content makes no revision.
///
/// When it has no `listeners`, they stay as well. What the command line says of the listener `default`, its address above
/// all, is the machine's: what differs is ignored with a warning, so that the document of one process can be given to
/// another.
///
/// Private keys are not in what is read. A certificate that is put without one keeps the key there is, if that is its key;
/// otherwise the key has to be there. When the document has no `certificates`, they stay as they are.
///
/// A change that removes more than half of the servers of an upstream with four or more, leaves less than half as many
/// servers in all where there were four or more, or removes every upstream, is refused until `confirm` names the revision in force. A dry run
/// answers what it would make different, with the losses as warnings.
#[utoipa::path(
    put, path = "/v1/config", tag = "config", operation_id = "putConfig",
    params(
        ("prune" = Option<bool>, Query, description = "Whether upstreams that are not named are deleted. Default true."),
        ("confirm" = Option<u64>, Query, description = "The revision in force, to say that much may be removed from it.", example = 42),
        ("dry_run" = Option<bool>, Query, description = "Does everything but make the change."),
        ("If-Match" = Option<String>, Header, description = "Only if this is the revision in force"),
    ),
    request_body(content(
        (Document = "application/json", example = json!(examples::config_to_put())),
        (String = "application/yaml", example = json!(examples::config_as_yaml())),
    )),
    responses(
        (status = 200, description = "Replaced, or equal already", body = Changed, headers(("ETag" = String, description = "The revision")), example = json!(examples::config_change())),
    )
)]
pub(super) async fn replace(
    State(api): State<Arc<Api>>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let mut params = Params::of(request.uri())?;
    let unnamed = match params.flag("prune") {
        Some(false) => Unnamed::Keep,
        Some(true) | None => Unnamed::Delete,
    };
    let confirmed = params.revision("confirm");
    let mut call = Call::of(&api, &request, params)?;
    let flags = api.flags.clone();
    let read = move |value| Ok(document::read(value, Some(&flags))?);
    let (whole, place) = body::read_document(request, read).await?;
    call.hold(place);
    let ignored = whole.ignored.clone();
    call.apply_whole(Change::PutConfig { whole, unnamed, confirmed }, move |applied| {
        answer(applied, &ignored)
    })
    .await
}

/// Goes back to an earlier revision
///
/// Makes a new revision with the content of the one named; nothing is lost, and it can be undone the same way.
#[utoipa::path(
    post, path = "/v1/config/rollback", tag = "config", operation_id = "rollBackConfig",
    params(
        ("confirm" = Option<u64>, Query, description = "The revision in force, to say that much may be removed from it.", example = 42),
        ("dry_run" = Option<bool>, Query, description = "Does everything but make the change."),
        ("If-Match" = Option<String>, Header, description = "Only if this is the revision in force"),
    ),
    request_body(content(
        (Rollback = "application/json", example = json!({"to": 41, "message": "the new group was too slow"})),
        (String = "application/yaml", example = json!("to: 41\nmessage: the new group was too slow\n")),
    )),
    responses(
        (status = 200, description = "Gone back, or equal already", body = Changed, headers(("ETag" = String, description = "The revision")), example = json!(examples::config_change())),
    )
)]
pub(super) async fn roll_back(
    State(api): State<Arc<Api>>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let mut params = Params::of(request.uri())?;
    let confirmed = params.revision("confirm");
    let mut call = Call::of(&api, &request, params)?;
    let ((to, message), _) = body::read_document(request, rollback).await?;
    call.explain(message);
    call.hold(Place::of_rollback().await);
    let config = match api.catalog.config_at(to).await {
        Err(CatalogError::Unreadable(detail)) => {
            let detail = format!("this release cannot read revision {to}: {detail}");
            return Err(vec![Pointer::root().at("to").error(FieldErrorCode::InvalidValue, detail)].into());
        }
        read => read?,
    };
    call.apply_whole(Change::RollBack { to, config, confirmed }, |applied| answer(applied, &[])).await
}

fn rollback(value: serde_json::Value) -> Result<(Revision, Option<String>), Problem> {
    let root = Pointer::root();
    let mut errors = Vec::new();
    if !value.is_object() {
        let detail = "a rollback is an object like {\"to\": 41}";
        return Err(vec![root.error(FieldErrorCode::InvalidType, detail)].into());
    }
    let Rollback { to, message } = strict::read(value, &root, &mut errors).unwrap_or_default();
    if message.as_ref().is_some_and(|message| message.chars().count() > MAX_MESSAGE) {
        let detail = format!("at most {MAX_MESSAGE} characters");
        errors.push(root.at("message").error(FieldErrorCode::OutOfRange, detail));
    }
    if to.is_none() && errors.is_empty() {
        let detail = "the number of the revision to go back to; GET /v1/revisions lists them";
        errors.push(root.at("to").error(FieldErrorCode::Required, detail));
    }
    match to {
        Some(to) if errors.is_empty() => Ok((to, message.filter(|message| !message.is_empty()))),
        Some(_) | None => Err(errors.into()),
    }
}

/// What came of a change, with what was `ignored` of it.
fn answer(applied: &Applied, ignored: &[Warning]) -> Result<Answer, Problem> {
    let revision = applied.config.revision;
    let mut told = ignored.to_vec();
    let losses = applied.outcome.losses.iter().take(MAX_NAMED);
    told.extend(losses.map(|loss| Warning::of_loss(loss, applied.before.revision)));
    told.extend(warnings(&applied.config, &applied.outcome.bound_routes));
    let changed = Changed {
        revision,
        unchanged: applied.outcome.effect == Effect::Unchanged,
        diff: diff(&applied.before, &applied.config),
        warnings: told,
    };
    Ok(Answer::shows(applied, StatusCode::OK, &changed)?.with_diff().tagged(revision, applied))
}
