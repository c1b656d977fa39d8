//! TLS towards clients: which certificate is shown, and what is agreed on.

use std::sync::Arc;

use ring::digest::{Context, SHA256};
use rustls::{
    ServerConfig,
    server::{
        ClientHello, ProducesTickets, ResolvesServerCert, ServerSessionMemoryCache, WebPkiClientVerifier,
        danger::ClientCertVerifier,
    },
    sign::CertifiedKey,
};

use super::{Certificate, names, names::Names, provider, tickets::Bound, versions};
use crate::{
    error::{FieldError, FieldErrorCode, Pointer},
    id::CertificateId,
    model::{AlpnProtocol, ClientAuthMode, ListenerTls, TlsVersion, UnknownName},
    sharing::SharedMap,
};

/// Sessions without tickets kept for clients that want to go on with one: TLS 1.2 clients that do not know tickets.
const KEPT_SESSIONS: usize = 1024;

/// What a client has shown of itself in its handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Nothing: it was not asked, or had nothing.
    None,
    /// A certificate, which was verified.
    Certificate,
}

/// How the connections of a listener's clients are secured. Made when it is put in force, not for each connection; a
/// connection keeps the one it began with.
#[derive(Debug)]
pub struct IncomingTls {
    /// What handshakes are made with.
    pub config: Arc<ServerConfig>,
    shown: Arc<Shown>,
    settings: ListenerTls,
    client_ca: Option<Arc<Certificate>>,
}

impl IncomingTls {
    /// Makes what `settings` at `at` ask for, of `known` certificates, unless `before` is that already. `None` when that
    /// added to `errors`; references are checked elsewhere.
    pub fn compile(
        settings: &ListenerTls,
        known: &SharedMap<CertificateId, Certificate>,
        before: Option<&Arc<Self>>,
        tickets: Option<&Arc<dyn ProducesTickets>>,
        at: &Pointer,
        errors: &mut Vec<FieldError>,
    ) -> Option<Arc<Self>> {
        let certificates: Vec<Arc<Certificate>> =
            settings.certificates.iter().filter_map(|id| known.get(id.as_str())).cloned().collect();
        let client_ca = settings.client_auth.ca.as_ref().and_then(|id| known.get(id.as_str())).cloned();
        if let Some(before) = before
            && before.settings == *settings
            && same(&before.shown.certificates, &certificates)
            && same(before.client_ca.as_slice(), client_ca.as_slice())
        {
            return Some(Arc::clone(before));
        }
        let shown = Arc::new(Shown {
            names: Names::of(&certificates),
            certificates,
            unknown_name: settings.unknown_name,
        });
        let config = config(settings, &shown, client_ca.as_deref(), tickets)
            .map_err(|detail| errors.push(at.error(FieldErrorCode::InvalidValue, detail)))
            .ok()?;
        Some(Arc::new(Self { config: Arc::new(config), shown, settings: settings.clone(), client_ca }))
    }

    /// Whether clients are asked for a certificate.
    #[must_use]
    pub fn asks_clients(&self) -> bool {
        self.settings.client_auth.mode != ClientAuthMode::Off
    }

    /// Whether a connection made under the settings `before`, in `version`, by a client that has shown `proof`, may go on
    /// under these.
    #[must_use]
    pub fn still_takes(&self, before: &Self, version: TlsVersion, proof: Proof) -> bool {
        if version < self.settings.min_version {
            return false;
        }
        match (self.settings.client_auth.mode, proof) {
            (ClientAuthMode::Off, _) | (ClientAuthMode::Optional, Proof::None) => true,
            (ClientAuthMode::Required, Proof::None) => false,
            (ClientAuthMode::Optional | ClientAuthMode::Required, Proof::Certificate) => {
                self.believed() == before.believed()
            }
        }
    }

    /// The authorities whose word is taken for who a client is.
    fn believed(&self) -> Option<&[u8]> {
        self.client_ca.as_ref().map(|ca| ca.record.spec.certificate.as_bytes())
    }

