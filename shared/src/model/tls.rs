//! How connections are secured: those of clients, and those to servers.

use rustls::pki_types::ServerName;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{CertificateKind, route::check::unique};
use crate::error::{FieldError, FieldErrorCode, Pointer};

/// Most certificates of one listener.
const MAX_OF_LISTENER: usize = 1000;

/// A version of TLS, the older one first. Older ones than these are not spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub enum TlsVersion {
    /// RFC 5246, with forward secrecy and authenticated encryption only.
    #[default]
    #[serde(rename = "1.2")]
    Tls12,
    /// RFC 8446.
    #[serde(rename = "1.3")]
    Tls13,
}

/// A protocol that is agreed on during the handshake (RFC 7301).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum AlpnProtocol {
    /// HTTP/2.
    #[serde(rename = "h2")]
    H2,
    /// HTTP/1.1.
    #[serde(rename = "http/1.1")]
    Http11,
}

impl AlpnProtocol {
    /// The protocol's registered name.
    #[must_use]
    pub fn as_bytes(self) -> &'static [u8] {
        match self {
            Self::H2 => b"h2",
            Self::Http11 => b"http/1.1",
        }
    }
}

/// What a client gets that names a host no certificate is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UnknownName {
    /// The first certificate that it can use.
    #[default]
    Default,
    /// No connection. The same for a client that names no host.
    Refuse,
}

/// Whether clients prove who they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuthMode {
    /// They are not asked.
    #[default]
    Off,
    /// They are asked, and may have none; one that is not valid ends the handshake.
    Optional,
    /// Without a valid certificate there is no connection.
    Required,
}

/// Certificates of clients.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct ClientAuth {
    /// `off`, `optional` or `required`. Default `off`.
    pub mode: ClientAuthMode,
    /// Id of the certificates of kind `ca` that sign those of clients.
    #[schema(nullable)]
    pub ca: Option<String>,
}

/// How a listener secures the connections of its clients.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct ListenerTls {
    /// Ids of certificates of kind `identity`, 1 to 1000. Which one a client gets follows from the host it names (SNI): the
    /// first with that name, then the first with a wildcard for it, of those whose key the client can verify.
    #[schema(max_items = 1000)]
    pub certificates: Vec<String>,
    /// What a client gets that names no host, or one that no certificate is for. Default `default`.
    pub unknown_name: UnknownName,
    /// Oldest version that is spoken. Default `1.2`.
    pub min_version: TlsVersion,
    /// Protocols offered, the preferred one first. Default `["h2", "http/1.1"]`.
    #[schema(min_items = 1, max_items = 2)]
    pub alpn: Vec<AlpnProtocol>,
    /// Certificates of clients.
    pub client_auth: ClientAuth,
}

impl Default for ListenerTls {
    fn default() -> Self {
        Self {
            certificates: Vec::new(),
            unknown_name: UnknownName::default(),
            min_version: TlsVersion::default(),
            alpn: vec![AlpnProtocol::H2, AlpnProtocol::Http11],
            client_auth: ClientAuth::default(),
        }
    }
}

impl ListenerTls {
    /// The certificates it names, with their places and what they have to be.
    pub fn references(&self) -> impl Iterator<Item = Reference<'_>> {
        let own = self.certificates.iter().enumerate();
        let own = own.map(|(index, id)| Reference {
            id,
            at: Place::Item("certificates", index),
            kind: CertificateKind::Identity,
        });
        let ca = self.client_auth.ca.iter().map(|id| Reference {
            id,
            at: Place::Inner("client_auth", "ca"),
            kind: CertificateKind::Ca,
        });
        own.chain(ca)
    }

    /// Checks the settings of a listener that secures nothing. Whoever wrote a certificate, or who is let in, meant it.
    pub fn check_unused(&self, at: &Pointer, errors: &mut Vec<FieldError>) {
        let detail =
            "this holds where `protocol` is \"https\" alone: set that, or send \"tls\": null to leave it out";
        if !self.certificates.is_empty() {
            errors.push(at.at("certificates").error(FieldErrorCode::InvalidValue, detail));
        }
        if self.client_auth.mode != ClientAuthMode::Off {
            errors.push(at.at("client_auth").at("mode").error(FieldErrorCode::InvalidValue, detail));
        }
    }

    /// Checks the settings by themselves.
    pub fn check(&self, at: &Pointer, errors: &mut Vec<FieldError>) {
        let certificates = at.at("certificates");
        if self.certificates.is_empty() {
            let detail = "TLS needs a certificate: POST one to /v1/certificates and name it here";
            errors.push(certificates.error(FieldErrorCode::Required, detail));
        } else if self.certificates.len() > MAX_OF_LISTENER {
            let detail = format!("at most {MAX_OF_LISTENER} certificates");
            errors.push(certificates.error(FieldErrorCode::TooMany, detail));
        } else {
            unique(self.certificates.iter(), &certificates, errors);
        }
        let alpn = at.at("alpn");
        if self.alpn.is_empty() {
            errors.push(alpn.error(FieldErrorCode::Required, "at least one of \"h2\" and \"http/1.1\""));
        }
        for (index, protocol) in self.alpn.iter().enumerate() {
            if self.alpn.iter().take(index).any(|earlier| earlier == protocol) {
                errors.push(alpn.at(index).error(FieldErrorCode::Duplicate, "named twice"));
            }
        }
        if self.client_auth.mode != ClientAuthMode::Off && self.client_auth.ca.is_none() {
            let detail = "who signs the certificates of clients: the id of a certificate of kind \"ca\"";
            errors.push(at.at("client_auth").at("ca").error(FieldErrorCode::Required, detail));
        }
    }
}

