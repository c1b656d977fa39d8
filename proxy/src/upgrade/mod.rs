//! Switching a connection, or a stream, to another protocol: RFC 9110 §7.8, and over HTTP/2 RFC 8441.
//!
//! `Upgrade` is for one connection only, and goes on to a server when the upstream allows a protocol that it names: just
//! those, and never with a body, whose end a server that has switched could take for its own. What was asked over HTTP/2 with extended CONNECT is
//! asked of the server with `Upgrade`. A connection is switched when the server has said 101 with one of the protocols it
//! was offered, and not before: until then whatever a client sends is HTTP.
//! Hot path: a request that asks for nothing costs one branch.

mod websocket;

use std::rc::Rc;

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Version, header, request::Parts,
};
use hyper::{ext::Protocol, upgrade::OnUpgrade};
use weir_shared::{
    model::{ServerProtocol, UpgradeProtocol},
    table::Upstream,
};

use self::websocket::Key;
use crate::{
    body::ResponseBody,
    connection::{Client, OpenTunnel, StreamEnd},
    error::ProxyError,
    exchange::Exchange,
    forward::{Framing, Switched, write_field},
    header::ConnectionOptions,
};

const KEY: HeaderName = header::SEC_WEBSOCKET_KEY;
const ACCEPT: HeaderName = header::SEC_WEBSOCKET_ACCEPT;

/// What a client wants to switch to, as far as it may.
pub(crate) struct Upgrade {
    /// The protocols a server is offered, in the client's order.
    offer: HeaderValue,
    origin: Origin,
}

/// How the client has asked.
enum Origin {
    /// With `Upgrade`, over HTTP/1.1: the whole connection is switched.
    Connection,
    /// With extended CONNECT, over HTTP/2: the stream becomes the connection.
    Stream {
        opened: OnUpgrade,
        /// Made here for a protocol that wants one; the client has none.
        key: Option<Key>,
    },
}

/// What `parts` asks to be switched to, if `upstream` allows it.
///
/// # Errors
/// A stream is to become a connection for a protocol that is not allowed.
pub(crate) fn asked(
    exchange: &Exchange,
    parts: &Parts,
    options: &mut ConnectionOptions,
    framing: Framing,
    upstream: &Upstream,
) -> Result<Option<Box<Upgrade>>, ProxyError> {
    if let Some(protocol) = parts.extensions.get::<Protocol>() {
        // The library has it for every CONNECT.
        let opened = parts.extensions.get::<OnUpgrade>().ok_or(ProxyError::UpgradeNotAllowed)?;
        return stream(exchange, options, protocol, opened.clone(), upstream).map(Box::new).map(Some);
    }
    // RFC 9110 §7.8: of HTTP/1.0 the field is ignored.
    let may_switch =
        parts.version == Version::HTTP_11 && matches!(framing, Framing::None | Framing::Length(0));
    if !may_switch || !options.names(&header::UPGRADE) {
        return Ok(None);
    }
    let offer = offer(&parts.headers, allowed(upstream));
    Ok(offer.map(|offer| Box::new(Upgrade { offer, origin: Origin::Connection })))
}

/// What may be asked of the servers of `upstream`: nothing over HTTP/2 alone, which has no `Upgrade`.
fn allowed(upstream: &Upstream) -> &[UpgradeProtocol] {
    match upstream.protocol {
        ServerProtocol::Http1 | ServerProtocol::Auto => &upstream.upgrades,
        ServerProtocol::Http2 => &[],
    }
}

/// Those of the protocols in `Upgrade` that are `allowed`.
fn offer(headers: &HeaderMap, allowed: &[UpgradeProtocol]) -> Option<HeaderValue> {
    let mut offer = Vec::new();
    for line in headers.get_all(header::UPGRADE) {
        for protocol in line.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            if is_allowed(protocol, allowed) {
                if !offer.is_empty() {
                    offer.extend_from_slice(b", ");
                }
                offer.extend_from_slice(protocol);
            }
        }
    }
    HeaderValue::try_from(offer).ok().filter(|offer| !offer.is_empty())
}

fn is_allowed(protocol: &[u8], allowed: &[UpgradeProtocol]) -> bool {
    allowed.iter().any(|allowed| allowed.0.as_bytes().eq_ignore_ascii_case(protocol))
}

fn stream(
    exchange: &Exchange,
    options: &mut ConnectionOptions,
    protocol: &Protocol,
    opened: OnUpgrade,
    upstream: &Upstream,
) -> Result<Upgrade, ProxyError> {
    let name = protocol.as_str();
    let offer = HeaderValue::try_from(name).ok().filter(|_| is_allowed(name.as_bytes(), allowed(upstream)));
    let offer = offer.ok_or(ProxyError::UpgradeNotAllowed)?;
    let key = name.eq_ignore_ascii_case(UpgradeProtocol::WEBSOCKET).then(|| {
        // RFC 8441 §5: neither is used over HTTP/2.
        options.end(KEY);
        options.end(ACCEPT);
        let worker = exchange.worker();
        Key::new([worker.random(), worker.random()])
    });
    Ok(Upgrade { offer, origin: Origin::Stream { opened, key } })
}

