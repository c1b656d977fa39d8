//! Answers in the form all of them share, and what all changes have in common.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, header};
use serde::Serialize;
use tokio::time::timeout;
use weir_shared::{
    id::{Epoch, Revision},
    model::Config,
    sharing::changed,
};

use super::{
    Api,
    access::{self, Caller},
    answer::Answer,
    aside::aside,
    conditional,
    envelope::RequestId,
    listeners,
    params::Params,
    place::Place,
    prefer::Preferences,
    problem::{Code, Problem},
    retry::{self, Once},
    trail::Trail,
    trial_document::MAX_MESSAGE,
};
use crate::{
    access::scope::Need,
    catalog::{
        self, Applied, Mode,
        change::Change,
        precondition::{self, Precondition},
    },
};

/// The revision an answer speaks of.
pub(super) const REVISION: HeaderName = HeaderName::from_static("weir-revision");
/// How the configuration is kept.
pub(super) const STORE: HeaderName = HeaderName::from_static("weir-store");
/// Says that nothing was changed.
pub(super) const DRY_RUN: HeaderName = HeaderName::from_static("weir-dry-run");
/// Media type of liveness and readiness (draft-inadarei-api-health-check).
pub(super) const HEALTH_DOCUMENT: &str = "application/health+json";

/// How long an answer waits for listeners to be tried. Binding takes microseconds; workers take part in giving up addresses.
const SETTLE: Duration = Duration::from_secs(5);

/// Sets a field to a text that is known to be printable.
pub(super) fn set(fields: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::try_from(value) {
        fields.insert(name, value);
    }
}

/// Whether `response` holds a health document, which speaks for itself even when the status is an error.
#[must_use]
pub(super) fn is_health_document(response: &Response) -> bool {
    response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == HEALTH_DOCUMENT)
}

/// An answer with `value` as JSON.
pub(super) fn json<T: Serialize>(status: StatusCode, value: &T) -> Response {
    typed(status, "application/json", value)
}

/// An answer with `value` as JSON of the media type `kind`.
pub(super) fn typed<T: Serialize>(status: StatusCode, kind: &'static str, value: &T) -> Response {
    match serde_json::to_vec(value) {
        Ok(text) => {
            let kind = HeaderValue::from_static(kind);
            (status, [(header::CONTENT_TYPE, kind)], Body::from(text)).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "an answer cannot be written");
            Problem::new(Code::Internal, "The answer cannot be written.").into_response()
        }
    }
}

/// `response` with the tag of what it shows.
#[must_use]
pub(super) fn tagged(mut response: Response, revision: Revision, epoch: &Epoch) -> Response {
    let tag = format!("\"{}\"", precondition::tag(revision, epoch));
    set(response.headers_mut(), header::ETAG, &tag);
    response
}

/// Answers a read: `value`, or 304 to a caller who has it already.
///
/// # Errors
/// When the caller's condition is malformed.
pub(super) fn read<T: Serialize>(
    headers: &HeaderMap,
    revision: Revision,
    config: &Config,
    value: impl FnOnce() -> T,
) -> Result<Response, Problem> {
    let tag = precondition::tag(revision, &config.epoch);
    let response = if conditional::has(headers, &tag)? {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        json(StatusCode::OK, &value())
    };
    let mut response = tagged(response, revision, &config.epoch);
    set(response.headers_mut(), REVISION, &config.revision.to_string());
    Ok(response)
}

/// What all changes have in common: conditions, preferences, whether it is a trial, the reason, and the request's name.
#[derive(Debug)]
pub(super) struct Call {
    api: Arc<Api>,
    precondition: Precondition,
    preferences: Preferences,
    mode: Mode,
    message: Option<String>,
    actor: String,
    caller: Option<Caller>,
    trail: Option<Arc<Trail>>,
    request_id: String,
    /// The request's idempotency key, if it has one.
    once: Option<Arc<Once>>,
    /// Of a large document.
    place: Option<Place>,
}

impl Call {
    /// Reads it from `request`, taking `dry_run` and `message` from `params`, which must be the last.
    ///
    /// # Errors
    /// When a condition or a parameter is invalid.
    pub(super) fn of(api: &Arc<Api>, request: &Request<Body>, mut params: Params) -> Result<Self, Problem> {
        let mode = match params.flag("dry_run") {
            Some(true) => Mode::DryRun,
            Some(false) | None => Mode::Commit,
        };
        let message = params.short_text("message", MAX_MESSAGE);
        params.finish()?;
        let id = request.extensions().get::<RequestId>();
        Ok(Self {
            api: Arc::clone(api),
            precondition: Precondition {
                if_match: api.if_match,
                ..conditional::precondition(request.headers())?
            },
            preferences: Preferences::of(request.headers()),
            mode,
            message,
            actor: access::actor(request),
            caller: request.extensions().get().cloned(),
            trail: request.extensions().get().cloned(),
            request_id: id.map(|id| id.0.to_string()).unwrap_or_default(),
            once: request.extensions().get().cloned(),
            place: None,
        })
    }

