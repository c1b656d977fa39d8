//! Plans for certificates.

use serde_json::Value;
use weir_shared::{
    error::{FieldError, FieldErrorCode, Pointer},
    model::{Certificate, CertificateKind, CertificateRecord, Config, PrivateKey},
    tls,
};

use super::{Plan, Scene, none_or_invalid, planned};
use crate::{
    catalog::{certificate, change::Effect, merge, submitted::Submitted},
    error::{CatalogError, Target},
};

pub(super) fn create(scene: &Scene<'_>, submitted: &Submitted<Certificate>) -> Result<Plan, CatalogError> {
    let id = &submitted.value.id;
    scene.demand_place(Target::Certificates, Some(scene.config.revision))?;
    if scene.config.certificates.contains_key(id.as_str()) {
        let detail = format!("there is a certificate \"{id}\" already: PUT or PATCH it to change it");
        return Err(scene.exists(Target::Certificate(id.clone()), detail, Vec::new()));
    }
    make(scene, None, submitted)
}

pub(super) fn put(
    scene: &Scene<'_>,
    id: &str,
    submitted: &Submitted<Certificate>,
) -> Result<Plan, CatalogError> {
    let present = scene.config.certificates.get(id).map(AsRef::as_ref);
    scene.demand(Target::Certificate(id.to_owned()), present.map(|record| record.meta.revision))?;
    if submitted.value.id != id {
        return Err(CatalogError::Invalid(vec![immutable_id(id)]));
    }
    make(scene, present, submitted)
}

pub(super) fn patch(
    scene: &Scene<'_>,
    id: &str,
    patch: &Value,
    key: Option<&PrivateKey>,
) -> Result<Plan, CatalogError> {
    let before = find(scene.config, id)?;
    scene.demand(Target::Certificate(id.to_owned()), Some(before.meta.revision))?;
    let mut errors = Vec::new();
    let mut document = serde_json::to_value(&before.spec).unwrap_or_default();
    merge::unknown_nulls(patch, &document, &Pointer::root(), &mut errors);
    merge::apply(&mut document, patch.clone());
    let mut submitted = certificate::certificate(document, Some(id)).map_err(|found| {
        errors.extend(found);
        CatalogError::Invalid(std::mem::take(&mut errors))
    })?;
    none_or_invalid(errors)?;
    if submitted.value.id != id {
        return Err(CatalogError::Invalid(vec![immutable_id(id)]));
    }
    if let Some(key) = key {
        submitted.value.private_key = Some(key.clone());
        let mut errors = Vec::new();
        tls::check(&submitted.value, &Pointer::root(), &mut errors);
        none_or_invalid(errors)?;
    }
    make(scene, Some(before), &submitted)
}

pub(super) fn delete(scene: &Scene<'_>, id: &str) -> Result<Plan, CatalogError> {
    let before = find(scene.config, id)?;
    scene.demand(Target::Certificate(id.to_owned()), Some(before.meta.revision))?;
    let users = scene.config.certificate_users().filter(|(_, names)| names.contains(&id));
    let users: Vec<String> = users.map(|(user, _)| user).collect();
    if !users.is_empty() {
        return Err(CatalogError::CertificateInUse { certificate: id.to_owned(), users });
    }
    let mut draft = scene.draft();
    draft.delete_certificate(id);
    Ok(planned(draft, Effect::Deleted, "", Vec::new()))
}

/// Makes the certificate what was submitted, in place of `before`.
fn make(
    scene: &Scene<'_>,
    before: Option<&CertificateRecord>,
    submitted: &Submitted<Certificate>,
) -> Result<Plan, CatalogError> {
    let mut errors = Vec::new();
    submitted.claims.check(|_| before.map(|before| &before.meta), &[], &mut errors);
    let wanted = with_key(before, &submitted.value, &Pointer::root(), &mut errors);
    none_or_invalid(errors)?;
    let mut draft = scene.draft();
    draft.set_certificate(wanted);
    if draft.is_untouched() {
        return Ok(scene.unchanged("", Vec::new()));
    }
    let effect = if before.is_some() { Effect::Changed } else { Effect::Created };
    Ok(planned(draft, effect, "", Vec::new()))
}

/// `wanted` with a private key: its own, or else the one that is there, if it fits. Adds an error when there is none.
pub(super) fn with_key(
    before: Option<&CertificateRecord>,
    wanted: &Certificate,
    at: &Pointer,
    errors: &mut Vec<FieldError>,
) -> Certificate {
    let mut wanted = wanted.clone();
    if wanted.kind == CertificateKind::Identity && wanted.private_key.is_none() {
        let present = before.and_then(|before| before.spec.private_key.clone());
        wanted.private_key = present.filter(|key| tls::key_fits(&wanted, key));
        if wanted.private_key.is_none() {
            let detail = match before {
                Some(_) => "the key that is there does not fit this certificate: give the one that does",
                None => "the private key of the certificate, in PEM; what is exported does not hold it",
            };
            errors.push(at.at("private_key").error(FieldErrorCode::Required, detail));
        }
    }
    wanted
}

fn find<'a>(config: &'a Config, id: &str) -> Result<&'a CertificateRecord, CatalogError> {
    let missing = || CatalogError::NotFound(format!("certificate \"{id}\""));
    config.certificates.get(id).map(AsRef::as_ref).ok_or_else(missing)
}

fn immutable_id(id: &str) -> FieldError {
    let detail = format!("the id is \"{id}\", as in the path, and never changes");
    Pointer::root().at("id").error(FieldErrorCode::Immutable, detail)
}