impl Upgrade {
    /// The method of the request that asks a server for it: `method`, or GET where a client had to use CONNECT.
    pub(crate) fn method<'m>(this: Option<&Self>, method: &'m Method) -> &'m Method {
        match this.map(|upgrade| &upgrade.origin) {
            Some(Origin::Stream { .. }) => &Method::GET,
            Some(Origin::Connection) | None => method,
        }
    }

    /// Appends the fields that ask a server for it.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        write_field(out, b"connection", b"upgrade");
        write_field(out, b"upgrade", self.offer.as_bytes());
        if let Origin::Stream { key: Some(key), .. } = &self.origin {
            write_field(out, KEY.as_str().as_bytes(), key.as_bytes());
        }
    }

    /// Takes in that a server has switched to `protocol`, with these `fields`. Answers what the client is told.
    ///
    /// # Errors
    /// It is none of those that were offered, or nothing that proves its server to speak it.
    pub(crate) fn take_answer(
        &self,
        protocol: Option<&HeaderValue>,
        mut fields: HeaderMap,
    ) -> Result<HeaderMap, ProxyError> {
        let mut offered = self.offer.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        let protocol = protocol
            .filter(|protocol| offered.any(|offered| offered.eq_ignore_ascii_case(protocol.as_bytes())))
            .ok_or(ProxyError::UpgradeUnexpected)?;
        match &self.origin {
            Origin::Connection => {
                fields.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
                fields.insert(header::UPGRADE, protocol.clone());
            }
            Origin::Stream { key: Some(key), .. } => {
                let accept = fields.remove(ACCEPT);
                accept.filter(|accept| key.is_answered_by(accept)).ok_or(ProxyError::UpgradeUnexpected)?;
            }
            Origin::Stream { key: None, .. } => {}
        }
        Ok(fields)
    }

    /// Hands the client what came of it: with 101, the server's connection.
    ///
    /// # Errors
    /// The server's answer would be taken for an open stream, and is none.
    pub(crate) fn conclude(
        self,
        client: &Rc<Client>,
        response: &mut Response<ResponseBody>,
    ) -> Result<(), ProxyError> {
        let switched = response.body_mut().take_switched();
        match (switched, self.origin) {
            (Some(switched), Origin::Connection) => client.switch(switched),
            (Some(switched), Origin::Stream { opened, .. }) => {
                *response.status_mut() = StatusCode::OK;
                spawn(client, opened, switched);
            }
            (None, Origin::Stream { .. }) if response.status().is_success() => {
                return Err(ProxyError::UpgradeRefused);
            }
            (None, _) => {}
        }
        Ok(())
    }
}

/// Carries bytes between a stream of `client` and a server, on a task of its own.
fn spawn(client: &Rc<Client>, opened: OnUpgrade, switched: Box<Switched>) {
    let tunnel = OpenTunnel::count(client);
    let end = Rc::new(StreamEnd::default());
    client.open(Rc::clone(&end));
    // Ends with its stream, which ends with its connection, or with the worker's local set.
    tokio::task::spawn_local(async move {
        // Without a stream there is nobody to carry anything to.
        if let Ok(stream) = opened.await {
            let stream = hyper_util::rt::TokioIo::new(stream);
            switched.carry(tunnel, stream, bytes::Bytes::new(), |_| end.break_off()).await;
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn protocols(names: &[&str]) -> Vec<UpgradeProtocol> {
        names.iter().map(|name| UpgradeProtocol((*name).to_owned())).collect()
    }

    #[test]
    fn only_what_is_allowed_is_offered() {
        let offered = |lines: &[&str], allowed: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(header::UPGRADE, line.parse().unwrap());
            }
            offer(&headers, &protocols(allowed)).map(|offer| offer.to_str().unwrap().to_owned())
        };
        assert_eq!(offered(&["WebSocket"], &["websocket"]).as_deref(), Some("WebSocket"));
        assert_eq!(
            offered(&["h2c, websocket", "a/1"], &["a/1", "websocket"]).as_deref(),
            Some("websocket, a/1")
        );
        for (lines, allowed) in [
            (&["h2c"][..], &["websocket"][..]),
            (&["websocket"], &[]),
            (&[""], &["websocket"]),
            (&["websocket/13"], &["websocket"]),
        ] {
            assert_eq!(offered(lines, allowed), None, "{lines:?}");
        }
    }

    #[test]
    fn only_what_was_offered_is_taken() {
        let upgrade = Upgrade { offer: HeaderValue::from_static("a, b/2"), origin: Origin::Connection };
        let take = |protocol: &'static str| {
            upgrade.take_answer(Some(&HeaderValue::from_static(protocol)), HeaderMap::new())
        };
        let fields = take("B/2").unwrap();
        assert_eq!(
            (&fields["upgrade"], &fields["connection"]),
            (&HeaderValue::from_static("B/2"), &HeaderValue::from_static("upgrade"))
        );
        for protocol in ["c", "", "a, b/2", "b"] {
            assert_eq!(take(protocol).unwrap_err(), ProxyError::UpgradeUnexpected, "{protocol}");
        }
        assert_eq!(upgrade.take_answer(None, HeaderMap::new()).unwrap_err(), ProxyError::UpgradeUnexpected);
    }
}
