//! Handshakes in memory: what is shown, believed, agreed on and gone on with.

mod certificates;
mod incoming;
mod outgoing;
mod tickets;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::{
    ClientConfig, ClientConnection, ConnectionCommon, Error, HandshakeKind, RootCertStore, ServerConnection,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    server::ProducesTickets,
};

use super::*;
use crate::{
    error::{FieldError, Pointer},
    id::CertificateId,
    model::{
        self, CertificateKind, CertificateRecord, ClientAuth, ClientAuthMode, ListenerTls, Meta, PrivateKey,
        UnknownName, UpstreamTls, address::Address,
    },
    sharing::SharedMap,
    time::Timestamp,
};

/// Keys of tests alone. They are files because ring makes none.
const RSA_2048: &str = include_str!("test_rsa_2048.pem");
const RSA_1024: &str = include_str!("test_rsa_1024.pem");

type Known = SharedMap<CertificateId, Certificate>;
type Authority = CertifiedIssuer<'static, KeyPair>;

/// One with a name of its own.
fn authority() -> Authority {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    let name = format!("authority {}", MADE.fetch_add(1, Ordering::Relaxed));
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate for `names`, signed by `authority`, and its key.
fn signed(authority: &Authority, names: &[&str], key: KeyPair) -> (String, String) {
    let params =
        CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
    (params.signed_by(&key, authority).unwrap().pem(), key.serialize_pem())
}

fn fresh(authority: &Authority, names: &[&str]) -> (String, String) {
    signed(authority, names, KeyPair::generate().unwrap())
}

fn identity(id: &str, (certificate, key): &(String, String)) -> model::Certificate {
    model::Certificate {
        id: id.into(),
        certificate: certificate.clone(),
        private_key: Some(PrivateKey::new(key)),
        ..model::Certificate::default()
    }
}

fn bundle(id: &str, authority: &Authority) -> model::Certificate {
    let certificate = authority.pem();
    model::Certificate {
        id: id.into(),
        kind: CertificateKind::Ca,
        certificate,
        ..model::Certificate::default()
    }
}

fn compile(spec: model::Certificate) -> Result<Arc<Certificate>, Vec<FieldError>> {
    let id = CertificateId::new(&spec.id);
    let record = Arc::new(CertificateRecord { spec, meta: Meta::default() });
    let mut errors = Vec::new();
    let certificate = Certificate::compile(&id, &record, &Pointer::root(), &mut errors);
    if errors.is_empty() { Ok(Arc::new(certificate.unwrap())) } else { Err(errors) }
}

fn known(certificates: impl IntoIterator<Item = model::Certificate>) -> Known {
    let entry = |spec: model::Certificate| (CertificateId::new(&spec.id), compile(spec).unwrap());
    certificates.into_iter().map(entry).collect()
}

fn listener(
    settings: &ListenerTls,
    known: &Known,
    tickets: Option<&Arc<dyn ProducesTickets>>,
) -> Arc<IncomingTls> {
    let mut errors = Vec::new();
    let made = IncomingTls::compile(settings, known, None, tickets, &Pointer::root(), &mut errors);
    assert_eq!(errors, []);
    made.unwrap()
}

fn showing(certificates: &[&str]) -> ListenerTls {
    let certificates = certificates.iter().map(|id| (*id).to_owned()).collect();
    ListenerTls { certificates, ..ListenerTls::default() }
}

/// A client that believes `authority` and shows `identity`.
fn client(authority: &Authority, identity: Option<&(String, String)>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).unwrap();
    let builder =
        ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_root_certificates(roots);
    match identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    }
}

fn pass<A, B>(from: &mut ConnectionCommon<A>, to: &mut ConnectionCommon<B>) -> Result<bool, Error> {
    let mut bytes = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut bytes).unwrap();
    }
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        to.read_tls(&mut rest).unwrap();
        to.process_new_packets()?;
    }
    Ok(!bytes.is_empty())
}

/// Lets both ends say all they have to say, tickets included. The first error is the server's or the client's.
fn talk(client: &mut ClientConnection, server: &mut ServerConnection) -> Result<(), Error> {
    loop {
        let asked = pass(client, server)?;
        let answered = pass(server, client)?;
        if !asked && !answered {
            return Ok(());
        }
    }
}

fn meet(
    config: &Arc<ClientConfig>,
    listener: &IncomingTls,
    name: &str,
) -> Result<(ClientConnection, ServerConnection), Error> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::clone(config), name).unwrap();
    let mut server = ServerConnection::new(Arc::clone(&listener.config)).unwrap();
    talk(&mut client, &mut server)?;
    Ok((client, server))
}

fn kind(config: &Arc<ClientConfig>, listener: &IncomingTls) -> HandshakeKind {
    meet(config, listener, "a.test").unwrap().1.handshake_kind().unwrap()
}

fn outgoing(settings: &UpstreamTls, known: &Known) -> Option<Arc<OutgoingTls>> {
    let mut errors = Vec::new();
    let made = OutgoingTls::compile(settings, known, None, &Basis::default(), &Pointer::root(), &mut errors);
    assert_eq!(errors, []);
    made
}
