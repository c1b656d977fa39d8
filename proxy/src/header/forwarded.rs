//! Who the client was and what it asked for, told to servers: `X-Forwarded-For`, `-Proto`, `-Host` and `X-Request-Id`.
//!
//! What a client says of itself is believed only from configured addresses; from anybody else these fields, and those
//! that servers read in their place, are dropped and written anew.

use std::{io::Write, net::IpAddr};

use http::{HeaderMap, HeaderName, HeaderValue};

use super::client_cert;
use crate::{connection::Secured, exchange::Exchange, forward::write_field};

const FOR: &str = "x-forwarded-for";
const PROTO: &str = "x-forwarded-proto";
const HOST: &str = "x-forwarded-host";
const REQUEST_ID: &str = "x-request-id";

/// Other fields that servers take for the client's address or the like. Passed on from trusted clients only.
const ALIASES: [&str; 5] =
    ["forwarded", "x-forwarded-port", "x-forwarded-server", "x-real-ip", "x-client-ip"];

/// Whether a request field is one of those written here.
pub(crate) fn is_ours(name: &HeaderName) -> bool {
    let name = name.as_str();
    if name.contains('_') {
        // Servers behind CGI-like interfaces cannot tell `x_forwarded_for` from `x-forwarded-for`.
        return is_ours_as_written(&name.replace('_', "-"));
    }
    is_ours_as_written(name)
}

fn is_ours_as_written(name: &str) -> bool {
    match name.as_bytes().first() {
        Some(b'x') => {
            matches!(name, FOR | PROTO | HOST | REQUEST_ID)
                || ALIASES.contains(&name)
                || client_cert::is_ours(name)
        }
        Some(b'f') => name == "forwarded",
        Some(b'c') => client_cert::is_ours(name),
        _ => false,
    }
}

/// Appends the fields.
pub(crate) fn write(out: &mut Vec<u8>, exchange: &Exchange, headers: &HeaderMap, host: Option<&HeaderValue>) {
    let client = exchange.client();
    let claimed = client.is_trusted.then_some(headers);
    out.extend_from_slice(b"x-forwarded-for: ");
    for earlier in claimed.iter().flat_map(|headers| headers.get_all(FOR)) {
        out.extend_from_slice(earlier.as_bytes());
        out.extend_from_slice(b", ");
    }
    write_address(out, client.peer);
    out.extend_from_slice(b"\r\n");
    let proto = claimed.and_then(|headers| headers.get(PROTO));
    let own: &[u8] = if client.secured().is_some() { b"https" } else { b"http" };
    write_field(out, PROTO.as_bytes(), proto.map_or(own, |proto| proto.as_bytes()));
    if let Some(host) = claimed.and_then(|headers| headers.get(HOST)).or(host) {
        write_field(out, HOST.as_bytes(), host.as_bytes());
    }
    if let Some(id) = claimed.and_then(|headers| headers.get(REQUEST_ID)).and_then(|id| id.to_str().ok()) {
        exchange.adopt_request_id(id);
    }
    write_field(out, REQUEST_ID.as_bytes(), exchange.request_id().as_bytes());
    for name in claimed.iter().flat_map(|_| ALIASES) {
        for value in headers.get_all(name) {
            write_field(out, name.as_bytes(), value.as_bytes());
        }
    }
    if let Some(identity) = client.secured().and_then(Secured::identity) {
        for (name, value) in identity.fields() {
            write_field(out, name.as_str().as_bytes(), value.as_bytes());
        }
    }
}

/// The address of the client itself: the nearest one in the chain of `X-Forwarded-For` that is not trusted to speak for
/// others, or the furthest when all are.
pub(crate) fn client_address(exchange: &Exchange, headers: &HeaderMap) -> IpAddr {
    let client = exchange.client();
    if !client.is_trusted {
        return client.peer;
    }
    let mut furthest = client.peer;
    for line in headers.get_all(FOR).into_iter().rev() {
        for entry in line.as_bytes().rsplit(|byte| *byte == b',') {
            let Some(address) = std::str::from_utf8(entry).ok().and_then(|entry| entry.trim().parse().ok())
            else {
                // What comes before something unreadable may be anybody's.
                return furthest;
            };
            furthest = address;
            if !client.trusts(address) {
                return address;
            }
        }
    }
    furthest
}

/// Whether the client's request came encrypted, as far as a trusted proxy in between says so.
pub(crate) fn is_encrypted(exchange: &Exchange, headers: &HeaderMap) -> bool {
    let client = exchange.client();
    let proto = client.is_trusted.then(|| headers.get(PROTO)).flatten();
    proto.map_or_else(|| client.secured().is_some(), |proto| proto.as_bytes().eq_ignore_ascii_case(b"https"))
}

fn write_address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        // By hand, because it is done for every request and formatting costs several times as much.
        IpAddr::V4(address) => {
            let mut digits = itoa::Buffer::new();
            for (index, octet) in address.octets().into_iter().enumerate() {
                if index > 0 {
                    out.push(b'.');
                }
                out.extend_from_slice(digits.format(octet).as_bytes());
            }
        }
        // Writing into a vector cannot fail.
        IpAddr::V6(address) => drop(write!(out, "{address}")),
    }
}
