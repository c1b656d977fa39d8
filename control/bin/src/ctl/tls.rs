//! TLS to the API: who must have signed its certificate, and the certificate to show it.
//!
//! Whom the machine trusts is in one file, whose place depends on the distribution; an own authority is named with `--ca`.

use std::{path::Path, path::PathBuf, sync::Arc};

use clap::Args;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::error::CtlError;

/// Where Debian, Fedora and Alpine keep the authorities that the machine trusts.
const TRUSTED_BY_THE_MACHINE: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// Files for `https`, in PEM.
#[derive(Args, Clone, Debug)]
pub(super) struct TlsArgs {
    /// Who signs Weir's certificate; else whom this machine trusts.
    #[arg(long, global = true, env = "WEIR_CA", hide_env = true, value_name = "FILE")]
    ca: Option<PathBuf>,

    /// A certificate to show Weir, in place of a token.
    #[arg(long, global = true, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,

    /// Its private key.
    #[arg(long, global = true, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
}

/// Makes handshakes.
#[derive(Clone)]
pub(super) struct Tls(TlsConnector);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// TLS with what the files of `args` hold.
    ///
    /// # Errors
    /// When one cannot be used.
    pub(super) fn new(args: &TlsArgs) -> Result<Self, CtlError> {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|cause| CtlError::Usage(format!("cannot use TLS: {cause}")))?
            .with_root_certificates(roots(args.ca.as_deref())?);
        let mut config = match (&args.cert, &args.key) {
            (Some(cert), Some(key)) => {
                let chain = certificates(cert)?;
                let private = PrivateKeyDer::from_pem_file(key).map_err(|cause| unusable(key, &cause))?;
                builder.with_client_auth_cert(chain, private).map_err(|cause| unusable(cert, &cause))?
            }
            _ => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    /// Secures `stream` to `host`, which has to prove that it is that.
    ///
    /// # Errors
    /// Why there is no secure connection, for a person.
    pub(super) async fn connect(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, String> {
        let name = ServerName::try_from(host.to_owned()).map_err(|cause| cause.to_string())?;
        self.0.connect(name, stream).await.map_err(|cause| cause.to_string())
    }
}

fn roots(ca: Option<&Path>) -> Result<RootCertStore, CtlError> {
    let path = match ca {
        Some(path) => path,
        None => {
            let known = TRUSTED_BY_THE_MACHINE.into_iter().map(Path::new).find(|path| path.exists());
            let missing = "nobody is trusted here: name who signs Weir's certificate with --ca";
            known.ok_or_else(|| CtlError::Usage(missing.to_owned()))?
        }
    };
    let mut roots = RootCertStore::empty();
    // A machine's list may hold what this library does not know; what is left decides.
    let (added, _) = roots.add_parsable_certificates(certificates(path)?);
    if added == 0 {
        return Err(unusable(path, &"it holds no certificate of an authority"));
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, CtlError> {
    let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = found.map_err(|cause| unusable(path, &cause))?;
    if found.is_empty() {
        return Err(unusable(path, &"it holds no certificate"));
    }
    Ok(found)
}

fn unusable(path: &Path, cause: &dyn std::fmt::Display) -> CtlError {
    CtlError::Usage(format!("cannot use {}: {cause}", path.display()))
}
