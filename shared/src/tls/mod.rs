//! Certificates read, and the settings of connections made of them, ready for handshakes. No handshake happens here: rustls
//! reads and writes no socket, so that what the data plane and the health checks share can be compiled with the table.
//!
//! Reading order: `pem`, [`facts`], `certificate`, `names`, [`incoming`] (of clients), [`outgoing`] (to servers), [`tickets`].

mod certificate;
pub mod facts;
mod fault;
pub mod incoming;
mod names;
pub mod outgoing;
mod pem;
#[cfg(test)]
mod tests;
pub mod tickets;

use std::sync::{Arc, LazyLock};

pub use certificate::{Certificate, CertificateStatus, EXPIRING, check, key_fits, read};
pub use facts::Facts;
pub use fault::HandshakeFault;
pub use incoming::{IncomingTls, Proof};
pub use outgoing::{Offer, OutgoingTls};
use rustls::{
    RootCertStore, SupportedProtocolVersion,
    crypto::{CryptoProvider, ring},
    server::ProducesTickets,
    version::{TLS12, TLS13},
};

use crate::model::TlsVersion;

/// What TLS needs of the process, made once when it starts.
#[derive(Clone, Debug)]
pub struct Basis {
    /// Whom the system trusts.
    pub system_roots: Arc<RootCertStore>,
    /// Makes session tickets; `None`: none are made.
    pub tickets: Option<Arc<dyn ProducesTickets>>,
}

/// Nobody is trusted, and no tickets are made.
impl Default for Basis {
    fn default() -> Self {
        Self { system_roots: Arc::new(RootCertStore::empty()), tickets: None }
    }
}

/// Ciphers and keys by ring: AES-GCM and ChaCha20-Poly1305, each with forward secrecy.
fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(ring::default_provider()));
    Arc::clone(&PROVIDER)
}

/// The versions from `oldest` on, the newest first.
fn versions(oldest: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    static ALL: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
    match oldest {
        TlsVersion::Tls12 => &ALL,
        TlsVersion::Tls13 => ALL.split_at(1).0,
    }
}
