//! A certificate as handshakes need it: read once, when it is put in force.

use std::{fmt, sync::Arc, time::Duration};

use rustls::{Error, RootCertStore, crypto::ring::sign, pki_types::CertificateDer, sign::CertifiedKey};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Facts, pem};
use crate::{
    error::{FieldError, FieldErrorCode, Pointer},
    id::CertificateId,
    model::{self, CertificateKind, CertificateRecord, PrivateKey},
    time::Timestamp,
};

/// Longest chain, the certificate itself included.
const MAX_CHAIN: usize = 16;
/// Most certificates in a bundle.
const MAX_BUNDLE: usize = 1000;
/// How long before its end a certificate is called expiring.
pub const EXPIRING: Duration = Duration::from_secs(30 * 24 * 3600);

/// Whether a certificate can be used at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CertificateStatus {
    /// It can, and for more than 30 days from now.
    Ok,
    /// It can, and for 30 days at most.
    Expiring,
    /// It could.
    Expired,
    /// It cannot yet.
    NotYetValid,
}

impl CertificateStatus {
    /// The state as a word, as in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Expiring => "expiring",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
        }
    }

    /// The status `now` of what is valid from `not_before` until `not_after`.
    #[must_use]
    pub fn of(not_before: Timestamp, not_after: Timestamp, now: Timestamp) -> Self {
        if now > not_after {
            Self::Expired
        } else if now < not_before {
            Self::NotYetValid
        } else if now.plus(EXPIRING) >= not_after {
            Self::Expiring
        } else {
            Self::Ok
        }
    }
}

/// A certificate that was read and is sound.
pub struct Certificate {
    /// Its name.
    pub id: CertificateId,
    /// What it was read from.
    pub record: Arc<CertificateRecord>,
    /// What it says. Of a bundle: what its first certificate says, with the time from the first to begin to the last to end.
    pub facts: Facts,
    content: Content,
}

enum Content {
    Identity(Arc<CertifiedKey>),
    Ca(Arc<RootCertStore>),
}

/// Without the key, whatever the library would show of it.
impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("id", &self.id)
            .field("fingerprint", &self.facts.fingerprint)
            .finish_non_exhaustive()
    }
}

impl Certificate {
    /// Reads `record`, found at `at`; `None` when that added to `errors`.
    pub fn compile(
        id: &CertificateId,
        record: &Arc<CertificateRecord>,
        at: &Pointer,
        errors: &mut Vec<FieldError>,
    ) -> Option<Self> {
        let found = errors.len();
        model::check_certificate(&record.spec, at, errors);
        if errors.len() > found {
            return None;
        }
        let (facts, content) = load(&record.spec, at, errors)?;
        Some(Self { id: id.clone(), record: Arc::clone(record), facts, content })
    }

    /// The chain and the key that signs, of one of kind `identity`.
    pub(super) fn identity(&self) -> Option<&Arc<CertifiedKey>> {
        match &self.content {
            Content::Identity(key) => Some(key),
            Content::Ca(_) => None,
        }
    }

    /// Whom to believe, of one of kind `ca`.
    pub(super) fn roots(&self) -> Option<&Arc<RootCertStore>> {
        match &self.content {
            Content::Ca(roots) => Some(roots),
            Content::Identity(_) => None,
        }
    }

    /// Whether it can be used `now`.
    #[must_use]
    pub fn status(&self, now: Timestamp) -> CertificateStatus {
        CertificateStatus::of(self.facts.not_before, self.facts.not_after, now)
    }
}

/// Checks `certificate`, found at `at`, as far as it goes: a private key that is left out may be known elsewhere.
pub fn check(certificate: &model::Certificate, at: &Pointer, errors: &mut Vec<FieldError>) {
    let found = errors.len();
    model::check_certificate(certificate, at, errors);
    if errors.len() > found {
        return;
    }
    if certificate.kind == CertificateKind::Identity && certificate.private_key.is_none() {
        let read = facts(certificate, &mut Vec::new());
        errors.extend(
            read.err().map(|detail| at.at("certificate").error(FieldErrorCode::InvalidValue, detail)),
        );
    } else {
        load(certificate, at, errors);
    }
}

