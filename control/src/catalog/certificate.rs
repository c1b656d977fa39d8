//! Certificates as they are submitted.
//!
//! What Weir reads out of a certificate may be sent back with it, and counts for nothing: it follows from the certificate.

use serde_json::Value;
use weir_shared::{
    error::{FieldError, FieldErrorCode, Pointer},
    model::{Certificate, PrivateKey},
    tls,
};

use super::submitted::{Claims, META_FIELDS, Submitted};
use crate::strict;

/// What is read out of a certificate.
const OBSERVED: [&str; 10] = [
    "fingerprint",
    "subject",
    "issuer",
    "serial",
    "names",
    "key_type",
    "not_before",
    "not_after",
    "status",
    "used_by",
];

/// Reads a certificate. `id` is the name it gets when it has none.
///
/// # Errors
/// Every fault that can be told without knowing the present configuration.
pub fn certificate(value: Value, id: Option<&str>) -> Result<Submitted<Certificate>, Vec<FieldError>> {
    let mut errors = Vec::new();
    certificate_at(value, id, &Pointer::root(), &mut errors).ok_or(errors)
}

/// Reads the certificate at `at` in a larger document. Adds every fault to `errors`, and answers `None` when it has any.
pub(super) fn certificate_at(
    mut value: Value,
    id: Option<&str>,
    at: &Pointer,
    errors: &mut Vec<FieldError>,
) -> Option<Submitted<Certificate>> {
    let mut claims = Claims::default();
    claims.take(&mut value, &META_FIELDS, || at.clone(), None);
    let Some(fields) = value.as_object_mut() else {
        let detail = "a certificate is an object like {\"id\": \"site\", \"certificate\": \"-----BEGIN …\", \"private_key\": …}";
        errors.push(at.error(FieldErrorCode::InvalidType, detail));
        return None;
    };
    fields.retain(|name, _| !OBSERVED.contains(&name.as_str()));
    if !fields.contains_key("id") {
        match id {
            Some(id) => drop(fields.insert("id".to_owned(), id.into())),
            None => {
                let detail = "a certificate needs a name";
                errors.push(at.at("id").error(FieldErrorCode::Required, detail));
                return None;
            }
        }
    }
    let known = errors.len();
    let certificate = strict::read::<Certificate>(value, at, errors)?;
    tls::check(&certificate, at, errors);
    (errors.len() == known).then_some(Submitted { value: certificate, claims })
}

/// Takes the private key out of a merge patch, so that it is in nothing that may be shown.
///
/// # Errors
/// When it is no text.
pub fn take_key(patch: &mut Value) -> Result<Option<PrivateKey>, Vec<FieldError>> {
    let Some(key) = patch.as_object_mut().and_then(|fields| fields.remove("private_key")) else {
        return Ok(None);
    };
    match key {
        Value::String(text) => Ok(Some(PrivateKey::new(&text))),
        _ => {
            let detail = "a private key in PEM; there is none to go back to";
            Err(vec![Pointer::root().at("private_key").error(FieldErrorCode::InvalidType, detail)])
        }
    }
}
