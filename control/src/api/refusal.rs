//! Why a change was not made, as a problem document.

use super::{
    problem::{Code, Problem, sentence},
    view,
};
use crate::{catalog::precondition::tag, error::CatalogError};

impl From<CatalogError> for Problem {
    fn from(error: CatalogError) -> Self {
        let said = sentence(&error.to_string());
        match error {
            CatalogError::NotFound(_) => Self::new(Code::NotFound, said),
            CatalogError::Exists { existing, config, detail: _, errors } => {
                let problem = Self::new(Code::Exists, said).with("existing", view::location(&existing));
                let problem = match view::revision(&existing, &config) {
                    Some(revision) => {
                        problem.with("existing_etag", format!("\"{}\"", tag(revision, &config.epoch)))
                    }
                    None => problem,
                };
                problem.faults(errors)
            }
            CatalogError::InUse { upstream, routes } => {
                let detail = format!(
                    "The upstream \"{upstream}\" gets requests from {} route(s). Repeat the request with \
                     ?cascade=true to unbind them; they then answer 503.",
                    routes.len()
                );
                Self::new(Code::InUse, detail).with("routes", routes)
            }
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
                let problem = match view::revision(&current, &config) {
                    Some(revision) => {
                        problem.with("current_etag", format!("\"{}\"", tag(revision, &config.epoch)))
                    }
                    None => problem,
                };
                problem.with("current", view::current(&current, &config))
            }
            CatalogError::PreconditionRequired { current, config } => {
                let detail = "If-Match is required here: name the state you know; nothing was changed.";
                let problem = Self::new(Code::IfMatchRequired, detail);
                match view::revision(&current, &config) {
                    Some(revision) => {
                        problem.with("current_etag", format!("\"{}\"", tag(revision, &config.epoch)))
                    }
                    None => problem,
                }
            }
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
