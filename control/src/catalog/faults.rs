//! Faults of the whole configuration, as faults of what was submitted.

use weir_shared::error::{FieldError, Invalid, Pointer};

use super::change::Change;
use crate::{error::CatalogError, strict};

/// Faults found in the whole configuration, pointed at in what was submitted. The plan has found all that lie in one
/// resource, so that these are limits of the whole, or what this release refuses of an earlier configuration.
pub(super) fn relative_to(change: &Change, Invalid(errors): Invalid) -> CatalogError {
    let prefix = match change {
        Change::RollBack { to, .. } => {
            let told = |FieldError { pointer, code, detail, .. }: FieldError| {
                let detail = format!("this release refuses revision {to}: at {pointer}: {detail}");
                Pointer::root().at("to").error(code, detail)
            };
            return CatalogError::Invalid(errors.into_iter().take(strict::MAX_ERRORS).map(told).collect());
        }
        Change::CreateUpstream { upstream, .. } => format!("#/upstreams/{}", upstream.value.id),
        Change::PutUpstream { id, .. } | Change::PatchUpstream { id, .. } => format!("#/upstreams/{id}"),
        Change::CreateListener { listener } => format!("#/listeners/{}", listener.value.id),
        Change::PutListener { id, .. } | Change::PatchListener { id, .. } => format!("#/listeners/{id}"),
        Change::CreateCertificate { certificate } => format!("#/certificates/{}", certificate.value.id),
        Change::PutCertificate { id, .. } | Change::PatchCertificate { id, .. } => {
            format!("#/certificates/{id}")
        }
        Change::CreateRoute { route } => format!("#/routes/{}", route.value.id),
        Change::PutRoute { id, .. } | Change::PatchRoute { id, .. } => format!("#/routes/{id}"),
        Change::DeleteUpstream { .. }
        | Change::DeleteListener { .. }
        | Change::DeleteRoute { .. }
        | Change::AddServers { .. }
        | Change::PutServer { .. }
        | Change::PatchServer { .. }
        | Change::DeleteServer { .. }
        | Change::DeleteCertificate { .. }
        | Change::StartDrain(_)
        | Change::CancelDrain { .. }
        | Change::EndDrain { .. }
        | Change::PutConfig { .. } => String::new(),
    };
    let relative = |error: FieldError| {
        let rest = error.pointer.strip_prefix(&prefix).filter(|rest| rest.starts_with('/'));
        let pointer = match rest {
            Some(rest) if !prefix.is_empty() => format!("#{rest}"),
            Some(_) | None => "#".to_owned(),
        };
        FieldError { pointer, ..error }
    };
    CatalogError::Invalid(errors.into_iter().map(relative).collect())
}
