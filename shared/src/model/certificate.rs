//! Certificates: what Weir proves itself with, and whom it believes.
//!
//! A private key goes in and never comes out: it is written nowhere by serde, and shown nowhere by `Debug`. Only the store and
//! the copy of the last good configuration ask for it by name ([`PrivateKey::expose`]).

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;

use super::check;
use crate::error::{FieldError, FieldErrorCode, Pointer};

/// Most certificates in one configuration.
pub const MAX_CERTIFICATES: usize = 10_000;
/// Largest PEM text of a chain, or of a key, in bytes.
const MAX_IDENTITY_BYTES: usize = 64 * 1024;
/// Largest PEM text of a bundle, in bytes.
const MAX_BUNDLE_BYTES: usize = 1024 * 1024;

/// What a certificate is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CertificateKind {
    /// Weir proves with it who it is, to clients or to servers. It has a private key.
    #[default]
    Identity,
    /// Weir believes whoever shows a certificate that one of these has signed.
    Ca,
}

/// A certificate with its chain and private key, or a bundle of those that sign others.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Certificate {
    /// Unique name, immutable.
    #[schema(pattern = "^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$", min_length = 1, max_length = 63)]
    pub id: String,
    /// Free text, at most 1024 characters.
    #[schema(max_length = 1024)]
    pub description: String,
    /// At most 32 pairs; keys up to 63, values up to 255 characters.
    pub labels: BTreeMap<String, String>,
    /// `identity` or `ca`. Default `identity`.
    pub kind: CertificateKind,
    /// In PEM: the certificate and then those that sign it, each the one before, up to 64 KiB. Of kind `ca`: any number of
    /// certificates in any order, up to 1 MiB.
    #[schema(min_length = 1, max_length = 1_048_576)]
    pub certificate: String,
    /// The private key in PEM (PKCS #8, PKCS #1 or SEC 1), not encrypted: RSA of 2048 to 8192 bits, ECDSA over P-256 or P-384, or
    /// Ed25519. Never shown. Left out: the key there is, if it is that of the certificate. None of kind `ca`.
    #[serde(skip_serializing_if = "hidden")]
    #[schema(value_type = Option<String>, nullable, write_only, max_length = 65_536)]
    pub private_key: Option<PrivateKey>,
}

/// A private key is never written, whatever it is.
fn hidden(_: &Option<PrivateKey>) -> bool {
    true
}

/// A private key in PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct PrivateKey(Arc<str>);

impl PrivateKey {
    /// Takes `text` for a private key, unchecked.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The key itself. For those who keep it, and for whoever signs with it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(…)")
    }
}

/// As nothing.
impl Serialize for PrivateKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_none()
    }
}

impl<'de> Deserialize<'de> for PrivateKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(text.into()))
    }
}

/// Checks what can be told of a certificate without reading it.
pub fn check(certificate: &Certificate, at: &Pointer, errors: &mut Vec<FieldError>) {
    check::check_id(&certificate.id, &at.at("id"), errors);
    check::description(&certificate.description, &at.at("description"), errors);
    check::labels(&certificate.labels, &at.at("labels"), errors);
    let most = match certificate.kind {
        CertificateKind::Identity => MAX_IDENTITY_BYTES,
        CertificateKind::Ca => MAX_BUNDLE_BYTES,
    };
    if certificate.certificate.is_empty() {
        let detail = "a certificate in PEM, beginning with -----BEGIN CERTIFICATE-----";
        errors.push(at.at("certificate").error(FieldErrorCode::Required, detail));
    } else if certificate.certificate.len() > most {
        errors.push(
            at.at("certificate").error(FieldErrorCode::OutOfRange, format!("at most {} KiB", most / 1024)),
        );
    }
    match &certificate.private_key {
        Some(_) if certificate.kind == CertificateKind::Ca => {
            let detail =
                "certificates of kind \"ca\" are only believed, and need no private key: leave it out";
            errors.push(at.at("private_key").error(FieldErrorCode::InvalidValue, detail));
        }
        Some(key) if key.expose().len() > MAX_IDENTITY_BYTES => {
            let detail = format!("at most {} KiB", MAX_IDENTITY_BYTES / 1024);
            errors.push(at.at("private_key").error(FieldErrorCode::OutOfRange, detail));
        }
        Some(_) | None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_key_is_read_and_never_written() {
        let text = r#"{"id": "site", "certificate": "c", "private_key": "secret"}"#;
        let certificate: Certificate = serde_json::from_str(text).unwrap();
        let key = certificate.private_key.clone().unwrap();
        assert_eq!(key.expose(), "secret");
        let written = serde_json::to_string(&certificate).unwrap();
        assert!(!written.contains("secret") && !written.contains("private_key"), "{written}");
        assert!(!format!("{certificate:?}").contains("secret"));
        assert_eq!(serde_json::to_string(&key).unwrap(), "null");
    }

    #[test]
    fn what_can_be_told_without_reading_is_told() {
        let told = |certificate: &Certificate| {
            let mut errors = Vec::new();
            check(certificate, &Pointer::root(), &mut errors);
            errors.into_iter().map(|error| error.pointer).collect::<Vec<_>>()
        };
        assert_eq!(told(&Certificate::default()), ["#/id", "#/certificate"]);
        let bundle = Certificate {
            id: "ca".into(),
            kind: CertificateKind::Ca,
            certificate: "c".into(),
            private_key: Some(PrivateKey::new("k")),
            ..Certificate::default()
        };
        assert_eq!(told(&bundle), ["#/private_key"]);
        let large = Certificate {
            id: "site".into(),
            certificate: "c".repeat(70_000),
            private_key: Some(PrivateKey::new(&"k".repeat(70_000))),
            ..Certificate::default()
        };
        assert_eq!(told(&large), ["#/certificate", "#/private_key"]);
    }
}
