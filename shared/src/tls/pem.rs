//! Certificates and keys out of PEM (RFC 7468). What is wrong is told without repeating any of it.

use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

/// What every private key's label ends with.
const KEY_LABEL: &str = "PRIVATE KEY-----";

/// The certificates in `text`, at least one and at most `most`.
///
/// # Errors
/// What is wrong, for a person.
pub(super) fn certificates(text: &str, most: usize) -> Result<Vec<CertificateDer<'static>>, String> {
    if text.contains(KEY_LABEL) {
        return Err(
            "there is a private key in it, which everybody could read here: it belongs in private_key".into(),
        );
    }
    let mut found = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(text.as_bytes()) {
        found.push(certificate.map_err(|_| "not valid PEM")?);
        if found.len() > most {
            return Err(format!("more than {most} certificates"));
        }
    }
    if found.is_empty() {
        return Err("not PEM: it has no -----BEGIN CERTIFICATE-----".into());
    }
    Ok(found)
}

/// The private key in `text`.
///
/// # Errors
/// What is wrong, for a person.
pub(super) fn key(text: &str) -> Result<PrivateKeyDer<'static>, &'static str> {
    if text.contains("ENCRYPTED") {
        return Err("the key is encrypted: decrypt it first, with openssl pkey for one");
    }
    if !text.contains(KEY_LABEL) {
        return Err("not a private key in PEM: it has no -----BEGIN PRIVATE KEY-----");
    }
    PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| "not valid PEM")
}
