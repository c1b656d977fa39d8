//! The admin port over TLS: what a certificate's names may do.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tempfile::TempDir;
use weir_tests::weir::{Launch, Weir};

pub(crate) type Authority = CertifiedIssuer<'static, KeyPair>;

/// A certificate and its key, in PEM.
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

pub(crate) fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

pub(crate) fn signed(authority: &Authority, name: &str) -> Identity {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    Identity { certificate: certificate.pem(), key: key.serialize_pem() }
}

pub(crate) fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

/// The answer to GET `path`: its status; `None` when there is no connection to be had.
fn get(admin: SocketAddr, authority: &Authority, identity: Option<&Identity>, path: &str) -> Option<u16> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_root_certificates(roots);
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let chain = vec![CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap()];
            let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = StreamOwned::new(connection, TcpStream::connect(admin).unwrap());
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let answer = String::from_utf8(answer).unwrap();
    answer.split(' ').nth(1)?.parse().ok()
}

/// Weir with a certificate for `localhost`, signed like its clients'; `ca.pem` in `folder` has the signer.
pub(crate) fn start(folder: &Path, authority: &Authority) -> Weir {
    let own = signed(authority, "localhost");
    let principals = r#"{"ops.example": ["admin"], "grafana.example": ["health:read", "metrics:read"]}"#;
    Launch::default()
        .arg("--admin-cert")
        .arg(write(folder, "own.pem", &own.certificate))
        .arg("--admin-key")
        .arg(write(folder, "own.key", &own.key))
        .arg("--admin-client-ca")
        .arg(write(folder, "ca.pem", &authority.pem()))
        .arg("--admin-principals")
        .arg(write(folder, "principals.json", principals))
        .start()
}

#[test]
fn a_certificate_may_what_the_operator_says() {
    let folder = TempDir::new().unwrap();
    let authority = authority();
    let weir = start(folder.path(), &authority);
    let get = |identity, path| get(weir.admin(), &authority, identity, path);
    let ops = signed(&authority, "ops.example");
    let grafana = signed(&authority, "grafana.example");
    let other = signed(&authority, "other.example");
    for (identity, config, metrics) in
        [(Some(&ops), 200, 200), (Some(&grafana), 403, 200), (Some(&other), 403, 403), (None, 401, 401)]
    {
        assert_eq!(get(identity, "/v1/config"), Some(config));
        assert_eq!(get(identity, "/metrics"), Some(metrics));
        assert_eq!(get(identity, "/livez"), Some(200));
    }
    weir.assert_no_errors();
}

#[test]
fn a_certificate_of_somebody_else_gets_no_connection() {
    let folder = TempDir::new().unwrap();
    let own = authority();
    let weir = start(folder.path(), &own);
    let forged = signed(&authority(), "ops.example");
    assert_eq!(get(weir.admin(), &own, Some(&forged), "/v1/config"), None);
}

#[test]
fn plain_text_is_not_served_beside_tls() {
    let folder = TempDir::new().unwrap();
    let weir = start(folder.path(), &authority());
    let mut stream = TcpStream::connect(weir.admin()).unwrap();
    write!(stream, "GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    // A reset is as good an end as any.
    let _ = stream.read_to_end(&mut answer);
    assert!(!String::from_utf8_lossy(&answer).contains("HTTP/1.1 200"), "{answer:?}");
}

#[test]
fn certificates_that_cannot_be_used_are_named_before_anything_starts() {
    let folder = TempDir::new().unwrap();
    let own = signed(&authority(), "localhost");
    let certificate = write(folder.path(), "own.pem", &own.certificate);
    let empty = write(folder.path(), "empty.pem", "");
    for (certificate, key, named) in [
        (&empty, &empty, "empty.pem"),
        (&certificate, &empty, "empty.pem"),
        (&certificate, &certificate, "own.pem"),
    ] {
        let launch = Launch::default().arg("--admin-cert").arg(certificate).arg("--admin-key").arg(key);
        let (status, lines) = launch.refused();
        assert!(!status.success() && lines.concat().contains(named), "{lines:?}");
    }
}