/// What `certificate`, which was found sound, says.
#[must_use]
pub fn read(certificate: &model::Certificate) -> Option<Facts> {
    facts(certificate, &mut Vec::new()).ok()
}

/// Whether `key` is that of `certificate`.
#[must_use]
pub fn key_fits(certificate: &model::Certificate, key: &PrivateKey) -> bool {
    let chain = pem::certificates(&certificate.certificate, MAX_CHAIN);
    chain.is_ok_and(|chain| certified(chain, key).is_ok())
}

fn load(
    certificate: &model::Certificate,
    at: &Pointer,
    errors: &mut Vec<FieldError>,
) -> Option<(Facts, Content)> {
    let mut chain = Vec::new();
    let read = facts(certificate, &mut chain).map_err(|detail| {
        errors.push(at.at("certificate").error(FieldErrorCode::InvalidValue, detail));
    });
    match certificate.kind {
        CertificateKind::Ca => {
            let roots = roots(chain, at, errors);
            Some((read.ok()?, Content::Ca(roots?)))
        }
        CertificateKind::Identity => {
            let at = at.at("private_key");
            let Some(key) = &certificate.private_key else {
                let detail = "the private key of the certificate, in PEM";
                errors.push(at.error(FieldErrorCode::Required, detail));
                return None;
            };
            let read = read.ok()?;
            let certified = certified(chain, key)
                .map_err(|detail| errors.push(at.error(FieldErrorCode::InvalidValue, detail)));
            Some((read, Content::Identity(Arc::new(certified.ok()?))))
        }
    }
}

/// What the certificates in the PEM text say, which are put into `chain`.
fn facts(
    certificate: &model::Certificate,
    chain: &mut Vec<CertificateDer<'static>>,
) -> Result<Facts, String> {
    let most = match certificate.kind {
        CertificateKind::Identity => MAX_CHAIN,
        CertificateKind::Ca => MAX_BUNDLE,
    };
    *chain = pem::certificates(&certificate.certificate, most)?;
    let mut all = Vec::with_capacity(chain.len());
    for (index, der) in chain.iter().enumerate() {
        let facts = Facts::of(der);
        all.push(facts.ok_or_else(|| format!("what is in place {} is no X.509 certificate", index + 1))?);
    }
    let mut first = all.first().cloned().ok_or("no certificate")?;
    if certificate.kind == CertificateKind::Ca {
        first.not_before = all.iter().map(|facts| facts.not_before).min().unwrap_or(first.not_before);
        first.not_after = all.iter().map(|facts| facts.not_after).max().unwrap_or(first.not_after);
        return Ok(first);
    }
    for (place, (signed, signer)) in all.iter().zip(all.iter().skip(1)).enumerate() {
        if !signed.is_issued_by(signer) {
            return Err(format!(
                "the chain is out of order: certificate {} was signed by \"{}\", and the one after it is \"{}\"",
                place + 1,
                shown(&signed.issuer),
                shown(&signer.subject)
            ));
        }
    }
    Ok(first)
}

fn shown(name: &str) -> String {
    name.chars().take(100).collect()
}

fn certified(chain: Vec<CertificateDer<'static>>, key: &PrivateKey) -> Result<CertifiedKey, String> {
    let der = pem::key(key.expose())?;
    let key = sign::any_supported_type(&der).map_err(
        |_| "the key cannot be used: RSA of 2048 to 8192 bits, ECDSA over P-256 or P-384, and Ed25519 can",
    )?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) => Ok(certified),
        Err(Error::InconsistentKeys(_)) => Err("not the key of the certificate".to_owned()),
        Err(error) => Err(format!("the certificate cannot be used: {error}")),
    }
}

fn roots(
    chain: Vec<CertificateDer<'static>>,
    at: &Pointer,
    errors: &mut Vec<FieldError>,
) -> Option<Arc<RootCertStore>> {
    let mut roots = RootCertStore::empty();
    for (index, certificate) in chain.into_iter().enumerate() {
        if let Err(error) = roots.add(certificate) {
            let detail = format!("certificate {} cannot be used: {error}", index + 1);
            errors.push(at.at("certificate").error(FieldErrorCode::InvalidValue, detail));
            return None;
        }
    }
    Some(Arc::new(roots))
}
