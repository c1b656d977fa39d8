//! Why a handshake failed, in the words of RFC 9209 §2.3 and a few of our own: never more of them than are listed here.

use std::io;

use rustls::{AlertDescription, CertificateError, Error};

/// What ended a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeFault {
    /// The other end's certificate, and what is wrong with it.
    Certificate(&'static str),
    /// The other end, and what it had to say.
    Alert(&'static str),
    /// What came is not TLS, or nothing that both ends know.
    Protocol,
    /// The connection ended.
    Connection,
}

impl HandshakeFault {
    /// Reads `error`, which a handshake or a secured connection ended with.
    #[must_use]
    pub fn of(error: &io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            Some(Error::InvalidCertificate(fault)) => Self::Certificate(certificate(fault)),
            Some(Error::NoCertificatesPresented) => Self::Certificate("there is none"),
            Some(Error::AlertReceived(what)) => Self::Alert(alert(*what)),
            Some(_) => Self::Protocol,
            None => Self::Connection,
        }
    }
}

fn certificate(fault: &CertificateError) -> &'static str {
    match fault {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "it is not valid yet",
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "it is for another name"
        }
        CertificateError::UnknownIssuer => "it is signed by nobody who is trusted",
        CertificateError::BadSignature => "its signature is wrong",
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "it is for another purpose"
        }
        CertificateError::Revoked => "it has been revoked",
        CertificateError::BadEncoding => "it is malformed",
        _ => "it is not accepted",
    }
}

fn alert(what: AlertDescription) -> &'static str {
    match what {
        AlertDescription::HandshakeFailure => "handshake_failure",
        AlertDescription::CertificateRequired => "certificate_required",
        AlertDescription::BadCertificate => "bad_certificate",
        AlertDescription::CertificateExpired => "certificate_expired",
        AlertDescription::CertificateUnknown => "certificate_unknown",
        AlertDescription::UnknownCA => "unknown_ca",
        AlertDescription::AccessDenied => "access_denied",
        AlertDescription::ProtocolVersion => "protocol_version",
        AlertDescription::UnrecognisedName => "unrecognized_name",
        AlertDescription::NoApplicationProtocol => "no_application_protocol",
        AlertDescription::InternalError => "internal_error",
        _ => "another",
    }
}
