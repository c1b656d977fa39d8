//! What a change is answered with: made from what came of the change, before it is committed, so that the very same answer
//! can be stored with it and given again.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use weir_shared::id::Revision;

use super::{
    prefer::{self, Preferences, Returning},
    problem::{Code, Problem},
    reply,
    trial::Tried,
    view,
};
use crate::{
    catalog::{Applied, change::Effect, precondition},
    error::Target,
};

/// The answer to a change that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Answer {
    status: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    location: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
    revision: Revision,
    /// JSON; `None` when there is nothing to show, or when it was too large to be kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    /// Whether the body shows what was made different already.
    #[serde(skip)]
    has_diff: bool,
}

impl Answer {
    /// An answer that shows `value`, with `status`.
    ///
    /// # Errors
    /// When `value` cannot be written.
    pub(super) fn shows<T: Serialize>(
        applied: &Applied,
        status: StatusCode,
        value: &T,
    ) -> Result<Self, Problem> {
        Ok(Self { status: status.as_u16(), body: Some(written(value)?), ..Self::empty(applied) })
    }

    /// The answer to a change of the resource `target`, shown as `view` and last touched by `revision`: 201 with its place
    /// when it is new.
    ///
    /// # Errors
    /// When `view` cannot be written.
    pub(super) fn resource<T: Serialize>(
        applied: &Applied,
        target: &Target,
        revision: Revision,
        view: &T,
    ) -> Result<Self, Problem> {
        let is_new = applied.outcome.effect == Effect::Created;
        let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
        let answer = Self::shows(applied, status, view)?.tagged(revision, applied);
        Ok(if is_new { Self { location: Some(view::location(target)), ..answer } } else { answer })
    }

    /// An answer that has nothing to show.
    pub(super) fn empty(applied: &Applied) -> Self {
        let status = StatusCode::NO_CONTENT.as_u16();
        Self {
            status,
            location: None,
            etag: None,
            revision: applied.config.revision,
            body: None,
            has_diff: false,
        }
    }

    /// The same, naming where to look on.
    #[must_use]
    pub(super) fn see(self, location: String) -> Self {
        Self { location: Some(location), ..self }
    }

    /// The same with the tag of what it shows, which was last touched by `revision`.
    #[must_use]
    pub(super) fn tagged(self, revision: Revision, applied: &Applied) -> Self {
        let tag = format!("\"{}\"", precondition::tag(revision, &applied.config.epoch));
        Self { etag: Some(tag), ..self }
    }

    /// The same, of which the body shows already what was made different.
    #[must_use]
    pub(super) fn with_diff(self) -> Self {
        Self { has_diff: true, ..self }
    }

    /// The revision it speaks of.
    pub(super) fn revision(&self) -> Revision {
        self.revision
    }

    /// The same without the body if that has more than `most` bytes.
    #[must_use]
    pub(super) fn within(self, most: usize) -> Self {
        Self { body: self.body.filter(|body| body.len() <= most), ..self }
    }

    /// The same as for a change that was only tried: what it would make different is shown as well, and there is no
    /// tag, because there is nothing to tag.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn tried(self, applied: &Applied) -> Result<Self, Problem> {
        if self.has_diff {
            return Ok(Self { etag: None, ..self });
        }
        let shown = self.body.as_deref().map(serde_json::from_str::<Map<String, Value>>);
        let shown = shown.and_then(Result::ok);
        let status = if shown.is_some() { self.status } else { StatusCode::OK.as_u16() };
        let body = written(&Tried::new(&shown.unwrap_or_default(), applied))?;
        Ok(Self { status, etag: None, body: Some(body), ..self })
    }

    /// As HTTP, showing as much as is preferred and there.
    pub(super) fn response(self, preferences: Preferences) -> Response {
        let body = self.body.filter(|_| !preferences.is_minimal());
        let mut status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::OK);
        if body.is_none() && status == StatusCode::OK {
            status = StatusCode::NO_CONTENT;
        }
        let shown = if body.is_some() { Returning::Representation } else { Returning::Minimal };
        let mut response = status.into_response();
        let fields = response.headers_mut();
        reply::set(fields, reply::REVISION, &self.revision.to_string());
        for (name, value) in [
            (header::LOCATION, self.location),
            (header::ETAG, self.etag),
            (prefer::APPLIED, preferences.applied(shown)),
        ] {
            if let Some(value) = value {
                reply::set(fields, name, &value);
            }
        }
        if let Some(body) = body {
            fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            *response.body_mut() = Body::from(body);
        }
        response
    }
}

fn written<T: Serialize>(value: &T) -> Result<String, Problem> {
    serde_json::to_string(value).map_err(|error| {
        tracing::error!(%error, "an answer cannot be written");
        Problem::new(Code::Internal, "The answer cannot be written.")
    })
}
