//! TLS towards servers: whom to believe, what to show, and what is agreed on.

use std::sync::Arc;

use rustls::{
    ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
    client::{
        ResolvesClientCert, Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    sign::SingleCertAndKey,
};

use super::{Basis, Certificate, provider, versions};
use crate::{
    error::{FieldError, FieldErrorCode, Pointer},
    id::CertificateId,
    model::{AlpnProtocol, TlsVerify, UpstreamTls, address::Address},
    sharing::SharedMap,
};

/// Sessions kept to go on with: a few for each of many servers.
const KEPT_SESSIONS: usize = 1024;

/// Which protocols are offered to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// HTTP/1.1 alone.
    Http1,
    /// HTTP/2 alone.
    Http2,
    /// Both, HTTP/2 preferred.
    Both,
    /// None: a server that is no web server may know no protocol's name.
    Nothing,
}

/// How connections to the servers of an upstream are secured. Made when it is put in force; connections made with another
/// one are not used any more.
#[derive(Debug)]
pub struct OutgoingTls {
    settings: UpstreamTls,
    ca: Option<Arc<Certificate>>,
    certificate: Option<Arc<Certificate>>,
    name: Option<ServerName<'static>>,
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
    both: Arc<ClientConfig>,
    nothing: Arc<ClientConfig>,
}

impl OutgoingTls {
    /// Makes what `settings` at `at` ask for, of `known` certificates, unless `before` is that already. `None` when TLS is not
    /// asked for, or that added to `errors`; references are checked elsewhere.
    pub fn compile(
        settings: &UpstreamTls,
        known: &SharedMap<CertificateId, Certificate>,
        before: Option<&Arc<Self>>,
        basis: &Basis,
        at: &Pointer,
        errors: &mut Vec<FieldError>,
    ) -> Option<Arc<Self>> {
        if !settings.enabled {
            return None;
        }
        let named = |id: &Option<String>| id.as_ref().and_then(|id| known.get(id.as_str())).cloned();
        let (ca, certificate) = (named(&settings.ca), named(&settings.certificate));
        if let Some(before) = before
            && before.settings == *settings
            && same(before.ca.as_ref(), ca.as_ref())
            && same(before.certificate.as_ref(), certificate.as_ref())
        {
            return Some(Arc::clone(before));
        }
        // One for all: which protocol is agreed on is settled anew with each connection.
        let base = config(settings, ca.as_deref(), certificate.as_deref(), basis)
            .map_err(|error| errors.push(at.error(FieldErrorCode::InvalidValue, error.to_string())))
            .ok()?;
        let offering = |protocols: &[AlpnProtocol]| {
            let mut config = base.clone();
            config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
            Arc::new(config)
        };
        let name = settings.server_name.as_ref();
        Some(Arc::new(Self {
            name: name.and_then(|name| ServerName::try_from(name.clone()).ok()),
            http1: offering(&[AlpnProtocol::Http11]),
            http2: offering(&[AlpnProtocol::H2]),
            both: offering(&[AlpnProtocol::H2, AlpnProtocol::Http11]),
            nothing: offering(&[]),
            settings: settings.clone(),
            ca,
            certificate,
        }))
    }

    /// What handshakes are made with that offer this.
    #[must_use]
    pub fn config(&self, offer: Offer) -> &Arc<ClientConfig> {
        match offer {
            Offer::Http1 => &self.http1,
            Offer::Http2 => &self.http2,
            Offer::Both => &self.both,
            Offer::Nothing => &self.nothing,
        }
    }

    /// Who the server at `address` has to be; `None` for a name that no certificate can have.
    #[must_use]
    pub fn server_name(&self, address: &Address) -> Option<ServerName<'static>> {
        if let Some(name) = &self.name {
            return Some(name.clone());
        }
        match address {
            Address::Socket(socket) => Some(ServerName::from(socket.ip())),
            Address::Name { host, .. } => ServerName::try_from(host.to_string()).ok(),
        }
    }
}

fn same(before: Option<&Arc<Certificate>>, after: Option<&Arc<Certificate>>) -> bool {
    match (before, after) {
        (Some(before), Some(after)) => Arc::ptr_eq(before, after),
        (None, None) => true,
        _ => false,
    }
}

fn config(
    settings: &UpstreamTls,
    ca: Option<&Certificate>,
    certificate: Option<&Certificate>,
    basis: &Basis,
) -> Result<ClientConfig, Error> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions(settings.min_version))?;
    let builder = match settings.verify {
        TlsVerify::Full => {
            let roots = ca.and_then(Certificate::roots).unwrap_or(&basis.system_roots);
            builder.with_root_certificates(Arc::clone(roots))
        }
        TlsVerify::Off => builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody)),
    };
    let mut config = match certificate.and_then(Certificate::identity) {
        Some(identity) => {
            let own: Arc<dyn ResolvesClientCert> = Arc::new(SingleCertAndKey::from(Arc::clone(identity)));
            builder.with_client_cert_resolver(own)
        }
        None => builder.with_no_client_auth(),
    };
    config.resumption = Resumption::in_memory_sessions(KEPT_SESSIONS);
    Ok(config)
}

/// Believes any server, if it has the key of the certificate it shows.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &provider().signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &provider().signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}
