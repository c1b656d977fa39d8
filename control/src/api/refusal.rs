//! Why a change was not made, as a problem document.

use serde_json::{Value, json};
use weir_shared::{id::Revision, model::Config};

use super::{
    problem::{Code, Problem, sentence},
    view,
};
use crate::{
    catalog::precondition::tag,
    error::{CatalogError, Loss, Target},
};

impl From<CatalogError> for Problem {
    fn from(error: CatalogError) -> Self {
        let said = sentence(&error.to_string());
        match error {
            CatalogError::NotFound(_) => Self::new(Code::NotFound, said),
            CatalogError::Exists { existing, config, detail: _, errors } => {
                let problem = Self::new(Code::Exists, said).with("existing", view::location(&existing));
                etag(problem, "existing_etag", &existing, &config).faults(errors)
            }
            CatalogError::InUse { upstream, routes } => {
                let detail = format!(
                    "The upstream \"{upstream}\" gets requests from {} route(s). Repeat the request with \
                     ?cascade=true to unbind them; they then answer 503.",
                    routes.len()
                );
                Self::new(Code::InUse, detail).with("routes", routes)
            }
            CatalogError::InUseByListeners { upstream, listeners } => {
                let detail = format!(
                    "The connections of {} listener(s) go to the upstream \"{upstream}\": delete those first, or give them \
                     another upstream.",
                    listeners.len()
                );
                Self::new(Code::InUse, detail).with("listeners", listeners)
            }
            CatalogError::OwnListener => {
                let detail = "The listener \"default\" is the one that the process was started with (--listen): it cannot be \
                              deleted.";
                Self::new(Code::InUse, detail)
            }
            CatalogError::CertificateInUse { certificate, users } => certificate_in_use(&certificate, users),
            CatalogError::DrainUnderWay(drain) => {
                let drain = serde_json::to_value(&*drain).unwrap_or_default();
                Self::new(Code::DrainUnderWay, said).with("drain", drain)
            }
            CatalogError::PreconditionFailed { current, config } => {
                let problem = Self::new(
                    Code::EtagMismatch,
                    "The resource is not in the state the request names; nothing was changed.",
                );
                let Some(current) = current else { return problem };
                etag(problem, "current_etag", &current, &config)
                    .with("current", view::current(&current, &config))
            }
            CatalogError::PreconditionRequired { current, config } => {
                let detail = "If-Match is required here: name the state you know; nothing was changed.";
                let problem = Self::new(Code::IfMatchRequired, detail);
                etag(problem, "current_etag", &current, &config)
            }
            CatalogError::LargeChange { revision, losses } => large_change(revision, &losses),
            CatalogError::RevisionGone(_) => Self::new(Code::RevisionGone, said),
            CatalogError::Unreadable(_) => Self::new(Code::StoreUnavailable, said),
            CatalogError::Invalid(errors) => Self::from(errors),
            CatalogError::Unavailable(detail) => {
                let detail = format!("Nothing was changed: {detail}.");
                Self::new(Code::StoreUnavailable, detail).field(http::header::RETRY_AFTER, "10")
            }
            CatalogError::Contention => {
                Self::new(Code::CommitContention, said).field(http::header::RETRY_AFTER, "1")
            }
            CatalogError::Unknown(_) => Self::new(Code::CommitUnknown, said),
        }
    }
}

/// `problem` with the tag of `target` as `name`, if it is there.
fn etag(problem: Problem, name: &str, target: &Target, config: &Config) -> Problem {
    match view::revision(target, config) {
        Some(revision) => problem.with(name, format!("\"{}\"", tag(revision, &config.epoch))),
        None => problem,
    }
}

/// Upstreams named in one answer; there may be thousands.
pub(super) const MAX_NAMED: usize = 100;

fn certificate_in_use(certificate: &str, users: Vec<String>) -> Problem {
    let detail = format!(
        "The certificate \"{certificate}\" is named by {}: name another one there first.",
        users.iter().take(3).cloned().collect::<Vec<_>>().join(", ")
    );
    let named: Vec<String> = users.into_iter().take(MAX_NAMED).collect();
    Problem::new(Code::InUse, detail).with("used_by", named)
}

fn large_change(revision: Revision, losses: &[Loss]) -> Problem {
    let named = losses.iter().take(MAX_NAMED);
    let named: Vec<Value> = named
        .map(|Loss { upstream, removed, of }| json!({"upstream": upstream, "removed": removed, "of": of}))
        .collect();
    let more = if losses.len() > 1 { " and more" } else { "" };
    let first = losses.first();
    let first =
        first.map(|Loss { upstream, removed, of }| format!("{removed} of {of} servers of \"{upstream}\""));
    let detail = format!(
        "The change would remove {}{more}; nothing was changed. If it is meant, repeat the request with \
         ?confirm={revision}.",
        first.unwrap_or_default()
    );
    Problem::new(Code::LargeChange, detail).with("losses", named).with("confirm", revision.0)
}
