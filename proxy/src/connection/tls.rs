//! TLS towards clients: the handshake, what came of it, and what is known of the client from then on.

use std::{cell::RefCell, future::poll_fn, io, pin::pin, sync::Arc, task::Poll};

use rustls::{Error, HandshakeKind, ProtocolVersion};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use weir_shared::{
    id::ListenerId,
    model::{AlpnProtocol, TlsVersion},
    state::{HandshakeFailure, TlsCounters},
    table::Table,
    tls::{IncomingTls, Proof},
};

use super::Client;
use crate::header::Identity;

/// How a client's connection is secured.
pub(crate) struct Secured {
    settings: Arc<IncomingTls>,
    /// The host the client named, in lower case.
    sni: Option<Box<str>>,
    /// The settings under which the connection was last found to be one that may be used.
    agreed: RefCell<Arc<IncomingTls>>,
    proof: Proof,
    version: TlsVersion,
    /// Who the client is, if it was asked.
    identity: Option<Identity>,
    /// Whether HTTP/2 was agreed on.
    protocol: AlpnProtocol,
}

impl Secured {
    /// What was agreed on; HTTP/1.1 with a client that knows of no such thing.
    pub(super) fn protocol(&self) -> AlpnProtocol {
        self.protocol
    }

    /// Who the client is, if it was asked.
    pub(crate) fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// Whether the connection may be used where `asked` is what the listener asks for.
    pub(crate) fn suffices(&self, asked: &Arc<IncomingTls>, table: &Table, id: &ListenerId) -> bool {
        Arc::ptr_eq(&self.agreed.borrow(), asked) || self.agree(asked, table, id)
    }

    /// The settings have changed since the last request.
    #[cold]
    fn agree(&self, asked: &Arc<IncomingTls>, table: &Table, id: &ListenerId) -> bool {
        // A connection may have been made by the table's settings before the listener has heard of them.
        let in_force =
            table.listener(id.as_str()).and_then(|listener| listener.tls.as_ref()).unwrap_or(asked);
        let may_go_on = in_force.still_takes(&self.settings, self.version, self.proof);
        if may_go_on {
            self.agreed.replace(Arc::clone(asked));
        }
        may_go_on
    }

    /// Whether requests for `authority` belong on this connection: it is the host the client named, or the certificate is for
    /// both. A client that named none may ask for any.
    pub(crate) fn serves(&self, authority: &[u8]) -> bool {
        let Some(sni) = &self.sni else { return true };
        let host = match memchr::memrchr(b':', authority) {
            Some(colon) if !authority.ends_with(b"]") => authority.get(..colon).unwrap_or_default(),
            _ => authority,
        };
        // Nearly every request is for the host that was named.
        host.eq_ignore_ascii_case(sni.as_bytes())
            || std::str::from_utf8(host).is_ok_and(|host| {
                self.settings.serves(sni, host.trim_end_matches('.').to_ascii_lowercase().as_str())
            })
    }
}

/// Makes the handshake on `stream` in the time a client has for its first request. Counts what comes of it in `counters`.
pub(super) async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
    client: &Client,
    settings: &Arc<IncomingTls>,
    stream: S,
    counters: &TlsCounters,
) -> Option<(TlsStream<S>, Secured)> {
    client.await_first_byte();
    let mut accepting = pin!(TlsAcceptor::from(Arc::clone(&settings.config)).accept(stream));
    let made = poll_fn(|cx| {
        if let Poll::Ready(made) = accepting.as_mut().poll(cx) {
            return Poll::Ready(made.map_err(|error| failure(&error)));
        }
        if client.deadline.poll(cx).is_ready() || client.is_past_grace() {
            return Poll::Ready(Err(HandshakeFailure::Timeout));
        }
        Poll::Pending
    })
    .await;
    let stream = match made {
        Ok(stream) => stream,
        Err(why) => {
            counters.failed(why);
            tracing::debug!(peer = %client.peer, why = why.as_str(), "TLS handshake failed");
            return None;
        }
    };
    let (_, session) = stream.get_ref();
    counters.handshakes.add(1);
    counters.resumed.add(u64::from(session.handshake_kind() == Some(HandshakeKind::Resumed)));
    let is_http2 = session.alpn_protocol() == Some(AlpnProtocol::H2.as_bytes());
    let is_newest = session.protocol_version() == Some(ProtocolVersion::TLSv1_3);
    let chain = session.peer_certificates().unwrap_or_default();
    let secured = Secured {
        settings: Arc::clone(settings),
        agreed: RefCell::new(Arc::clone(settings)),
        proof: if chain.is_empty() { Proof::None } else { Proof::Certificate },
        version: if is_newest { TlsVersion::Tls13 } else { TlsVersion::Tls12 },
        sni: session.server_name().map(Into::into),
        identity: settings.asks_clients().then(|| Identity::of(chain)),
        protocol: if is_http2 { AlpnProtocol::H2 } else { AlpnProtocol::Http11 },
    };
    Some((stream, secured))
}

fn failure(error: &io::Error) -> HandshakeFailure {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        None => HandshakeFailure::Closed,
        Some(Error::InvalidCertificate(_) | Error::NoCertificatesPresented) => {
            HandshakeFailure::ClientCertificate
        }
        Some(Error::PeerIncompatible(_) | Error::NoApplicationProtocol) => HandshakeFailure::Incompatible,
        Some(Error::AlertReceived(_)) => HandshakeFailure::RefusedByClient,
        // The library's words for a resolver that answered none.
        Some(Error::General(_)) => HandshakeFailure::UnknownName,
        Some(
            Error::InvalidMessage(_)
            | Error::InappropriateMessage { .. }
            | Error::InappropriateHandshakeMessage { .. }
            | Error::PeerMisbehaved(_)
            | Error::PeerSentOversizedRecord
            | Error::DecryptError,
        ) => HandshakeFailure::Malformed,
        Some(_) => HandshakeFailure::Internal,
    }
}
