//! `?dry_run=true` on every change: what a trial is answered.

use serde::Serialize;
use utoipa::ToSchema;

use crate::catalog::{
    Applied,
    diff::{Difference, diff},
};

/// An answer with what the change would make different.
#[derive(Debug, Serialize)]
pub(super) struct Tried<'a, T> {
    #[serde(flatten)]
    answer: &'a T,
    diff: Vec<Difference>,
}

impl<'a, T> Tried<'a, T> {
    /// `answer`, and the differences `applied` would make.
    pub(super) fn new(answer: &'a T, applied: &Applied) -> Self {
        Self { answer, diff: diff(&applied.before, &applied.config) }
    }
}

/// What the trial of a deletion is answered, which has nothing else to show.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "only its schema is used")]
#[schema(as = DryRun, example = json!({
    "diff": [{"op": "remove", "path": "/upstreams/web/servers/10.0.0.7-8080",
              "old": {"id": "10.0.0.7-8080", "address": "10.0.0.7:8080", "weight": 1}}]
}))]
pub(super) struct Trial {
    /// Everything the change would make different.
    diff: Vec<Difference>,
}
