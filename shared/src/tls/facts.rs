//! What a certificate says (RFC 5280), for people and for servers behind.

use std::net::{Ipv4Addr, Ipv6Addr};

use ring::digest::{SHA256, digest};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::time::Timestamp;

/// What a certificate says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// SHA-256 of the certificate, in hexadecimal digits.
    pub fingerprint: String,
    /// Whom it is for.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// Its number among those of its issuer, in hexadecimal digits.
    pub serial: String,
    /// Host names it is for, in lower case, wildcards among them.
    pub hosts: Vec<String>,
    /// All its subject alternative names: host names, addresses, URIs, mail addresses.
    pub names: Vec<String>,
    /// What kind of key it has, `ecdsa-p256` for one.
    pub key_type: String,
    /// From when it is valid.
    pub not_before: Timestamp,
    /// Until when it is valid.
    pub not_after: Timestamp,
    /// Issuer and subject as they are encoded: equal names are equal bytes.
    issuer_der: Box<[u8]>,
    subject_der: Box<[u8]>,
}

impl Facts {
    /// Reads `der`; `None` when it is no certificate.
    #[must_use]
    pub fn of(der: &[u8]) -> Option<Self> {
        let (rest, read) = X509Certificate::from_der(der).ok()?;
        if !rest.is_empty() {
            return None;
        }
        let (hosts, names) = names(&read);
        Some(Self {
            fingerprint: hex(digest(&SHA256, der).as_ref()),
            subject: read.subject().to_string(),
            issuer: read.issuer().to_string(),
            serial: hex(read.raw_serial()),
            hosts,
            names,
            key_type: key_type(&read),
            not_before: at(read.validity().not_before.timestamp()),
            not_after: at(read.validity().not_after.timestamp()),
            issuer_der: read.issuer().as_raw().into(),
            subject_der: read.subject().as_raw().into(),
        })
    }

    /// Whether `other` has the name of whoever signed this.
    #[must_use]
    pub fn is_issued_by(&self, other: &Self) -> bool {
        self.issuer_der == other.subject_der
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp(seconds.saturating_mul(1000))
}

/// The host names, and all names.
fn names(read: &X509Certificate<'_>) -> (Vec<String>, Vec<String>) {
    let (mut hosts, mut names) = (Vec::new(), Vec::new());
    let Ok(Some(alternative)) = read.subject_alternative_name() else { return (hosts, names) };
    for name in &alternative.value.general_names {
        match name {
            GeneralName::DNSName(host) => {
                hosts.push(host.to_ascii_lowercase());
                names.push((*host).to_owned());
            }
            GeneralName::URI(text) | GeneralName::RFC822Name(text) => names.push((*text).to_owned()),
            GeneralName::IPAddress(bytes) => names.extend(address(bytes)),
            _ => {}
        }
    }
    (hosts, names)
}

fn address(bytes: &[u8]) -> Option<String> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(v4).to_string());
    }
    <[u8; 16]>::try_from(bytes).ok().map(|v6| Ipv6Addr::from(v6).to_string())
}

/// By the identifiers of RFC 3279, RFC 5480 and RFC 8410.
fn key_type(read: &X509Certificate<'_>) -> String {
    let algorithm = &read.public_key().algorithm;
    let curve = || {
        let parameters = algorithm.parameters.as_ref()?;
        Some(parameters.as_oid().ok()?.to_id_string())
    };
    match algorithm.algorithm.to_id_string().as_str() {
        "1.2.840.113549.1.1.1" => {
            let bits = read.public_key().parsed().map_or(0, |key| key.key_size());
            format!("rsa-{bits}")
        }
        "1.2.840.10045.2.1" => match curve().as_deref() {
            Some("1.2.840.10045.3.1.7") => "ecdsa-p256".to_owned(),
            Some("1.3.132.0.34") => "ecdsa-p384".to_owned(),
            Some("1.3.132.0.35") => "ecdsa-p521".to_owned(),
            Some(other) => format!("ecdsa-{other}"),
            None => "ecdsa".to_owned(),
        },
        "1.3.101.112" => "ed25519".to_owned(),
        other => other.to_owned(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