/// Whether servers have to prove who they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TlsVerify {
    /// Their certificate must be signed by `ca`, in force, and for `server_name`.
    #[default]
    Full,
    /// Anything goes: whoever is in between can read and change everything.
    Off,
}

/// How connections to the servers of an upstream are secured; those of health checks too.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct UpstreamTls {
    /// Whether they are. Default false.
    pub enabled: bool,
    /// `full` or `off`. Default `full`.
    pub verify: TlsVerify,
    /// Id of the certificates of kind `ca` that sign those of servers. Left out: those the system trusts.
    #[schema(nullable)]
    pub ca: Option<String>,
    /// The name a server's certificate has to be for, which is also told to the server (SNI). Left out: the host of the
    /// server's address.
    #[schema(nullable, max_length = 253)]
    pub server_name: Option<String>,
    /// Id of the certificate of kind `identity` shown to servers that ask for one.
    #[schema(nullable)]
    pub certificate: Option<String>,
    /// Oldest version that is spoken. Default `1.2`.
    pub min_version: TlsVersion,
}

impl UpstreamTls {
    /// The certificates it names, with their places and what they have to be.
    pub fn references(&self) -> impl Iterator<Item = Reference<'_>> {
        let named = |id: &'static str| Place::Field(id);
        let ca = self.ca.iter().map(move |id| Reference { id, at: named("ca"), kind: CertificateKind::Ca });
        let own = self.certificate.iter().map(move |id| Reference {
            id,
            at: named("certificate"),
            kind: CertificateKind::Identity,
        });
        ca.chain(own)
    }

    /// Checks the settings by themselves.
    pub fn check(&self, at: &Pointer, errors: &mut Vec<FieldError>) {
        if let Some(name) = &self.server_name
            && ServerName::try_from(name.as_str()).is_err()
        {
            let detail = "neither a host name nor an IP address";
            errors.push(at.at("server_name").error(FieldErrorCode::InvalidValue, detail));
        }
    }
}

/// A place where a certificate is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reference<'a> {
    /// The certificate's id.
    pub id: &'a str,
    /// Where it is named.
    at: Place,
    /// What it has to be.
    pub kind: CertificateKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Field(&'static str),
    Inner(&'static str, &'static str),
    Item(&'static str, usize),
}

impl Reference<'_> {
    /// The place, below the TLS settings at `tls`.
    #[must_use]
    pub fn pointer(&self, tls: &Pointer) -> Pointer {
        match self.at {
            Place::Field(name) => tls.at(name),
            Place::Inner(outer, name) => tls.at(outer).at(name),
            Place::Item(name, index) => tls.at(name).at(index),
        }
    }
}

/// Checks that the certificates named are there, and are what they have to be. `known` answers what a certificate is.
pub fn check_references<'a>(
    references: impl Iterator<Item = Reference<'a>>,
    known: impl Fn(&str) -> Option<CertificateKind>,
    tls: &Pointer,
    errors: &mut Vec<FieldError>,
) {
    for reference in references {
        let (code, detail) = match (known(reference.id), reference.kind) {
            (None, _) => {
                (FieldErrorCode::UnknownReference, format!("there is no certificate \"{}\"", reference.id))
            }
            (Some(CertificateKind::Ca), CertificateKind::Identity) => (
                FieldErrorCode::InvalidValue,
                format!(
                    "\"{}\" is of kind \"ca\" and has no private key to prove anything with",
                    reference.id
                ),
            ),
            (Some(CertificateKind::Identity), CertificateKind::Ca) => (
                FieldErrorCode::InvalidValue,
                format!(
                    "\"{}\" is of kind \"identity\": whom to believe is said by one of kind \"ca\"",
                    reference.id
                ),
            ),
            _ => continue,
        };
        errors.push(reference.pointer(tls).error(code, detail));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointers(errors: Vec<FieldError>) -> Vec<String> {
        errors.into_iter().map(|error| error.pointer).collect()
    }

    #[test]
    fn faults_of_a_listener_are_pointed_at() {
        let mut errors = Vec::new();
        let tls = ListenerTls {
            alpn: vec![AlpnProtocol::H2, AlpnProtocol::H2],
            client_auth: ClientAuth { mode: ClientAuthMode::Required, ca: None },
            ..ListenerTls::default()
        };
        tls.check(&Pointer::root(), &mut errors);
        assert_eq!(pointers(errors), ["#/certificates", "#/alpn/1", "#/client_auth/ca"]);
    }

    #[test]
    fn certificates_that_are_named_have_to_be_there_and_of_the_right_kind() {
        let known = |id: &str| match id {
            "site" => Some(CertificateKind::Identity),
            "roots" => Some(CertificateKind::Ca),
            _ => None,
        };
        let listener = ListenerTls {
            certificates: vec!["site".into(), "roots".into(), "gone".into()],
            client_auth: ClientAuth { mode: ClientAuthMode::Required, ca: Some("site".into()) },
            ..ListenerTls::default()
        };
        let mut errors = Vec::new();
        check_references(listener.references(), known, &Pointer::root(), &mut errors);
        assert_eq!(pointers(errors), ["#/certificates/1", "#/certificates/2", "#/client_auth/ca"]);
        let upstream = UpstreamTls {
            ca: Some("roots".into()),
            certificate: Some("roots".into()),
            server_name: Some("not a name".into()),
            ..UpstreamTls::default()
        };
        let mut errors = Vec::new();
        upstream.check(&Pointer::root(), &mut errors);
        check_references(upstream.references(), known, &Pointer::root(), &mut errors);
        assert_eq!(pointers(errors), ["#/server_name", "#/certificate"]);
    }
}