    /// Holds `place` as long as anybody works at the change or its answer, whether or not the caller still waits.
    pub(super) fn hold(&mut self, place: Option<Place>) {
        self.place = place;
    }

    /// Takes `message`, if there is one, for the reason of the change.
    pub(super) fn explain(&mut self, message: Option<String>) {
        self.message = message.or_else(|| self.message.take());
    }

    /// Demands of the caller what only a part of those need who may make the request: what that is, its body says.
    ///
    /// # Errors
    /// When the caller may not do it to `upstream`.
    pub(super) fn demand(&self, need: Need, upstream: &str) -> Result<(), Problem> {
        if self.caller.as_ref().is_some_and(|caller| caller.0.may(need, Some(upstream))) {
            return Ok(());
        }
        if let Some(trail) = &self.trail {
            trail.refuse(access::SCOPE_MISSING);
        }
        Err(access::lacking(need, Some(upstream)))
    }

    /// Makes the change, or tries it, and answers what `render` makes of what came of it. The answer is made before the
    /// commit as well when it is stored with the change.
    ///
    /// # Errors
    /// Why the change was not made.
    pub(super) async fn apply<F>(&self, change: Change, render: F) -> Result<Response, Problem>
    where
        F: Fn(&Applied) -> Result<Answer, Problem> + Clone + Send + Sync + 'static,
    {
        let applied = self.make(change, render.clone()).await?;
        self.respond(render(&applied)?, &applied)
    }

    /// As [`Self::apply`], for answers that may be long: they are written apart from the threads that answer others.
    ///
    /// # Errors
    /// Why the change was not made.
    pub(super) async fn apply_whole<F>(&self, change: Change, render: F) -> Result<Response, Problem>
    where
        F: Fn(&Applied) -> Result<Answer, Problem> + Clone + Send + Sync + 'static,
    {
        let applied = self.make(change, render.clone()).await?;
        let (shown, place) = (applied.clone(), self.place.clone());
        let work = move || {
            let answer = render(&shown);
            drop(place);
            answer
        };
        let answer = aside(work).await??;
        self.respond(answer, &applied)
    }

    async fn make<F>(&self, change: Change, render: F) -> Result<Applied, Problem>
    where
        F: Fn(&Applied) -> Result<Answer, Problem> + Send + Sync + 'static,
    {
        let mut beside = catalog::Beside::default();
        if let Some(once) = &self.once {
            retry::remember(&mut beside, Arc::clone(once), render);
        }
        if let Some(trail) = self.trail.clone() {
            let preferences = self.preferences;
            beside.add(move |applied| vec![trail.changing(applied, preferences)]);
        }
        let request = catalog::Request {
            change,
            precondition: self.precondition.clone(),
            mode: self.mode,
            actor: self.actor.clone(),
            request_id: self.request_id.clone(),
            message: self.message.clone(),
            beside,
            held: self.place.clone().map(|place| Arc::new(place) as _),
        };
        let refused = |error| listeners::as_in_force(error, &self.api.flags);
        let applied = self.api.catalog.apply(request).await.map_err(refused)?;
        if self.mode == Mode::Commit {
            self.settle(&applied).await;
        }
        Ok(applied)
    }

    /// Waits until the listeners that were changed have been tried: whoever gets the answer can connect to them, or not any
    /// more.
    async fn settle(&self, applied: &Applied) {
        let (before, after) = (&applied.before.listeners, &applied.config.listeners);
        if changed(before, after).next().is_none() {
            return;
        }
        let mut settled = self.api.settled.clone();
        let revision = applied.config.revision;
        let tried = settled.wait_for(|tried| *tried >= revision);
        if timeout(SETTLE, tried).await.is_err() {
            tracing::warn!(%revision, "the listeners are not settled yet");
        }
    }

    fn respond(&self, answer: Answer, applied: &Applied) -> Result<Response, Problem> {
        if self.mode == Mode::Commit {
            return Ok(answer.response(self.preferences));
        }
        let mut response = answer.tried(applied)?.response(self.preferences);
        response.headers_mut().insert(DRY_RUN, HeaderValue::from_static("true"));
        // The revision of an answer is the one in force, which a trial leaves as it is.
        response.headers_mut().remove(REVISION);
        Ok(response)
    }
}