    /// Whether a connection whose client named the host `sni` may carry requests for `host`: that host, or another that the
    /// same certificate is for (RFC 9110 §7.4, §15.5.20). Both in lower case.
    #[must_use]
    pub fn serves(&self, sni: &str, host: &str) -> bool {
        let mut named = self.shown.names.find(sni).peekable();
        // A client that names another host is shown the first certificate, as a rule.
        let default = self.shown.certificates.first().filter(|_| named.peek().is_none());
        sni == host || named.chain(default).any(|certificate| names::covers(certificate, host))
    }
}

fn same(before: &[Arc<Certificate>], after: &[Arc<Certificate>]) -> bool {
    before.len() == after.len() && before.iter().zip(after).all(|(before, after)| Arc::ptr_eq(before, after))
}

fn config(
    settings: &ListenerTls,
    shown: &Arc<Shown>,
    client_ca: Option<&Certificate>,
    tickets: Option<&Arc<dyn ProducesTickets>>,
) -> Result<ServerConfig, String> {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions(settings.min_version))
        .map_err(|error| error.to_string())?;
    let builder = match verifier(settings.client_auth.mode, client_ca)? {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let resolver: Arc<dyn ResolvesServerCert> = Arc::clone(shown) as _;
    let mut config = builder.with_cert_resolver(resolver);
    config.alpn_protocols =
        settings.alpn.iter().copied().map(AlpnProtocol::as_bytes).map(<[u8]>::to_vec).collect();
    // All of them are good; an order of our own is what scanners look for.
    config.ignore_client_order = true;
    config.session_storage = ServerSessionMemoryCache::new(KEPT_SESSIONS);
    if let Some(tickets) = tickets {
        config.ticketer = Arc::new(Bound::new(Arc::clone(tickets), promise(settings, client_ca)));
    }
    Ok(config)
}

fn verifier(
    mode: ClientAuthMode,
    ca: Option<&Certificate>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, String> {
    if mode == ClientAuthMode::Off {
        return Ok(None);
    }
    let roots = ca.and_then(Certificate::roots).ok_or("client_auth needs a \"ca\"")?;
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), provider());
    let builder = if mode == ClientAuthMode::Optional { builder.allow_unauthenticated() } else { builder };
    builder.build().map(Some).map_err(|error| error.to_string())
}

/// What a client had to prove to get a ticket: it is of no use where that is another thing.
fn promise(settings: &ListenerTls, client_ca: Option<&Certificate>) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    context.update(&[match settings.client_auth.mode {
        ClientAuthMode::Off => 0,
        ClientAuthMode::Optional => 1,
        ClientAuthMode::Required => 2,
    }]);
    if let Some(ca) = client_ca.filter(|_| settings.client_auth.mode != ClientAuthMode::Off) {
        context.update(ca.record.spec.certificate.as_bytes());
    }
    context.finish().as_ref().try_into().unwrap_or([0; 32])
}

/// The certificates of a listener.
#[derive(Debug)]
struct Shown {
    /// In the order of the configuration.
    certificates: Vec<Arc<Certificate>>,
    names: Names,
    unknown_name: UnknownName,
}

impl Shown {
    /// The certificates for a client that names the host `sni`, in lower case, or none.
    fn candidates(&self, sni: Option<&str>) -> impl Iterator<Item = &Arc<Certificate>> {
        let mut named = sni.into_iter().flat_map(|sni| self.names.find(sni)).peekable();
        let is_known = named.peek().is_some();
        let takes_any = !is_known && self.unknown_name == UnknownName::Default;
        named.chain(self.certificates.iter().filter(move |_| takes_any))
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // The library gives the name in lower case.
        let mut keys = self.candidates(hello.server_name()).filter_map(|certificate| certificate.identity());
        let first = keys.next()?;
        let fits = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(hello.signature_schemes()).is_some();
        let chosen = std::iter::once(first).chain(keys).find(fits);
        // When none fits, the library says so in its own words.
        Some(Arc::clone(chosen.unwrap_or(first)))
    }
}
