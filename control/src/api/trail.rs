//! What the audit will say of a request, gathered on its way.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering},
};

use axum::extract::Request;
use http::{Method, StatusCode, Uri};
use serde_json::Value;
use weir_shared::{id::Revision, time::Now};

use super::{access, envelope::RequestId, prefer::Preferences, trial_document::MAX_MESSAGE};
use crate::{
    access::{principal::Who, token},
    audit::{Actor, Caller, Entry},
    catalog::{Applied, change::Effect},
    clock::Clock,
    store::RecordOp,
};

/// Longest part of a path that is written down, in characters.
const MAX_PATH: usize = 512;

/// One request, as the audit sees it.
#[derive(Debug)]
pub(super) struct Trail {
    clock: Clock,
    begun: Now,
    request_id: Arc<str>,
    remote: String,
    /// The caller's machine.
    machine: String,
    method: Method,
    path: String,
    message: Option<String>,
    dry_run: bool,
    who: OnceLock<Who>,
    reason: OnceLock<&'static str>,
    /// Whether the record is in the transaction of the change.
    is_recorded: AtomicBool,
}

impl Trail {
    /// The trail of `request`.
    pub(super) fn of(request: &Request, id: &RequestId, clock: Clock) -> Arc<Self> {
        let peer = access::peer(request);
        let path: String = token::redact(request.uri().path()).chars().take(MAX_PATH).collect();
        Arc::new(Self {
            clock,
            begun: clock.now(),
            request_id: Arc::clone(&id.0),
            remote: peer.to_string(),
            machine: access::remote(&peer),
            method: request.method().clone(),
            path,
            message: parameter(request.uri(), "message").map(|text| token::redact(&text)),
            dry_run: parameter(request.uri(), "dry_run").is_some_and(|word| word != "false" && word != "0"),
            who: OnceLock::new(),
            reason: OnceLock::new(),
            is_recorded: AtomicBool::new(false),
        })
    }

    /// Notes who makes the request.
    pub(super) fn know(&self, who: &Who) {
        self.who.get_or_init(|| who.clone());
    }

    /// Notes why the request is refused.
    pub(super) fn refuse(&self, reason: &'static str) {
        self.reason.get_or_init(|| reason);
    }

    /// Who makes the request, for counting.
    pub(super) fn caller(&self) -> Caller {
        match self.who.get().unwrap_or(&Who::Anybody) {
            Who::Anybody => Caller::Stranger(self.machine.clone()),
            known => Caller::Known(known.to_string()),
        }
    }

    /// The step that records the request in the transaction of the change it makes.
    pub(super) fn changing(&self, applied: &Applied, preferences: Preferences) -> RecordOp {
        let status = match applied.outcome.effect {
            _ if applied.drain.is_some() => StatusCode::ACCEPTED,
            Effect::Created => StatusCode::CREATED,
            Effect::Deleted => StatusCode::NO_CONTENT,
            Effect::Changed | Effect::Unchanged if preferences.is_minimal() => StatusCode::NO_CONTENT,
            Effect::Changed | Effect::Unchanged => StatusCode::OK,
        };
        let changes = serde_json::to_value(&*applied.changes).ok();
        let revisions = (applied.before.revision, applied.config.revision);
        self.recorded(self.entry(status, None, revisions, changes))
    }

    /// The step that records the request in the transaction of a change beside the configuration.
    pub(super) fn changing_beside(&self, status: StatusCode, revision: Revision, changes: Value) -> RecordOp {
        self.recorded(self.entry(status, None, (revision, revision), Some(changes)))
    }

    fn recorded(&self, entry: Entry) -> RecordOp {
        self.is_recorded.store(true, Ordering::Relaxed);
        entry.put()
    }

    /// The record of the request, which was answered `status`, unless it is written already or not worth one: a read that
    /// was let through.
    pub(super) fn end(&self, status: StatusCode, code: Option<&str>, revision: Revision) -> Option<Entry> {
        let is_refusal = status.is_client_error() || status.is_server_error();
        let is_written = !is_refusal && self.is_recorded.load(Ordering::Relaxed);
        let is_flood = status == StatusCode::TOO_MANY_REQUESTS;
        let matters = !self.method.is_safe() || self.reason.get().is_some() || is_flood;
        (matters && !is_written)
            .then(|| self.entry(status, code.map(str::to_owned), (revision, revision), None))
    }

    fn entry(
        &self,
        status: StatusCode,
        code: Option<String>,
        (revision_before, revision_after): (Revision, Revision),
        changes: Option<Value>,
    ) -> Entry {
        let who = self.who.get().unwrap_or(&Who::Anybody);
        let taken = self.clock.now().moment.since(self.begun.moment);
        Entry {
            at: self.begun.wall,
            request_id: self.request_id.to_string(),
            actor: Actor { kind: who.kind().to_owned(), id: who.id() },
            remote: self.remote.clone(),
            method: self.method.to_string(),
            path: self.path.clone(),
            status: status.as_u16(),
            code,
            reason: self.reason.get().map(|reason| (*reason).to_owned()),
            revision_before,
            revision_after,
            dry_run: self.dry_run,
            message: self.message.clone(),
            changes,
            duration_ms: u64::try_from(taken.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// The value of the query parameter `name`, as far as it is worth writing down.
fn parameter(uri: &Uri, name: &str) -> Option<String> {
    let query = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(uri).ok()?;
    let value = query.0.into_iter().find_map(|(given, value)| (given == name).then_some(value));
    value.map(|value| value.chars().take(MAX_MESSAGE).collect())
}
